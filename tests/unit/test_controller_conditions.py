"""Conditions: what moves their transition time, and that equal states are equal lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from sft_operator.api.conditions import Conditions, find, is_true, parse_timestamp, timestamp
from sft_operator.api.reasons import Reason
from sft_operator.api.status import Condition, ConditionType

T0 = datetime(2026, 11, 22, 12, tzinfo=UTC)
T1 = T0 + timedelta(minutes=5)


def submitted(existing: list[Condition] | None, value: bool | None, at: datetime, message: str = "") -> Condition:
    conditions = Conditions(existing, generation=3, now=at)
    conditions.set(ConditionType.SUBMITTED, value, Reason.ACCEPTED, message)
    found = find(conditions.result, ConditionType.SUBMITTED)
    assert found is not None
    return found


def test_the_transition_time_moves_only_when_the_status_does() -> None:
    first = submitted(None, False, T0)
    assert first.last_transition_time == "2026-11-22T12:00:00Z"
    same = submitted([first], False, T1, "another message")
    assert same.last_transition_time == first.last_transition_time
    assert (same.message, same.observed_generation) == ("another message", 3)
    assert submitted([same], True, T1).last_transition_time == "2026-11-22T12:05:00Z"
    assert submitted([same], None, T1).last_transition_time == "2026-11-22T12:05:00Z"


def test_setting_one_keeps_the_others_and_the_order_is_always_the_same() -> None:
    forwards, backwards = (Conditions(None, generation=1, now=T0) for _ in range(2))
    kinds = [ConditionType.VALIDATED, ConditionType.FINISHED, ConditionType.STALLED]
    for kind in kinds:
        forwards.set(kind, True, Reason.ACCEPTED)
    for kind in reversed(kinds):
        backwards.set(kind, True, Reason.ACCEPTED)
    assert forwards.result == backwards.result
    forwards.drop(ConditionType.FINISHED)
    assert [condition.type for condition in forwards.result] == [ConditionType.VALIDATED, ConditionType.STALLED]


def test_unknown_and_absent_are_not_true() -> None:
    unknown = submitted(None, None, T0)
    assert not is_true([unknown], ConditionType.SUBMITTED)
    assert not is_true(None, ConditionType.SUBMITTED)
    assert is_true([submitted(None, True, T0)], ConditionType.SUBMITTED)


def test_times_are_written_in_utc_to_the_second_and_read_back() -> None:
    elsewhere = datetime(2026, 11, 22, 14, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(elsewhere) == "2026-11-22T12:00:00Z"
    assert parse_timestamp("2026-11-22T12:00:00Z") == T0
