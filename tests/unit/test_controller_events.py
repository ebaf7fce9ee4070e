"""Kubernetes Events: what happened, once; nothing for what only goes on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sft_operator.api.conditions import Conditions
from sft_operator.api.reasons import Reason
from sft_operator.api.status import ConditionType, Phase, SFTJobStatus
from sft_operator.controller.reconcile.events import events

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def status(
    phase: Phase | None, *, submitted: Reason | None = None, stalled: str = "", **fields: object
) -> SFTJobStatus:
    conditions = Conditions(None, generation=1, now=NOW)
    if submitted is not None:
        conditions.set(ConditionType.SUBMITTED, True, submitted, "it was")
    if stalled:
        conditions.set(ConditionType.STALLED, True, Reason.ACCESS_DENIED, stalled)
    return SFTJobStatus(phase=phase, conditions=conditions.result, message="a sentence").model_copy(update=fields)


def told(before: SFTJobStatus, after: SFTJobStatus) -> list[tuple[str, str]]:
    return [(event.type, event.reason) for event in events(before, after)]


@pytest.mark.parametrize(
    ("submitted", "expected"),
    [(Reason.ACCEPTED, "Launched"), (Reason.ADOPTED, "Adopted"), (Reason.ADOPTED_FINISHED_RUN, "Adopted")],
)
def test_a_launch_is_told_and_an_adoption_by_its_own_name(submitted: Reason, expected: str) -> None:
    before = status(Phase.SUBMITTING)
    after = status(Phase.STARTING, submitted=submitted)
    assert told(before, after) == [("Normal", expected)]
    assert told(after, status(Phase.RUNNING, submitted=submitted)) == []


@pytest.mark.parametrize(
    ("phase", "kind", "reason"),
    [
        (Phase.SUCCEEDED, "Normal", "Succeeded"),
        (Phase.STOPPED, "Normal", "Stopped"),
        (Phase.SUSPENDED, "Normal", "Suspended"),
        (Phase.STOPPING, "Normal", "Stopping"),
        (Phase.FAILED, "Warning", "Failed"),
    ],
)
def test_an_end_is_told_once(phase: Phase, kind: str, reason: str) -> None:
    before = status(Phase.RUNNING, submitted=Reason.ACCEPTED, job_name="sft-1")
    after = status(phase, submitted=Reason.ACCEPTED, job_name="sft-1")
    assert told(before, after) == [(kind, reason)]
    assert told(after, after.model_copy(update={"message": "other words"})) == []


def test_a_failure_before_the_launch_is_a_refusal() -> None:
    assert told(status(None), status(Phase.FAILED, reason="InvalidSpec")) == [("Warning", "Refused")]
    assert told(status(Phase.QUEUED), status(Phase.FAILED, job_name="sft-1")) == [("Warning", "Refused")]


def test_waiting_is_told_when_it_begins_and_when_its_reason_changes() -> None:
    quota = status(Phase.QUEUED, reason="QuotaExceeded")
    assert told(status(Phase.SUBMITTING), quota) == [("Warning", "QuotaExceeded")]
    assert told(quota, quota.model_copy(update={"message": "tried 7 times"})) == []
    assert told(quota, status(Phase.QUEUED, reason="AccessDenied")) == [("Warning", "AccessDenied")]


def test_progress_is_never_an_event() -> None:
    for phase in (Phase.VALIDATING, Phase.SUBMITTING, Phase.STARTING, Phase.RUNNING, Phase.RECOVERING):
        assert told(status(None), status(phase)) == []


def test_each_warning_is_told_once() -> None:
    before = status(Phase.RUNNING, warnings=["a"])
    assert told(before, status(Phase.RUNNING, warnings=["a", "b"])) == [("Warning", "Warning")]
    assert told(before, status(Phase.RUNNING, warnings=[])) == []


def test_new_attempts_resumes_and_new_runs_are_told_apart() -> None:
    pending = status(Phase.PENDING, run_id="1")
    assert told(status(None), pending) == []
    assert told(status(Phase.RUNNING, run_id="1"), pending) == [("Normal", "NewAttempt")]
    assert told(status(Phase.SUSPENDED, run_id="1"), pending) == [("Normal", "Resumed")]
    assert told(status(Phase.SUSPENDED, run_id="0"), pending) == [("Normal", "NewRun")]


def test_a_stop_that_keeps_failing_is_told_once() -> None:
    before, after = status(Phase.STOPPING), status(Phase.STOPPING, stalled="not stopped after 10 minutes")
    assert told(before, after) == [("Warning", "StopFailed")]
    assert told(after, after) == []
