"""The status of an SFTJob: what the operator writes back. A summary phase, conditions, and everything worth knowing."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import APIModel

Line = Annotated[str, Field(max_length=1024)]
"""One line of text for people; whoever writes it cuts it."""


class Phase(StrEnum):
    PENDING = "Pending"
    VALIDATING = "Validating"
    QUEUED = "Queued"
    SUBMITTING = "Submitting"
    STARTING = "Starting"
    RUNNING = "Running"
    RECOVERING = "Recovering"
    STOPPING = "Stopping"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"


class ConditionType(StrEnum):
    VALIDATED = "Validated"
    SUBMITTED = "Submitted"
    PLATFORM_REACHABLE = "PlatformReachable"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"
    FINISHED = "Finished"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    DRIFTED = "Drifted"


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(APIModel):
    """One observation in the form of metav1.Condition."""

    type: ConditionType = Field(description="What is observed.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=128, description="Why, as one word of a closed list (docs/reasons.md).")
    message: str = Field("", max_length=4096, description="The same for people.")
    observed_generation: int = Field(0, description="metadata.generation that this was derived from.")
    last_transition_time: str = Field(
        json_schema_extra={"format": "date-time"}, description="When status last changed."
    )


class Stage(APIModel):
    """A stretch of the run, named as the platform names it."""

    stage: str = Field(max_length=128, description="The platform's word, for SageMaker a SecondaryStatus.")
    start: str | None = Field(None, json_schema_extra={"format": "date-time"}, description="When it began.")
    end: str | None = Field(None, json_schema_extra={"format": "date-time"}, description="When it ended.")
    message: str | None = Field(None, max_length=512, description="What the platform said of it.")


class Progress(APIModel):
    """How far the training is."""

    step: int | None = Field(None, description="Optimizer steps done; may go back after a restart.")
    total_steps: int | None = Field(None, description="Steps in all, where known.")
    epoch: float | None = Field(None, description="Passes over the data done, where known.")
    percent: int | None = Field(None, description="Whole percent of totalSteps, or of the epochs.")
    eta_seconds: int | None = Field(None, description="Seconds to the last step, from the speed of recent steps.")
    eta: str | None = Field(None, max_length=32, description="etaSeconds as text, such as 1h20m.")
    display: str | None = Field(None, max_length=128, description='Steps as text, "1200/4000 (30%)", or the stage.')
    source: str | None = Field(None, max_length=64, description="Where the figures come from.")
    last_report_time: str | None = Field(
        None, json_schema_extra={"format": "date-time"}, description="When they were reported."
    )


class Metrics(APIModel):
    """Figures of the training."""

    train_loss: float | None = Field(None, description="Last training loss.")
    validation_loss: float | None = Field(None, description="Last loss on the validation set.")
    first_train_loss: float | None = Field(None, description="First training loss seen.")
    best_train_loss: float | None = Field(None, description="Lowest training loss seen.")
    learning_rate: float | None = Field(None, description="Last learning rate.")
    display: str | None = Field(None, max_length=64, description="trainLoss as text.")


class DatasetFile(APIModel):
    """One checked object."""

    uri: str = Field(max_length=1024, description="Where it is.")
    etag: str | None = Field(None, max_length=256, description="ETag of the object that was read.")
    version: str | None = Field(None, max_length=1024, description="S3 version id of it, in a versioned bucket.")
    rows: int = Field(0, description="Rows in it.")
    bytes: int = Field(0, description="Size in bytes.")


class DatasetStatus(APIModel):
    """What the data check found; bound to the objects that were read."""

    rows: int | None = Field(None, description="Training rows.")
    validation_rows: int | None = Field(None, description="Validation rows.")
    bytes: int | None = Field(None, description="Size of the training file in bytes.")
    tokens_estimate: int | None = Field(
        None, description="Tokens in the training rows, estimated at 4 characters each."
    )
    files: list[DatasetFile] | None = Field(None, max_length=32, description="The files that were read.")
    error_count: int | None = Field(None, description="Wrong rows, in all files.")
    errors: list[Line] | None = Field(None, max_length=20, description="The first wrong rows, by file and line.")


class Artifacts(APIModel):
    """Where the results are."""

    model: str | None = Field(None, max_length=2048, description="Model artifact as the platform reports it.")
    checkpoint: str | None = Field(
        None, max_length=2048, description="Checkpoint to deploy or to go on from; for Nova in AWS's escrow bucket."
    )
    checkpoint_message: str | None = Field(None, max_length=512, description="Why there is no checkpoint, if so.")
    output: str | None = Field(None, max_length=2048, description="S3 prefix of everything that the run wrote.")
    logs: str | None = Field(None, max_length=1024, description="Command that shows the training log.")


class Failure(APIModel):
    """Why the run failed."""

    reason: str = Field(max_length=128, description="One word of a closed list (docs/reasons.md).")
    message: str = Field(max_length=2048, description="What the platform or the operator said.")
    log_tail: list[Line] | None = Field(None, max_length=20, description="Last lines of the training log.")
    hint: str | None = Field(None, max_length=1024, description="What to do.")


class EffectiveRecipe(APIModel):
    """The recipe that was run."""

    name: str = Field(max_length=256, description="Catalogue name, or inline.")
    digest: str = Field(max_length=128, description="SHA-256 of the resolved recipe.")
    uri: str | None = Field(None, max_length=2048, description="Where the resolved recipe lies.")


class EffectiveAccess(APIModel):
    """As whom the operator calls AWS for the run."""

    assume_role_arn: str = Field(alias="assumeRoleARN", max_length=2048, description="Role that it assumes.")
    external_id: str | None = Field(None, alias="externalID", max_length=1224, description="External id it gives.")
    profile: str = Field(max_length=253, description="The profile that says so.")


class Effective(APIModel):
    """What was really used, settled when the launch was decided; nothing recomputes it."""

    account: str | None = Field(None, max_length=32, description="AWS account of the run.")
    region: str | None = Field(None, max_length=32, description="AWS region of the run.")
    role_arn: str | None = Field(None, max_length=2048, description="Role of the training job.")
    access: EffectiveAccess | None = Field(
        None, description="As whom the operator calls AWS for the run; absent: with its own identity."
    )
    image: str | None = Field(None, max_length=255, description="Training image.")
    instance_type: str | None = Field(None, max_length=63, description="Instance type.")
    instance_count: int | None = Field(None, description="Instances.")
    output_uri: str | None = Field(None, max_length=1024, description="Output prefix.")
    recipe: EffectiveRecipe | None = Field(None, description="The recipe that was run.")
    hyperparameters: dict[str, Line] | None = Field(
        None, max_length=64, description="Typed hyperparameters in force, as text."
    )
    tags: dict[str, Annotated[str, Field(max_length=256)]] | None = Field(
        None, max_length=40, description="Tags that the profile gave."
    )
    total_steps: int | None = Field(None, description="Steps planned, where known.")
    max_runtime: str | None = Field(None, max_length=32, description="Longest training time sent to the platform.")
    deletion_policy: str | None = Field(None, max_length=16, description="What deleting the resource does.")


class PlanStatus(APIModel):
    """What the launch asked for."""

    request_digest: str = Field(max_length=128, description="SHA-256 of the request.")
    max_instance_hours: float | None = Field(None, description="Instances x maxRuntime: the most that can be billed.")


class ProfileStatus(APIModel):
    """The SFTProfile that the job goes by."""

    name: str = Field(max_length=253, description="Its name.")
    generation: int = Field(description="Its metadata.generation; a later edit does not change a submitted run.")


class StopRequest(APIModel):
    """A stop that the operator has decided and carries out."""

    cause: str = Field(max_length=32, description="Suspend, Stop, NewRun or Delete.")
    time: str = Field(json_schema_extra={"format": "date-time"}, description="When it was decided.")


class PastRun(APIModel):
    """A run of an earlier runID."""

    run_id: str = Field(max_length=63, description="Its runID.")
    job_name: str | None = Field(None, max_length=63, description="Its job on the platform.")
    phase: Phase = Field(description="How it ended.")
    reason: str | None = Field(None, max_length=128, description="Why.")
    completion_time: str | None = Field(None, json_schema_extra={"format": "date-time"}, description="When.")
    checkpoint: str | None = Field(None, max_length=2048, description="Its checkpoint.")


class SFTJobStatus(APIModel):
    """What the operator knows of the job."""

    phase: Phase | None = Field(None, description="Summary of the conditions.")
    reason: str | None = Field(
        None,
        max_length=128,
        description="Why it waits, failed or stopped, as one word (docs/reasons.md); absent while well.",
    )
    message: str | None = Field(None, max_length=4096, description="One sentence: what, since when, what next.")
    observed_generation: int | None = Field(None, description="metadata.generation that this status answers.")
    conditions: list[Condition] | None = Field(
        None,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        description="Validated, Submitted, PlatformReachable, Suspended, Complete, Failed, Finished, Reconciling, "
        "Stalled, Drifted. Finished is True with either end.",
    )
    platform: str | None = Field(None, max_length=63, description="Where it runs, such as SageMaker.")
    job_name: str | None = Field(None, max_length=63, description="Name of the job on the platform.")
    job_arn: str | None = Field(None, alias="jobARN", max_length=256, description="ARN of the job.")
    console_url: str | None = Field(None, alias="consoleURL", max_length=1024, description="The job in the console.")
    run_id: str | None = Field(None, alias="runID", max_length=63, description="runID that this status is about.")
    uid: str | None = Field(None, max_length=64, description="UID of the resource that launched the run.")
    fingerprint: str | None = Field(None, max_length=128, description="Digest of the run-defining spec.")
    inputs_digest: str | None = Field(
        None, max_length=128, description="Digest of what lies outside the spec: data objects and recipe."
    )
    attempt: int | None = Field(None, description="Attempt of this run, from 1.")
    retries: int | None = Field(None, description="Attempts that were retries after a failure.")
    prior_runtime_seconds: int | None = Field(None, description="Training seconds of earlier attempts.")
    profile: ProfileStatus | None = Field(
        None, description="The SFTProfile that the job goes by, pinned when the launch was decided."
    )
    queue_position: int | None = Field(
        None, description="Place in the line for one of the profile's maxConcurrentRuns, from 1."
    )
    pending_since: str | None = Field(
        None,
        json_schema_extra={"format": "date-time"},
        description="Since when the launch waits; pendingDeadline counts from here.",
    )
    start_time: str | None = Field(None, json_schema_extra={"format": "date-time"}, description="Start of training.")
    completion_time: str | None = Field(None, json_schema_extra={"format": "date-time"}, description="End of the run.")
    runtime: str | None = Field(None, max_length=32, description="From start to end, as text.")
    timeline: list[Stage] | None = Field(None, max_length=40, description="Stages of the run.")
    progress: Progress | None = Field(None, description="How far the training is.")
    metrics: Metrics | None = Field(None, description="Figures of the training.")
    dataset: DatasetStatus | None = Field(None, description="What the data check found.")
    billable_seconds: int | None = Field(
        None, description="Billable seconds of each instance over all attempts, as the platform says."
    )
    prior_billable_seconds: int | None = Field(None, description="Those of earlier attempts.")
    instance_hours: str | None = Field(None, max_length=32, description="Instances x billable time, as text.")
    artifacts: Artifacts | None = Field(None, description="Where the results are.")
    failure: Failure | None = Field(None, description="Why the run failed.")
    warnings: list[Line] | None = Field(None, max_length=20, description="Things to know that refuse nothing.")
    effective: Effective | None = Field(None, description="What was really used.")
    plan: PlanStatus | None = Field(None, description="What the launch asked for.")
    stop_request: StopRequest | None = Field(None, description="A stop that is being carried out.")
    history: list[PastRun] | None = Field(None, max_length=5, description="Earlier runs of this job, newest first.")
