"""The part of a step while a run exists: follow it, stop it when asked, and take over its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from ...api import durations
from ...api.conditions import timestamp
from ...api.reasons import RETRYABLE_ENDS, Reason
from ...api.status import Artifacts, ConditionType, Failure, Phase, SFTJobStatus
from ...platforms.base import Observation, Result, RunRef, RunState
from ...policy.settle import as_launched
from . import progress
from .bounds import cut
from .decision import (
    Collect,
    Compare,
    Context,
    Decision,
    Stop,
    Tag,
    run_ref,
    stop_due_in,
    stop_request,
    view_of,
    waits,
)
from .draft import NO_JOB, Draft
from .job import Job, Seen

_PHASES = {
    RunState.PENDING: Phase.STARTING,
    RunState.STARTING: Phase.STARTING,
    RunState.RUNNING: Phase.RUNNING,
    RunState.RECOVERING: Phase.RECOVERING,
    RunState.STOPPING: Phase.STOPPING,
}
_LOG_LINES = 20
RESULT_PATIENCE = timedelta(hours=1)
"""A result that cannot be read is asked for so long; the end is told without it then, with a warning."""


def follow(job: Job, seen: Seen, context: Context) -> Decision:
    """A run that was submitted and has not ended in status."""
    spec = job.spec
    if spec is not None and spec.run_policy.stop:
        stopping = stop_for(job, seen, context, cause="Stop")
        if stopping is not None:
            return stopping
    elif spec is not None and spec.run_policy.suspend:
        stopping = stop_for(job, seen, context, cause="Suspend")
        if stopping is not None:
            return stopping
    elif job.status.stop_request is not None:
        # the wish was taken back, but a stop that was asked for cannot be: it is carried to its end, then resumed
        stopping = stop_for(job, seen, context, cause=job.status.stop_request.cause)
        if stopping is not None:
            return stopping
    return _look(job, seen, context)


def stop_for(job: Job, seen: Seen, context: Context, *, cause: str) -> Decision | None:
    """Stops the run that the status names. None when there is nothing left to stop and its end is to be taken over."""
    ref = run_ref(job, context.platform)
    if ref is None:
        return None
    if seen.observation is not None and seen.observation.state.ended:
        return _ended(job, seen, context, ref, seen.observation, cause=cause)
    return stopping(job, seen, context, ref, cause=cause)


def stopping(job: Job, seen: Seen, context: Context, ref: RunRef, *, cause: str) -> Decision:
    """Asks for the end of a run that has not ended, and says so."""
    draft = Draft(job, context.now)
    request = stop_request(job, cause, context.now)
    draft.update(stop_request=request)
    message = f"{ref.job_name} is being stopped since {request.time} ({_CAUSES[cause]})"
    draft.phase(Phase.STOPPING, message, Reason.STOPPING)
    trouble = seen.stop_trouble or seen.unreachable
    if trouble is not None:
        draft.condition(ConditionType.PLATFORM_REACHABLE, False, Reason(trouble.reason), trouble.message)
    elif seen.observation is not None or seen.stop_asked is not None:
        draft.condition(ConditionType.PLATFORM_REACHABLE, True, Reason.REACHABLE)
    if seen.observation is not None and seen.observation.state is RunState.STOPPING:
        return Decision(draft.status)
    if seen.stop_trouble is not None:
        message = f"{ref.job_name} cannot be stopped: {seen.stop_trouble.message}"
        draft.phase(Phase.STOPPING, message, seen.stop_trouble.reason)
        wait = waits(seen.stop_trouble, context.now)
        if wait is not None:
            return Decision(draft.status, None, wait)
    due = stop_due_in(seen, context.now)
    return Decision(draft.status, None, due) if due else Decision(draft.status, Stop(ref, cause))


_CAUSES = {
    "Stop": "runPolicy.stop",
    "Suspend": "runPolicy.suspend",
    "NewRun": "a new runID",
    "Delete": "the resource is being deleted",
}


def _look(job: Job, seen: Seen, context: Context) -> Decision:
    status = job.status
    ref = run_ref(job, context.platform)
    draft = Draft(job, context.now)
    tags = _tags_due(job, seen)
    if tags is not None:
        draft.update(observed_generation=status.observed_generation)  # answered only when the tags are on the run
    if seen.unreachable is not None:
        trouble = seen.unreachable
        draft.condition(
            ConditionType.PLATFORM_REACHABLE, False, Reason(trouble.reason),
            f"{trouble.message}; what stands here may be old, next look at {timestamp(trouble.next_try)}",
        )  # fmt: skip
    look = seen.observation
    if look is None or ref is None:
        return Decision(draft.status)
    if look.state.ended:
        return _ended(job, seen, context, ref, look, cause=None)
    if seen.unreachable is None:
        draft.condition(ConditionType.PLATFORM_REACHABLE, True, Reason.REACHABLE)
    phase = _PHASES[look.state]
    if phase is not status.phase:
        draft.phase(phase, _sentence(phase, look), None if phase is not Phase.STOPPING else Reason.STOPPING)
    _facts_of_run(draft, look)
    _figures(draft, look)
    _settled_at_launch(draft, job)
    if seen.tags_kept:
        draft.warn([f"spec.tags: {', '.join(seen.tags_kept)} was taken away and stays on the live run"])
    if seen.inputs_now is not None:
        draft.drift(seen.inputs_now != status.inputs_digest, OTHER_INPUTS)
    if tags is not None:
        return Decision(draft.status, Tag(ref, tags, job.generation))
    if seen.inputs_now is None and status.inputs_digest and status.effective is not None and job.spec is not None:
        spec = as_launched(job.spec, status.effective)
        view = view_of(job, spec, context, fingerprint=status.fingerprint or "")
        return Decision(draft.status, Compare(view, status.dataset))
    return Decision(draft.status)


OTHER_INPUTS = (
    "with today's catalogue and recipes this spec would train on other inputs than the run was launched with; the run "
    "goes on as it is, and a new runID trains with the new ones"
)


def _tags_due(job: Job, seen: Seen) -> Mapping[str, str] | None:
    done = seen.tagged_generation == job.generation or job.generation == job.status.observed_generation
    given = job.status.effective.tags if job.status.effective is not None else None
    return None if done or job.spec is None else {**(given or {}), **(job.spec.tags or {})}


def _settled_at_launch(draft: Draft, job: Job) -> None:
    """maxRuntime was sent with the create request; a later one is only told of."""
    sent = job.status.effective.max_runtime if job.status.effective else None
    if job.spec is None or sent is None:
        return
    if job.spec.run_policy.max_runtime is None and job.status.profile is not None:
        return  # the profile's word, which binds the next run only
    wanted = job.spec.run_policy.max_runtime or durations.DEFAULT_MAX_RUNTIME
    if durations.display(durations.seconds(wanted) - (job.status.prior_runtime_seconds or 0)) != sent:
        draft.warn(
            [f"spec.runPolicy.maxRuntime: {wanted} comes too late for the live run, which was launched with {sent}"]
        )


def _ended(job: Job, seen: Seen, context: Context, ref: RunRef, look: Observation, *, cause: str | None) -> Decision:
    """The run is over. Its result is collected first, so that the end is written once, and whole."""
    spec, status = job.spec, job.status
    request = status.stop_request
    cause = cause or (request.cause if request else None)
    draft = Draft(job, context.now)
    draft.condition(ConditionType.PLATFORM_REACHABLE, True, Reason.REACHABLE)
    _facts_of_run(draft, look)
    runtime = (status.prior_runtime_seconds or 0) + (look.runtime_seconds or 0)
    if look.state is RunState.STOPPED and cause == "Suspend":
        return _suspended(draft, job, runtime)
    retry = (
        look.state is RunState.FAILED
        and cause in (None, "Suspend")  # a new attempt waits for the end of a suspension by itself
        and spec is not None
        and look.reason in RETRYABLE_ENDS
        and (status.retries or 0) < spec.run_policy.backoff_limit
    )
    if retry:
        return _retry(draft, status, look, runtime, job.spec.run_policy.backoff_limit if job.spec else 0)
    if seen.result is None and status.effective is not None and look.state is not RunState.LOST:
        trouble = seen.result_trouble
        wait = waits(trouble, context.now)
        if trouble is None or (wait is None and context.now - trouble.since < RESULT_PATIENCE):
            return Decision(status, Collect(ref, look, status.effective))
        if wait is not None and context.now - trouble.since < RESULT_PATIENCE:
            said = f"{ref.job_name} has ended; its result cannot be read yet: {trouble.message}"
            draft.phase(
                status.phase or Phase.RUNNING, f"{said}; next try at {timestamp(trouble.next_try)}", trouble.reason
            )
            return Decision(draft.status, None, wait)
    result = seen.result or Result(artifacts=Artifacts(logs=None))
    if seen.result is None and seen.result_trouble is not None:
        draft.warn([f"{Reason.RESULT_MISSING}: the result could not be read: {seen.result_trouble.message}"])
    draft.update(artifacts=result.artifacts)
    draft.warn([str(warning) for warning in result.warnings])
    _figures(draft, look, result)
    _verdict(draft, job, look, result, cause)
    return Decision(draft.status)


def _verdict(draft: Draft, job: Job, look: Observation, result: Result, cause: str | None) -> None:
    name = job.status.job_name
    end = look.end_time or draft.now
    if look.state is RunState.SUCCEEDED:
        submitted = next(
            (c.reason for c in job.status.conditions or () if c.type is ConditionType.SUBMITTED), Reason.ACCEPTED
        )
        adopted = submitted == Reason.ADOPTED_FINISHED_RUN
        message = f"{name} completed"
        if adopted:
            message = f"{name} had completed with the same settings before: its result was taken, nothing was launched"
        elif look.runtime_seconds is not None:
            message += f" after {durations.display(look.runtime_seconds)} of training"
        if result.artifacts.checkpoint:
            message += f"; checkpoint {result.artifacts.checkpoint}"
        draft.finish(
            Phase.SUCCEEDED,
            Reason.ADOPTED_FINISHED_RUN if adopted else Reason.SUCCEEDED,
            message,
            complete=True,
            at=end,
        )
        return
    reason, message, phase = look.reason or Reason.ALGORITHM_ERROR, look.failure_message or look.message, Phase.FAILED
    if look.state is RunState.STOPPED:
        reason, phase = Reason.STOPPED_BY_USER, Phase.STOPPED
        by = _CAUSES.get(cause or "", "outside of this resource")
        message = f"{name} was stopped: {by}"
    elif look.state is RunState.TIMED_OUT:
        reason = look.reason or Reason.DEADLINE_EXCEEDED
        message = message or f"{name} reached its longest training time"
    elif look.state is RunState.LOST:
        reason = Reason.LOST
        message = f"{name} is no longer known to the platform; its end was never seen"
    draft.update(
        failure=Failure(
            reason=reason,
            message=cut(message, 2000),
            log_tail=[cut(line, 300) for line in result.log_tail[-_LOG_LINES:]] or None,
            hint=cut(look.hint, 1000) if look.hint else None,
        )
    )
    draft.finish(phase, reason, message, complete=False, at=end)


def _suspended(draft: Draft, job: Job, runtime: int) -> Decision:
    lost = " Training jobs of this model keep no checkpoint that a new attempt could start from: progress was lost."
    message = f"{job.status.job_name} was stopped by runPolicy.suspend.{lost}"
    draft.update(prior_runtime_seconds=runtime, stop_request=None, progress=None)
    draft.attempt_ended()
    draft.condition(ConditionType.SUSPENDED, True, Reason.SUSPENDED, message)
    draft.condition(ConditionType.SUBMITTED, False, Reason.SUSPENDED)
    draft.phase(Phase.SUSPENDED, message + " Set it to false for a new attempt.", Reason.SUSPENDED)
    return Decision(draft.status)


def _retry(draft: Draft, status: SFTJobStatus, look: Observation, runtime: int, limit: int) -> Decision:
    retries = (status.retries or 0) + 1
    message = (
        f"{status.job_name} failed without a fault of yours ({look.reason}: {look.failure_message}); "
        f"retry {retries} of {limit} begins"
    )
    draft.update(
        retries=retries,
        attempt=(status.attempt or 1) + 1,
        prior_runtime_seconds=runtime,
        pending_since=timestamp(draft.now),
        progress=None,
        **NO_JOB,
    )
    draft.attempt_ended()
    draft.condition(ConditionType.SUBMITTED, False, look.reason or Reason.IN_PROGRESS, message)
    draft.condition(ConditionType.RECONCILING, True, Reason.IN_PROGRESS)
    draft.phase(Phase.PENDING, message, look.reason)
    return Decision(draft.status)


def _facts_of_run(draft: Draft, look: Observation) -> None:
    status = draft.base
    if look.job_arn:
        draft.update(job_arn=look.job_arn)
    if look.start_time:
        draft.update(start_time=timestamp(look.start_time))
    if look.timeline:
        draft.update(timeline=list(look.timeline)[-40:])
    if look.billable_seconds is not None:
        count = status.effective.instance_count if status.effective and status.effective.instance_count else 1
        billable = (status.prior_billable_seconds or 0) + look.billable_seconds
        draft.update(billable_seconds=billable, instance_hours=f"{billable * count / 3600:.2f}")
    if look.start_time and look.end_time:
        draft.update(runtime=durations.display((look.end_time - look.start_time).total_seconds()))


def _figures(draft: Draft, look: Observation, result: Result | None = None) -> None:
    status = draft.base
    raw = (result.progress if result and result.progress else None) or look.progress
    if raw is not None:
        planned = status.effective.total_steps if status.effective else None
        shown = progress.present(raw, planned_steps=planned, stage=look.stage)
        if look.state.ended:
            shown = shown.model_copy(update={"eta": None, "eta_seconds": None})
        draft.update(progress=shown, metrics=progress.figures(raw, status.metrics))
    else:
        draft.update(progress=progress.stage_only(status.progress, look.stage))


def _sentence(phase: Phase, look: Observation) -> str:
    since = timestamp(look.start_time if phase is Phase.RUNNING and look.start_time else look.observed_at)
    said = f": {look.message}" if look.message else ""
    return f"{look.stage} since {since}{said}"
