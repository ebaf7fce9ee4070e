"""Which run a job means: new and old runIDs, names that are taken, tags, and how far its data is looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from sft_lab.quickstart import BUCKET, DATA
from tests.cluster.story import BRIEF, World, unchecked, wait_for
from tests.manifests import nova_lite_2_lora


def test_a_new_run_id_stops_the_run_that_goes_on_and_then_launches_once(world: World) -> None:
    world.course(training=60)
    job = world.apply(unchecked())
    first = job.until("Running")["jobName"]
    world.course(**BRIEF)
    job = world.apply(unchecked({"runID": "2", "hyperparameters.maxSteps": 100}))
    status = job.until_finished()
    assert (status["phase"], status["runID"], status["attempt"]) == ("Succeeded", "2", 1)
    assert status["progress"]["totalSteps"] == 100
    assert [(past["runID"], past["jobName"], past["phase"]) for past in status["history"]] == [("1", first, "Stopped")]
    assert world.aws.job(first)["status"] == "Stopped"
    stop, second = job.calls("StopTrainingJob"), job.calls("CreateTrainingJob")[1]
    assert [call.name for call in stop] == [first]
    assert second.time >= world.aws.job(first)["since"], "the new run began before the old one had ended"
    assert job.creates() == 2


def test_going_back_to_an_old_run_id_finds_that_run_and_launches_nothing(world: World) -> None:
    world.course(**BRIEF)
    job = world.apply(unchecked())
    first = job.until_finished()
    world.apply(unchecked({"runID": "2"}))
    second = job.until("Succeeded", runID="2")
    assert second["jobName"] != first["jobName"]
    assert [past["checkpoint"] for past in second["history"]] == [first["artifacts"]["checkpoint"]]
    world.apply(unchecked())
    again = job.until("Succeeded", runID="1")
    assert again["jobName"] == first["jobName"]
    assert again["artifacts"] == first["artifacts"]
    assert job.creates() == 2


def test_a_job_suspended_together_with_a_new_run_id_stops_the_old_run_and_launches_nothing(world: World) -> None:
    world.course(training=60)
    job = world.apply(unchecked())
    first = job.until("Running")["jobName"]
    world.apply(unchecked({"runID": "2", "runPolicy.suspend": True}))
    status = job.until("Suspended", runID="2")
    assert [(past["runID"], past["phase"]) for past in status["history"]] == [("1", "Stopped")]
    assert world.aws.job(first)["status"] == "Stopped"
    assert job.creates() == 1


def test_a_tag_edited_on_a_live_run_reaches_aws(world: World) -> None:
    world.course(training=60)
    job = world.apply(unchecked({"tags": {"team": "support"}}))
    run = job.until("Running")["jobName"]
    assert world.aws.job(run)["tags"]["team"] == "support"
    job.patch(tags={"team": "sales", "ticket": "42"})
    wait_for("the tags are on the run", lambda: world.aws.job(run)["tags"].get("ticket") == "42")
    assert world.aws.job(run)["tags"]["team"] == "sales"
    job.until("Running", observedGeneration=2)
    assert job.calls("StopTrainingJob") == []
    assert job.creates() == 1


def test_check_warn_launches_in_spite_of_a_wrong_row_and_says_which(world: World) -> None:
    world.course(**BRIEF)
    rows = (DATA / "train.jsonl").read_bytes() + b'{"messages": []}\n'
    world.client("s3").put_object(Bucket=BUCKET, Key="one-bad-row.jsonl", Body=rows)
    bad = {"dataset.train.uri": f"s3://{BUCKET}/one-bad-row.jsonl"}
    refused = world.apply(nova_lite_2_lora(bad, name="refused"))
    warned = world.apply(nova_lite_2_lora({**bad, "dataset.check": "Warn"}, name="warned"))
    status = refused.until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", "DatasetInvalid")
    found = status["dataset"]["errors"]
    assert found[0].startswith(f"s3://{BUCKET}/one-bad-row.jsonl line 601:")
    assert found[0] in status["message"]
    assert refused.creates() == 0
    status = warned.until_finished()
    assert status["phase"] == "Succeeded"
    assert status["dataset"]["errors"] == found
    assert warned.condition("Validated")["reason"] == "CheckWarned"
    assert any("dataset.check is Warn" in warning for warning in status["warnings"])
    assert warned.creates() == 1


def test_check_skip_reads_nothing_of_the_data(world: World) -> None:
    world.course(**BRIEF)
    begin = world.aws.calls()[-1].seq
    job = world.apply(unchecked())
    status = job.until_finished()
    assert status["phase"] == "Succeeded"
    assert job.condition("Validated")["reason"] == "CheckSkipped"
    read = [json.dumps(call.parameters) + call.name for call in world.aws.calls(service="s3", since=begin)]
    assert any("recipe.yaml" in request for request in read)
    assert not any("train.jsonl" in request or "val.jsonl" in request for request in read)


def test_a_job_of_another_environment_with_the_same_name_is_left_alone(world: World) -> None:
    world.course(training=60)
    manifest = unchecked()
    request = rendered(world, manifest)
    scope = {"Key": "sft-operator.dev/scope", "Value": "another-environment"}
    tags = [scope if tag["Key"] == scope["Key"] else tag for tag in request["Tags"]]
    for channel in request["InputDataConfig"]:  # the other environment's recipe lies elsewhere
        if channel["ChannelName"] == "recipe":
            channel["DataSource"]["S3DataSource"]["S3Uri"] = "s3://acme-ml-team/train.jsonl"
    world.client("sagemaker").create_training_job(**{**request, "Tags": tags})
    job = world.apply(manifest)
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", "NameConflict")
    assert request["TrainingJobName"] in status["message"]
    assert "another-environment" in status["message"]
    assert "spec.runID" in status["message"]
    job.delete()
    job.until_gone()
    theirs = world.aws.job(request["TrainingJobName"])
    assert theirs["status"] == "InProgress"
    assert {tag["Key"]: tag["Value"] for tag in tags} == theirs["tags"]
    world.aws.advance(60)


def rendered(world: World, manifest: dict[str, Any]) -> dict[str, Any]:
    """The create request that `sft render` shows for a manifest."""
    sft = os.path.join(os.path.dirname(sys.executable), "sft")
    done = subprocess.run(
        [sft, "render", "-o", "json", "-n", world.namespace, "-"],
        env=world.lab.env,
        input=json.dumps(manifest),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    request: dict[str, Any] = json.loads(done.stdout)[0]["request"]
    return request
