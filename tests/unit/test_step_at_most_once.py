"""One launch for one run: lost answers, kills, re-created resources, and looks at what is there already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sft_operator.api.reasons import Reason
from sft_operator.platforms.base import PlatformUnavailable, RunState
from tests.unit.cloud import refusal
from tests.unit.world import World


def test_a_create_whose_answer_was_lost_is_attached_to_not_repeated() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        assert world.phase == "Queued"
        assert world.says("Submitted") == ("False", "InternalServiceError")
        world.advance(30)
        assert world.phase == "Starting"
        assert world.says("Submitted") == ("True", "Adopted")
        assert len(world.aws.created) == 1
        assert world.events[-1] == "Adopted"


def test_a_create_that_was_never_heard_is_made_again_under_the_same_name() -> None:
    with World() as world:
        world.aws.drop_next_creates = 3
        world.apply()
        world.advance(120)
        assert world.phase == "Starting"
        assert world.attempt == 1
        assert len(world.aws.created) == 1


def test_a_run_that_is_created_late_is_not_taken_for_lost() -> None:
    """Looks that found nothing before the create say nothing of it."""
    with World() as world:
        world.aws.drop_next_creates = 12
        world.apply()
        world.advance(3600)
        assert world.phase == "Starting"
        world.aws.run()
        world.advance(120)
        assert world.phase == "Running"


def test_an_operator_killed_during_the_create_finds_its_job() -> None:
    with World() as world:
        world.aws.submit_takes = 5.0
        world.apply()
        assert world.phase == "Submitting"
        world.restart_operator()
        world.aws.submit_takes = 0.0
        world.aws.lose_next_answers = 1
        world.restart_operator()
        world.advance(60)
        assert world.phase == "Starting"
        assert len(world.aws.created) == 1


def test_a_job_that_completed_while_nobody_looked_is_a_success() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        world.kill_operator()
        world.aws.complete()
        world.start_operator()
        world.advance(60)
        assert world.phase == "Succeeded"


def test_a_resource_applied_again_takes_the_result_of_its_finished_run() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.aws.complete()
        world.until("Succeeded")
        world.delete()
        assert world.gone
        world.apply()
        world.advance(60)
        assert world.phase == "Succeeded"
        assert world.status["reason"] == "AdoptedFinishedRun"
        assert world.says("Submitted") == ("True", "AdoptedFinishedRun")
        assert "Adopted" in world.events
        assert len(world.aws.created) == 1


def test_a_resource_applied_again_attaches_to_its_orphaned_run() -> None:
    with World() as world:
        world.apply({"runPolicy.deletionPolicy": "Orphan"})
        world.aws.run()
        world.until("Running")
        world.delete()
        assert world.gone
        assert world.aws.stops == []
        world.apply()
        world.advance(60)
        assert world.phase == "Running"
        assert len(world.aws.created) == 1


def test_a_resource_deleted_while_running_and_applied_again_runs_as_the_next_attempt() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        world.delete()
        world.advance(120)
        assert world.gone
        world.apply()
        world.advance(60)
        assert world.attempt == 2
        assert world.phase == "Starting"
        assert len(world.aws.created) == 2
        assert world.aws.created[1].endswith("-2")


def test_a_job_that_is_still_ending_is_awaited_before_the_next_attempt() -> None:
    with World() as world:
        world.aws.stop_grace = 300.0
        world.apply()
        world.aws.run()
        world.until("Running")
        world.delete()
        world.advance(20)
        world.cluster.annotate(world.key, **{"sft-operator.dev/force-release": "true"})
        world.advance(5)
        assert world.gone
        world.apply()
        world.advance(10)
        assert world.phase == "Queued"
        assert "still ending" in world.status["message"]
        assert len(world.aws.created) == 1
        world.advance(600)
        assert len(world.aws.created) == 2
        assert world.phase == "Starting"


def test_an_end_of_an_earlier_resource_is_taken_over_not_repeated() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.aws.fail(Reason.ALGORITHM_ERROR, "loss is nan")
        world.until("Failed")
        world.delete()
        world.apply()
        world.advance(60)
        assert world.phase == "Failed"
        assert world.status["failure"]["message"] == "loss is nan"
        assert len(world.aws.created) == 1


def test_a_run_found_with_other_inputs_is_kept_and_marked_as_drifted() -> None:
    with World() as world:
        world.apply({"runPolicy.deletionPolicy": "Orphan"})
        world.aws.run()
        world.until("Running")
        launched_with = world.status["inputsDigest"]
        world.delete()
        world.aws.etag = "v2"
        world.apply()
        world.advance(60)
        assert world.phase == "Running"
        assert world.says("Drifted") == ("True", "InputsChanged")
        assert world.status["inputsDigest"] == launched_with
        assert len(world.aws.created) == 1


def test_a_new_catalogue_marks_a_live_run_as_drifted_and_launches_nothing() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        assert world.says("Drifted") is None
        world.kill_operator()
        world.aws.catalogue = "2027-01"
        world.start_operator()
        world.advance(60)
        assert world.says("Drifted") == ("True", "InputsChanged")
        assert world.phase == "Running"
        world.kill_operator()
        world.aws.catalogue = "2026-11"
        world.start_operator()
        world.advance(60)
        assert world.says("Drifted") == ("False", "Unchanged")
        assert len(world.aws.created) == 1


def test_a_live_run_is_followed_although_its_spec_could_not_be_planned_today() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        world.aws.plan_refusal = refusal(Reason.INVALID_SPEC, "that recipe is gone")
        world.restart_operator()
        world.advance(60)
        assert world.phase == "Running"
        world.aws.complete()
        world.until("Succeeded")


def test_a_plan_that_is_refused_after_an_unanswered_create_leaves_no_job_behind() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        world.kill_operator()
        world.aws.plan_refusal = refusal(Reason.INVALID_SPEC, "that recipe is gone")
        world.start_operator()
        world.advance(5)
        assert world.phase == "Stopping"
        world.advance(120)
        assert world.phase == "Failed"
        assert world.status["reason"] == "InvalidSpec"
        assert world.aws.live() == []


def test_a_create_without_answer_until_the_deadline_leaves_no_job_behind() -> None:
    with World() as world:
        world.aws.unreachable = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused")
        world.apply({"runPolicy.pendingDeadline": "10m", "dataset.check": "Skip"})
        world.advance(900)
        assert world.phase == "Stopping"
        assert "cannot be stopped" in world.status["message"]
        world.aws.unreachable = None
        world.advance(600)
        assert world.phase == "Failed"
        assert world.status["reason"] == "PendingDeadlineExceeded"


def test_a_run_that_vanished_is_lost_and_never_repeated() -> None:
    with World() as world:
        world.apply({"runPolicy.backoffLimit": 3})
        world.aws.run()
        world.until("Running")
        world.aws.vanish()
        world.advance(300)
        assert world.phase == "Failed"
        assert world.status["reason"] == "Lost"
        assert len(world.aws.created) == 1


def test_a_finished_end_survives_late_news_of_the_api_server() -> None:
    """An event that is older than the last write must not wake a finished job."""
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        old = world.body
        stale = {**old, "metadata": {**old["metadata"]}, "status": dict(old["status"])}
        world.aws.complete()
        world.until("Succeeded")
        writes = len(world.cluster.writes)
        world.cluster.watchers[0]({"type": "MODIFIED", "object": stale})
        world.advance(120)
        assert len(world.cluster.writes) == writes
        assert world.events == ["Launched", "Succeeded"]


def test_a_state_that_no_look_has_told_yet_is_starting() -> None:
    with World() as world:
        world.apply()
        world.aws.jobs[world.aws.created[0]].state = RunState.RECOVERING
        world.advance(40)
        assert world.phase == "Recovering"


def test_a_launch_that_the_api_server_does_not_keep_is_put_off_with_growing_pauses() -> None:
    """Its CRD is older than the operator and prunes what it does not know."""
    with World() as world:
        whole = world.cluster.patch_status
        patches = 0

        async def pruning(metadata: Mapping[str, Any], patch: Mapping[str, Any]) -> Mapping[str, Any]:
            nonlocal patches
            patches += 1
            return await whole(metadata, {})

        world.cluster.patch_status = pruning  # type: ignore[method-assign]
        world.apply({"dataset.check": "Skip"})
        world.advance(3600)
        assert world.aws.created == []
        assert patches < 60
        world.cluster.patch_status = whole  # type: ignore[method-assign]
        world.advance(400)
        assert len(world.aws.created) == 1
