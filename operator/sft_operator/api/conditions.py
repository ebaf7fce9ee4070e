"""The condition list: setting one keeps the others, and the transition time moves only when the status does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from .status import Condition, ConditionStatus, ConditionType

_ORDER = {kind: place for place, kind in enumerate(ConditionType)}
_MESSAGE_LIMIT = 4096


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC to the second, as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class Conditions:
    """A condition list under change. `result` is sorted in the order of ConditionType, so equal states are equal."""

    def __init__(self, existing: Iterable[Condition] | None, *, generation: int, now: datetime) -> None:
        self._by_type = {condition.type: condition for condition in existing or ()}
        self._generation = generation
        self._now = timestamp(now)

    def set(self, kind: ConditionType, status: bool | None, reason: str, message: str = "") -> None:
        """`status` None means Unknown."""
        wanted = (
            ConditionStatus.UNKNOWN if status is None else ConditionStatus.TRUE if status else ConditionStatus.FALSE
        )
        before = self._by_type.get(kind)
        changed = before is None or before.status != wanted
        self._by_type[kind] = Condition(
            type=kind,
            status=wanted,
            reason=str(reason),
            message=message[:_MESSAGE_LIMIT],
            observed_generation=self._generation,
            last_transition_time=self._now if before is None or changed else before.last_transition_time,
        )

    def drop(self, kind: ConditionType) -> None:
        self._by_type.pop(kind, None)

    @property
    def result(self) -> list[Condition]:
        return sorted(self._by_type.values(), key=lambda condition: _ORDER[condition.type])


def find(conditions: Iterable[Condition] | None, kind: ConditionType) -> Condition | None:
    return next((condition for condition in conditions or () if condition.type == kind), None)


def is_true(conditions: Iterable[Condition] | None, kind: ConditionType) -> bool:
    condition = find(conditions, kind)
    return condition is not None and condition.status == ConditionStatus.TRUE
