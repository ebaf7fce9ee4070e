"""How runs end badly, which of them are tried again, and what the user is told."""

from __future__ import annotations

import pytest

from sft_operator.api.reasons import RETRYABLE_ENDS, Reason
from sft_operator.platforms.base import PlatformUnavailable, RawProgress
from tests.unit.world import World


def running(world: World, edits: dict[str, object] | None = None) -> None:
    world.apply(edits)
    world.aws.run()
    world.until("Running")


def test_a_failure_tells_reason_message_hint_and_the_last_log_lines() -> None:
    with World() as world:
        running(world)
        world.aws.fail(Reason.OUT_OF_MEMORY, "CUDA out of memory", hint="use a smaller batch")
        world.until("Failed")
        assert world.status["reason"] == "OutOfMemory"
        assert world.status["failure"] == {
            "reason": "OutOfMemory",
            "message": "CUDA out of memory",
            "hint": "use a smaller batch",
            "logTail": ["step 1", "step 2"],
        }
        assert world.says("Failed") == ("True", "OutOfMemory")
        assert world.says("Stalled") == ("True", "OutOfMemory")
        assert world.events == ["Launched", "Failed"]


def test_reaching_max_runtime_is_failed_for_the_deadline() -> None:
    with World() as world:
        running(world)
        world.aws.time_out()
        world.until("Failed")
        assert world.status["reason"] == "DeadlineExceeded"
        assert world.aws.stops == []


@pytest.mark.parametrize("reason", sorted(RETRYABLE_ENDS))
def test_an_end_without_fault_is_tried_again_as_often_as_the_limit_says(reason: Reason) -> None:
    with World() as world:
        running(world, {"runPolicy.backoffLimit": 2})
        for attempt in (2, 3):
            world.aws.fail(reason, "no capacity")
            world.advance(60)
            assert world.phase == "Starting"
            assert world.attempt == attempt
            assert world.status["retries"] == attempt - 1
            world.aws.run()
            world.until("Running")
        world.aws.fail(reason, "no capacity")
        world.until("Failed")
        assert world.status["reason"] == reason
        assert len(world.aws.created) == 3
        assert world.events.count("NewAttempt") == 2


def test_without_a_limit_nothing_is_tried_again() -> None:
    with World() as world:
        running(world)
        world.aws.fail(Reason.CAPACITY_UNAVAILABLE)
        world.until("Failed")
        assert len(world.aws.created) == 1


@pytest.mark.parametrize("reason", [Reason.ALGORITHM_ERROR, Reason.OUT_OF_MEMORY, Reason.IMAGE_PULL_FAILED])
def test_a_fault_of_the_training_is_never_repeated(reason: Reason) -> None:
    with World() as world:
        running(world, {"runPolicy.backoffLimit": 10})
        world.aws.fail(reason)
        world.until("Failed")
        world.advance(3600)
        assert len(world.aws.created) == 1


def test_attempts_share_max_runtime() -> None:
    with World() as world:
        running(world, {"runPolicy.backoffLimit": 1, "runPolicy.maxRuntime": "10h"})
        world.advance(3600)
        world.aws.fail(Reason.SERVICE_UNAVAILABLE)
        world.advance(60)
        assert world.aws.jobs[world.aws.created[1]].max_runtime == 36000 - world.status["priorRuntimeSeconds"]
        assert world.status["priorRuntimeSeconds"] >= 3600


def test_a_stop_is_not_answered_by_a_retry() -> None:
    with World() as world:
        world.aws.stop_grace = 1000.0
        running(world, {"runPolicy.backoffLimit": 5})
        world.apply({"runPolicy.stop": True})
        world.aws.fail(Reason.SERVICE_UNAVAILABLE)
        world.until("Failed")
        assert len(world.aws.created) == 1


def test_a_platform_that_cannot_be_reached_is_told_and_the_run_goes_on() -> None:
    with World() as world:
        running(world)
        world.aws.unreachable = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused", 30.0)
        world.advance(3600)
        assert world.phase == "Running"
        assert world.says("PlatformReachable") == ("False", "InternalServiceError")
        found = world.condition("PlatformReachable")
        assert found is not None
        assert "connection refused" in found.message
        assert "next look at" in found.message
        world.aws.unreachable = None
        world.advance(60)
        assert world.says("PlatformReachable") == ("True", "Reachable")
        assert world.phase == "Running"


def test_a_long_outage_does_not_break_the_follower() -> None:
    with World() as world:
        running(world)
        world.aws.unreachable = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused")
        world.advance(10 * 3600)
        world.aws.unreachable = None
        world.aws.complete()
        world.until("Succeeded")


def test_a_tag_taken_away_from_a_live_job_stays_on_its_run_and_the_status_says_so() -> None:
    with World() as world:
        running(world)
        world.apply({"tags": {"team": "a", "stage": "trial"}})
        world.apply({"tags": {"team": "a"}})
        warnings = world.status["warnings"]
        assert "spec.tags: stage was taken away and stays on the live run" in warnings


def test_billable_time_counts_over_all_attempts() -> None:
    with World() as world:
        running(world)
        world.advance(600)
        world.apply({"runPolicy.suspend": True})
        world.until("Suspended")
        first = world.status["billableSeconds"]
        assert first > 0
        assert "startTime" not in world.status
        world.apply({"runPolicy.suspend": False})
        world.advance(30)
        world.aws.run()
        world.advance(600)
        world.aws.complete()
        world.until("Succeeded")
        assert world.status["billableSeconds"] > first


def test_edited_tags_reach_the_live_run_once_and_only_then_count_as_observed() -> None:
    with World() as world:
        running(world, {"tags": {"team": "a"}})
        assert world.aws.tag_calls == []
        world.apply({"tags": {"team": "b"}})
        assert world.aws.tag_calls == [(world.aws.created[0], {"team": "b"})]
        assert world.status["observedGeneration"] == 2
        world.advance(600)
        world.restart_operator()
        world.advance(600)
        assert len(world.aws.tag_calls) == 1


def test_tags_edited_while_nothing_was_seen_of_the_run_are_not_forgotten() -> None:
    with World() as world:
        running(world, {"tags": {"team": "a"}})
        world.aws.unreachable = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused", 30.0)
        world.restart_operator()
        world.apply({"tags": {"team": "b"}})
        world.advance(60)
        assert world.status["observedGeneration"] == 1
        world.aws.unreachable = None
        world.advance(60)
        assert world.aws.tag_calls == [(world.aws.created[0], {"team": "b"})]
        assert world.status["observedGeneration"] == 2


def test_a_max_runtime_changed_during_the_run_is_a_warning() -> None:
    with World() as world:
        running(world)
        world.apply({"runPolicy.maxRuntime": "200h"})
        world.advance(60)
        assert [warning for warning in world.status["warnings"] if "200h" in warning and "120h" in warning]
        assert world.events.count("Warning") == 1
        world.advance(3600)
        assert len(world.status["warnings"]) == 1


def test_a_loss_that_diverged_does_not_stop_the_status() -> None:
    with World() as world:
        running(world)
        world.aws.run().progress = RawProgress(step=10, total_steps=200, train_loss=2.0)
        world.advance(60)
        world.aws.run().progress = RawProgress(step=20, total_steps=200, train_loss=float("nan"))
        world.advance(60)
        assert world.status["progress"]["step"] == 20
        assert world.status["metrics"]["display"] == "nan"
        assert world.status["metrics"]["bestTrainLoss"] == 2.0
        assert "trainLoss" not in world.status["metrics"]
        writes = len(world.cluster.writes)
        world.advance(600)
        assert len(world.cluster.writes) == writes
