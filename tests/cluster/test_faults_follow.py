"""AWS or the API server stops answering, or somebody meddles, while runs are live: nothing is lost, nothing is doubled."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.story import World, unchecked, wait_for

INTERNAL = "We encountered an internal error. Please try again."


def test_runs_that_cannot_be_seen_say_so_until_they_can(world: World) -> None:
    world.course(training=8)
    jobs = [world.apply(unchecked(name=name)) for name in ("one", "two")]
    for job in jobs:
        job.until("Running")
    for operation in ("ListTrainingJobs", "DescribeTrainingJob"):
        world.aws.fail(operation, code="InternalFailure", message=INTERNAL, status=500, times=None)
    for job in jobs:
        job.wait("PlatformReachable=False")
        unreachable = job.condition("PlatformReachable")
        assert unreachable["reason"] == "InternalServiceError"
        assert INTERNAL in unreachable["message"]
        assert "what stands here may be old, next look at " in unreachable["message"]
        assert job.status["phase"] == "Running"
    world.aws.heal()
    for job in jobs:
        job.wait("PlatformReachable=True")
        assert job.until_finished()["phase"] == "Succeeded"
        assert job.creates() == 1


def test_a_look_that_is_denied_tells_whose_permission_is_missing(world: World) -> None:
    world.course(training=8)
    job = world.apply(unchecked())
    job.until("Running")
    said = "User: sft-operator is not authorized to perform: sagemaker:DescribeTrainingJob"
    world.aws.fail("DescribeTrainingJob", code="AccessDeniedException", message=said, status=400, times=None)
    job.wait("PlatformReachable=False")
    assert job.condition("PlatformReachable")["reason"] == "AccessDenied"
    assert said in job.condition("PlatformReachable")["message"]
    world.aws.heal()
    assert job.until_finished()["phase"] == "Succeeded"


def test_aws_stands_still_for_a_while(world: World) -> None:
    job = world.apply(unchecked())
    job.until("Running")
    world.lab.pause("awssim")
    try:
        end = world.operator.get("/healthz"), world.operator.get("/readyz")
        waiting = world.apply(unchecked(name="later"))
        waiting.until("Submitting")
    finally:
        world.lab.resume("awssim")
    assert [status for status, _ in end] == [200, 200]
    for each in (job, waiting):
        assert each.until_finished()["phase"] == "Succeeded"
        assert each.creates() == 1


def test_a_stop_that_fails_holds_the_resource_until_the_run_is_stopped(world: World) -> None:
    world.course(training=60)
    job = world.apply(unchecked())
    name = job.until("Running")["jobName"]
    world.aws.fail("StopTrainingJob", code="InternalFailure", message=INTERNAL, status=500, times=4)
    job.delete()
    status = job.until("Stopping", reason="InternalServiceError")
    assert f"{name} cannot be stopped: " in status["message"]
    assert INTERNAL in status["message"]
    assert world.aws.job(name)["status"] == "InProgress"
    job.until_gone()
    assert world.aws.job(name)["status"] == "Stopped"


def test_the_api_server_goes_away_while_jobs_are_launched_and_run(world: World) -> None:
    world.course(training=4)
    running = world.apply(unchecked(name="running"))
    running.until("Running")
    world.aws.fail("CreateTrainingJob", name="sft-launching-*", delay=1.5)
    launching = world.apply(unchecked(name="launching"))
    wait_for("the create is on its way", lambda: world.aws.calls("CreateTrainingJob", name="sft-launching-*"))
    world.lab.kill("kube-apiserver")
    wait_for(
        "AWS has made the job",
        lambda: any(call.committed for call in world.aws.calls("CreateTrainingJob", name="sft-launching-*")),
    )
    assert world.operator.get("/healthz")[0] == 200
    world.lab.restart("kube-apiserver")
    for job in (running, launching, world.apply(unchecked(name="afterwards"))):
        assert job.until_finished()["phase"] == "Succeeded"
        assert job.creates() == 1


def test_the_api_server_stands_still_for_a_while(world: World) -> None:
    world.aws.fail("CreateTrainingJob", delay=1)
    job = world.apply(unchecked())
    wait_for("the create is on its way", lambda: world.aws.calls("CreateTrainingJob", name="sft-nova*"))
    at = len(world.aws.calls("CreateTrainingJob"))
    world.lab.pause("kube-apiserver")
    try:
        wait_for(
            "AWS has made the job",
            lambda: any(call.committed for call in world.aws.calls("CreateTrainingJob")[at - 1 :]),
        )
        wait_for("the operator is well meanwhile", lambda: world.operator.get("/healthz")[0] == 200)
    finally:
        world.lab.resume("kube-apiserver")
    assert job.until_finished()["phase"] == "Succeeded"
    assert job.creates() == 1


def test_a_status_that_was_wiped_is_found_again(world: World) -> None:
    world.course(training=6)
    job = world.apply(unchecked())
    name = job.until("Running")["jobName"]
    _edit_status(world, job.name, "replace", None)
    status = job.until_finished()
    assert (status["phase"], status["jobName"]) == ("Succeeded", name)
    assert job.creates() == 1


def test_a_status_of_hand_made_nonsense_stops_nobody_else(world: World) -> None:
    world.course(training=4)
    job, other = world.apply(unchecked(name="edited")), world.apply(unchecked(name="other"))
    name = job.until("Running")["jobName"]
    nonsense = {
        "phase": "Pending",
        "jobName": "no such job",
        "attempt": 7,
        "conditions": [],
        "progress": {"step": -5, "display": "all of it"},
        "dataset": {"files": [{"uri": "nowhere"}]},
    }
    _edit_status(world, job.name, "replace", nonsense)
    assert other.until_finished()["phase"] == "Succeeded"
    job.until_finished()
    assert world.aws.creates(name) == 1
    assert world.operator.get("/healthz")[0] == 200
    assert "sft_reconcile_errors_total 0.0" in world.operator.get("/metrics")[1].splitlines()


def _edit_status(world: World, name: str, op: str, value: Any) -> None:
    """As somebody with the right to write status would, with one JSON patch."""
    patch = [{"op": op, "path": "/status", "value": value}]
    world.kubectl("patch", "sft", name, "--subresource=status", "--type=json", "-p", json.dumps(patch))
