"""Deleting the resource in every phase, and the ways out when a run cannot be stopped."""

from __future__ import annotations

import pytest

from sft_operator.api.reasons import Reason
from sft_operator.platforms.base import PlatformUnavailable
from tests.unit.cloud import refusal
from tests.unit.world import World


@pytest.mark.parametrize("phase", ["Validating", "Queued", "Suspended"])
def test_a_job_that_was_never_launched_goes_at_once(phase: str) -> None:
    with World() as world:
        if phase == "Validating":
            world.aws.check_takes = 1e5
        if phase == "Queued":
            world.aws.create_refusal = refusal(Reason.QUOTA_EXCEEDED)
        world.apply({"runPolicy.suspend": phase == "Suspended"})
        world.advance(5)
        assert world.phase == phase
        world.delete()
        assert world.gone
        assert world.aws.stops == []


@pytest.mark.parametrize("phase", ["Starting", "Running"])
def test_a_live_run_is_stopped_and_the_resource_goes_when_it_has_ended(phase: str) -> None:
    with World() as world:
        world.aws.stop_grace = 60.0
        world.apply()
        if phase == "Running":
            world.aws.run()
            world.until("Running")
        world.delete()
        assert world.phase == "Stopping"
        assert world.status["stopRequest"]["cause"] == "Delete"
        assert not world.gone
        world.advance(120)
        assert world.gone
        assert world.aws.live() == []
        assert world.aws.stops == [(world.aws.created[0], "Delete")]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Stopped"])
def test_a_finished_job_goes_at_once(phase: str) -> None:
    with World() as world:
        world.apply()
        if phase == "Succeeded":
            world.aws.complete()
        elif phase == "Failed":
            world.aws.fail(Reason.ALGORITHM_ERROR)
        else:
            world.aws.stop_outside()
        world.until(phase)
        world.advance(5)
        world.delete()
        assert world.gone
        assert world.aws.stops == []


def test_a_suspended_job_goes_at_once() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.apply({"runPolicy.suspend": True})
        world.until("Suspended")
        world.delete()
        assert world.gone


def test_a_run_that_is_stopping_already_is_awaited() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        world.apply({"runPolicy.suspend": True})
        world.delete()
        assert not world.gone
        world.advance(120)
        assert world.gone
        assert world.aws.live() == []


def test_orphan_leaves_the_run_alone() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        world.apply({"runPolicy.deletionPolicy": "Orphan"})
        world.delete()
        assert world.gone
        assert len(world.aws.live()) == 1


def test_a_delete_that_comes_during_the_create_stops_what_it_created() -> None:
    with World() as world:
        world.aws.submit_takes = 10.0
        world.apply()
        world.delete()
        assert not world.gone
        world.advance(200)
        assert world.gone
        assert len(world.aws.created) == 1
        assert world.aws.live() == []


def test_a_delete_after_an_unanswered_create_leaves_no_job_behind() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        world.delete()
        world.advance(200)
        assert world.gone
        assert world.aws.live() == []


def test_a_delete_after_a_create_that_was_never_heard_goes_when_nothing_was_found() -> None:
    with World() as world:
        world.aws.drop_next_creates = 10**6
        world.apply()
        world.delete()
        world.advance(200)
        assert world.gone


def test_an_operator_killed_during_the_create_and_a_delete_meanwhile_leave_no_job_behind() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        world.kill_operator()
        world.cluster.delete(world.key)
        world.start_operator()
        world.advance(200)
        assert world.gone
        assert world.aws.live() == []


def test_a_delete_that_fails_for_ten_minutes_says_so_and_tells_the_way_out() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        world.aws.unreachable = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused", 30.0)
        world.delete()
        world.advance(570)
        assert world.says("PlatformReachable") == ("False", "InternalServiceError")
        assert world.says("Stalled") is None
        world.advance(90)
        stalled = world.condition("Stalled")
        assert stalled is not None
        assert "kubectl annotate sft nova-lite-2-lora -n ml-team sft-operator.dev/force-release=true" in stalled.message
        assert "connection refused" in stalled.message
        assert world.events.count("StopFailed") == 1
        world.advance(3600)
        assert not world.gone
        assert world.events.count("StopFailed") == 1
        world.cluster.annotate(world.key, **{"sft-operator.dev/force-release": "true"})
        world.advance(2)
        assert world.gone


def test_a_delete_goes_on_by_itself_when_the_platform_is_back() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        world.aws.unreachable = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused", 30.0)
        world.delete()
        world.advance(1800)
        world.aws.unreachable, world.aws.stop_grace = None, 200.0
        world.advance(60)
        assert world.says("Stalled") is None
        assert world.says("PlatformReachable") == ("True", "Reachable")
        world.advance(600)
        assert world.gone
        assert world.aws.live() == []


def test_a_stop_that_was_heard_before_the_platform_went_away_says_so_too() -> None:
    with World() as world:
        world.aws.stop_grace = 86400.0
        world.apply()
        world.aws.run()
        world.until("Running")
        world.delete()
        world.aws.unreachable = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused", 30.0)
        world.advance(700)
        assert world.says("Stalled") == ("True", "InternalServiceError")


def test_a_restart_during_a_delete_loses_nothing() -> None:
    with World() as world:
        world.aws.stop_grace = 100.0
        world.apply()
        world.aws.run()
        world.until("Running")
        world.delete()
        world.restart_operator()
        world.advance(300)
        assert world.gone
        assert world.aws.live() == []


def test_a_run_whose_resource_is_not_deleted_is_never_stopped() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        world.advance(6 * 3600)
        assert world.aws.stops == []
