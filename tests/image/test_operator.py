"""The operator as it runs in a pod: from the image, as its user, against the lab's API server and simulated AWS."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from sft_lab.awssim.control import Sim
from sft_lab.cluster.lab import Lab
from sft_lab.cluster.startup import start_lab
from sft_lab.installation import NAMESPACE, RELEASE, Operator
from sft_lab.processes import Program
from sft_lab.quickstart import prepare
from tests.cluster.story import PACE, SETTINGS, World, wait_for
from tests.image.built import Built, told
from tests.manifests import nova_lite_2_lora
from tools.image.engines import Container

KUBECONFIG = "/mounted/kubeconfig"


@dataclass(frozen=True)
class Pod:
    """What a process of the image is given in the lab's stead of a cluster."""

    lab: Lab
    env: Mapping[str, str]
    mounts: Mapping[Path, str]


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    with start_lab(tmp_path_factory.mktemp("image") / "lab") as lab:
        prepare(lab)
        config = tmp_path_factory.mktemp("kubeconfig") / "kubeconfig"
        shutil.copy(lab.kubeconfig_of(NAMESPACE, RELEASE), config)
        config.chmod(0o444)  # the image's user is nobody on this machine
        env = {name: value for name, value in lab.env.items() if name.startswith(("AWS_", "SFT_"))}
        env |= {"KUBECONFIG": KUBECONFIG, "SFT_LEASE_NAMESPACE": NAMESPACE}
        env |= {"SFT_HTTP_HOST": "127.0.0.1", "SFT_HTTP_PORT": "0", **SETTINGS, "SFT_REQUIRE_PROFILE": "true"}
        yield Pod(lab, env, {config: KUBECONFIG})


@pytest.fixture(scope="module")
def world(built: Built, image: Container, pod: Pod) -> World:
    """A lab whose operator runs in the image; it starts with the first test."""
    argv = image.command(built.configuration["Entrypoint"], env=pod.env, mounts=pod.mounts)
    engines = {"PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "STORAGE_DRIVER", "BUILDAH_ISOLATION"}
    environ = {name: value for name, value in built.by.environment.items() if name in engines}
    program = Program("operator", pod.lab.layout.run, argv, environ, pod.lab.layout.logs / "operator.log")
    program.start()
    assert pod.lab.aws_endpoint
    aws = Sim(pod.lab.aws_endpoint)
    aws.script("*", **PACE)
    return World(pod.lab, aws, Operator(pod.lab, program), "ml-team")


def test_it_becomes_ready(world: World) -> None:
    world.operator.wait_ready()
    assert world.operator.get("/healthz") == (200, "ok\n")
    assert "sft_queue_depth " in world.operator.get("/metrics")[1]


def test_it_reads_data_launches_one_training_job_and_tells_its_result(world: World) -> None:
    job = world.apply(nova_lite_2_lora())
    status = job.until_finished()
    assert (status["phase"], status.get("failure")) == ("Succeeded", None)
    assert status["dataset"]["rows"] > 0
    assert status["artifacts"]["checkpoint"].startswith("s3://")
    assert job.creates() == 1


def test_its_doctor_finds_no_permission_missing(image: Container, pod: Pod) -> None:
    done = image.run("sft", "doctor", env=pod.env, mounts=pod.mounts)
    print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sagemaker:DescribeTrainingJob" in done.stdout
    assert "leases" in done.stdout


def test_it_wrote_nothing_outside_tmp(world: World, image: Container) -> None:
    assert world.operator.program.pid() is not None
    code = """
import json, os, stat
mine = []
for folder, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(folder, name) not in ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp")]
    mine += [path for path in (os.path.join(folder, name) for name in files) if os.lstat(path).st_uid == os.getuid()]
print(json.dumps(mine))
"""
    assert told(image, code) == []


def test_it_ends_in_seconds_when_it_is_asked_to_and_gives_up_leadership(world: World, built: Built) -> None:
    program = world.operator.program
    pid = program.pid()
    assert pid is not None
    os.kill(built.by.process(pid), signal.SIGTERM)
    wait_for("the Lease is given up", lambda: "the Lease is released" in program.log.read_text(), seconds=10)
    wait_for("it ends", lambda: program.pid() is None)  # docker removes the container meanwhile
    assert "Traceback" not in program.log.read_text()
    lease = json.loads(world.lab.kubectl("get", "lease", RELEASE, "-n", NAMESPACE, "-o", "json").stdout)
    assert not lease["spec"].get("holderIdentity")
