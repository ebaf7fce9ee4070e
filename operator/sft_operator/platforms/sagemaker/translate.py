"""From SageMaker's words about a training job to an Observation. Pure: no clock, no call."""

from __future__ import annotations

import functools
import importlib.resources
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ...api.conditions import timestamp
from ...api.neutral import neutral
from ...api.reasons import Reason
from ...api.status import Stage
from ...aws.errors import Table, Verdict, read_table
from ..base import Observation, RunState

_MESSAGE = 2000
_STAGES = 40

# SecondaryStatus -> state, source: SageMaker API reference. The first three are of older jobs.
_BY_SECONDARY: Mapping[str, RunState] = {
    "LaunchingMLInstances": RunState.STARTING,
    "PreparingTrainingStack": RunState.STARTING,
    "DownloadingTrainingImage": RunState.STARTING,
    "Starting": RunState.STARTING,
    "Pending": RunState.PENDING,
    "Downloading": RunState.STARTING,
    "Training": RunState.RUNNING,
    "Updating": RunState.RUNNING,
    "Uploading": RunState.RUNNING,
    "Interrupted": RunState.RECOVERING,
    "Restarting": RunState.RECOVERING,
    "Stopping": RunState.STOPPING,
    "Stopped": RunState.STOPPED,
    "MaxRuntimeExceeded": RunState.TIMED_OUT,
    "MaxWaitTimeExceeded": RunState.TIMED_OUT,
    "Completed": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
}
# TrainingJobStatus -> state, where the secondary status says nothing that fits it.
_BY_STATUS: Mapping[str, RunState] = {
    "InProgress": RunState.RUNNING,
    "Completed": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
    "Stopping": RunState.STOPPING,
    "Stopped": RunState.STOPPED,
    # Only a job that has ended can be deleted, and what it ended as is no longer told.
    "Deleting": RunState.LOST,
}
_FITTING: Mapping[str, frozenset[RunState]] = {
    "InProgress": frozenset({RunState.PENDING, RunState.STARTING, RunState.RUNNING, RunState.RECOVERING}),
    "Completed": frozenset({RunState.SUCCEEDED}),
    "Failed": frozenset({RunState.FAILED}),
    "Stopping": frozenset({RunState.STOPPING}),
    "Stopped": frozenset({RunState.STOPPED, RunState.TIMED_OUT}),
}


def state_of(status: str, secondary: str) -> RunState:
    """State of a pair of statuses. AWS may add secondary statuses: an unknown one leaves the word to TrainingJobStatus,
    and a pair that contradicts itself is decided by it."""
    found = _BY_SECONDARY.get(secondary)
    if found is not None and (status not in _FITTING or found in _FITTING[status]):
        return found
    return _BY_STATUS.get(status, found or RunState.RUNNING)


def observation(answer: Mapping[str, Any], observed_at: datetime) -> Observation:
    """From a DescribeTrainingJob answer or one entry of ListTrainingJobs, which has fewer members. Members that are
    missing or of another type than documented are left out, never an error."""
    status, secondary = _text(answer.get("TrainingJobStatus")), _text(answer.get("SecondaryStatus"))
    state = state_of(status, secondary)
    timeline, last_message = _timeline(answer.get("SecondaryStatusTransitions"))
    start, end = _time(answer.get("TrainingStartTime")), _time(answer.get("TrainingEndTime"))
    reason, failure, hint = _end(state, secondary, _text(answer.get("FailureReason")), last_message, answer)
    return Observation(
        state=state,
        stage=(secondary or status or "Unknown")[:128],
        observed_at=observed_at,
        message=last_message,
        job_arn=_text(answer.get("TrainingJobArn")) or None,
        reason=reason,
        failure_message=failure,
        hint=hint,
        start_time=start,
        end_time=end if state.ended else None,
        runtime_seconds=_runtime(answer, start, end) if state.ended else None,
        billable_seconds=_whole(answer.get("BillableTimeInSeconds")),
        timeline=timeline,
        metrics=_metrics(answer.get("FinalMetricDataList")),
        model_artifact=_artifact(answer),
    )


def failure_verdict(failure_reason: str) -> Verdict:
    """What a FailureReason means."""
    code, colon, text = failure_reason.partition(":")
    if not colon or " " in code.strip():
        code, text = "", failure_reason
    return failure_table().find("sagemaker", "TrainingJob", code.strip(), text.strip())


@functools.cache
def failure_table() -> Table:
    file = importlib.resources.files(__package__).joinpath("failures.yaml")
    return read_table(file.read_text(encoding="utf-8"), source="failures.yaml")


def _end(
    state: RunState, secondary: str, failure: str, last_message: str, answer: Mapping[str, Any]
) -> tuple[Reason | None, str, str | None]:
    """Reason, message and hint of an end that is not a success."""
    if state is RunState.FAILED:
        text = failure or last_message or "SageMaker gives no reason"
        verdict = failure_verdict(text)
        return verdict.reason, text[:_MESSAGE], verdict.hint
    if state is RunState.TIMED_OUT:
        conditions = answer.get("StoppingCondition")
        limits: Mapping[str, Any] = conditions if isinstance(conditions, Mapping) else {}
        if secondary == "MaxWaitTimeExceeded":
            most = limits.get("MaxWaitTimeInSeconds")
            text = "SageMaker stopped waiting for capacity" + (f" after {most} seconds" if most else "")
            return Reason.DEADLINE_EXCEEDED, text, "no instances were free in time; try later or another instance type"
        most = limits.get("MaxRuntimeInSeconds")
        text = "SageMaker stopped the job at its longest training time" + (f" of {most} seconds" if most else "")
        return (
            Reason.DEADLINE_EXCEEDED,
            text,
            "raise runPolicy.maxRuntime or train for fewer steps, and set a new runID",
        )
    if state is RunState.STOPPED:
        return Reason.STOPPED_BY_USER, last_message or "the training job was stopped", None
    if state is RunState.LOST:
        return Reason.LOST, "the training job is being deleted", None
    return None, "", None


def _timeline(transitions: Any) -> tuple[tuple[Stage, ...], str]:
    stages: list[Stage] = []
    message = ""
    for entry in transitions if isinstance(transitions, list) else ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("Status"), str):
            continue
        start, end = _time(entry.get("StartTime")), _time(entry.get("EndTime"))
        message = _text(entry.get("StatusMessage"))[:512]
        stages.append(
            Stage(
                stage=_text(entry["Status"])[:128],
                start=timestamp(start) if start else None,
                end=timestamp(end) if end else None,
                message=message or None,
            )
        )
    return tuple(stages[-_STAGES:]), message


def _metrics(entries: Any) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping):
            continue
        name, value = entry.get("MetricName"), entry.get("Value")
        if isinstance(name, str) and isinstance(value, int | float) and math.isfinite(value):
            found[name] = float(value)
    return found


def _artifact(answer: Mapping[str, Any]) -> str | None:
    artifacts = answer.get("ModelArtifacts")
    return _text(artifacts.get("S3ModelArtifacts")) or None if isinstance(artifacts, Mapping) else None


def _runtime(answer: Mapping[str, Any], start: datetime | None, end: datetime | None) -> int | None:
    told = _whole(answer.get("TrainingTimeInSeconds"))
    if told is not None:
        return told
    return max(0, round((end - start).total_seconds())) if start and end else None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: Any) -> str:
    return neutral(value) if isinstance(value, str) else ""
