"""Suspending, resuming and stopping a job by runPolicy, and a stop made by somebody else."""

from __future__ import annotations

from tests.cluster.story import BRIEF, Job, World, unchecked, wait_for


def max_runtimes(job: Job) -> list[int]:
    """MaxRuntimeInSeconds of each create request."""
    return [call.parameters["StoppingCondition"]["MaxRuntimeInSeconds"] for call in job.calls("CreateTrainingJob")]


def test_a_job_applied_suspended_is_launched_when_it_is_resumed(world: World) -> None:
    world.course(**BRIEF)
    job = world.apply(unchecked({"runPolicy.suspend": True}))
    job.wait("Suspended")
    assert job.status["phase"] == "Suspended"
    assert job.creates() == 0
    job.patch(runPolicy={"suspend": False})
    status = job.until_finished()
    assert (status["phase"], status["attempt"]) == ("Succeeded", 1)
    assert job.condition("Suspended")["status"] == "False"
    assert job.creates() == 1
    assert max_runtimes(job) == [432000]


def test_a_resumed_run_is_a_new_attempt_with_the_time_that_is_left(world: World) -> None:
    world.course(training=600)
    job = world.apply(unchecked())
    first = job.until("Running")["jobName"]
    world.aws.advance(100)
    job.patch(runPolicy={"suspend": True})
    job.wait("Suspended")
    status = job.until("Suspended")
    assert "progress was lost" in job.condition("Suspended")["message"]
    assert job.condition("Submitted")["status"] == job.condition("Finished")["status"] == "False"
    assert world.aws.job(first)["status"] == "Stopped"
    trained = status["priorRuntimeSeconds"]
    assert 100 <= trained < 200
    world.course(**BRIEF)
    job.patch(runPolicy={"suspend": False})
    status = job.until_finished()
    assert (status["phase"], status["attempt"]) == ("Succeeded", 2)
    assert status["jobName"] == f"{first.removesuffix('-1')}-2"
    assert "retries" not in status
    assert max_runtimes(job) == [432000, 432000 - trained]
    assert len(job.calls("StopTrainingJob")) == 1
    told = [reason for reason, _ in job.events() if reason != "Warning"]
    assert told == ["Launched", "Stopping", "Suspended", "Resumed", "Launched", "Succeeded"]


def test_a_suspension_that_is_taken_back_while_the_run_is_stopping_ends_in_a_new_attempt(world: World) -> None:
    world.course(training=60, stop_grace=1.0)
    job = world.apply(unchecked())
    first = job.until("Running")["jobName"]
    job.patch(runPolicy={"suspend": True})
    wait_for("the run is stopping", lambda: world.aws.job(first)["status"] == "Stopping")
    world.course(**BRIEF)
    job.patch(runPolicy={"suspend": False})
    status = job.until_finished()
    assert (status["phase"], status["attempt"]) == ("Succeeded", 2)
    assert world.aws.job(first)["status"] == "Stopped"
    assert job.creates() == 2


def test_a_suspended_job_that_is_stopped_ends_for_good(world: World) -> None:
    job = world.apply(unchecked({"runPolicy.suspend": True}))
    job.until("Suspended")
    job.patch(runPolicy={"stop": True, "suspend": False})
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Stopped", "StoppedByUser")
    assert job.creates() == 0


def test_stop_ends_a_running_job_for_good(world: World) -> None:
    world.course(training=60)
    job = world.apply(unchecked())
    run = job.until("Running")["jobName"]
    job.patch(runPolicy={"stop": True})
    job.wait("Failed", "Finished")
    status = job.until("Stopped")
    assert status["reason"] == status["failure"]["reason"] == "StoppedByUser"
    assert "runPolicy.stop" in status["message"]
    assert job.condition("Failed")["reason"] == "StoppedByUser"
    assert world.aws.job(run)["status"] == "Stopped"
    job.patch(runPolicy={"stop": False})
    job.until("Stopped", observedGeneration=3)
    assert job.creates() == len(job.calls("StopTrainingJob")) == 1


def test_stop_before_the_launch_ends_the_job_without_one(world: World) -> None:
    job = world.apply(unchecked({"runPolicy.stop": True}))
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Stopped", "StoppedByUser")
    assert job.creates() == 0


def test_a_stop_made_outside_reads_like_a_stop_of_the_user(world: World) -> None:
    world.course(training=60)
    job = world.apply(unchecked())
    run = job.until("Running")["jobName"]
    world.client("sagemaker").stop_training_job(TrainingJobName=run)
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Stopped", "StoppedByUser")
    assert "outside of this resource" in status["message"]
    assert job.condition("Failed")["reason"] == "StoppedByUser"
    assert len(job.calls("StopTrainingJob")) == 1, "the operator sent a stop of its own"
    assert job.creates() == 1
