"""A status being written: starts from the one that stands, ends as a new whole one. Says nothing of when to do what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...api.conditions import Conditions, timestamp
from ...api.reasons import Reason
from ...api.status import ConditionType, PastRun, Phase, SFTJobStatus
from .bounds import cut, fitted
from .job import Job

NO_JOB: dict[str, Any] = {"job_name": None, "job_arn": None, "console_url": None, "stop_request": None}
"""The part of a status that names a job of the platform, taken away: the next attempt gets its own."""


class Draft:
    """Changes are collected by `update`, `condition` and `phase`; `status` is the outcome."""

    def __init__(self, job: Job, now: datetime, *, base: SFTJobStatus | None = None) -> None:
        self.job = job
        self.now = now
        self.base = job.status if base is None else base
        self._updates: dict[str, Any] = {"observed_generation": job.generation}
        self._conditions = Conditions(self.base.conditions, generation=job.generation, now=now)

    def update(self, **fields: Any) -> None:
        self._updates |= fields

    def attempt_ended(self) -> None:
        """What the next attempt must not be credited with is put aside or taken away."""
        billable = self._updates.get("billable_seconds", self.base.billable_seconds)
        self.update(prior_billable_seconds=billable, start_time=None, timeline=None, runtime=None)

    def condition(self, kind: ConditionType, status: bool | None, reason: Reason, message: str = "") -> None:
        self._conditions.set(kind, status, reason, cut(message))

    def drop(self, kind: ConditionType) -> None:
        self._conditions.drop(kind)

    def phase(self, phase: Phase, message: str, reason: str | None = None) -> None:
        self._updates |= {"phase": phase, "message": cut(message), "reason": reason, "queue_position": None}

    def drift(self, drifted: bool, message: str) -> None:
        """Told when it is so, and when it no longer is."""
        if drifted:
            self.condition(ConditionType.DRIFTED, True, Reason.INPUTS_CHANGED, message)
        elif any(condition.type is ConditionType.DRIFTED for condition in self._conditions.result):
            self.condition(ConditionType.DRIFTED, False, Reason.UNCHANGED)

    def warn(self, messages: list[str]) -> None:
        """Adds warnings that are not there yet."""
        known = list(self._updates.get("warnings", self.base.warnings) or [])
        added = known + [cut(message, 500) for message in messages if cut(message, 500) not in known]
        self._updates["warnings"] = added[:20] or None

    def begin(self) -> None:
        """The conditions of a run that has not been launched; those that stand are kept."""
        for kind, status, reason in (
            (ConditionType.VALIDATED, None, Reason.CHECKING),
            (ConditionType.SUBMITTED, False, Reason.IN_PROGRESS),
            (ConditionType.SUSPENDED, False, Reason.IN_PROGRESS),
            (ConditionType.COMPLETE, False, Reason.IN_PROGRESS),
            (ConditionType.FAILED, False, Reason.IN_PROGRESS),
            (ConditionType.FINISHED, False, Reason.IN_PROGRESS),
            (ConditionType.RECONCILING, True, Reason.IN_PROGRESS),
        ):
            if not any(condition.type == kind for condition in self.base.conditions or ()):
                self.condition(kind, status, reason)

    def finish(self, phase: Phase, reason: Reason, message: str, *, complete: bool, at: datetime | None = None) -> None:
        """The end of the run: Complete or Failed, and Finished."""
        self.condition(ConditionType.COMPLETE, complete, reason, message if complete else "")
        self.condition(ConditionType.FAILED, not complete, reason, "" if complete else message)
        self.condition(ConditionType.FINISHED, True, reason, message)
        self.condition(ConditionType.RECONCILING, False, Reason.SETTLED)
        self.condition(ConditionType.SUSPENDED, False, Reason.SETTLED)
        if complete:
            self.drop(ConditionType.STALLED)
        else:
            self.condition(ConditionType.STALLED, True, reason, message)
        # How a success came about matters only when it was not this resource's own launch.
        shown = reason if not complete or reason is not Reason.SUCCEEDED else None
        self.phase(phase, message, shown)
        self.update(completion_time=timestamp(at or self.now), stop_request=None)

    @property
    def status(self) -> SFTJobStatus:
        return fitted(self.base.model_copy(update={**self._updates, "conditions": self._conditions.result}))


def archived(status: SFTJobStatus) -> SFTJobStatus:
    """An empty status for the next runID, with the run that stood put into history."""
    past = list(status.history or [])
    if status.run_id and status.phase:
        past.insert(
            0,
            PastRun(
                run_id=status.run_id,
                job_name=status.job_name,
                phase=status.phase,
                reason=status.reason,
                completion_time=status.completion_time,
                checkpoint=status.artifacts.checkpoint if status.artifacts else None,
            ),
        )
    return SFTJobStatus(history=past[:5] or None)
