"""One lab for the whole session, and a namespace for each test that asks for one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from sft_lab.awssim.control import Sim
from sft_lab.cluster.lab import Lab
from sft_lab.cluster.startup import start_lab
from sft_lab.installation import install_chart, start_operator
from sft_lab.quickstart import upload_data
from tests.cluster.kubectl import Kubectl
from tests.cluster.story import OPEN_PROFILE, PACE, SETTINGS, World
from tests.cluster.witness import OPERATOR_KEY, Witness, watching


@pytest.fixture(scope="session", autouse=True)
def witness() -> Iterator[Witness]:
    """Everything that was asked of the simulated AWS of any lab in this session."""
    with watching() as seen:
        yield seen
        seen.leave()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A control plane and a simulated AWS with the chart's CRD, ServiceAccount and RBAC; no operator runs in it."""
    with start_lab(tmp_path_factory.mktemp("cluster") / "lab") as lab:
        install_chart(lab)
        yield lab


@pytest.fixture
def namespace(lab: Lab) -> Iterator[str]:
    """A namespace of the test's own; its deletion is not waited for."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    lab.kubectl("create", "namespace", name)
    yield name
    lab.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubectl(lab: Lab, namespace: str) -> Kubectl:
    return Kubectl(lab, namespace)


@pytest.fixture
def aws(lab: Lab) -> Iterator[Sim]:
    """The simulated AWS's witness and stage hand. Faults and scripts of a test end with it; jobs and journal of other
    tests stay."""
    assert lab.aws_endpoint, "the session's lab was started without a simulated AWS"
    simulation = Sim(lab.aws_endpoint)
    yield simulation
    simulation.reset("faults", "scripts")


@pytest.fixture(scope="session")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A second lab, with the operator running in it as the chart's ServiceAccount and the examples' data in S3."""
    with start_lab(tmp_path_factory.mktemp("operated") / "lab") as lab:
        install_chart(lab)
        lab.kubectl("apply", "-f", "-", input=json.dumps(OPEN_PROFILE))
        upload_data(lab)
        assert lab.aws_endpoint
        settings = {**SETTINGS, "AWS_ACCESS_KEY_ID": OPERATOR_KEY}
        operator = start_operator(lab, settings=settings)
        operator.wait_ready()
        yield World(lab, Sim(lab.aws_endpoint), operator, "default", settings)


@pytest.fixture
def world(operated: World) -> Iterator[World]:
    """The operated lab with a namespace of the test's own; faults and scripts of a test end with it."""
    if operated.operator.program.pid() is None:
        operated.restart_operator()
    name = f"test-{uuid.uuid4().hex[:10]}"
    operated.lab.kubectl("create", "namespace", name)
    operated.namespace = name
    operated.aws.script("*", **PACE)
    yield operated
    operated.aws.reset("faults", "scripts")
    if operated.operator.program.pid() is None:
        operated.restart_operator()
    operated.lab.kubectl("delete", "namespace", name, "--wait=false")
