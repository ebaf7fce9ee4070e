"""Deleting an SFTJob: what happens to its run, and what a resource of the same name finds afterwards."""

from __future__ import annotations

import json

from tests.cluster.story import BRIEF, Job, World, unchecked, wait_for

STOPPED_BY = "sft-operator.dev/stopped-by"


def test_deleting_a_running_job_stops_its_run_and_the_resource_goes_when_it_has_ended(world: World) -> None:
    world.course(training=60, stop_grace=1.0)
    job = world.apply(unchecked())
    run = job.until("Running")["jobName"]
    job.delete()
    status = job.until("Stopping")
    assert run in status["message"]
    assert "deleted" in status["message"]
    wait_for("the run is asked to end", lambda: world.aws.job(run)["status"] != "InProgress")
    job.until_gone()
    ended = world.aws.job(run)
    assert ended["status"] == "Stopped"
    assert ended["tags"][STOPPED_BY] == "Delete"
    assert len(job.calls("StopTrainingJob")) == 1
    reasons = [reason for reason, _ in job.events()]
    assert reasons.count("Stopping") == 1


def test_a_job_deleted_while_running_starts_anew_when_it_is_applied_again(world: World) -> None:
    world.course(training=60)
    job = world.apply(unchecked())
    first = job.until("Running")["jobName"]
    world.kubectl("delete", "sft", job.name)  # waits until it is gone, as at a shell
    assert world.aws.job(first)["status"] == "Stopped"
    world.course(**BRIEF)
    job = world.apply(unchecked())
    status = job.until_finished()
    assert status["phase"] == "Succeeded"
    assert status["attempt"] == 2
    assert status["jobName"] == f"{first.removesuffix('-1')}-2"
    assert job.creates() == 2


def test_a_job_deleted_at_once_after_its_apply_leaves_no_run_behind(world: World) -> None:
    world.course(training=60)
    names = ("one", "two", "three")
    world.kubectl("apply", "-f", "-", text="\n---\n".join(json.dumps(unchecked(name=name)) for name in names))
    world.kubectl("delete", "sft", *names)
    runs = [run for name in names for run in Job(world, name).calls("CreateTrainingJob")]
    assert [world.aws.job(run.name)["status"] for run in runs if run.committed] == ["Stopped"] * len(runs)


def test_with_policy_orphan_the_run_goes_on_and_is_found_again(world: World) -> None:
    world.course(training=60)
    manifest = unchecked({"runPolicy.deletionPolicy": "Orphan"})
    job = world.apply(manifest)
    run = job.until("Running")["jobName"]
    job.delete()
    job.until_gone()
    assert world.aws.job(run)["status"] == "InProgress"
    job = world.apply(manifest)
    job.wait("Submitted")
    assert job.condition("Submitted")["reason"] == "Adopted"
    assert job.status["jobName"] == run
    world.aws.advance(60)
    assert job.until_finished()["phase"] == "Succeeded"
    assert [reason for reason, _ in job.events() if reason in ("Launched", "Adopted")] == ["Launched", "Adopted"]
    assert job.calls("StopTrainingJob") == []
    assert job.creates() == 1


def test_a_completed_run_is_adopted_when_its_resource_was_deleted_and_is_applied_again(world: World) -> None:
    world.course(**BRIEF)
    job = world.apply(unchecked())
    first = job.until_finished()
    job.delete()
    job.until_gone()
    job = world.apply(unchecked())
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Succeeded", "AdoptedFinishedRun")
    assert "nothing was launched" in status["message"]
    for field in ("jobName", "artifacts", "billableSeconds", "completionTime"):
        assert status[field] == first[field]
    assert job.condition("Complete")["reason"] == "AdoptedFinishedRun"
    assert "AdoptedFinishedRun" in world.kubectl("get", "sft")
    assert job.creates() == 1
    assert job.calls("StopTrainingJob") == []


def test_a_failed_run_is_not_repeated_by_deleting_and_applying_its_resource(world: World) -> None:
    world.course(**BRIEF, end="Failed")
    job = world.apply(unchecked())
    job.until_finished()
    job.delete()
    job.until_gone()
    job = world.apply(unchecked())
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", "AlgorithmError")
    assert job.creates() == 1


def test_finished_suspended_and_waiting_jobs_go_at_once_and_nothing_is_stopped(world: World) -> None:
    world.course(**BRIEF)
    finished = world.apply(unchecked(name="finished"))
    suspended = world.apply(unchecked({"runPolicy.suspend": True}, name="suspended"))
    world.aws.script("sft-waiting-*", create_error="ResourceLimitExceeded")
    waiting = world.apply(unchecked(name="waiting"))
    run = finished.until_finished()["jobName"]
    suspended.until("Suspended")
    refused = waiting.until("Queued", reason="QuotaExceeded")["jobName"]
    for job in (finished, suspended, waiting):
        job.delete()
    for job in (finished, suspended, waiting):
        job.until_gone()
    assert world.aws.calls("StopTrainingJob", name=run) == []
    assert world.aws.calls("StopTrainingJob", name=refused) == []
    assert (finished.creates(), suspended.creates(), waiting.creates()) == (1, 0, 0)


def test_deleting_the_namespace_stops_the_runs_in_it(world: World) -> None:
    world.course(training=60)
    jobs = [world.apply(unchecked(name=name)) for name in ("one", "two")]
    runs = [job.until("Running")["jobName"] for job in jobs]
    world.lab.kubectl("delete", "namespace", world.namespace, "--wait=false")
    for job in jobs:
        job.until_gone()
    assert [world.aws.job(run)["status"] for run in runs] == ["Stopped", "Stopped"]
    assert [len(world.aws.calls("StopTrainingJob", name=run)) for run in runs] == [1, 1]
