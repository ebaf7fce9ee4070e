"""pauseLaunches, of a profile and of the installation: nothing new starts, and what may run is looked for."""

from __future__ import annotations

import pytest

from sft_operator.api.reasons import Reason
from tests.unit.cloud import refusal
from tests.unit.test_step_profiles import begun, go_on, profile, unsure
from tests.unit.world import World


@pytest.mark.parametrize("whose", ["profile", "installation"])
def test_paused_launches_wait_and_go_on_when_resumed(whose: str) -> None:
    world = World(require_profile=True, pause_launches=whose == "installation")
    with world:
        world.cluster.apply_profile("ml", profile(pauseLaunches=whose == "profile"))
        world.apply()
        assert (world.phase, world.status["reason"]) == ("Queued", "LaunchesPaused")
        words = "for all profiles" if whose == "installation" else "by SFTProfile ml"
        assert words in world.status["message"]
        world.advance(3600)
        world.restart_operator()
        world.advance(3600)
        assert not world.aws.submits
        if whose == "profile":
            world.cluster.apply_profile("ml", profile())
        else:
            world.pause_launches = False
            world.restart_operator()
        world.advance(1)
        assert len(world.aws.created) == 1


@pytest.mark.parametrize("how", ["profile", "installation"])
def test_a_pause_leaves_running_jobs_alone_to_their_end(how: str) -> None:
    with begun() as world:
        world.aws.run()
        world.until("Running")
        if how == "profile":
            world.cluster.apply_profile("ml", profile(pauseLaunches=True))
        else:
            world.pause_launches = True
            world.restart_operator()
        world.advance(600)
        world.aws.complete()
        world.until("Succeeded")
        assert not world.aws.stops


def test_a_paused_retry_waits() -> None:
    with begun({"runPolicy.backoffLimit": 3}) as world:
        world.cluster.apply_profile("ml", profile(pauseLaunches=True))
        world.aws.run()
        world.aws.fail(Reason.CAPACITY_UNAVAILABLE)
        world.advance(600)
        assert world.status["reason"] == "LaunchesPaused"
        assert len(world.aws.created) == 1
        world.cluster.apply_profile("ml", profile())
        world.advance(1)
        assert len(world.aws.created) == 2


def test_a_refused_create_is_not_tried_again_while_launches_are_paused() -> None:
    world = World(require_profile=True)
    world.aws.create_refusal, world.aws.create_retry_after = refusal(Reason.QUOTA_EXCEEDED), 60.0
    world.cluster.apply_profile("ml", profile())
    with world:
        world.apply()
        submits = world.aws.submits
        world.aws.create_refusal = None
        world.cluster.apply_profile("ml", profile(pauseLaunches=True))
        world.advance(3600)
        assert world.status["reason"] == "LaunchesPaused"
        assert world.aws.submits == submits
        world.cluster.apply_profile("ml", profile())
        world.advance(1)
        assert len(world.aws.created) == 1


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("how", ["profile", "installation"])
def test_a_launch_without_an_answer_is_looked_for_while_paused(how: str, heard: bool, restart: bool) -> None:
    with unsure(heard=heard, restart=restart or how == "installation") as world:
        name, submits = world.status["jobName"], world.aws.submits
        if how == "profile":
            world.cluster.apply_profile("ml", profile(pauseLaunches=True))
        else:
            world.pause_launches = True
        go_on(world, restart or how == "installation")
        world.advance(300)
        assert world.aws.submits == submits
        if heard:
            assert world.says("Submitted") == ("True", "Adopted")
            return
        assert world.status["reason"] == "LaunchesPaused"
        assert not world.aws.created
        if how == "profile":
            world.cluster.apply_profile("ml", profile())
        else:
            world.pause_launches = False
            world.restart_operator()
        world.advance(300)
        assert world.aws.created == [name]


def test_a_paused_job_can_be_suspended_stopped_and_deleted() -> None:
    for way in ({"runPolicy.suspend": True}, {"runPolicy.stop": True}):
        with begun(pauseLaunches=True) as world:
            world.apply(way)
            assert world.phase in ("Suspended", "Stopped")
    with begun(pauseLaunches=True) as world:
        world.delete()
        assert world.gone
