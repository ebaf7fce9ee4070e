"""The operator's process is killed once, while there is a job in every phase of a life; after the restart each job ends
as it would have, with one training job and one verdict."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from tests.cluster.story import PACE, Job, World, unchecked, wait_for
from tests.manifests import Manifest, nova_lite_2_lora

BUCKET = "acme-ml-team"
LONG = 600.0
"""Simulated seconds of what is to go on until the clock is advanced."""

COURSES: Mapping[str, Mapping[str, Any]] = {
    "starting": {"starting": LONG},
    "running": {"training": LONG},
    "ended-meanwhile": {"training": 60},
    "stopping": {"training": LONG, "stop_grace": 100},
    "deleted": {"training": LONG, "stop_grace": 100},
    "deleted-meanwhile": {"training": LONG},
    "suspending": {"training": LONG, "stop_grace": 100},
    "suspended": {"training": LONG},
}
"""What happens to the runs of these jobs; the others take the usual course."""


@dataclass
class Crash:
    """The jobs, and what was true of them when the process was killed."""

    world: World
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    at: int = 0
    """Sequence number of the last request before the restart."""
    after: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Statuses when the new process had looked at all runs, before any time passed for them."""

    def job(self, name: str) -> Job:
        return Job(self.world, name)


def _with_data(name: str) -> Manifest:
    return nova_lite_2_lora({"dataset.train.uri": f"s3://{BUCKET}/{name}.jsonl"}, name=name)


@pytest.fixture(scope="module")
def crash(operated: World) -> Iterator[Crash]:
    world = replace(operated, namespace=f"crash-{uuid.uuid4().hex[:10]}")
    world.kubectl("create", "namespace", world.namespace)
    scene = Crash(world)
    _until_every_phase_has_its_job(scene)
    world.kill_operator()
    scene.before = {name: job.get("status") or {} for name, job in _bodies(world).items()}
    wait_for("AWS carries out the create it had received", lambda: scene.job("creating").creates() == 1)
    world.aws.advance(70)
    assert world.aws.job(scene.runs["ended-meanwhile"])["status"] == "Completed"
    scene.job("deleted-meanwhile").delete()
    world.aws.heal()
    scene.at = world.aws.calls()[-1].seq
    world.restart_operator()
    operated.operator = world.operator

    def all_looked_at() -> bool:
        described = {call.name for call in world.aws.calls("DescribeTrainingJob", since=scene.at)}
        listed = world.aws.calls("ListTrainingJobs", since=scene.at)
        return scene.runs["ended-meanwhile"] in described and len(listed) > 1

    wait_for("the new process has looked at all runs", all_looked_at)
    scene.after = {name: job.get("status") or {} for name, job in _bodies(world).items()}
    world.aws.advance(2 * LONG)
    yield scene
    world.aws.reset("faults", "scripts")
    world.kubectl("delete", "namespace", world.namespace, "--wait=false")


def _until_every_phase_has_its_job(scene: Crash) -> None:
    world = scene.world
    world.aws.script("*", **PACE)
    for name, course in COURSES.items():
        world.aws.script(f"sft-{name}-*", **{**PACE, **course})
    body = world.client("s3").get_object(Bucket=BUCKET, Key="train.jsonl")["Body"].read()
    for name in ("reading", "checked"):
        world.client("s3").put_object(Bucket=BUCKET, Key=f"{name}.jsonl", Body=body)
    world.aws.fail("CreateTrainingJob", name="sft-checked-*", code="ResourceLimitExceeded", times=None)
    world.aws.fail("GetObject", name="*/reading.jsonl", delay=60)
    world.aws.fail("PutObject", name="*sft-intended-*", delay=60)
    world.aws.fail("CreateTrainingJob", name="sft-creating-*", delay=4)
    world.aws.fail("GetObject", name="*sft-collecting-*output.tar.gz", delay=60)

    early = [*(unchecked(name=name) for name in (*COURSES, "ended", "collecting")), _with_data("checked")]
    _apply(world, early)
    wanted = dict.fromkeys(COURSES, "Running") | {"starting": "Starting", "ended": "Succeeded", "checked": "Queued"}
    _until(world, wanted)
    _apply(world, [_with_data("reading"), unchecked(name="intended")])
    for name, wish in (
        ("stopping", {"stop": True}),
        ("suspending", {"suspend": True}),
        ("suspended", {"suspend": True}),
    ):
        scene.job(name).patch(runPolicy=wish)
    scene.job("deleted").delete()
    stopping = dict.fromkeys(("stopping", "suspending", "deleted"), "Stopping")
    _until(world, {**stopping, "suspended": "Suspended", "intended": "Submitting"})
    scene.runs = {
        name: job["status"]["jobName"]
        for name, job in _bodies(world).items()
        if "jobName" in job.get("status", {})  # the one whose data is being read may have none yet
    }
    for name in stopping:
        wait_for(f"the stop of {name} was heard", partial(_asked, scene, "StopTrainingJob", name))
    _apply(world, [unchecked(name="creating")])
    for operation, part in (
        ("GetObject", "*/reading.jsonl"),
        ("PutObject", "*sft-intended-*"),
        ("GetObject", "*sft-collecting-*output.tar.gz"),
        ("CreateTrainingJob", "sft-creating-*"),
    ):
        wait_for(f"{operation} of {part}", partial(world.aws.calls, operation, name=part))


def _asked(scene: Crash, operation: str, name: str) -> int:
    return len(scene.world.aws.calls(operation, name=scene.runs[name]))


def _apply(world: World, manifests: list[Manifest]) -> None:
    world.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))


def _bodies(world: World) -> dict[str, dict[str, Any]]:
    return {body["metadata"]["name"]: body for body in json.loads(world.kubectl("get", "sft", "-o", "json"))["items"]}


def _until(world: World, phases: Mapping[str, str]) -> None:
    seen: dict[str, str | None] = {}

    def reached() -> bool:
        seen.update({name: (job.get("status") or {}).get("phase") for name, job in _bodies(world).items()})
        return all(seen.get(name) == phase for name, phase in phases.items())

    wait_for(str(phases), reached, told=lambda: str(seen))


def _ended_once(job: Job, phase: str = "Succeeded") -> dict[str, Any]:
    """One training job, one verdict, and nothing that still holds the resource."""
    status = job.until_finished()
    assert (status["phase"], job.creates()) == (phase, 1)
    wait_for(f"{job.name} is not held any more", lambda: "finalizers" not in (job.body or {})["metadata"])
    assert [reason for reason, _ in job.events()].count(phase) == 1
    assert "warnings" not in status or not any("ResultMissing" in warning for warning in status["warnings"])
    return status


def test_while_the_data_was_read_the_reading_begins_anew(crash: Crash) -> None:
    assert "jobName" not in crash.before["reading"]
    assert _ended_once(crash.job("reading"))["dataset"]["rows"] == 600


def test_between_intent_and_create_the_same_run_is_launched(crash: Crash) -> None:
    assert crash.before["intended"]["phase"] == "Submitting"
    assert [c for c in crash.world.aws.calls("CreateTrainingJob", name="sft-intended-*") if c.seq <= crash.at] == []
    status = _ended_once(crash.job("intended"))
    assert status["jobName"] == crash.before["intended"]["jobName"]
    assert crash.job("intended").condition("Submitted")["reason"] == "Accepted"


def test_while_aws_carried_out_the_create_its_job_is_attached(crash: Crash) -> None:
    assert crash.before["creating"]["phase"] == "Submitting"
    status = _ended_once(crash.job("creating"))
    assert status["jobName"] == crash.before["creating"]["jobName"]
    assert crash.job("creating").condition("Submitted")["reason"] == "Adopted"
    assert [reason for reason, _ in crash.job("creating").events() if reason in ("Launched", "Adopted")] == ["Adopted"]


@pytest.mark.parametrize(("name", "phase"), [("starting", "Starting"), ("running", "Running")])
def test_while_it_was_live_it_is_followed_on(crash: Crash, name: str, phase: str) -> None:
    assert (crash.before[name]["phase"], crash.after[name]["phase"]) == (phase, phase)
    status = _ended_once(crash.job(name))
    stages = [stage["stage"] for stage in status["timeline"]]
    assert stages == ["Pending", "Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert status["progress"]["display"] == "200/200 (100%)"


def test_a_run_that_ended_while_nobody_looked_is_taken_over(crash: Crash) -> None:
    assert crash.before["ended-meanwhile"]["phase"] == "Running"
    assert _ended_once(crash.job("ended-meanwhile"))["artifacts"]["checkpoint"]


def test_while_it_stopped_for_the_user_the_stop_is_taken_to_its_end(crash: Crash) -> None:
    assert (crash.before["stopping"]["phase"], crash.after["stopping"]["phase"]) == ("Stopping", "Stopping")
    status = _ended_once(crash.job("stopping"), "Stopped")
    assert status["reason"] == "StoppedByUser"
    assert "runPolicy.stop" in status["message"]


def test_while_it_stopped_for_a_delete_the_resource_goes_after_the_run(crash: Crash) -> None:
    assert crash.after["deleted"]["phase"] == "Stopping"
    crash.job("deleted").until_gone()
    assert crash.world.aws.job(crash.runs["deleted"])["status"] == "Stopped"
    assert crash.world.aws.creates(crash.runs["deleted"]) == 1


def test_a_job_deleted_while_the_process_was_down_is_stopped(crash: Crash) -> None:
    assert crash.before["deleted-meanwhile"]["phase"] == "Running"
    crash.job("deleted-meanwhile").until_gone()
    assert crash.world.aws.job(crash.runs["deleted-meanwhile"])["status"] == "Stopped"


@pytest.mark.parametrize("name", ["suspending", "suspended"])
def test_a_suspension_outlives_the_process_and_is_resumed_as_a_new_attempt(crash: Crash, name: str) -> None:
    job = crash.job(name)
    assert job.until("Suspended")["attempt"] == 1
    crash.world.aws.script(f"sft-{name}-*", **PACE)
    job.patch(runPolicy={"suspend": False})
    status = job.until_finished()
    assert (status["phase"], status["attempt"]) == ("Succeeded", 2)
    assert [crash.world.aws.creates(run) for run in (crash.runs[name], status["jobName"])] == [1, 1]


def test_while_its_result_was_read_the_result_is_read_again(crash: Crash) -> None:
    assert crash.before["collecting"]["phase"] != "Succeeded"
    assert _ended_once(crash.job("collecting"))["artifacts"]["checkpoint"]


def test_data_that_was_checked_is_not_read_again(crash: Crash) -> None:
    assert crash.before["checked"]["reason"] == "QuotaExceeded"
    assert _ended_once(crash.job("checked"))["dataset"]["rows"] == 600
    reads = [call.seq for call in crash.world.aws.calls("GetObject", name="*/checked.jsonl")]
    assert reads, "it was read once"
    assert max(reads) <= crash.at
    assert crash.world.aws.calls("HeadObject", name="*/checked.jsonl", since=crash.at), "but looked at for a change"


def test_after_the_end_nothing_is_asked_or_written_again(crash: Crash) -> None:
    job = crash.job("ended")
    assert job.status == crash.before["ended"]
    assert crash.world.aws.calls(since=crash.at, name=f"*{job.job_name}*") == []
    assert "finalizers" not in (job.body or {})["metadata"]
