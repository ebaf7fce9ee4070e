"""A run that nothing disturbs: what is written, when, and what a user sees of it."""

from __future__ import annotations

import pytest

from sft_operator.api.reasons import Reason
from sft_operator.platforms.base import PlatformUnavailable, RawProgress
from tests.unit.world import NEVER, World


def test_a_healthy_life_costs_six_writes() -> None:
    with World(progress_interval=NEVER) as world:
        world.apply()
        world.advance(40)
        world.aws.run().progress = RawProgress(step=10, total_steps=200, train_loss=2.0)
        world.advance(40)
        world.aws.complete()
        world.advance(40)
        assert world.phase == "Succeeded"
        assert [what for what, _ in world.cluster.writes] == [
            "finalizer",
            "status",
            "status",
            "status",
            "status",
            "release",
        ]


def test_each_step_is_announced_before_it_is_taken() -> None:
    with World() as world:
        world.apply()
        world.advance(40)
        world.aws.run()
        world.advance(40)
        world.aws.complete()
        world.advance(40)
        assert world.story == ["Submitting", "Starting", "Running", "Succeeded"]
        intent = world.cluster.written[0]
        assert intent["jobName"] == world.aws.created[0]
        assert intent["plan"]["requestDigest"]


def test_the_conditions_of_a_healthy_life() -> None:
    with World() as world:
        world.apply()
        assert world.says("Validated") == ("True", "Accepted")
        assert world.says("Submitted") == ("True", "Accepted")
        assert world.says("Reconciling") == ("False", "Settled")
        assert world.says("Finished") == ("False", "InProgress")
        assert world.says("Suspended") == ("False", "InProgress")
        assert world.says("Stalled") is None
        world.aws.run()
        world.advance(40)
        assert world.phase == "Running"
        assert world.says("PlatformReachable") == ("True", "Reachable")
        world.aws.complete()
        world.advance(40)
        assert world.says("Complete") == ("True", "Succeeded")
        assert world.says("Failed") == ("False", "Succeeded")
        assert world.says("Finished") == ("True", "Succeeded")
        assert world.says("Stalled") is None
        assert world.status["observedGeneration"] == 1
        assert "reason" not in world.status
        assert world.events == ["Launched", "Succeeded"]


def test_reconciling_is_true_until_the_job_was_submitted() -> None:
    with World() as world:
        world.apply()
        intent = world.cluster.written[0]
        states = {condition["type"]: condition["status"] for condition in intent["conditions"]}
        assert (states["Reconciling"], states["Submitted"]) == ("True", "False")


def test_the_result_is_written_with_the_end() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.advance(3600)
        world.aws.complete()
        world.advance(40)
        status = world.status
        assert status["artifacts"]["checkpoint"] == f"s3://escrow/{status['jobName']}"
        assert status["billableSeconds"] >= 3600
        assert status["runtime"].startswith("1h")
        assert "completed after 1h" in status["message"]
        assert status["instanceHours"] == f"{status['billableSeconds'] * 4 / 3600:.2f}"


def test_a_finished_job_costs_nothing_more() -> None:
    with World() as world:
        world.apply()
        world.aws.complete()
        world.advance(60)
        writes = len(world.cluster.writes)
        world.restart_operator()
        world.advance(7200)
        assert len(world.cluster.writes) == writes
        assert world.aws.submits == 1
        entry = world.store.get(world.key)
        assert entry is not None
        assert entry.body is None


def test_applying_the_same_again_changes_nothing() -> None:
    with World() as world:
        world.apply()
        world.advance(60)
        writes = len(world.cluster.writes)
        world.apply()
        world.advance(600)
        assert len(world.cluster.writes) == writes


def test_an_edit_after_the_end_is_answered_and_does_nothing() -> None:
    with World() as world:
        world.apply()
        world.aws.complete()
        world.advance(60)
        world.apply({"runPolicy.suspend": True})
        world.advance(60)
        assert world.status["observedGeneration"] == 2
        assert world.phase == "Succeeded"


def test_a_result_that_cannot_be_read_is_a_success_with_a_warning() -> None:
    with World() as world:
        world.aws.result_trouble = PlatformUnavailable(Reason.ACCESS_DENIED, "s3:GetObject is missing")
        world.apply()
        world.aws.complete()
        world.until("Succeeded", within=7200)
        assert any("ResultMissing" in warning for warning in world.status["warnings"])


def test_a_result_is_waited_for_through_an_outage_of_its_storage_and_the_status_says_so() -> None:
    with World() as world:
        world.aws.result_trouble = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "S3 does not answer")
        world.apply()
        world.aws.complete()
        world.advance(1800)
        assert "its result cannot be read yet: S3 does not answer; next try at" in world.status["message"]
        world.aws.result_trouble = None
        world.until("Succeeded")
        assert world.status["artifacts"]["checkpoint"]
        assert not any("ResultMissing" in warning for warning in world.status.get("warnings", ()))


@pytest.mark.parametrize("moment", ["Submitting", "Starting", "Running", "Succeeded"])
def test_a_restart_in_any_phase_loses_and_doubles_nothing(moment: str) -> None:
    with World() as world:
        if moment == "Submitting":
            world.aws.submit_takes = 5.0
        world.apply()
        if moment in ("Running", "Succeeded"):
            world.aws.run()
            world.until("Running")
        if moment == "Succeeded":
            world.aws.complete()
            world.until("Succeeded")
        assert world.phase == moment
        world.restart_operator()
        world.aws.submit_takes = 0.0
        world.advance(60)
        if moment != "Succeeded":
            world.aws.run()
            world.until("Running")
            world.aws.complete()
        world.until("Succeeded")
        assert len(world.aws.created) == 1
        assert world.attempt == 1
