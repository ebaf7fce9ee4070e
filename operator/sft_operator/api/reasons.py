"""The closed list of reasons that a condition or a failure may carry; docs/reasons.md tells a user what each means."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why something is as it is. Values are API: they are never renamed within a version."""

    # refusals that end the run: a new runID is the way on
    INVALID_SPEC = "InvalidSpec"
    DATASET_INVALID = "DatasetInvalid"
    NAME_CONFLICT = "NameConflict"
    # refusals that wait, and end at pendingDeadline
    POLICY_DENIED = "PolicyDenied"
    OPERATOR_TOO_OLD = "OperatorTooOld"
    DATASET_UNREADABLE = "DatasetUnreadable"
    ROLE_NOT_USABLE = "RoleNotUsable"
    ACCESS_DENIED = "AccessDenied"
    QUOTA_EXCEEDED = "QuotaExceeded"
    CAPACITY_UNAVAILABLE = "CapacityUnavailable"
    CONCURRENCY_LIMIT = "ConcurrencyLimit"
    LAUNCHES_PAUSED = "LaunchesPaused"
    THROTTLED = "Throttled"
    SERVICE_UNAVAILABLE = "InternalServiceError"
    # how a run ended
    PENDING_DEADLINE_EXCEEDED = "PendingDeadlineExceeded"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    SPOT_INTERRUPTED = "SpotInterrupted"
    ALGORITHM_ERROR = "AlgorithmError"
    OUT_OF_MEMORY = "OutOfMemory"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    STOPPED_BY_USER = "StoppedByUser"
    RESULT_MISSING = "ResultMissing"
    ADOPTED_FINISHED_RUN = "AdoptedFinishedRun"
    LOST = "Lost"
    # conditions of a run that is well
    ACCEPTED = "Accepted"
    ADOPTED = "Adopted"
    CHECKING = "Checking"
    CHECK_SKIPPED = "CheckSkipped"
    CHECK_WARNED = "CheckWarned"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    STOPPING = "Stopping"
    REACHABLE = "Reachable"
    INPUTS_CHANGED = "InputsChanged"
    UNCHANGED = "Unchanged"
    SETTLED = "Settled"


TERMINAL_REFUSALS = frozenset({Reason.INVALID_SPEC, Reason.DATASET_INVALID, Reason.NAME_CONFLICT})
"""Refusals that end the run at once; every other refusal waits and is looked at again."""

RETRYABLE_ENDS = frozenset({Reason.CAPACITY_UNAVAILABLE, Reason.SERVICE_UNAVAILABLE})
"""Ends that runPolicy.backoffLimit may answer with a new attempt: never a fault of the user's."""
