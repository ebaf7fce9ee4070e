"""Who may take a Lease and until when a leader may act: the rules, instant by instant."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sft_operator.aws.sessions import ClientSettings
from sft_operator.controller.election import (
    CALL_SECONDS,
    LOOK_EVERY,
    MARGIN,
    RENEW_EVERY,
    RETRY_AFTER,
    Candidate,
    Record,
)
from sft_operator.controller.leadership import SETTLE_SECONDS
from sft_operator.controller.lease import record, written
from sft_operator.controller.settings import Settings

DURATION = Settings(identity_scope="test").lease_duration
SHORTEST = 12


def renewed(stamp: int, holder: str = "other", seconds: float | None = DURATION) -> Record:
    return Record(holder, seconds, str(stamp))


def standing_by(*, since: float = 100.0, **fields: float | None) -> Candidate:
    candidate = Candidate("me", DURATION)
    candidate.saw(renewed(1, **fields), since)
    return candidate


def test_where_nobody_ever_led_the_first_takes_it_at_once() -> None:
    candidate = Candidate("me", DURATION)
    candidate.saw(None, 5)
    assert candidate.may_take(5)


def test_a_lease_that_was_released_is_taken_at_once() -> None:
    candidate = standing_by()
    candidate.saw(Record("", 1, "2"), 101)
    assert candidate.may_take(101)


def test_a_lease_counts_from_the_instant_in_which_its_last_change_was_seen() -> None:
    candidate = standing_by(since=100)
    candidate.saw(renewed(1), 100 + DURATION - 0.1)
    assert not candidate.may_take(100 + DURATION - 0.1)
    assert candidate.may_take(100 + DURATION)
    candidate.saw(renewed(2), 100 + DURATION)
    assert not candidate.may_take(100 + DURATION)
    assert candidate.may_take(100 + 2 * DURATION)


def test_the_duration_that_the_holder_wrote_counts_and_ours_where_it_wrote_none() -> None:
    assert not standing_by(seconds=60).may_take(159)
    assert standing_by(seconds=60).may_take(160)
    assert not standing_by(seconds=None).may_take(100 + DURATION - 0.1)
    assert standing_by(seconds=None).may_take(100 + DURATION)


def test_a_lease_that_is_deleted_under_its_holder_still_keeps_the_others_away() -> None:
    candidate = standing_by(since=100)
    candidate.saw(None, 110)
    assert not candidate.may_take(110 + DURATION - 0.1)
    assert candidate.may_take(110 + DURATION)


def test_our_own_name_in_it_is_ours_also_when_the_answer_was_lost() -> None:
    candidate = standing_by(since=100)
    candidate.saw(renewed(2, holder="me"), 101)
    assert candidate.may_take(101)
    assert candidate.left(101) <= 0, "but it leads only by a write that was answered"


def test_the_next_look_comes_when_the_lease_may_run_out_and_never_later_than_usual() -> None:
    candidate = standing_by(since=100)
    assert candidate.look_after(100) == LOOK_EVERY
    assert candidate.look_after(100 + DURATION - 0.3) == pytest.approx(0.3)


def test_a_leader_counts_from_the_start_of_its_write_and_ends_before_another_may_begin() -> None:
    leader, other = Candidate("me", DURATION), Candidate("other", DURATION)
    leader.holds(100)
    other.saw(renewed(1, holder="me"), 100.0001)  # nobody can see the write before it was sent
    ended = 100 + DURATION - MARGIN
    assert not leader.overdue(ended - 0.1)
    assert leader.overdue(ended)
    assert not other.may_take(100 + DURATION)
    assert leader.left(100 + DURATION) <= 0


def test_a_leader_that_resigns_may_send_nothing_more() -> None:
    leader = Candidate("me", DURATION)
    leader.holds(100)
    assert leader.left(101) > 0
    leader.resigns()
    assert leader.left(101) <= 0


def test_a_crash_is_taken_over_within_seventeen_seconds() -> None:
    """The last renewal may be seen a look later, and the look that takes may be refused once."""
    assert LOOK_EVERY + DURATION + RETRY_AFTER < 17


@pytest.mark.parametrize("duration", [SHORTEST, DURATION])
def test_between_two_renewals_there_is_lease_enough_for_a_change_on_aws(duration: float) -> None:
    settings = ClientSettings()
    assert duration - RENEW_EVERY > settings.connect_timeout + settings.act_read_timeout


def test_a_leader_that_resigns_waits_for_longer_than_a_change_may_take() -> None:
    settings = ClientSettings()
    assert settings.connect_timeout + settings.act_read_timeout < SETTLE_SECONDS


@pytest.mark.parametrize("duration", [SHORTEST, DURATION])
def test_a_renewal_without_an_answer_is_tried_again_before_the_leader_ends(duration: float) -> None:
    second_try = RENEW_EVERY + CALL_SECONDS + RETRY_AFTER
    assert second_try + CALL_SECONDS <= duration - MARGIN


NOW = datetime(2026, 11, 22, 12, 0, 0, 0, tzinfo=UTC)


def test_the_document_tells_people_who_leads_since_when() -> None:
    first = written(None, "one", 14, NOW)
    assert first["spec"] == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 14,
        "acquireTime": "2026-11-22T12:00:00.000000Z",
        "renewTime": "2026-11-22T12:00:00.000000Z",
        "leaseTransitions": 0,
    }
    later = written(first, "one", 14, NOW.replace(second=2))
    assert later["spec"]["acquireTime"] == first["spec"]["acquireTime"]
    assert later["spec"]["renewTime"] == "2026-11-22T12:00:02.000000Z"
    taken = written(later, "two", 14, NOW.replace(second=20))
    assert (taken["spec"]["holderIdentity"], taken["spec"]["leaseTransitions"]) == ("two", 1)
    assert taken["spec"]["acquireTime"] == "2026-11-22T12:00:20.000000Z"


def test_what_others_wrote_into_the_lease_stays_and_its_version_goes_along() -> None:
    known = {"metadata": {"name": "x", "resourceVersion": "7", "labels": {"a": "b"}}, "spec": {"strategy": "Other"}}
    document = written(known, "one", 14, NOW)
    assert document["metadata"] == known["metadata"]
    assert document["spec"]["strategy"] == "Other"


def test_a_time_in_the_lease_is_seen_to_change_and_never_read() -> None:
    def served(time: str) -> Record:
        return record({"spec": {"holderIdentity": "one", "leaseDurationSeconds": 14, "renewTime": time}})

    assert served("2026-11-22T12:00:00.000000Z") != served("2026-11-22T11:00:00.000000Z")
    assert served("an hour ago") == served("an hour ago")
    assert record({}) == Record("", None, record({"spec": {}}).stamp)
