"""The life of a simulated training job, derived from its script and the times that matter."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_lab.awssim import lifecycle
from sft_lab.awssim.script import ENDS, STAGES, Script

DAY = 86400.0
PLAIN = Script(pending=10, starting=20, downloading=30, training=100, uploading=40, stop_grace=15)


def life(script: Script = PLAIN, max_runtime: float = DAY, **times: float) -> tuple[lifecycle.Span, ...]:
    return lifecycle.spans(1000.0, script, max_runtime, **times)


def course(spans: tuple[lifecycle.Span, ...]) -> list[tuple[str, float]]:
    return [(s.status, s.start - 1000.0) for s in spans]


def test_an_undisturbed_job_passes_every_stage_in_order():
    assert course(life()) == [
        ("Pending", 0),
        ("Starting", 10),
        ("Downloading", 30),
        ("Training", 60),
        ("Uploading", 160),
        ("Completed", 200),
    ]


def test_a_stopped_job_gets_its_grace_and_is_then_stopped():
    assert course(life(stopped=1090.0))[-3:] == [("Training", 60), ("Stopping", 90), ("Stopped", 105)]


def test_a_stop_before_the_container_runs_needs_no_grace():
    assert course(life(stopped=1005.0)) == [("Pending", 0), ("Stopping", 5), ("Stopped", 6)]


def test_a_stop_after_the_end_changes_nothing():
    assert life(stopped=1500.0) == life()


def test_a_second_reason_to_end_does_not_restart_the_grace():
    assert life(max_runtime=50, stopped=1085.0) == life(max_runtime=50)


def test_a_job_over_its_runtime_ends_with_max_runtime_exceeded_and_the_primary_status_stopped():
    spans = life(max_runtime=50)
    assert course(spans)[-3:] == [("Training", 60), ("Stopping", 80), ("MaxRuntimeExceeded", 95)]
    assert lifecycle.primary(spans[-1].status) == "Stopped"


def test_the_runtime_limit_does_not_interrupt_the_upload():
    assert life(max_runtime=135) == life()


def test_a_spot_job_that_waits_too_long_ends_with_max_wait_time_exceeded():
    script = Script(pending=10, starting=20, downloading=30, training=100, uploading=40, interruptions=((20, 1000),))
    assert course(life(script, max_wait=600))[-1][0] == "MaxWaitTimeExceeded"


def test_an_interrupted_job_restarts_and_trains_what_was_left():
    spans = life(Script(pending=10, starting=20, downloading=30, training=100, uploading=40, interruptions=((25, 7),)))
    assert course(spans)[3:] == [
        ("Training", 60),
        ("Interrupted", 85),
        ("Restarting", 92),
        ("Training", 112),
        ("Uploading", 187),
        ("Completed", 227),
    ]
    assert lifecycle.moment_of_training(spans, 50) == 1112 + 25


@pytest.mark.parametrize("stage", STAGES)
def test_a_scripted_failure_takes_hold_inside_its_stage(stage: str):
    spans = life(
        Script(pending=10, starting=20, downloading=30, training=100, uploading=40, end="Failed", fail_in=stage)
    )
    trained = spans if stage != "Training" else [s for s in spans if s.status != "Uploading"]
    assert [s.status for s in trained][-2:] == [stage, "Failed"]


def test_a_capacity_error_ends_a_job_that_never_trained():
    spans = life(Script(end="Failed", fail_in="Starting", failure_reason="CapacityError: none left"))
    assert "Training" not in {s.status for s in spans}


scripts = st.builds(
    Script,
    pending=st.floats(0, 100),
    starting=st.floats(0, 100),
    downloading=st.floats(0, 100),
    training=st.floats(0, 1000),
    uploading=st.floats(0, 100),
    stop_grace=st.floats(0, 120),
    end=st.sampled_from(ENDS),
    fail_in=st.sampled_from(STAGES),
    fail_at=st.floats(0, 1),
    interruptions=st.lists(st.tuples(st.floats(0, 1000), st.floats(1, 100)), max_size=3).map(
        lambda spells: tuple(sorted(spells))
    ),
)


@given(
    script=scripts,
    max_runtime=st.floats(1, 2000),
    max_wait=st.none() | st.floats(1, 3000),
    stopped=st.none() | st.floats(1000, 4000),
)
def test_every_life_is_without_gaps_and_ends_in_one_terminal_status(script, max_runtime, max_wait, stopped):
    spans = lifecycle.spans(1000.0, script, max_runtime, max_wait, stopped)
    assert spans[0].start == 1000.0
    for span, following in itertools.pairwise(spans):
        assert span.end == following.start
        assert span.status not in lifecycle.TERMINAL
        assert span.start <= span.end
    assert spans[-1].status in lifecycle.TERMINAL
    assert spans[-1].end == math.inf


@given(script=scripts, stopped=st.floats(1000, 4000))
def test_a_stop_never_rewrites_what_was_already_past(script, stopped):
    before = lifecycle.spans(1000.0, script, DAY)
    after = lifecycle.spans(1000.0, script, DAY, stopped=stopped)
    past = [s for s in before if s.end < stopped]
    assert list(after[: len(past)]) == past
