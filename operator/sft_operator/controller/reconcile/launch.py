"""The part of a step before a run exists: suspended or stopped beforehand, check, plan, intent, submit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ...api import durations, identity
from ...api.conditions import is_true, parse_timestamp, timestamp
from ...api.reasons import TERMINAL_REFUSALS, Reason
from ...api.sftjob import DatasetCheck, SFTJobSpec
from ...api.status import (
    ConditionType,
    DatasetStatus,
    Effective,
    Failure,
    Phase,
    PlanStatus,
    ProfileStatus,
    SFTJobStatus,
    StopRequest,
)
from ...platforms.base import JobView, Plan, Refusal, RunState, SubmitKind, SubmitOutcome
from ...policy.ruling import Ruling, rule
from . import follow, unlaunched
from .decision import (
    AddFinalizer,
    Check,
    Context,
    Decision,
    Submit,
    may_be_live,
    run_ref,
    view_of,
    waits,
)
from .draft import NO_JOB, Draft
from .job import Job, Seen

SHOW_CHECK_AFTER = timedelta(seconds=2)
"""A data check that is over sooner is not worth a status write of its own."""
MIN_RUNTIME_SECONDS = 60

_LAUNCHED = frozenset({SubmitKind.LAUNCHED, SubmitKind.ATTACHED, SubmitKind.ADOPTED_FINISHED})


def launch(job: Job, seen: Seen, context: Context, *, base: SFTJobStatus) -> Decision:
    """`base` is the status that stands, or an empty one when a new runID begins."""
    draft = Draft(job, context.now, base=base)
    draft.begin()
    suspended = base.phase is Phase.SUSPENDED
    if base is job.status and not suspended and seen.submit is not None and seen.submit.kind in _LAUNCHED:
        return _launched(job, seen.submit, draft)
    spec = job.spec
    if spec is None:
        if job.unknown:
            too_new = unlaunched.too_new(job)
            return unlaunched.refused(draft, too_new, too_new.message)
        decision = unlaunched.refused(draft, Refusal(Reason.INVALID_SPEC, ()), job.spec_error)
        return _stop_unsure(job, seen, context, "Stop") or decision
    draft.update(run_id=spec.run_id)
    if base is not job.status:
        draft.update(pending_since=timestamp(context.now), attempt=_attempt_found_again(base, spec.run_id))
        draft.phase(Phase.PENDING, f"run {spec.run_id} begins")
        return Decision(draft.status)
    if spec.run_policy.stop or spec.run_policy.suspend:
        return _held(job, spec, seen, context, draft)
    if suspended:
        return _resumed(draft)
    pending_since = parse_timestamp(base.pending_since) if base.pending_since else job.created
    draft.update(pending_since=timestamp(pending_since))
    left = pending_since + timedelta(seconds=durations.seconds(spec.run_policy.pending_deadline)) - context.now
    decision = unlaunched.too_late(spec, draft) if left < timedelta(0) else _attempt(job, spec, seen, context, draft)
    if is_true(decision.status.conditions, ConditionType.FINISHED):
        return _stop_unsure(job, seen, context, "Stop") or decision
    if decision.action is None:
        until_deadline = left.total_seconds() + 1
        decision = replace(decision, look_after=min(until_deadline, decision.look_after or until_deadline))
    return decision


def _attempt(job: Job, spec: SFTJobSpec, seen: Seen, context: Context, draft: Draft) -> Decision:
    """Check, plan, intent, submit: the next of them that is not done."""
    base, submit = draft.base, seen.submit
    ruling = unlaunched.too_new(job) if job.unknown else rule(spec, job.namespace, context.policy)
    paused = context.policy.paused or (isinstance(ruling, Ruling) and ruling.paused)
    decided = base.job_name is not None and (submit is None or submit.kind is not SubmitKind.NEXT_ATTEMPT)
    # a status without what settles the place was made by hand: there is nowhere to look
    unsure = decided and may_be_live(job, seen) and run_ref(job, context.platform) is not None
    if unsure and (paused or _ruled_otherwise(base, ruling)):
        # a launch was decided under another word than today's: it is not repeated, and it may have been heard
        reason = ruling.reason if isinstance(ruling, Refusal) else Reason.POLICY_DENIED
        return unlaunched.looked_for(job, spec, seen, context, draft, Reason.LAUNCHES_PAUSED if paused else reason)
    if isinstance(ruling, Refusal):
        return unlaunched.denied(draft, ruling)
    draft.update(profile=_profile(ruling))
    attempt = base.attempt or 1
    if submit is not None and submit.kind is SubmitKind.NEXT_ATTEMPT:
        attempt, submit = attempt + 1, None
    view = view_of(job, ruling.spec, context, fingerprint=identity.fingerprint(spec), use=ruling.use, attempt=attempt)
    max_runtime = ruling.spec.run_policy.max_runtime or durations.DEFAULT_MAX_RUNTIME
    left = durations.seconds(max_runtime) - view.prior_runtime_seconds
    if left < MIN_RUNTIME_SECONDS:
        return unlaunched.refused(
            draft,
            Refusal(Reason.DEADLINE_EXCEEDED, ()),
            f"maxRuntime is used up: earlier attempts trained for {durations.display(view.prior_runtime_seconds)}",
        )
    early = context.platform.precheck(view)
    if isinstance(early, Refusal):
        return unlaunched.refused(draft, early, early.message)
    denied = ruling.refuses(early) if early is not None else None
    if denied is not None:
        if unsure:
            return unlaunched.looked_for(job, spec, seen, context, draft, denied.reason)
        return unlaunched.denied(draft, denied)

    facts, decision = _facts(view, base, seen, context, draft)
    if decision is not None:
        return decision
    plan = context.platform.plan(view, facts)
    if isinstance(plan, Refusal):
        return unlaunched.refused(draft, plan, plan.message)
    denied = ruling.refuses(plan)
    if unsure and (denied is not None or plan.job_name != base.job_name):
        # the profile is the same by its name and generation: it was made anew, or this operator plans otherwise
        return unlaunched.looked_for(job, spec, seen, context, draft, Reason.POLICY_DENIED)
    if denied is not None:
        return unlaunched.denied(draft, denied)
    submit_action = Submit(plan, view, facts)
    if submit is not None and submit.kind is SubmitKind.REFUSED and submit.refusal and base.job_name == plan.job_name:
        if submit.refusal.reason in TERMINAL_REFUSALS:
            return unlaunched.refused(draft, submit.refusal, submit.refusal.message)
        if waits(seen.submit_trouble, context.now) is not None:
            return unlaunched.waiting(draft, seen.submit_trouble, submit.refusal.reason, context.now, submit_action)
    held = unlaunched.not_yet(job, ruling, paused, context, draft)
    if held is not None:
        return held
    if not job.has_finalizer:
        # from here on a delete cannot pass us by
        return Decision(base, AddFinalizer())
    if not _intended(base, plan, facts, _profile(ruling)):
        _intend(draft, plan, view, facts, context)
        return Decision(draft.status, submit_action)
    if seen.submit_trouble is not None:
        return unlaunched.waiting(
            draft, seen.submit_trouble, Reason(seen.submit_trouble.reason), context.now, submit_action
        )
    return Decision(base, submit_action)


def _intended(base: SFTJobStatus, plan: Plan, facts: DatasetStatus | None, profile: ProfileStatus | None) -> bool:
    """Whether this very launch is what status announces."""
    return (
        base.job_name == plan.job_name
        and base.profile == profile
        and base.plan is not None
        and base.plan.request_digest == plan.request_digest
        and base.inputs_digest == plan.inputs_digest
        and _without_hyperparameters(base.effective) == _without_hyperparameters(plan.effective)
        and _without_errors(base.dataset) == _without_errors(facts)
        and is_true(base.conditions, ConditionType.VALIDATED)
    )


def _without_errors(facts: DatasetStatus | None) -> DatasetStatus | None:
    """Status keeps fewer wrong rows than were told, where they are long."""
    return facts.model_copy(update={"errors": None}) if facts is not None else None


def _without_hyperparameters(effective: Effective | None) -> Effective | None:
    """They are cut where they are long; the request's digest stands for them."""
    return effective.model_copy(update={"hyperparameters": None}) if effective is not None else None


def _attempt_found_again(base: SFTJobStatus, run_id: str) -> int | None:
    """Going back to an earlier runID finds its last attempt, whose number is the end of the job's name."""
    for past in base.history or ():
        if past.run_id == run_id and past.job_name is not None:
            number = past.job_name.rpartition("-")[2]
            return int(number) if number.isdecimal() else None  # history may have been edited by hand
    return None


def _ruled_otherwise(base: SFTJobStatus, ruling: Ruling | Refusal) -> bool:
    return isinstance(ruling, Refusal) or _profile(ruling) != base.profile


def _profile(ruling: Ruling) -> ProfileStatus | None:
    return ProfileStatus(name=ruling.use.name, generation=ruling.use.generation) if ruling.use is not None else None


def _facts(
    view: JobView, base: SFTJobStatus, seen: Seen, context: Context, draft: Draft
) -> tuple[DatasetStatus | None, Decision | None]:
    """The facts to plan with (None: the check is skipped), or the decision that stands in their way."""
    spec = view.spec
    if spec.dataset.check is DatasetCheck.SKIP:
        return None, None
    changed = seen.submit is not None and seen.submit.kind is SubmitKind.DATA_CHANGED
    known = base.dataset
    usable = known is not None and known.files and (not known.error_count or spec.dataset.check is DatasetCheck.WARN)
    if seen.check is None and usable and not changed:
        return known, None
    if seen.check is None:
        began = seen.check_began
        if began is not None:
            shown = base.phase in (Phase.VALIDATING, Phase.QUEUED)  # a repeated check does not say the same again
            wait = (began + SHOW_CHECK_AFTER - context.now).total_seconds()
            if shown or wait > 0:
                return None, Decision(base, None, None if shown else wait)
            draft.phase(Phase.VALIDATING, f"the data set is being read since {timestamp(began)}", Reason.CHECKING)
            return None, Decision(draft.status)
        trouble = seen.check_trouble
        wait_or_none = waits(trouble, context.now)
        if wait_or_none is not None and trouble is not None:
            draft.condition(ConditionType.VALIDATED, None, Reason(trouble.reason), trouble.message)
            draft.phase(Phase.QUEUED, unlaunched.next_try(trouble), trouble.reason)
            return None, Decision(draft.status, None, wait_or_none)
        return None, Decision(base, Check(view))
    draft.warn([str(warning) for warning in seen.check.warnings])
    refusal = seen.check.refusal
    if refusal is None:
        return seen.check.facts, None
    if refusal.reason in TERMINAL_REFUSALS:
        draft.update(dataset=seen.check.facts)
        return None, unlaunched.refused(draft, refusal, refusal.message)
    # what was read so far is not kept: facts in status say that all of it was read and may be trained on
    return None, unlaunched.waiting(draft, seen.check_trouble, refusal.reason, context.now, Check(view))


def _intend(draft: Draft, plan: Plan, view: JobView, facts: DatasetStatus | None, context: Context) -> None:
    """The launch as decided; written before anything is asked of the platform."""
    skipped = view.spec.dataset.check is DatasetCheck.SKIP
    wrong = facts.error_count if facts else 0
    draft.update(
        platform=plan.platform,
        job_name=plan.job_name,
        job_arn=None,
        console_url=context.platform.console_url(plan.ref),
        uid=view.uid,
        fingerprint=plan.fingerprint,
        inputs_digest=plan.inputs_digest,
        attempt=plan.attempt,
        effective=plan.effective,
        plan=PlanStatus(request_digest=plan.request_digest, max_instance_hours=plan.max_instance_hours),
        dataset=facts,
        stop_request=draft.base.stop_request if draft.base.job_name == plan.job_name else None,
    )
    draft.warn([str(warning) for warning in plan.warnings])
    if skipped:
        draft.condition(ConditionType.VALIDATED, True, Reason.CHECK_SKIPPED, "the spec is valid; the data was not read")
    elif wrong:
        draft.condition(
            ConditionType.VALIDATED, True, Reason.CHECK_WARNED,
            f"{wrong} rows are wrong; launched all the same because dataset.check is Warn",
        )  # fmt: skip
    else:
        rows = facts.rows if facts else 0
        draft.condition(
            ConditionType.VALIDATED, True, Reason.ACCEPTED, f"spec and data are valid: {rows} training rows"
        )
    draft.drop(ConditionType.STALLED)
    draft.condition(ConditionType.RECONCILING, True, Reason.IN_PROGRESS)
    draft.phase(Phase.SUBMITTING, f"{plan.job_name} is being launched on {plan.platform}")


def _launched(job: Job, submit: SubmitOutcome, draft: Draft) -> Decision:
    name = job.status.job_name
    reason, message = Reason.ACCEPTED, f"{name} was accepted by {job.status.platform}"
    if submit.kind is SubmitKind.ADOPTED_FINISHED:
        reason = Reason.ADOPTED_FINISHED_RUN
        message = f"{name} had already finished with the same settings: its result is taken, nothing was launched"
    elif submit.kind is SubmitKind.ATTACHED and submit.state is not None and submit.state.ended:
        reason, message = Reason.ADOPTED, f"{name} was found and had ended: its end is taken over, nothing was launched"
    elif submit.kind is SubmitKind.ATTACHED:
        reason, message = Reason.ADOPTED, f"{name} was found running and is followed"
    draft.update(job_arn=submit.job_arn)
    if submit.kind is SubmitKind.LAUNCHED:
        draft.update(stop_request=None)
    elif submit.stopped_by is not None:
        draft.update(stop_request=StopRequest(cause=submit.stopped_by, time=timestamp(draft.now)))
    if submit.kind is not SubmitKind.LAUNCHED and submit.inputs_digest is not None:
        draft.update(inputs_digest=submit.inputs_digest)
        draft.drift(submit.inputs_digest != job.status.inputs_digest, follow.OTHER_INPUTS)
    draft.condition(ConditionType.SUBMITTED, True, reason, message)
    draft.condition(ConditionType.PLATFORM_REACHABLE, True, Reason.REACHABLE)
    draft.condition(ConditionType.RECONCILING, False, Reason.SETTLED)
    draft.drop(ConditionType.STALLED)
    draft.phase(Phase.STARTING, f"{message}; waiting for the first look", None)
    return Decision(draft.status)


def _held(job: Job, spec: SFTJobSpec, seen: Seen, context: Context, draft: Draft) -> Decision:
    """Suspended or stopped before the launch. An intent whose create was perhaps heard is stopped first."""
    stop = spec.run_policy.stop
    pending = _stop_unsure(job, seen, context, "Stop" if stop else "Suspend")
    if pending is not None:
        return pending
    if stop:
        message = "stopped by runPolicy.stop before the launch"
        draft.update(failure=Failure(reason=Reason.STOPPED_BY_USER, message=message))
        draft.finish(Phase.STOPPED, Reason.STOPPED_BY_USER, message, complete=False)
    elif draft.base.phase is not Phase.SUSPENDED:
        draft.update(**NO_JOB)
        draft.condition(ConditionType.SUSPENDED, True, Reason.SUSPENDED, "runPolicy.suspend is true")
        draft.condition(ConditionType.SUBMITTED, False, Reason.SUSPENDED)
        draft.condition(ConditionType.RECONCILING, False, Reason.SETTLED)
        draft.phase(
            Phase.SUSPENDED, "suspended: nothing is launched until runPolicy.suspend is false", Reason.SUSPENDED
        )
    return Decision(draft.status)


def _resumed(draft: Draft) -> Decision:
    """Written before anything else, so that no later wait forgets which attempt comes next."""
    base = draft.base
    attempt = base.attempt if base.job_name is None else (base.attempt or 1) + 1
    draft.update(attempt=attempt, pending_since=timestamp(draft.now), progress=None, **NO_JOB)
    draft.condition(ConditionType.SUSPENDED, False, Reason.RESUMED)
    draft.condition(ConditionType.SUBMITTED, False, Reason.IN_PROGRESS)
    draft.condition(ConditionType.RECONCILING, True, Reason.IN_PROGRESS)
    draft.phase(Phase.PENDING, f"resumed: attempt {attempt or 1} begins")
    return Decision(draft.status)


def _stop_unsure(job: Job, seen: Seen, context: Context, cause: str) -> Decision | None:
    """A create that was perhaps heard must not live on: its end is asked for and seen, or it is looked for in vain,
    before anyone says that nothing runs. None when that is so."""
    look = seen.observation
    stopped = cause == "Stop" and look is not None and look.state is RunState.STOPPED
    if stopped or not may_be_live(job, seen):
        return None
    return follow.stop_for(job, seen, context, cause=cause)
