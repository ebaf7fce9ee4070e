"""What the controller asks of a platform, and the neutral words they share. No platform and no AWS call lives here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from ..api.findings import Finding
from ..api.place import Access, Place
from ..api.reasons import Reason
from ..api.sftjob import SFTJobSpec
from ..api.status import Artifacts, DatasetStatus, Effective, Stage


@dataclass(frozen=True, slots=True)
class ProfileUse:
    """The profile that a job goes by."""

    name: str
    generation: int
    access: Access | None = None
    data_excerpts: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    """Its default tags."""


@dataclass(frozen=True, slots=True)
class JobView:
    """What a plan is made from: the spec with the profile's defaults in it, and which attempt of which run it is."""

    namespace: str
    name: str
    uid: str
    spec: SFTJobSpec
    identity_scope: str
    fingerprint: str
    """Of the spec as the user wrote it: a profile's edit never makes another run of it."""
    profile: ProfileUse | None = None
    attempt: int = 1
    prior_runtime_seconds: int = 0
    """Training seconds of earlier attempts; maxRuntime spans all of them."""

    @property
    def access(self) -> Access | None:
        return self.profile.access if self.profile is not None else None


@dataclass(frozen=True, slots=True)
class DataObject:
    """One data object that a plan reads, and the channel that takes it."""

    channel: str
    uri: str
    field: str
    """Path in the SFTJob, for messages."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that the operator writes before the launch."""

    uri: str
    body: bytes
    kms_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a launch will do, settled without any network."""

    platform: str
    job_name: str
    attempt: int
    place: Place
    fingerprint: str
    request: Mapping[str, Any]
    """The exact create request, in the platform's own words."""
    request_digest: str
    inputs_digest: str
    uploads: tuple[Upload, ...]
    data: tuple[DataObject, ...]
    tags: Mapping[str, str]
    effective: Effective
    max_instance_hours: float
    warnings: tuple[Finding, ...] = ()

    @property
    def ref(self) -> RunRef:
        return RunRef(self.platform, self.place.account, self.place.region, self.job_name, self.place.access)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no plan, or no launch."""

    reason: Reason
    findings: tuple[Finding, ...]
    hint: str | None = None

    @property
    def message(self) -> str:
        return "; ".join(str(finding) for finding in self.findings)


@dataclass(frozen=True, slots=True)
class RunRef:
    """Enough to find a run again: pinned when the launch was decided."""

    platform: str
    account: str
    region: str
    job_name: str
    access: Access | None = None

    @property
    def place(self) -> Place:
        return Place(self.account, self.region, self.access)


class RunState(StrEnum):
    """Where a run is, in words that fit every platform."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    RECOVERING = "Recovering"
    STOPPING = "Stopping"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"
    TIMED_OUT = "TimedOut"
    LOST = "Lost"

    @property
    def ended(self) -> bool:
        return self in _ENDED


_ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED, RunState.TIMED_OUT, RunState.LOST})


@dataclass(frozen=True, slots=True)
class RawProgress:
    """Figures as the platform or the log gives them; the step function computes percent, ETA and display from them."""

    step: int | None = None
    total_steps: int | None = None
    epoch: float | None = None
    train_loss: float | None = None
    first_train_loss: float | None = None
    best_train_loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    steps_per_second: float | None = None
    source: str = ""
    reported_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a run."""

    state: RunState
    stage: str
    """The platform's own word, such as a SageMaker SecondaryStatus."""
    observed_at: datetime
    message: str = ""
    job_arn: str | None = None
    reason: Reason | None = None
    """Of an end that is not a success."""
    failure_message: str = ""
    hint: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    runtime_seconds: int | None = None
    billable_seconds: int | None = None
    timeline: tuple[Stage, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    model_artifact: str | None = None
    progress: RawProgress | None = None


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What the data check found: the facts, and a refusal when the data must not be trained on."""

    facts: DatasetStatus | None
    refusal: Refusal | None = None
    warnings: tuple[Finding, ...] = ()


class SubmitKind(StrEnum):
    LAUNCHED = "Launched"
    ATTACHED = "Attached"
    """The job was there already and is ours: running or ended, its own state tells."""
    ADOPTED_FINISHED = "AdoptedFinished"
    """A completed run of an earlier resource with the same fingerprint: its result is taken, nothing is launched."""
    NEXT_ATTEMPT = "NextAttempt"
    """The job of this name was stopped when an earlier resource was deleted: the next attempt number is free."""
    ENDING = "Ending"
    """The job of this name is ours and is being stopped: look again when it has ended."""
    DATA_CHANGED = "DataChanged"
    """A data object was replaced since it was checked: check again."""
    REFUSED = "Refused"
    UNKNOWN = "Unknown"
    """No answer, or an error that passes: try again; the name makes it safe."""


@dataclass(frozen=True, slots=True)
class SubmitOutcome:
    kind: SubmitKind
    job_arn: str | None = None
    refusal: Refusal | None = None
    inputs_digest: str | None = None
    """Of a run that was found: the inputs that it was launched with, by its tags."""
    state: RunState | None = None
    """Of a run that was found: where it is."""
    stopped_by: str | None = None
    """Of a run that was found stopped: why this operator had stopped it; None when it had not."""
    retry_after: float | None = None
    """Seconds to the next try, for a refusal that waits or an unknown outcome; None leaves it to the caller."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run that has ended leaves behind."""

    artifacts: Artifacts
    log_tail: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    progress: RawProgress | None = None
    warnings: tuple[Finding, ...] = ()
    """Among them: a run that completed without a readable result."""


class PlatformUnavailable(Exception):
    """The platform did not do what it was asked, for a reason that may pass."""

    def __init__(self, reason: Reason, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class Platform(Protocol):
    """Five small things a remote job needs, and a pure plan. Every method that talks may raise PlatformUnavailable."""

    name: str

    def plan(self, job: JobView, facts: DatasetStatus | None) -> Plan | Refusal:
        """Pure. `facts` are those of the data check, None when it was skipped."""
        ...

    def precheck(self, job: JobView) -> Plan | Refusal | None:
        """Pure: what can be refused before any data is read; else the plan as far as it is known by then, None where
        it hangs on the data."""
        ...

    def ref(self, effective: Effective, job_name: str, namespace: str) -> RunRef: ...

    def console_url(self, ref: RunRef) -> str: ...

    async def check(self, job: JobView) -> CheckOutcome:
        """Reads the data set, off the event loop."""
        ...

    async def submit(self, plan: Plan, job: JobView, facts: DatasetStatus | None) -> SubmitOutcome:
        """Idempotent: a second call for the same plan launches nothing."""
        ...

    async def find(self, ref: RunRef, job: JobView) -> SubmitOutcome | None:
        """What a job of this name means for a launch; None when there is none. Nothing is launched."""
        ...

    def watch(
        self, runs: Callable[[], Collection[RunRef]]
    ) -> AsyncIterator[tuple[RunRef, Observation | PlatformUnavailable]]:
        """Follows the live set that `runs` returns, as the platform does it best; never ends.

        A PlatformUnavailable in the stream (not raised) says that a look at that run failed and when the next one is
        made; the next Observation of the run says that it is reachable again, even when nothing changed.
        A run that is not found, for longer than a create may take to show, is LOST: so the controller learns that a
        create without an answer brought nothing about. An end is told again for as long as the run is in the set.
        """
        ...

    async def stop(self, ref: RunRef, *, cause: str) -> bool:
        """Asks for the end of a run; a run that has ended already is no error. `cause` is remembered on the run.
        False when the platform knows no such run, which says little of one that was created a moment ago."""
        ...

    async def result(self, ref: RunRef, observation: Observation, effective: Effective) -> Result: ...

    async def tag(self, ref: RunRef, tags: Mapping[str, str]) -> tuple[str, ...]:
        """Adds a user's tags to a live run. Returns the keys of those that the user has since taken away: they stay."""
        ...
