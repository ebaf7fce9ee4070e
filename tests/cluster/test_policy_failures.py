"""Runs that fail, and launches that AWS refuses: what the user reads, and what is tried again."""

from __future__ import annotations

from tests.cluster.story import BRIEF, World, unchecked

OUT_OF_MEMORY = "AlgorithmError: ExecuteUserScriptError: CUDA out of memory. Tried to allocate 9.50 GiB"
CAPACITY = "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different type."


def test_a_failed_run_shows_its_reason_its_last_log_lines_and_what_to_do(world: World) -> None:
    world.course(
        end="Failed",
        training=1.0,
        failure_reason=OUT_OF_MEMORY,
        error_lines=["torch.OutOfMemoryError: CUDA out of memory.", "rank 3: exit code 1"],
    )
    job = world.apply(unchecked())
    job.wait("Failed", "Finished", "Stalled")
    status = job.status
    assert (status["phase"], status["reason"]) == ("Failed", "OutOfMemory")
    failure = status["failure"]
    assert (failure["reason"], failure["message"]) == ("OutOfMemory", OUT_OF_MEMORY)
    assert "rank 3: exit code 1" in failure["logTail"]
    assert "globalBatchSize" in failure["hint"]
    assert job.condition("Complete")["status"] == "False"
    assert job.condition("Failed")["reason"] == job.condition("Stalled")["reason"] == "OutOfMemory"
    assert [told for told in job.events() if told[0] == "Failed"] == [("Failed", f"OutOfMemory: {OUT_OF_MEMORY}")]
    assert "OutOfMemory" in world.kubectl("get", "sft")
    assert job.creates() == 1


def test_the_reason_of_a_failure_follows_from_what_sagemaker_says_of_it(world: World) -> None:
    said = {
        "capacity": (CAPACITY, "CapacityUnavailable"),
        "script": ("AlgorithmError: ExecuteUserScriptError: ExitCode 1", "AlgorithmError"),
        "service": ("InternalServerError: We encountered an internal error. Please try again.", "InternalServiceError"),
        "image": ("ClientError: Cannot pull the image from ECR", "ImagePullFailed"),
    }
    for name, (text, _) in said.items():
        world.aws.script(f"sft-{name}-*", pending=0.2, end="Failed", fail_in="Pending", failure_reason=text)
    jobs = {name: world.apply(unchecked(name=name)) for name in said}
    for name, (text, reason) in said.items():
        status = jobs[name].until_finished()
        assert (status["phase"], status["reason"]) == ("Failed", reason)
        assert status["failure"]["message"] == text
        assert status["failure"]["hint"]
        assert jobs[name].creates() == 1


def test_a_launch_beyond_the_quota_waits_and_is_tried_at_once_when_the_resource_is_touched(world: World) -> None:
    world.course(create_error="ResourceLimitExceeded")
    job = world.apply(unchecked())
    status = job.until("Queued", reason="QuotaExceeded")
    assert "ml.p5.48xlarge for training job usage" in status["message"]
    assert "next at" in status["message"]
    assert (job.condition("Submitted")["status"], job.condition("Submitted")["reason"]) == ("False", "QuotaExceeded")
    assert job.condition("Finished")["status"] == "False"
    assert job.creates() == 0
    world.course(**BRIEF)
    job.patch(runPolicy={"pendingDeadline": "48h"})
    assert job.until_finished()["phase"] == "Succeeded"
    assert job.condition("Submitted")["status"] == "True"
    assert [reason for reason, _ in job.events() if reason != "Warning"] == ["QuotaExceeded", "Launched", "Succeeded"]
    assert job.creates() == 1


def test_a_capacity_failure_is_tried_again_up_to_the_backoff_limit(world: World) -> None:
    world.course(**BRIEF)
    world.aws.script("*", pending=0.2, end="Failed", fail_in="Pending", failure_reason=CAPACITY, times=1)
    job = world.apply(unchecked({"runPolicy.backoffLimit": 2}))
    status = job.until_finished()
    assert status["phase"] == "Succeeded"
    assert (status["attempt"], status["retries"]) == (2, 1)
    first, second = [call.name for call in job.calls("CreateTrainingJob")]
    assert (first[-2:], second[-2:]) == ("-1", "-2")
    assert first[:-2] == second[:-2]
    assert "NewAttempt" in [reason for reason, _ in job.events()]


def test_capacity_that_never_comes_fails_the_job_when_the_retries_are_used_up(world: World) -> None:
    world.aws.script("*", pending=0.1, end="Failed", fail_in="Pending", failure_reason=CAPACITY)
    job = world.apply(unchecked({"runPolicy.backoffLimit": 1}))
    status = job.until_finished()
    assert (status["phase"], status["reason"], status["retries"]) == ("Failed", "CapacityUnavailable", 1)
    assert job.creates() == 2


def test_a_failed_training_is_never_repeated(world: World) -> None:
    world.course(**BRIEF, end="Failed")
    job = world.apply(unchecked({"runPolicy.backoffLimit": 5}))
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", "AlgorithmError")
    assert "retries" not in status
    assert job.creates() == 1
