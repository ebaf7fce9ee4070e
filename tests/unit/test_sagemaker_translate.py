"""Every status of a training job, every known failure text, and answers that are not as documented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sft_operator.api.reasons import Reason
from sft_operator.aws.sessions import Clients
from sft_operator.platforms.base import RunState
from sft_operator.platforms.sagemaker.translate import failure_verdict, observation, state_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=1)


def seen(status: str, secondary: str = "", **members: Any) -> Any:
    return observation({"TrainingJobStatus": status, "SecondaryStatus": secondary or status, **members}, NOW)


@pytest.mark.parametrize(
    ("status", "secondary", "state"),
    [
        ("InProgress", "LaunchingMLInstances", RunState.STARTING),
        ("InProgress", "PreparingTrainingStack", RunState.STARTING),
        ("InProgress", "DownloadingTrainingImage", RunState.STARTING),
        ("InProgress", "Starting", RunState.STARTING),
        ("InProgress", "Pending", RunState.PENDING),
        ("InProgress", "Downloading", RunState.STARTING),
        ("InProgress", "Training", RunState.RUNNING),
        ("InProgress", "Updating", RunState.RUNNING),
        ("InProgress", "Uploading", RunState.RUNNING),
        ("InProgress", "Interrupted", RunState.RECOVERING),
        ("InProgress", "Restarting", RunState.RECOVERING),
        ("InProgress", "SomethingNew", RunState.RUNNING),
        ("InProgress", "", RunState.RUNNING),
        ("Stopping", "Stopping", RunState.STOPPING),
        ("Stopping", "SomethingNew", RunState.STOPPING),
        ("Stopped", "Stopped", RunState.STOPPED),
        ("Stopped", "MaxRuntimeExceeded", RunState.TIMED_OUT),
        ("Stopped", "MaxWaitTimeExceeded", RunState.TIMED_OUT),
        ("Completed", "Completed", RunState.SUCCEEDED),
        ("Failed", "Failed", RunState.FAILED),
        ("Failed", "Training", RunState.FAILED),
        ("Completed", "Uploading", RunState.SUCCEEDED),
        ("Deleting", "Deleting", RunState.LOST),
        ("SomethingNew", "Training", RunState.RUNNING),
        ("SomethingNew", "SomethingNew", RunState.RUNNING),
        ("", "", RunState.RUNNING),
    ],
)
def test_every_pair_of_statuses_has_a_state(status: str, secondary: str, state: RunState) -> None:
    assert state_of(status, secondary) is state


def test_every_status_that_the_service_model_knows_is_translated_on_purpose() -> None:
    model = Clients().model("sagemaker")
    for secondary in model.shape_for("SecondaryStatus").enum:
        assert state_of("", secondary) is not None
        assert secondary in (*_KNOWN, "Deleting"), secondary
    assert set(model.shape_for("TrainingJobStatus").enum) <= set(_STATUSES)


_STATUSES = ("InProgress", "Completed", "Failed", "Stopping", "Stopped", "Deleting")
_KNOWN = (
    "Starting", "LaunchingMLInstances", "PreparingTrainingStack", "Downloading", "DownloadingTrainingImage", "Training",
    "Uploading", "Stopping", "Stopped", "MaxRuntimeExceeded", "Completed", "Failed", "Interrupted",
    "MaxWaitTimeExceeded", "Updating", "Restarting", "Pending",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("AlgorithmError: ExecuteUserScriptError: ExitCode 1", Reason.ALGORITHM_ERROR),
        ("AlgorithmError: torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate", Reason.OUT_OF_MEMORY),
        (
            "AlgorithmError: Please use an instance with more memory, out of memory, exit code: 137",
            Reason.OUT_OF_MEMORY,
        ),
        (
            "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML "
            "instance type.",
            Reason.CAPACITY_UNAVAILABLE,
        ),
        ("InternalServerError: We encountered an internal error. Please try again.", Reason.SERVICE_UNAVAILABLE),
        ("We encountered an internal error", Reason.SERVICE_UNAVAILABLE),
        ("ClientError: Data download failed: NoSuchKey (404): s3://b/k", Reason.DATASET_UNREADABLE),
        ("ClientError: Data download failed: AccessDenied (403): Access Denied", Reason.ACCESS_DENIED),
        ("ClientError: Cannot pull image from ECR repository", Reason.IMAGE_PULL_FAILED),
        ("ClientError: Failed to assume role arn:aws:iam::1:role/x", Reason.ROLE_NOT_USABLE),
        ("ClientError: Artifact upload failed", Reason.ACCESS_DENIED),
        ("ClientError: something else", Reason.ALGORITHM_ERROR),
        ("a text that nobody has seen", Reason.ALGORITHM_ERROR),
        ("", Reason.ALGORITHM_ERROR),
    ],
)
def test_a_failure_text_has_a_reason_and_a_hint(text: str, reason: Reason) -> None:
    verdict = failure_verdict(text)
    assert verdict.reason is reason
    assert verdict.hint


def test_a_timeout_is_neither_a_success_nor_a_users_stop() -> None:
    look = seen("Stopped", "MaxRuntimeExceeded", StoppingCondition={"MaxRuntimeInSeconds": 432000})
    assert (look.state, look.reason) == (RunState.TIMED_OUT, Reason.DEADLINE_EXCEEDED)
    assert "432000" in look.failure_message
    assert "maxRuntime" in look.hint
    assert seen("Stopped").reason is Reason.STOPPED_BY_USER


def test_a_finished_job_tells_times_bill_metrics_and_stages() -> None:
    look = seen(
        "Completed",
        TrainingJobArn="arn:aws:sagemaker:us-east-1:111122223333:training-job/x",
        TrainingStartTime=BEGAN,
        TrainingEndTime=NOW,
        TrainingTimeInSeconds=3500,
        BillableTimeInSeconds=3600,
        ModelArtifacts={"S3ModelArtifacts": "s3://b/x/output/model.tar.gz"},
        FinalMetricDataList=[{"MetricName": "train:loss", "Value": 0.5, "Timestamp": NOW}],
        SecondaryStatusTransitions=[
            {"Status": "Starting", "StartTime": BEGAN, "EndTime": BEGAN, "StatusMessage": "Launching"},
            {"Status": "Completed", "StartTime": NOW, "EndTime": NOW, "StatusMessage": "Training job completed"},
        ],
    )
    assert (look.start_time, look.end_time, look.runtime_seconds, look.billable_seconds) == (BEGAN, NOW, 3500, 3600)
    assert look.metrics == {"train:loss": 0.5}
    assert look.model_artifact == "s3://b/x/output/model.tar.gz"
    assert [(stage.stage, stage.start, stage.end) for stage in look.timeline] == [
        ("Starting", "2026-11-22T11:00:00Z", "2026-11-22T11:00:00Z"),
        ("Completed", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z"),
    ]
    assert look.message == "Training job completed"


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"SecondaryStatusTransitions": "x", "FinalMetricDataList": 7, "ModelArtifacts": []},
        {"SecondaryStatusTransitions": [None, {}, {"Status": 1}, {"Status": "x" * 999, "StatusMessage": None}]},
        {"FinalMetricDataList": [None, {"MetricName": 1, "Value": 2}, {"MetricName": "n", "Value": float("nan")}]},
        {"BillableTimeInSeconds": -1, "TrainingTimeInSeconds": "long", "TrainingStartTime": "yesterday"},
        {"FailureReason": None, "ModelArtifacts": {"S3ModelArtifacts": ""}},
    ],
)
@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped", "InProgress"])
def test_missing_and_malformed_members_are_survived(status: str, members: dict[str, Any]) -> None:
    look = seen(status, **members)
    assert look.metrics == {}
    assert look.model_artifact is None
    assert look.runtime_seconds is None
    assert all(len(stage.stage) <= 128 for stage in look.timeline)


def test_an_entry_without_any_status_is_survived() -> None:
    assert observation({"TrainingJobStatus": 7, "SecondaryStatus": None}, NOW).state is RunState.RUNNING


def test_a_failure_without_a_reason_says_so() -> None:
    assert seen("Failed").failure_message == "SageMaker gives no reason"


def test_a_very_long_history_keeps_its_newest_stages() -> None:
    stages = [{"Status": f"s{i}", "StartTime": BEGAN, "EndTime": BEGAN} for i in range(100)]
    look = seen("InProgress", "Training", SecondaryStatusTransitions=stages)
    assert len(look.timeline) == 40
    assert look.timeline[-1].stage == "s99"
