"""How long a job may train, and how long it may wait for its launch."""

from __future__ import annotations

from tests.cluster.story import World, unchecked


def test_a_run_that_reaches_max_runtime_fails_with_deadline_exceeded(world: World) -> None:
    world.course(training=600)
    job = world.apply(unchecked({"runPolicy.maxRuntime": "1m"}))
    job.until("Running")
    world.aws.advance(60)
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert "60 seconds" in status["failure"]["message"]
    assert "runPolicy.maxRuntime" in status["failure"]["hint"]
    assert status["timeline"][-1]["stage"] == "MaxRuntimeExceeded"
    assert job.calls("StopTrainingJob") == []


def test_a_longer_max_runtime_comes_too_late_for_the_live_run_and_the_job_says_so(world: World) -> None:
    world.course(training=60)
    job = world.apply(unchecked())
    job.until("Running")
    job.patch(runPolicy={"maxRuntime": "200h"})
    status = job.until("Running", observedGeneration=2)
    assert any("200h comes too late" in warning and "120h" in warning for warning in status["warnings"])
    assert job.creates() == 1


def test_a_quota_that_never_comes_ends_the_job_at_its_pending_deadline(world: World) -> None:
    world.course(create_error="ResourceLimitExceeded")
    job = world.apply(unchecked({"runPolicy.pendingDeadline": "2s"}))
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", "PendingDeadlineExceeded")
    assert "QuotaExceeded" in status["message"]
    assert job.condition("Submitted")["status"] == "False"
    assert job.creates() == 0
