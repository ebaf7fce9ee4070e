"""Which Kubernetes Events a status change is worth: what happened once, nothing periodic. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...api.conditions import find, is_true
from ...api.reasons import Reason
from ...api.status import ConditionType, Phase, SFTJobStatus


@dataclass(frozen=True, slots=True)
class Event:
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def events(before: SFTJobStatus, after: SFTJobStatus) -> list[Event]:
    """What to tell of the change from one written status to the next."""
    told: list[Event] = []
    if is_true(after.conditions, ConditionType.SUBMITTED) and not is_true(before.conditions, ConditionType.SUBMITTED):
        submitted = find(after.conditions, ConditionType.SUBMITTED)
        adopted = submitted is not None and submitted.reason != Reason.ACCEPTED
        told.append(Event("Normal", "Adopted" if adopted else "Launched", submitted.message if submitted else ""))
    for warning in after.warnings or []:
        if warning not in (before.warnings or []):
            told.append(Event("Warning", "Warning", warning))
    if after.phase != before.phase:
        told.extend(_phase(before, after))
    elif after.phase is Phase.QUEUED and after.reason != before.reason:
        told.append(Event("Warning", after.reason or "Waiting", after.message or ""))
    stalled = find(after.conditions, ConditionType.STALLED)
    was_stalled = is_true(before.conditions, ConditionType.STALLED)
    if after.phase is Phase.STOPPING and stalled is not None and not was_stalled:
        told.append(Event("Warning", "StopFailed", stalled.message))
    return told


def _phase(before: SFTJobStatus, after: SFTJobStatus) -> list[Event]:
    message = after.message or ""
    match after.phase:
        case Phase.SUCCEEDED:
            return [Event("Normal", "Succeeded", message)]
        case Phase.FAILED:
            refused = after.job_name is None or not is_true(after.conditions, ConditionType.SUBMITTED)
            return [Event("Warning", "Refused" if refused else "Failed", f"{after.reason}: {message}")]
        case Phase.STOPPED | Phase.SUSPENDED | Phase.STOPPING:
            return [Event("Normal", str(after.phase.value), message)]
        case Phase.QUEUED:
            return [Event("Warning", after.reason or "Waiting", message)]
        case Phase.PENDING if before.phase is not None:
            if after.run_id != before.run_id:
                return [Event("Normal", "NewRun", message)]
            return [Event("Normal", "Resumed" if before.phase is Phase.SUSPENDED else "NewAttempt", message)]
    return []
