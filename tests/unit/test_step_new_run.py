"""A new runID: the old run ends first, goes to the history, and the new one begins from the new spec."""

from __future__ import annotations

from sft_operator.api.reasons import Reason
from tests.unit.cloud import refusal
from tests.unit.world import World


def running(world: World) -> None:
    world.apply()
    world.aws.run()
    world.until("Running")


def test_a_new_run_id_stops_the_old_run_and_awaits_its_end() -> None:
    with World() as world:
        world.aws.stop_grace = 100.0
        running(world)
        old = world.status["jobName"]
        world.apply({"runID": "2", "hyperparameters.maxSteps": 300})
        assert world.phase == "Stopping"
        assert world.status["runID"] == "1"
        assert world.aws.stops == [(old, "NewRun")]
        assert len(world.aws.created) == 1
        world.advance(200)
        assert world.phase == "Starting"
        assert world.status["runID"] == "2"
        assert world.attempt == 1
        assert world.status["jobName"] != old
        assert world.status["history"][0]["jobName"] == old
        assert world.status["history"][0]["phase"] == "Stopped"
        assert len(world.aws.created) == 2
        assert world.says("Finished") == ("False", "InProgress")
        assert "NewRun" in world.events


def test_a_new_run_id_after_the_end_keeps_the_old_result_in_the_history() -> None:
    with World() as world:
        running(world)
        world.aws.complete()
        world.until("Succeeded")
        world.apply({"runID": "2"})
        world.advance(60)
        assert world.phase == "Starting"
        past = world.status["history"][0]
        assert (past["runID"], past["phase"]) == ("1", "Succeeded")
        assert past["checkpoint"].startswith("s3://escrow/")
        assert "artifacts" not in world.status
        assert "completionTime" not in world.status
        assert world.says("Complete") == ("False", "InProgress")


def test_going_back_to_an_old_run_id_finds_that_run() -> None:
    with World() as world:
        running(world)
        first = world.status["jobName"]
        world.aws.complete()
        world.until("Succeeded")
        world.apply({"runID": "2"})
        world.aws.complete()
        world.until("Succeeded")
        assert world.status["runID"] == "2"
        world.apply({"runID": "1"})
        world.advance(60)
        assert world.phase == "Succeeded"
        assert world.status["jobName"] == first
        assert len(world.aws.created) == 2


def test_going_back_finds_the_last_attempt_of_the_old_run() -> None:
    with World() as world:
        running(world)
        world.apply({"runPolicy.suspend": True})
        world.until("Suspended")
        world.apply({"runPolicy.suspend": False})
        world.advance(30)
        world.aws.complete()
        world.until("Succeeded")
        second_attempt = world.status["jobName"]
        world.apply({"runID": "2"})
        world.aws.complete()
        world.until("Succeeded")
        world.apply({"runID": "1"})
        world.advance(60)
        assert world.phase == "Succeeded"
        assert world.status["jobName"] == second_attempt
        assert len(world.aws.created) == 3


def test_suspend_wins_over_a_new_run_id() -> None:
    with World() as world:
        running(world)
        world.apply({"runID": "2", "runPolicy.suspend": True})
        world.advance(300)
        assert world.phase == "Suspended"
        assert world.status["runID"] == "2"
        assert world.aws.live() == []
        assert len(world.aws.created) == 1
        world.apply({"runPolicy.suspend": False})
        world.advance(60)
        assert world.phase == "Starting"
        assert world.attempt == 1


def test_a_new_run_id_while_the_old_run_only_waits_launches_nothing_of_the_old() -> None:
    with World() as world:
        world.aws.create_refusal = refusal(Reason.QUOTA_EXCEEDED)
        world.apply()
        old = world.status["jobName"]
        world.aws.create_refusal = None
        world.apply({"runID": "2"})
        assert world.phase == "Starting"
        assert world.aws.stops == []
        assert old not in world.aws.created
        assert len(world.aws.created) == 1


def test_a_new_run_id_after_an_unanswered_create_stops_what_it_brought_about() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        world.apply({"runID": "2"})
        world.advance(300)
        assert world.phase == "Starting"
        assert world.status["runID"] == "2"
        assert len(world.aws.live()) == 1


def test_a_run_id_that_changes_twice_ends_in_one_live_run() -> None:
    with World() as world:
        world.aws.stop_grace = 60.0
        running(world)
        world.apply({"runID": "2"})
        world.apply({"runID": "3"})
        world.advance(300)
        assert world.status["runID"] == "3"
        assert world.phase == "Starting"
        assert len(world.aws.created) == 2
        assert len(world.aws.live()) == 1


def test_a_new_run_id_that_is_taken_back_leaves_the_old_run_stopped() -> None:
    with World() as world:
        world.aws.stop_grace = 60.0
        running(world)
        world.apply({"runID": "2"})
        world.apply({"runID": "1"})
        world.advance(300)
        assert world.phase == "Stopped"
        assert "a new runID" in world.status["message"]
        assert len(world.aws.created) == 1


def test_a_restart_between_two_runs_loses_nothing() -> None:
    with World() as world:
        world.aws.stop_grace = 60.0
        running(world)
        world.apply({"runID": "2"})
        world.restart_operator()
        world.advance(300)
        assert world.status["runID"] == "2"
        assert world.phase == "Starting"
        assert len(world.aws.created) == 2
        assert len(world.status["history"]) == 1


def test_the_history_keeps_the_last_five_runs() -> None:
    with World() as world:
        running(world)
        for run in range(2, 9):
            world.aws.complete()
            world.until("Succeeded")
            world.apply({"runID": str(run)})
        world.advance(60)
        assert [past["runID"] for past in world.status["history"]] == ["7", "6", "5", "4", "3"]


def test_a_new_run_after_a_suspended_one_starts_its_attempts_anew() -> None:
    with World() as world:
        running(world)
        world.apply({"runPolicy.suspend": True})
        world.until("Suspended")
        world.apply({"runPolicy.suspend": False, "runID": "2"})
        world.advance(60)
        assert world.phase == "Starting"
        assert world.attempt == 1
        assert "priorRuntimeSeconds" not in world.status
        assert world.status["history"][0]["phase"] == "Suspended"
