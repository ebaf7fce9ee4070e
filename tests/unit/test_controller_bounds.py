"""The size of a status: always below 16 KiB, and what is kept when something has to go."""

from __future__ import annotations

import pytest

from sft_operator.api.findings import Finding
from sft_operator.api.reasons import Reason
from sft_operator.api.status import (
    Artifacts,
    Condition,
    ConditionStatus,
    ConditionType,
    DatasetFile,
    DatasetStatus,
    Failure,
    PastRun,
    Phase,
    SFTJobStatus,
    Stage,
)
from sft_operator.controller.reconcile.bounds import STATUS_LIMIT, cut, fitted, size
from sft_operator.platforms.base import Result
from tests.unit.world import World

TIME = "2026-11-22T12:00:00Z"


def worst(letter: str) -> SFTJobStatus:
    return SFTJobStatus(
        phase=Phase.FAILED,
        reason="AlgorithmError",
        message=letter * 2000,
        run_id="1",
        job_name="sft-" + "x" * 59,
        fingerprint="f1:" + "0" * 32,
        conditions=[
            Condition(
                type=kind, status=ConditionStatus.TRUE, reason="AlgorithmError", message=letter * 2000,
                last_transition_time=TIME,
            )
            for kind in ConditionType
        ],
        timeline=[Stage(stage=f"Stage{n}", start=TIME, end=TIME, message=letter * 500) for n in range(40)],
        dataset=DatasetStatus(
            rows=1,
            files=[DatasetFile(uri="s3://bucket/train.jsonl", etag="e" * 32)],
            error_count=1000,
            errors=[letter * 1000] * 20,
        ),
        failure=Failure(
            reason="AlgorithmError", message=letter * 2000, hint=letter * 1000, log_tail=[letter * 300] * 20
        ),
        warnings=[f"{n}{letter * 500}" for n in range(20)],
        history=[
            PastRun(run_id=str(n), phase=Phase.FAILED, job_name="x" * 63, completion_time=TIME, checkpoint="s3://" + "y" * 200)
            for n in range(5)
        ],
    )  # fmt: skip


@pytest.mark.parametrize("letter", ["x", "ß", "語", "\n", "😀", "\x00"])
def test_the_worst_status_fits_and_keeps_what_decisions_need(letter: str) -> None:
    before = worst(letter)
    after = fitted(before)
    assert size(after) < STATUS_LIMIT
    assert (after.job_name, after.run_id, after.fingerprint) == (before.job_name, before.run_id, before.fingerprint)
    assert after.dataset is not None
    assert before.dataset is not None
    assert after.dataset.files == before.dataset.files
    assert [condition.type for condition in after.conditions or []] == list(ConditionType)
    assert after.history == before.history
    assert after.failure is not None
    assert after.failure.log_tail


def test_what_fits_is_left_alone_and_fitting_twice_changes_nothing() -> None:
    small = SFTJobStatus(phase=Phase.RUNNING, message="all is well")
    assert fitted(small) is small
    once = fitted(worst("x"))
    assert fitted(once) == once


def test_the_log_of_a_failure_goes_last() -> None:
    status = worst("x").model_copy(update={"conditions": None, "dataset": None})
    after = fitted(status)
    assert after.failure is not None
    assert len(after.failure.log_tail or []) == 20


def test_cut_text_says_that_it_was_cut() -> None:
    assert cut("short", 10) == "short"
    assert cut("x" * 20, 10) == "x" * 9 + "…"


def test_a_run_that_fails_with_everything_at_its_longest_is_written_and_settles() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        for run in range(2, 7):
            world.aws.complete()
            world.until("Succeeded")
            world.apply({"runID": str(run)})
        world.aws.run().timeline = tuple(
            Stage(stage=f"Stage{n}", start=TIME, end=TIME, message="ü" * 500) for n in range(60)
        )
        world.until("Running")
        world.advance(300)
        world.aws.result_of_run = Result(
            Artifacts(checkpoint="s3://" + "c" * 500),
            log_tail=tuple("l" * 2000 for _ in range(50)),
            warnings=tuple(Finding(f"spec.x{n}", "w" * 900, "warning") for n in range(30)),
        )
        world.aws.fail(Reason.ALGORITHM_ERROR, "m" * 5000, hint="h" * 3000)
        world.until("Failed")
        writes = len(world.cluster.writes)
        world.restart_operator()
        world.advance(600)
        assert len(world.cluster.writes) == writes
        assert world.status["failure"]["message"].startswith("mmm")
        assert len(world.status["history"]) == 5
