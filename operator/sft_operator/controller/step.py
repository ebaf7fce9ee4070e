"""One reconcile step, pure: `step(job, seen, now)` says what the status should be and what to do next.

Handlers, clocks and networks are outside. The caller writes the status first and acts only on a status that is
written, so every action is announced before it happens.
"""

from __future__ import annotations

from datetime import timedelta

from ..api.metadata import FORCE_RELEASE
from ..api.reasons import Reason
from ..api.sftjob import DeletionPolicy, SFTJobSpec
from ..api.status import ConditionType, Phase, SFTJobStatus
from ..platforms.base import SubmitKind
from . import follow, launch
from .decision import Context, Decision, ReleaseFinalizer, Stop, may_be_live, run_ref, stop_due, stop_request, waits
from .draft import Draft, archived
from .job import Job, Seen

DELETE_PATIENCE = timedelta(minutes=10)
"""After so long a stop that fails is told by Event and condition; docs/operations.md names the way out."""


def step(job: Job, seen: Seen, context: Context) -> Decision:
    """Decides for one job. Never raises for anything that a user or a platform can cause."""
    if job.deleting_since is not None:
        return _deleted(job, seen, context)
    run_id = job.spec.run_id if job.spec else job.status.run_id
    if job.status.run_id is not None and run_id != job.status.run_id:
        if not job.finished and may_be_live(job, seen):
            old = follow.stop_for(job, seen, context, cause="NewRun")
            if old is not None:
                return old
        return launch.launch(job, seen, context, base=archived(job.status))
    if job.finished:
        return _finished(job)
    if job.submitted and job.status.phase != Phase.SUSPENDED:
        return follow.follow(job, seen, context)
    return launch.launch(job, seen, context, base=job.status)


def _finished(job: Job) -> Decision:
    # Nothing but the generation moves after the end; the finalizer has no more work to guard.
    status = job.status
    if status.observed_generation != job.generation:
        status = status.model_copy(update={"observed_generation": job.generation})
    return Decision(status, ReleaseFinalizer() if job.has_finalizer else None)


def _deleted(job: Job, seen: Seen, context: Context) -> Decision:
    if not job.has_finalizer:
        return Decision(job.status)
    ref = run_ref(job, context.platform)
    released = Decision(job.status, ReleaseFinalizer())
    if ref is None or job.finished or job.status.phase == Phase.SUSPENDED:
        return released
    if deletion_policy(job.spec, job.status) is DeletionPolicy.ORPHAN:
        return released
    if job.annotations.get(FORCE_RELEASE) == "true":
        return released
    if seen.observation is not None and seen.observation.state.ended:
        return released
    never_created = not job.submitted and (seen.submit is None or seen.submit.kind is not SubmitKind.UNKNOWN)
    if never_created and seen.stop_asked is not None:
        return released
    draft = Draft(job, context.now)
    message = f"the resource is being deleted: {ref.job_name} is being stopped, and the resource goes when it has ended"
    draft.update(stop_request=stop_request(job, "Delete", context.now))
    draft.phase(Phase.STOPPING, message, Reason.STOPPING)
    trouble = seen.stop_trouble
    if trouble is not None and job.deleting_since is not None:
        late = context.now - job.deleting_since > DELETE_PATIENCE
        draft.phase(Phase.STOPPING, f"{ref.job_name} cannot be stopped: {trouble.message}", trouble.reason)
        draft.condition(ConditionType.PLATFORM_REACHABLE, False, Reason(trouble.reason), trouble.message)
        if late:
            draft.condition(
                ConditionType.STALLED, True, Reason(trouble.reason),
                f"not stopped after {int(DELETE_PATIENCE.total_seconds() // 60)} minutes: {trouble.message}. The run may "
                f"still cost money. To let the resource go without stopping it: kubectl annotate sft {job.name} "
                f"{FORCE_RELEASE}=true",
            )  # fmt: skip
        wait = waits(trouble, context.now)
        if wait is not None:
            return Decision(draft.status, None, wait)
    if stop_due(seen, context.now):
        return Decision(draft.status, Stop(ref, "Delete"))
    return Decision(draft.status)


def deletion_policy(spec: SFTJobSpec | None, status: SFTJobStatus) -> DeletionPolicy:
    """The spec's word, which may change at any time; else what was settled at the launch."""
    if spec is not None and spec.run_policy.deletion_policy is not None:
        return spec.run_policy.deletion_policy
    if status.effective is not None and status.effective.deletion_policy is not None:
        return DeletionPolicy(status.effective.deletion_policy)
    return DeletionPolicy.STOP
