"""What is said of a job that is not launched: why it waits and until when, or that its run is over before it began."""

from __future__ import annotations

from datetime import datetime

from ...api.conditions import find, is_true, timestamp
from ...api.findings import Finding
from ...api.reasons import TERMINAL_REFUSALS, Reason
from ...api.sftjob import SFTJobSpec
from ...api.status import ConditionType, Failure, Phase
from ...platforms.base import Refusal
from ...policy.ruling import Ruling
from .bounds import cut
from .decision import Check, Context, Decision, Find, Submit, run_ref, view_of, waits
from .draft import NO_JOB, Draft
from .job import Job, Seen, Trouble

LOOK_AGAIN_AFTER = 60.0
"""Seconds until a refusal by what lies outside the resource is asked for anew."""

_SINCE = {
    Reason.LAUNCHES_PAUSED: "launches are paused",
    Reason.OPERATOR_TOO_OLD: "a newer CRD was installed",
}


def too_new(job: Job) -> Refusal:
    """The resource holds what this operator does not know. To launch without it would be another run than is asked
    for, and to end the job for it would end what the operator that is on its way can launch."""
    text = (
        "this operator does not know the field, and the CRD that is installed does: the CRD is newer than the operator. "
        "Upgrade the operator, or take the field away"
    )
    return Refusal(Reason.OPERATOR_TOO_OLD, tuple(Finding(field, text) for field in job.unknown))


def looked_for(job: Job, spec: SFTJobSpec, seen: Seen, context: Context, draft: Draft, reason: Reason) -> Decision:
    """Whether the job that was announced is there: if it is, it is followed; if not, the launch begins anew."""
    ref = run_ref(job, context.platform)
    if ref is None:
        return Decision(draft.base)
    wait = waits(seen.submit_trouble, context.now)
    if wait is not None and seen.submit_trouble is not None:
        why = _SINCE.get(reason, "its SFTProfile or the operator was changed")
        text = f"{why} after the launch of {ref.job_name} was decided: it is looked for, and followed if it runs"
        draft.condition(ConditionType.SUBMITTED, False, reason, text)
        draft.phase(Phase.QUEUED, f"{text}; {next_try(seen.submit_trouble)}", reason)
        return Decision(draft.status, None, wait)
    view = view_of(job, spec, context, fingerprint=draft.base.fingerprint or "")
    return Decision(draft.base, Find(ref, view))


def not_yet(job: Job, ruling: Ruling, paused: bool, context: Context, draft: Draft) -> Decision | None:
    """A launch that everything speaks for but the time."""
    if paused:
        who = "for all profiles" if context.policy.paused else f"by SFTProfile {_name(ruling)}"
        text = f"launches are paused {who} (pauseLaunches); this job goes on when they are resumed"
        draft.condition(ConditionType.SUBMITTED, False, Reason.LAUNCHES_PAUSED, text)
        draft.phase(Phase.QUEUED, text, Reason.LAUNCHES_PAUSED)
        return Decision(draft.status, None, LOOK_AGAIN_AFTER)
    limit = ruling.limit
    position = context.position(job, _name(ruling), limit) if limit is not None else 0
    if position == 0:
        return None
    text = f"number {position} in line: SFTProfile {_name(ruling)} runs {limit} at a time (maxConcurrentRuns)"
    draft.condition(ConditionType.SUBMITTED, False, Reason.CONCURRENCY_LIMIT, text)
    draft.phase(Phase.QUEUED, text, Reason.CONCURRENCY_LIMIT)
    draft.update(queue_position=position)
    return Decision(draft.status, None, LOOK_AGAIN_AFTER)


def _name(ruling: Ruling) -> str:
    return ruling.profile.name if ruling.profile is not None else ""


def too_late(spec: SFTJobSpec, draft: Draft) -> Decision:
    blocked = find(draft.base.conditions, ConditionType.SUBMITTED)
    if blocked is None or blocked.reason == Reason.IN_PROGRESS:
        blocked = find(draft.base.conditions, ConditionType.VALIDATED)
    last = f"; last: {blocked.reason}: {blocked.message}" if blocked is not None and blocked.message else ""
    message = f"not launched within runPolicy.pendingDeadline {spec.run_policy.pending_deadline}{last}"
    draft.update(failure=Failure(reason=Reason.PENDING_DEADLINE_EXCEEDED, message=cut(message)))
    draft.finish(Phase.FAILED, Reason.PENDING_DEADLINE_EXCEEDED, message, complete=False)
    return Decision(draft.status)


def denied(draft: Draft, refusal: Refusal) -> Decision:
    """By its profile. A launch that was decided and came to nothing gives its place in the profile's line back."""
    draft.update(**NO_JOB)
    return refused(draft, refusal, refusal.message)


def refused(draft: Draft, refusal: Refusal, message: str) -> Decision:
    """A refusal that a new runID (or a longer maxRuntime) answers; other refusals wait."""
    if refusal.reason not in TERMINAL_REFUSALS and refusal.reason is not Reason.DEADLINE_EXCEEDED:
        draft.condition(ConditionType.VALIDATED, False, refusal.reason, message)
        draft.phase(Phase.QUEUED, f"{message}; looked at again every minute", refusal.reason)
        return Decision(draft.status, None, LOOK_AGAIN_AFTER)
    draft.update(
        failure=Failure(reason=refusal.reason, message=cut(message), hint=cut(refusal.hint or "", 1000) or None)
    )
    validated = is_true(draft.base.conditions, ConditionType.VALIDATED)
    draft.condition(ConditionType.SUBMITTED if validated else ConditionType.VALIDATED, False, refusal.reason, message)
    draft.finish(Phase.FAILED, refusal.reason, message, complete=False)
    return Decision(draft.status)


def waiting(draft: Draft, trouble: Trouble | None, reason: Reason, now: datetime, action: Check | Submit) -> Decision:
    """Something stands in the way that may pass: say what and when it is tried again, or try now."""
    wait = waits(trouble, now)
    if trouble is None or wait is None:
        return Decision(draft.base, action)
    blocked = ConditionType.VALIDATED if isinstance(action, Check) else ConditionType.SUBMITTED
    draft.condition(blocked, False, reason, trouble.message)
    draft.phase(Phase.QUEUED, next_try(trouble), reason)
    return Decision(draft.status, None, wait)


def next_try(trouble: Trouble) -> str:
    tries = "once" if trouble.tries == 1 else f"{trouble.tries} times"
    since, following = timestamp(trouble.since), timestamp(trouble.next_try)
    return f"{trouble.message}; tried {tries} since {since}, next at {following}"
