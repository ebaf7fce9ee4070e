"""A refused create says nothing of an earlier one of the same name that may have been heard."""

from __future__ import annotations

from typing import Any

import pytest

from sft_operator.api.reasons import Reason
from sft_operator.platforms.base import SubmitKind, SubmitOutcome
from tests.unit.cloud import refusal
from tests.unit.world import World


def refuses(world: World) -> None:
    """AWS looks at the quota, or at who asks, before it looks at the name."""

    async def submit(*_: Any) -> SubmitOutcome:
        return SubmitOutcome(SubmitKind.REFUSED, refusal=refusal(Reason.QUOTA_EXCEEDED), retry_after=300.0)

    world.aws.submit = submit  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_delete_stops_what_an_unanswered_create_began_although_the_next_one_was_refused(restarted: bool) -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        refuses(world)
        if restarted:
            world.restart_operator()
        world.advance(20)
        assert world.status["reason"] == "QuotaExceeded"
        world.delete()
        world.advance(300)
        assert world.gone
        assert world.aws.live() == []


def test_a_suspension_is_not_told_while_the_run_of_an_unanswered_create_lives() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        refuses(world)
        world.advance(20)
        world.apply({"runPolicy.suspend": True})
        assert world.phase == "Stopping"
        world.advance(300)
        assert world.phase == "Suspended"
        assert world.aws.live() == []


def test_a_create_that_was_only_ever_refused_lets_the_resource_go_at_once() -> None:
    with World() as world:
        refuses(world)
        world.apply()
        assert world.status["reason"] == "QuotaExceeded"
        world.delete()
        assert world.gone
