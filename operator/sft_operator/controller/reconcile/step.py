"""One reconcile step, pure: `step(job, seen, now)` says what the status should be and what to do next.

Handlers, clocks and networks are outside. The caller writes the status first and acts only on a status that is
written, so every action is announced before it happens.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ...api.metadata import FORCE_RELEASE
from ...api.reasons import Reason
from ...api.sftjob import DeletionPolicy, SFTJobSpec
from ...api.status import ConditionType, Phase, SFTJobStatus
from . import follow, launch
from .decision import Context, Decision, ReleaseFinalizer, may_be_live, run_ref
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
    ended = seen.observation is not None and seen.observation.state.ended
    orphaned = deletion_policy(job.spec, job.status) is DeletionPolicy.ORPHAN
    forced = job.annotations.get(FORCE_RELEASE) == "true"
    if ref is None or job.finished or ended or orphaned or forced or not may_be_live(job, seen):
        return Decision(job.status, ReleaseFinalizer())
    stopping = follow.stopping(job, seen, context, ref, cause="Delete")
    draft = Draft(job, context.now, base=stopping.status)
    trouble = seen.stop_trouble or seen.unreachable
    if trouble is None or job.deleting_since is None:
        draft.drop(ConditionType.STALLED)
        return replace(stopping, status=draft.status)
    patience = (job.deleting_since + DELETE_PATIENCE - context.now).total_seconds()
    if patience > 0:
        return replace(stopping, look_after=min(patience, stopping.look_after or patience))
    draft.condition(
        ConditionType.STALLED, True, Reason(trouble.reason),
        f"not stopped after {int(DELETE_PATIENCE.total_seconds() // 60)} minutes: {trouble.message}. The run may "
        f"still cost money. To let the resource go without stopping it: kubectl annotate sft {job.name} "
        f"-n {job.namespace} {FORCE_RELEASE}=true",
    )  # fmt: skip
    return replace(stopping, status=draft.status)


def deletion_policy(spec: SFTJobSpec | None, status: SFTJobStatus) -> DeletionPolicy:
    """The spec's word, which may change at any time; else what was settled at the launch."""
    if spec is not None and spec.run_policy.deletion_policy is not None:
        return spec.run_policy.deletion_policy
    if status.effective is not None and status.effective.deletion_policy is not None:
        return DeletionPolicy(status.effective.deletion_policy)
    return DeletionPolicy.STOP
