"""CRD and operator are upgraded, and rolled back, under jobs that run, wait, are suspended and have ended. What is there at
first is what version 0.1 left: objects and statuses recorded from it, under its CRD. One story, told in order."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_lab.awssim.control import Sim
from sft_lab.cluster.startup import start_lab
from sft_lab.installation import ROOT, install_chart, start_operator
from sft_lab.quickstart import upload_data
from sft_operator.api import identity
from sft_operator.api.conditions import timestamp
from sft_operator.api.crd import sftjob_crd
from sft_operator.controller.reconcile.job import parse
from sft_operator.platforms.base import JobView, Plan
from sft_operator.platforms.sagemaker.plan import make_plan
from sft_operator.recipes.catalogue import default_catalogue
from tests.cluster.story import OPEN_PROFILE, PACE, SETTINGS, Job, World, unchecked, wait_for

RECORDED = json.loads((ROOT / "tests" / "unit" / "golden" / "stored-0.1.json").read_text())
BODIES: dict[str, dict[str, Any]] = {one["body"]["metadata"]["name"]: one["body"] for one in RECORDED["jobs"]}
RUNS: dict[str, dict[str, Any]] = {
    one["body"]["metadata"]["name"]: one["create"] for one in RECORDED["jobs"] if "create" in one
}
"""The requests of the runs that were live."""
RESTING = [name for name, body in BODIES.items() if body["status"]["phase"] not in ("Queued", "Running")]
OLD_CRD = Path(__file__).parent / "data" / "sftjobs-0.1.yaml"
CRD = ROOT / "crds" / "sftjobs.sft-operator.dev.yaml"
NEXT_VERSION = {"PYTHONPATH": str(Path(__file__).parent / "next_version")}
PROFILES_WANTED = {**SETTINGS, "SFT_REQUIRE_PROFILE": "true"}
LONG = 10_000.0
"""Simulated seconds of training that only the clock's advance ends."""


def next_crd() -> dict[str, Any]:
    """Of a version to come: a field with a default, and one without."""
    crd = sftjob_crd()
    (version,) = crd["spec"]["versions"]
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] |= {
        "priority": {"type": "integer", "minimum": 0, "maximum": 9, "default": 5},
        "note": {"type": "string", "maxLength": 100},
    }
    return crd


@dataclass
class Upgrade:
    world: World
    resting: dict[str, str] = field(default_factory=dict)
    """Jobs that nothing may touch → their resourceVersion."""

    def job(self, name: str) -> Job:
        return Job(self.world, name)

    def bodies(self) -> dict[str, dict[str, Any]]:
        listed = json.loads(self.world.kubectl("get", "sft", "-o", "json"))["items"]
        return {body["metadata"]["name"]: body for body in listed}

    def rest(self, *names: str) -> None:
        """From now on nothing may touch these."""
        bodies = self.bodies()
        self.resting |= {name: bodies[name]["metadata"]["resourceVersion"] for name in names}

    def assert_nothing_was_touched(self) -> None:
        """Asked once the operator has nothing left to do."""
        settled = "sft_queue_depth 0.0"
        wait_for("the queue is empty", lambda: settled in self.world.operator.get("/metrics")[1].splitlines())
        bodies = self.bodies()
        assert {name: bodies[name]["metadata"]["resourceVersion"] for name in self.resting} == self.resting

    def crd(self, document: Mapping[str, Any], *, serves: str | None = None, without: str | None = None) -> None:
        """Installs a CRD of SFTJob; returns when a new job is given field `serves` by default, or is not given
        `without`."""
        self.world.lab.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(document))
        probe = json.dumps(unchecked(name="probe"))

        def served() -> bool:
            made = self.world.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", text=probe)
            spec = json.loads(made)["spec"]
            return (serves is None or serves in spec) and (without is None or without not in spec)

        wait_for("the CRD is served", served)

    def operator(self, settings: Mapping[str, str]) -> int:
        """Another operator takes the place of the one there was; returns where the journal stood before."""
        at = self.world.aws.calls()[-1].seq if self.world.aws.calls() else 0
        if "operator" in self.world.lab.programs and self.world.lab.programs["operator"].pid() is not None:
            self.world.kill_operator()
        self.world.settings = settings
        self.world.restart_operator()
        return at

    def until_followed(self, name: str, since: int) -> None:
        """A look has been taken at the run by the operator that is there now."""
        run = self.job(name).job_name
        calls = ("DescribeTrainingJob", "ListTrainingJobs")
        wait_for(f"{run} is looked at", lambda: any(self.world.aws.calls(op, since=since) for op in calls))
        wait_for(f"{run} is well", lambda: self.job(name).condition("PlatformReachable").get("status") == "True")

    def creates(self, since: int) -> list[str]:
        return [call.name for call in self.world.aws.calls("CreateTrainingJob", since=since)]


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    """A cluster as version 0.1 leaves it: its CRD, its objects, its runs on AWS, and no operator. The CRD of SFTProfile
    is there already, and no profile."""
    with start_lab(tmp_path_factory.mktemp("upgrade") / "lab", identity_scope=RECORDED["scope"]) as lab:
        install_chart(lab)
        upload_data(lab)
        assert lab.aws_endpoint
        aws = Sim(lab.aws_endpoint)
        aws.script("*", **PACE)
        for name in RUNS:
            aws.script(f"sft-{name}-*", **{**PACE, "training": LONG})
        operator = start_operator(lab, settings=SETTINGS)
        operator.program.signal(signal.SIGKILL)
        world = World(lab, aws, operator, "ml-team")
        scene = Upgrade(world)
        scene.crd(yaml.safe_load(OLD_CRD.read_text()))
        for create in RUNS.values():
            _launch(world, create)
        _store(world)
        yield scene


def _launch(world: World, create: Mapping[str, Any]) -> None:
    """As the operator of 0.1 did it."""
    for channel in create["InputDataConfig"]:
        bucket, _, key = channel["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://").partition("/")
        if channel["ChannelName"] == "recipe":
            world.client("s3").put_object(Bucket=bucket, Key=key, Body=b"run: {}\n")
    world.sagemaker.create_training_job(**create)


def _store(world: World) -> None:
    """The recorded objects, with new UIDs and generations as after any restore, and their statuses."""
    names = [name for name in BODIES if name != "queued"]  # a launch that is looked for takes a minute: a unit test
    made = [
        {**BODIES[name], "metadata": {k: v for k, v in BODIES[name]["metadata"].items() if k in ("name", "finalizers")}}
        for name in names
    ]
    world.kubectl("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
    for name in names:
        status = {**BODIES[name]["status"], "observedGeneration": 1}
        if status["phase"] == "Queued":
            status["pendingSince"] = timestamp(datetime.now(UTC))
        patch = json.dumps({"status": status})
        world.kubectl("patch", "sft", name, "--subresource=status", "--type=merge", "-p", patch)


def _inputs_today(body: Mapping[str, Any]) -> str:
    """inputsDigest of the same job with today's catalogue."""
    job = parse({**body, "metadata": {**body["metadata"], "namespace": "ml-team"}})
    assert job.spec is not None
    view = JobView(
        job.namespace, job.name, job.uid, job.spec, RECORDED["scope"], identity.fingerprint(job.spec),
        attempt=job.status.attempt or 1, prior_runtime_seconds=job.status.prior_runtime_seconds or 0,
    )  # fmt: skip
    plan = make_plan(view, job.status.dataset, default_catalogue())
    assert isinstance(plan, Plan)
    return plan.inputs_digest


def test_what_0_1_left_is_taken_over_without_a_launch_and_without_a_write_where_nothing_is_to_be_done(
    upgrade: Upgrade,
) -> None:
    upgrade.rest(*RESTING)
    upgrade.crd(yaml.safe_load(CRD.read_text()))
    at = upgrade.operator(PROFILES_WANTED)
    for name in RUNS:
        upgrade.until_followed(name, at)
    upgrade.job("missing-data").until("Queued", reason="PolicyDenied")
    upgrade.assert_nothing_was_touched()
    assert upgrade.creates(at) == []


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_0_1_is_followed_without_a_profile_and_has_not_drifted(upgrade: Upgrade, name: str) -> None:
    job = upgrade.job(name)
    status = job.until("Running", jobName=BODIES[name]["status"]["jobName"])
    assert "profile" not in status
    # with today's catalogue as it was then there is no drift, and with another one there is
    expected = _inputs_today(BODIES[name]) != BODIES[name]["status"]["inputsDigest"]
    wait_for("the inputs are compared", lambda: (job.condition("Drifted").get("status") == "True") is expected)
    assert "Lost" not in [reason for reason, _ in job.events()]


def test_a_job_of_0_1_that_waits_goes_on_once_a_profile_serves_its_namespace(upgrade: Upgrade) -> None:
    world = upgrade.world
    data = world.client("s3").get_object(Bucket="acme-ml-team", Key="train.jsonl")["Body"].read()
    world.client("s3").put_object(Bucket="acme-ml-team", Key="none.jsonl", Body=data)
    job = upgrade.job("missing-data")
    assert "no SFTProfile serves namespace ml-team" in job.status["message"]
    world.lab.kubectl("apply", "-f", "-", input=json.dumps(OPEN_PROFILE))
    status = job.until_finished()
    assert (status["phase"], status["profile"]["name"]) == ("Succeeded", "open")
    assert job.creates() == 1
    upgrade.assert_nothing_was_touched()


def test_under_a_newer_crd_the_operator_follows_what_runs_launches_nothing_and_ends_nothing(upgrade: Upgrade) -> None:
    world = upgrade.world
    world.aws.script("sft-done-*", **PACE)
    world.aws.script("sft-long-*", **{**PACE, "training": LONG})
    world.aws.fail("CreateTrainingJob", name="sft-quota-*", code="ResourceLimitExceeded", times=None)
    done, long, quota = (world.apply(unchecked(name=name)) for name in ("done", "long", "quota"))
    paused = world.apply(unchecked({"runPolicy.suspend": True}, name="paused"))
    quota.until("Queued", reason="QuotaExceeded")
    long.until("Running")
    paused.until("Suspended")
    done.until_finished()
    wait_for("done is not held any more", lambda: "finalizers" not in (done.body or {})["metadata"])
    upgrade.rest("done", "paused", "missing-data")

    upgrade.crd(next_crd(), serves="priority")
    world.aws.heal()
    at = upgrade.operator(PROFILES_WANTED)
    status = quota.until("Queued", reason="OperatorTooOld")
    assert "a newer CRD was installed" in status["message"]
    upgrade.until_followed("long", at)
    new = world.apply(unchecked({"note": "of tomorrow"}, name="new"))
    assert "spec.note" in new.until("Queued", reason="OperatorTooOld")["message"]
    upgrade.assert_nothing_was_touched()
    assert upgrade.creates(at) == []
    assert "Drifted" not in [c["type"] for c in long.status["conditions"] if c["status"] == "True"]


def test_the_operator_that_belongs_to_the_crd_launches_what_waited_once_and_under_the_announced_name(
    upgrade: Upgrade,
) -> None:
    quota, long, new = upgrade.job("quota"), upgrade.job("long"), upgrade.job("new")
    announced = quota.status["jobName"]
    at = upgrade.operator({**PROFILES_WANTED, **NEXT_VERSION})
    quota.wait("Submitted")
    assert quota.job_name == announced
    new.wait("Submitted")
    upgrade.until_followed("long", at)
    assert sorted(upgrade.creates(at)) == sorted([announced, new.job_name])
    upgrade.assert_nothing_was_touched()
    assert long.condition("Drifted").get("status") != "True"
    for job in (quota, new):
        assert job.until_finished()["phase"] == "Succeeded"
    upgrade.rest("quota", "new")


def test_a_rollback_of_the_operator_and_then_of_the_crd_launches_nothing_and_rewrites_nothing(upgrade: Upgrade) -> None:
    at = upgrade.operator(PROFILES_WANTED)
    upgrade.until_followed("long", at)
    upgrade.assert_nothing_was_touched()
    upgrade.crd(yaml.safe_load(CRD.read_text()), without="priority")
    upgrade.operator(PROFILES_WANTED)  # a watch that is open shows objects by the CRD that was there when it was opened
    resumed = upgrade.job("paused")
    upgrade.resting.pop("paused")
    resumed.patch(runPolicy={"suspend": False})
    assert resumed.until_finished()["phase"] == "Succeeded"
    assert upgrade.creates(at) == [resumed.job_name]
    assert upgrade.job("long").status["phase"] == "Running"
    upgrade.assert_nothing_was_touched()


def test_back_under_the_crd_of_0_1_jobs_that_say_all_themselves_run_to_their_end(upgrade: Upgrade) -> None:
    upgrade.crd(yaml.safe_load(OLD_CRD.read_text()))
    at = upgrade.operator(SETTINGS)
    jobs = [upgrade.job(name) for name in ("long", *RUNS)]
    for job in jobs:
        upgrade.until_followed(job.name, at)
    upgrade.world.aws.advance(2 * LONG)
    assert [job.until_finished()["phase"] for job in jobs] == ["Succeeded"] * 3
    assert upgrade.creates(at) == []
    upgrade.assert_nothing_was_touched()
