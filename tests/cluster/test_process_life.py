"""The operator's process in a lab of its own: started before anything is there, ended, started anew with other
credentials; what it shows on its pages and in its log. The tests tell one story and stand in its order."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sft_lab.awssim.control import Sim
from sft_lab.cluster.lab import Lab
from sft_lab.cluster.startup import start_lab
from sft_lab.installation import NAMESPACE, RELEASE, install_chart, start_operator
from sft_lab.quickstart import upload_data
from tests.cluster.story import PACE, SETTINGS, World, unchecked, wait_for
from tests.manifests import nova_lite_2_lora

CRD = "sftjobs.sft-operator.dev"
SECRETS = {"AWS_ACCESS_KEY_ID": "AKIALABLABLABLAB0001", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-operators-own"}
WEB_TOKEN = "header.web-identity-token-of-the-pod.signature"
ROLE = "arn:aws:iam::111122223333:role/sft-operator"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """RBAC is installed, the CRD is not."""
    with start_lab(tmp_path_factory.mktemp("process") / "lab") as lab:
        install_chart(lab)
        lab.kubectl("delete", "crd", CRD)
        upload_data(lab)
        assert lab.aws_endpoint
        aws = Sim(lab.aws_endpoint)
        aws.script("*", **PACE)
        lab.env |= SECRETS
        operator = start_operator(lab, settings=SETTINGS)
        yield World(lab, aws, operator, "ml-team")


def test_before_the_crd_exists_it_is_healthy_and_says_what_it_waits_for(world: World) -> None:
    wait_for("it answers", lambda: world.operator.get("/healthz")[0])
    assert world.operator.get("/healthz") == (200, "ok\n")
    status, text = world.operator.get("/readyz")
    assert status == 503
    assert f"CustomResourceDefinition {CRD}" in text
    assert "installed" in text


def test_when_the_crd_is_installed_it_gets_ready_and_works(world: World) -> None:
    install_chart(world.lab)
    world.operator.wait_ready()
    assert world.operator.get("/readyz") == (200, "ok\n")
    assert world.apply(nova_lite_2_lora(name="first")).until_finished()["phase"] == "Succeeded"


def test_deleting_the_crd_stops_what_runs_and_a_new_crd_is_watched(world: World) -> None:
    world.course(training=60)
    job = world.apply(unchecked(name="running"))
    name = job.until("Running")["jobName"]
    world.lab.kubectl("delete", "crd", CRD, "--timeout=120s")
    assert world.aws.job(name)["status"] == "Stopped"
    wait_for("it is not ready", lambda: world.operator.get("/readyz")[0] == 503)
    assert world.operator.get("/healthz")[0] == 200
    world.course()
    install_chart(world.lab)
    world.operator.wait_ready()
    assert world.apply(unchecked(name="second")).until_finished()["phase"] == "Succeeded"


def test_a_spec_that_this_version_cannot_read_is_refused_and_the_others_go_on(world: World) -> None:
    document = json.loads(world.kubectl("get", "crd", CRD, "-o", "json"))
    version = next(iter(document["spec"]["versions"]))
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema["method"]["enum"].append("Magic")
    world.kubectl("replace", "-f", "-", text=json.dumps(document))
    wait_for(
        "the API server takes it",
        lambda: (
            "created"
            in world.kubectl(
                "apply",
                "-f",
                "-",
                text=json.dumps(unchecked({"method": "Magic"}, name="magic")),
                check=False,
            )
        ),
    )
    job = world.apply(unchecked(name="magic-not"))
    magic = replace(job, name="magic")
    status = magic.until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", "InvalidSpec")
    assert "spec.method: " in status["message"]
    assert job.until_finished()["phase"] == "Succeeded"
    assert magic.creates() == 0


def test_the_metrics_tell_jobs_calls_queue_and_passes(world: World) -> None:
    page = world.operator.get("/metrics")[1]
    assert 'sft_jobs{phase="Succeeded"} ' in page
    assert 'sft_aws_calls_total{code="OK",operation="CreateTrainingJob",service="sagemaker"} 4.0' in page
    assert "sft_queue_depth " in page
    assert "sft_sweep_age_seconds " not in page, "nothing is followed, so nothing ages"
    assert "sft_reconcile_seconds_bucket" in page
    assert "sft_reconcile_errors_total 0.0" in page


def test_every_log_line_is_json_and_says_which_job_and_run_it_is_about(world: World) -> None:
    lines = world.log_lines()
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    launched = [line for line in lines if line["message"].startswith("Launched: ")]
    assert {line["job"] for line in launched} == {f"ml-team/{n}" for n in ("first", "running", "second", "magic-not")}
    assert all(line["message"].startswith(f"Launched: {line['run']} ") for line in launched)


def test_no_credential_is_logged_or_written(world: World) -> None:
    token = json.loads(world.lab.kubeconfig_of(NAMESPACE, RELEASE).read_text())["users"][0]["user"]["token"]
    started = json.loads((world.lab.layout.root / f"kubeconfig-{NAMESPACE}-{RELEASE}").read_text())
    written = world.operator.program.log.read_text() + world.kubectl("get", "sft,events", "-o", "json")
    for secret in (*SECRETS.values(), token, started["users"][0]["user"]["token"], "Bearer ", "X-Amz-"):
        assert secret not in written


def test_sigterm_ends_it_soon_and_well_also_while_a_job_runs(world: World, tmp_path: Path) -> None:
    world.course(training=4)
    _end(world)
    with _child(world, tmp_path / "log") as process:
        job = world.apply(unchecked(name="during-sigterm"))
        job.until("Running")
        began = time.monotonic()
        process.terminate()
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - began < 5
    assert "Traceback" not in (tmp_path / "log").read_text()
    world.restart_operator()
    assert job.until_finished()["phase"] == "Succeeded"
    assert job.creates() == 1


def test_without_leadership_it_watches_and_does_nothing(world: World) -> None:
    _end(world)
    world.operator = start_operator(world.lab, settings={**SETTINGS, "SFT_LEADERSHIP": "Never"})
    world.operator.wait_ready()
    at = world.aws.calls()[-1].seq
    job = world.apply(nova_lite_2_lora(name="unled"))
    wait_for(
        "it sees the job",
        lambda: 'sft_jobs{phase="Pending"} 1.0' in world.operator.get("/metrics")[1],
    )
    assert job.status == {}
    assert "finalizers" not in (job.body or {})["metadata"]
    assert world.aws.calls(since=at) == []
    assert any("leadership is Never" in line["message"] for line in world.log_lines())
    job.delete()
    job.until_gone()


@pytest.mark.parametrize(("kept", "gone"), [("AWS_REGION", "AWS_DEFAULT_REGION"), ("AWS_DEFAULT_REGION", "AWS_REGION")])
def test_a_pod_of_eks_with_a_role_and_one_region_variable_works(
    world: World, tmp_path: Path, kept: str, gone: str
) -> None:
    """IRSA: a role, a token file, a region; no key of any kind."""
    token = tmp_path / "token"
    token.write_text(WEB_TOKEN)
    _end(world)
    world.course(training=0.3)
    pod = Lab(world.lab.layout.root)
    for name in (gone, *SECRETS):
        del pod.env[name]
    pod.env |= {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_SESSION_NAME": "operator"}
    assert kept in pod.env
    at = world.aws.calls()[-1].seq
    world.operator = start_operator(pod, settings=SETTINGS)
    world.operator.wait_ready()
    job = world.apply(nova_lite_2_lora(name=kept.lower().replace("_", "-")))
    assert job.until_finished()["phase"] == "Succeeded"
    assumed = world.aws.calls("AssumeRoleWithWebIdentity", since=at)
    assert assumed
    assert {call.name for call in assumed} == {ROLE}
    [create] = job.calls("CreateTrainingJob")
    assert create.caller.startswith("ASIA")
    assert WEB_TOKEN not in world.operator.program.log.read_text() + world.kubectl("get", "sft,events", "-o", "json")


def test_the_service_account_may_do_what_the_chart_says_and_nothing_else(world: World) -> None:
    def allowed(*request: str) -> bool:
        account = f"--as=system:serviceaccount:{NAMESPACE}:{RELEASE}"
        return world.kubectl("auth", "can-i", *request, "--all-namespaces", account, check=False).startswith("yes")

    for verb in ("get", "list", "watch", "patch"):
        assert allowed(verb, "sftjobs"), verb
    assert allowed("patch", "sftjobs", "--subresource=status")
    assert allowed("create", "events")
    assert allowed("list", "customresourcedefinitions")
    for verb, what in (
        *((verb, "sftjobs") for verb in ("create", "delete", "deletecollection")),
        *((verb, kind) for verb in ("get", "list", "create", "delete") for kind in ("secrets", "pods", "configmaps")),
        ("create", "serviceaccounts/token"),
        ("patch", "customresourcedefinitions"),
        ("get", "nodes"),
        ("impersonate", "users"),
    ):
        assert not allowed(verb, what), f"{verb} {what}"


def _end(world: World) -> None:
    """Asks the operator to end, as a rollout does."""
    program = world.operator.program
    program.signal(signal.SIGTERM)
    wait_for("it ends", lambda: program.pid() is None)


@contextmanager
def _child(world: World, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m sft_operator` as a child of ours, so that its exit code is seen."""
    environment = {**world.operator.program.environ, "KUBECONFIG": str(world.lab.kubeconfig_of(NAMESPACE, RELEASE))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sft_operator"], env=environment, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
