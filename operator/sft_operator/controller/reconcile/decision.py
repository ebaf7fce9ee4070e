"""What a step may decide: a status, one action, when to look again; and what every part of the step asks of a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from ...api.conditions import timestamp
from ...api.sftjob import SFTJobSpec
from ...api.status import DatasetStatus, Effective, Phase, SFTJobStatus, StopRequest
from ...platforms.base import JobView, Observation, Plan, Platform, ProfileUse, RunRef, RunState, SubmitKind
from ...policy.ruling import NO_POLICY, Policy
from .job import Job, Seen, Trouble

STOP_AGAIN_AFTER = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=6)
"""What is due later than any pause is due now: the clock was set back."""


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    pass


@dataclass(frozen=True, slots=True)
class ReleaseFinalizer:
    pass


@dataclass(frozen=True, slots=True)
class Check:
    """Read the data set, in the background."""

    job: JobView


@dataclass(frozen=True, slots=True)
class Find:
    """Look whether the job that the status announces is there. Nothing is launched."""

    ref: RunRef
    job: JobView


@dataclass(frozen=True, slots=True)
class Submit:
    plan: Plan
    job: JobView
    facts: DatasetStatus | None


@dataclass(frozen=True, slots=True)
class Stop:
    ref: RunRef
    cause: str


@dataclass(frozen=True, slots=True)
class Collect:
    ref: RunRef
    observation: Observation
    effective: Effective


@dataclass(frozen=True, slots=True)
class Tag:
    ref: RunRef
    tags: Mapping[str, str]
    generation: int


@dataclass(frozen=True, slots=True)
class Compare:
    """Plan the launched run anew, to see whether its inputs would be others now. Nothing is launched."""

    job: JobView
    facts: DatasetStatus | None


Action: TypeAlias = AddFinalizer | ReleaseFinalizer | Check | Find | Submit | Stop | Collect | Tag | Compare


@dataclass(frozen=True, slots=True)
class Decision:
    """The status as it should be, one action at most, and when to look again (seconds) if nothing happens before."""

    status: SFTJobStatus
    action: Action | None = None
    look_after: float | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a step needs besides the job: pure parts of the platform, the installation's identity, and what it allows."""

    platform: Platform
    identity_scope: str
    now: datetime
    policy: Policy = NO_POLICY
    position: Callable[[Job, str, int], int] = lambda job, profile, limit: 0
    """The job's place in the line of a profile that runs so many at a time; 0: it may go."""


def run_ref(job: Job, platform: Platform) -> RunRef | None:
    """The run that the status names, None before any intent."""
    status = job.status
    if status.job_name is None or status.effective is None:
        return None
    return platform.ref(status.effective, status.job_name, job.namespace)


def view_of(
    job: Job,
    spec: SFTJobSpec,
    context: Context,
    *,
    fingerprint: str,
    use: ProfileUse | None = None,
    attempt: int | None = None,
) -> JobView:
    """The job as a platform sees it; `spec` has all defaults in it."""
    return JobView(
        namespace=job.namespace,
        name=job.name,
        uid=job.uid,
        spec=spec,
        identity_scope=context.identity_scope,
        fingerprint=fingerprint,
        profile=use,
        attempt=attempt or job.status.attempt or 1,
        prior_runtime_seconds=job.status.prior_runtime_seconds or 0,
    )


def waits(trouble: Trouble | None, now: datetime) -> float | None:
    """Seconds until the trouble's next try; None when it is due."""
    if trouble is None or not now < trouble.next_try <= now + LONGEST_WAIT:
        return None
    return (trouble.next_try - now).total_seconds()


def stop_request(job: Job, cause: str, now: datetime) -> StopRequest:
    """The standing request, or a new one where the cause differs."""
    standing = job.status.stop_request
    return (
        standing if standing is not None and standing.cause == cause else StopRequest(cause=cause, time=timestamp(now))
    )


def may_be_live(job: Job, seen: Seen) -> bool:
    """Whether a run may exist that costs money: submitted, or asked for and neither refused at
    the only create there was nor looked for in vain."""
    if job.status.job_name is None or job.status.phase is Phase.SUSPENDED:
        return False
    refused = seen.submit is not None and seen.submit.kind is SubmitKind.REFUSED and seen.unsent == job.status.job_name
    absent = seen.observation is not None and seen.observation.state is RunState.LOST
    return job.submitted or not (refused or absent)


def stop_due_in(seen: Seen, now: datetime) -> float:
    """Seconds until a stop is to be asked for (again); 0 when it never was, or long ago and nothing came of it."""
    if seen.stop_asked is None:
        return 0.0
    due = seen.stop_asked + STOP_AGAIN_AFTER
    return (due - now).total_seconds() if now < due <= now + LONGEST_WAIT else 0.0
