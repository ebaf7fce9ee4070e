"""Suspend, resume and stop, before the launch and while a run is live."""

from __future__ import annotations

import pytest

from sft_operator.api.reasons import Reason
from sft_operator.platforms.base import PlatformUnavailable
from tests.unit.cloud import refusal
from tests.unit.world import World


def running(world: World, edits: dict[str, object] | None = None) -> None:
    world.apply(edits)
    world.aws.run()
    world.until("Running")


def test_a_job_applied_suspended_launches_nothing_until_it_is_resumed() -> None:
    with World() as world:
        world.apply({"runPolicy.suspend": True, "runPolicy.pendingDeadline": "1h"})
        assert world.phase == "Suspended"
        assert world.says("Suspended") == ("True", "Suspended")
        assert world.says("Reconciling") == ("False", "Settled")
        world.advance(2 * 3600)
        assert (world.aws.checks, world.aws.submits) == (0, 0)
        world.apply({"runPolicy.suspend": False})
        world.advance(30)
        assert world.phase == "Starting"
        assert world.says("Suspended") == ("False", "Resumed")
        assert world.attempt == 1
        assert world.aws.created[0].endswith("-1")


def test_suspending_a_running_job_stops_it_and_resuming_is_a_new_attempt() -> None:
    with World() as world:
        running(world, {"runPolicy.pendingDeadline": "1h"})
        world.advance(3600)
        world.apply({"runPolicy.suspend": True})
        assert world.phase == "Stopping"
        assert world.status["stopRequest"]["cause"] == "Suspend"
        assert world.aws.stops == [(world.aws.created[0], "Suspend")]
        world.until("Suspended")
        assert world.says("Submitted") == ("False", "Suspended")
        assert world.says("Finished") == ("False", "InProgress")
        assert "progress was lost" in world.status["message"]
        assert "stopRequest" not in world.status
        assert world.status["priorRuntimeSeconds"] >= 3600
        used = world.status["priorRuntimeSeconds"]
        world.advance(2 * 3600)
        world.apply({"runPolicy.suspend": False})
        world.advance(30)
        assert world.phase == "Starting"
        assert world.attempt == 2
        assert "retries" not in world.status
        assert world.aws.created[1].endswith("-2")
        assert world.aws.jobs[world.aws.created[1]].max_runtime == 432000 - used
        assert world.says("Suspended") == ("False", "Resumed")
        assert "Resumed" in world.events
        world.aws.run()
        world.advance(3600)
        world.aws.complete()
        world.until("Succeeded")


def test_a_resume_that_has_to_wait_stays_the_next_attempt() -> None:
    with World() as world:
        running(world, {"runPolicy.pendingDeadline": "1h"})
        world.apply({"runPolicy.suspend": True})
        world.until("Suspended")
        world.advance(2 * 3600)
        world.aws.plan_refusal = refusal(Reason.POLICY_DENIED)
        world.apply({"runPolicy.suspend": False})
        world.advance(600)
        assert world.phase == "Queued"
        world.restart_operator()
        world.aws.plan_refusal = None
        world.advance(120)
        assert world.phase == "Starting"
        assert world.aws.created[-1].endswith("-2")


def test_a_resumed_job_has_its_whole_pending_deadline_again() -> None:
    with World() as world:
        world.apply({"runPolicy.suspend": True, "runPolicy.pendingDeadline": "1h"})
        world.advance(2 * 3600)
        world.aws.create_refusal = refusal(Reason.QUOTA_EXCEEDED)
        world.apply({"runPolicy.suspend": False})
        world.advance(3000)
        assert world.phase == "Queued"
        world.advance(700)
        assert world.phase == "Failed"


def test_a_suspension_taken_back_while_stopping_resumes_when_the_run_has_ended() -> None:
    with World() as world:
        running(world)
        world.apply({"runPolicy.suspend": True})
        assert world.phase == "Stopping"
        world.apply({"runPolicy.suspend": False})
        assert world.phase == "Stopping"
        world.advance(120)
        assert world.phase == "Starting"
        assert world.attempt == 2
        assert len(world.aws.live()) == 1


def test_suspending_a_refused_launch_asks_the_platform_for_nothing() -> None:
    with World() as world:
        world.aws.create_refusal = refusal(Reason.QUOTA_EXCEEDED)
        world.apply()
        world.apply({"runPolicy.suspend": True})
        assert world.phase == "Suspended"
        assert world.aws.stops == []
        world.aws.create_refusal = None
        world.apply({"runPolicy.suspend": False})
        world.advance(10)
        assert world.attempt == 1
        assert world.phase == "Starting"


def test_suspending_after_an_unanswered_create_waits_for_the_end_of_what_it_brought_about() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        world.apply({"runPolicy.suspend": True})
        assert world.phase == "Stopping"
        world.until("Suspended")
        assert world.aws.live() == []
        world.apply({"runPolicy.suspend": False})
        world.advance(30)
        assert world.attempt == 2
        assert len(world.aws.live()) == 1


def test_suspending_after_a_create_that_was_never_heard_is_suspended_when_nothing_was_found() -> None:
    with World() as world:
        world.aws.drop_next_creates = 10**6
        world.apply()
        world.apply({"runPolicy.suspend": True})
        world.advance(200)
        assert world.phase == "Suspended"
        world.aws.drop_next_creates = 0
        world.apply({"runPolicy.suspend": False})
        world.advance(200)
        assert world.phase == "Starting"
        assert len(world.aws.created) == 1


def test_a_suspension_taken_back_after_an_unanswered_create_ends_in_one_live_run() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        world.apply({"runPolicy.suspend": True})
        world.apply({"runPolicy.suspend": False})
        world.advance(300)
        assert world.phase == "Starting"
        assert len(world.aws.live()) == 1


def test_an_operator_killed_during_the_create_suspends_what_it_finds() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        world.kill_operator()
        world.apply({"runPolicy.suspend": True})
        world.start_operator()
        world.until("Suspended")
        assert world.aws.live() == []


def test_stop_before_the_launch_ends_the_job() -> None:
    with World() as world:
        world.apply({"runPolicy.stop": True})
        assert world.phase == "Stopped"
        assert world.says("Failed") == ("True", "StoppedByUser")
        assert world.says("Finished") == ("True", "StoppedByUser")
        assert world.status["failure"]["reason"] == "StoppedByUser"
        assert world.aws.submits == 0


def test_stop_ends_a_running_job_for_good() -> None:
    with World() as world:
        running(world)
        world.apply({"runPolicy.stop": True})
        assert world.phase == "Stopping"
        world.until("Stopped")
        assert world.says("Failed") == ("True", "StoppedByUser")
        assert world.says("Complete") == ("False", "StoppedByUser")
        assert world.status["failure"]["reason"] == "StoppedByUser"
        world.apply({"runPolicy.stop": False})
        world.advance(600)
        assert world.phase == "Stopped"
        world.apply({"runID": "2"})
        world.advance(60)
        assert world.phase == "Starting"


def test_a_stop_made_outside_reads_like_a_stop_of_the_user() -> None:
    with World() as world:
        running(world)
        world.aws.stop_outside()
        world.until("Stopped")
        assert world.status["reason"] == "StoppedByUser"
        assert "outside of this resource" in world.status["message"]


def test_a_run_that_completes_although_a_stop_was_asked_is_a_success() -> None:
    with World() as world:
        world.aws.stop_grace = 100.0
        running(world)
        world.apply({"runPolicy.stop": True})
        world.aws.complete()
        world.until("Succeeded")


@pytest.mark.parametrize("moment", ["Stopping", "Suspended"])
def test_a_restart_during_a_suspension_loses_nothing(moment: str) -> None:
    with World() as world:
        running(world)
        world.apply({"runPolicy.suspend": True})
        world.until(moment)
        world.restart_operator()
        world.until("Suspended")
        world.advance(60)
        world.apply({"runPolicy.suspend": False})
        world.advance(60)
        assert world.attempt == 2
        assert len(world.aws.created) == 2


def test_stop_of_a_suspended_job_ends_it() -> None:
    with World() as world:
        running(world)
        world.apply({"runPolicy.suspend": True})
        world.until("Suspended")
        world.apply({"runPolicy.stop": True})
        assert world.phase == "Stopped"
        assert world.says("Suspended") == ("False", "Settled")


def test_a_stop_that_fails_is_told_and_tried_again() -> None:
    with World() as world:
        running(world)
        world.aws.stop_trouble = PlatformUnavailable(Reason.THROTTLED, "rate exceeded")
        world.apply({"runPolicy.stop": True})
        world.advance(60)
        assert world.phase == "Stopping"
        assert "cannot be stopped: rate exceeded" in world.status["message"]
        assert world.status["reason"] == "Throttled"
        assert world.says("PlatformReachable") == ("False", "Throttled")
        world.aws.stop_trouble = None
        world.until("Stopped")
        assert world.says("PlatformReachable") == ("True", "Reachable")


def test_a_stop_that_nothing_came_of_is_asked_for_again_after_five_minutes() -> None:
    with World() as world:
        running(world)
        world.apply({"runPolicy.stop": True})
        job = world.aws.run()
        world.advance(290)
        assert len(world.aws.stops) == 1
        world.aws.jobs[job.name].ended = None
        world.advance(30)
        assert len(world.aws.stops) == 2
        world.until("Stopped")


def test_a_run_that_fails_for_no_fault_of_the_users_while_it_is_suspended_is_still_suspended() -> None:
    with World() as world:
        world.aws.stop_grace = 1000.0
        running(world, {"runPolicy.backoffLimit": 1})
        world.apply({"runPolicy.suspend": True})
        world.aws.fail(Reason.SERVICE_UNAVAILABLE)
        world.until("Suspended")
        world.advance(600)
        assert len(world.aws.created) == 1
        world.apply({"runPolicy.suspend": False})
        world.advance(60)
        assert world.attempt == 2
        assert world.phase == "Starting"
