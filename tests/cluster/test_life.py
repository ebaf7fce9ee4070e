"""A job's whole life, as its user sees it: one job is lived once, and each test tells one side of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest

from tests.cluster.story import Job, World, unchecked, wait_for
from tests.manifests import nova_lite_2_lora

PROGRESS = {"progress", "metrics", "timeline", "message", "runtime", "billableSeconds", "instanceHours", "startTime"}
"""Parts of a status that move while a run goes on; their writes are shared and do not count."""


@dataclass
class Life:
    """What a watcher saw of one job, from its apply until nothing was left to do for it."""

    job: Job
    versions: list[dict[str, Any]]
    end: dict[str, Any]
    journal_at_end: int
    """Sequence number of the last request of the run."""

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.end["status"]
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        return next(c for c in self.status["conditions"] if c["type"] == kind)


@pytest.fixture(scope="module")
def life(operated: World) -> Iterator[Life]:
    world = replace(operated, namespace=f"life-{uuid.uuid4().hex[:10]}")
    world.kubectl("create", "namespace", world.namespace)
    world.course(training=3.0)  # long enough for several looks at its log
    job = Job(world, "nova-lite-2-lora")
    with job.watched() as versions:
        world.apply(nova_lite_2_lora({"tags": {"team": "support"}}))
        job.wait("Submitted", "Complete", "Finished")
        wait_for("the finalizer is released", lambda: "finalizers" not in (job.body or {})["metadata"])
    assert job.body is not None
    yield Life(job, versions, job.body, world.aws.calls(name=job.job_name)[-1].seq)
    world.kubectl("delete", "namespace", world.namespace, "--wait=false")


def test_a_job_runs_from_apply_to_its_checkpoint(life: Life) -> None:
    assert life.status["phase"] == "Succeeded"
    assert life.status["artifacts"]["checkpoint"].startswith("s3://customer-escrow-111122223333-smtj-")
    assert life.status["artifacts"]["output"] == f"s3://acme-ml-team/sft/{life.status['jobName']}/"
    assert life.status["jobName"] in life.status["artifacts"]["logs"]
    assert life.job.creates() == 1


def test_the_phases_come_in_order(life: Life) -> None:
    phases = [version.get("status", {}).get("phase") for version in life.versions]
    stages = [phase for before, phase in pairwise([None, *phases]) if phase != before]
    assert [stage for stage in stages if stage != "Validating"] == ["Submitting", "Starting", "Running", "Succeeded"]


def test_a_finished_job_says_so_in_its_conditions(life: Life) -> None:
    generation = life.end["metadata"]["generation"]
    said = {c["type"]: (c["status"], c["reason"]) for c in life.status["conditions"]}
    assert said == {
        "Validated": ("True", "Accepted"),
        "Submitted": ("True", "Accepted"),
        "PlatformReachable": ("True", "Reachable"),
        "Suspended": ("False", "Settled"),
        "Complete": ("True", "Succeeded"),
        "Failed": ("False", "Succeeded"),
        "Finished": ("True", "Succeeded"),
        "Reconciling": ("False", "Settled"),
    }
    assert life.status["observedGeneration"] == generation
    assert {c["observedGeneration"] for c in life.status["conditions"]} == {generation}


def test_every_version_answers_the_generation_and_says_when_it_is_being_launched(life: Life) -> None:
    answered = [version["status"] for version in life.versions if version.get("status")]
    assert {status["observedGeneration"] for status in answered} == {life.end["metadata"]["generation"]}
    for status in answered:
        conditions = {c["type"]: c["status"] for c in status["conditions"]}
        launching = status["phase"] in ("Pending", "Validating", "Submitting")
        assert conditions["Reconciling"] == str(launching)
        assert conditions["Submitted"] == str(not launching)
        assert not (conditions["Complete"] == "True" and conditions["Failed"] == "True")


def test_a_healthy_life_costs_at_most_six_writes_besides_progress(life: Life) -> None:
    counted = []
    for before, after in pairwise(life.versions):
        old, new = before.get("status", {}), after.get("status", {})
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        if not changed or changed - PROGRESS:  # nothing of the status: a finalizer
            counted.append(new.get("phase"))
    assert len(counted) <= 6, counted


def test_launch_and_success_are_told_once_and_nothing_is_told_periodically(life: Life) -> None:
    told = [reason for reason, _ in life.job.events() if reason != "Warning"]
    assert told == ["Launched", "Succeeded"]
    warnings = [message for reason, message in life.job.events() if reason == "Warning"]
    assert len(warnings) == len(set(warnings))


def test_the_timeline_has_the_stages_of_sagemaker(life: Life) -> None:
    timeline = life.status["timeline"]
    assert [stage["stage"] for stage in timeline] == [
        "Pending", "Starting", "Downloading", "Training", "Uploading", "Completed",
    ]  # fmt: skip
    assert all(before["end"] == after["start"] for before, after in pairwise(timeline))


def test_what_it_cost_and_what_it_learned_stand_in_status(life: Life) -> None:
    status = life.status
    assert status["billableSeconds"] >= 1
    assert status["instanceHours"] == f"{status['billableSeconds'] * 4 / 3600:.2f}"
    assert status["progress"]["display"] == "200/200 (100%)"
    assert "eta" not in status["progress"]
    metrics = status["metrics"]
    assert metrics["bestTrainLoss"] <= metrics["trainLoss"] < metrics["firstTrainLoss"]
    assert metrics["display"] == f"{metrics['trainLoss']:.4g}"
    assert status["dataset"]["rows"] == 600
    assert status["effective"]["instanceCount"] == 4
    assert status["plan"]["maxInstanceHours"] == 480


def test_progress_and_loss_move_while_it_runs(life: Life) -> None:
    running = [v["status"] for v in life.versions if v.get("status", {}).get("phase") == "Running"]
    steps = [status["progress"]["step"] for status in running if "step" in status["progress"]]
    assert steps == sorted(steps)
    assert len(set(steps)) >= 2, "figures were written at most once while the job trained for two seconds"
    assert any(status["progress"].get("eta") for status in running)
    assert all(status["metrics"]["trainLoss"] > 0 for status in running if "step" in status["progress"])


def test_kubectl_get_shows_model_phase_progress_and_loss(life: Life) -> None:
    header, row = life.job.world.kubectl("get", "sft").splitlines()
    assert header.split() == ["NAME", "MODEL", "PHASE", "REASON", "PROGRESS", "LOSS", "ETA", "AGE"]
    shown = {name: row[header.index(name) :].split("  ")[0].strip() for name in header.split()}
    assert shown["NAME"] == "nova-lite-2-lora"
    assert (shown["MODEL"], shown["PHASE"], shown["REASON"]) == ("nova-lite-2", "Succeeded", "")
    assert (shown["PROGRESS"], shown["LOSS"]) == ("200/200 (100%)", life.status["metrics"]["display"])
    wide = life.job.world.kubectl("get", "sft", "-o", "wide").splitlines()
    assert wide[0].split()[-3:] == ["PLATFORM", "JOB", "INSTANCE-HOURS"]
    assert wide[1].split()[-3:] == ["SageMaker", life.status["jobName"], life.status["instanceHours"]]


def test_kubectl_describe_tells_how_it_went(life: Life) -> None:
    lines = [" ".join(line.split()) for line in life.job.world.kubectl("describe", "sft").splitlines()]
    job_name, checkpoint = life.status["jobName"], life.status["artifacts"]["checkpoint"]
    assert f"Checkpoint: {checkpoint}" in lines
    assert "Phase: Succeeded" in lines
    assert any(line.startswith(f"Message: {job_name} completed after ") for line in lines)
    assert "Display: 200/200 (100%)" in lines
    assert any(
        line.startswith("Normal Launched ") and f"{job_name} was accepted by SageMaker" in line for line in lines
    )
    assert any(line.startswith("Normal Succeeded ") and checkpoint in line for line in lines)


def test_sagemaker_is_not_asked_again_after_the_end(life: Life) -> None:
    world = life.job.world
    another = world.apply(unchecked(name="another"))
    another.until("Running")
    assert "sft_sweep_age_seconds " in world.operator.get("/metrics")[1]
    another.until_finished()
    assert another.calls("DescribeTrainingJob"), "sweeps went on meanwhile"
    assert [c.operation for c in world.aws.calls(since=life.journal_at_end, name=life.status["jobName"])] == []


def test_applying_again_changes_nothing_and_launches_nothing(world: World) -> None:
    manifest = nova_lite_2_lora()
    job = world.apply(manifest)
    job.until("Running")
    assert "unchanged" in world.kubectl("apply", "-f", "-", text=json.dumps(manifest))
    job.until_finished()
    assert "unchanged" in world.kubectl("apply", "-f", "-", text=json.dumps(manifest))
    assert job.creates() == 1
