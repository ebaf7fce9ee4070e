"""An installation for some namespaces of a cluster: the operator's process with nothing but the Roles that the chart gives
it there, in a lab of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sft_lab.awssim.control import Sim
from sft_lab.cluster.startup import start_lab
from sft_lab.installation import install_chart, start_operator
from sft_lab.quickstart import upload_data
from tests.cluster.story import BRIEF, OPEN_PROFILE, SETTINGS, World, unchecked, wait_for

TEAMS = ("team-a", "team-b")
WATCHED = ("--set", f"watchNamespaces={{{','.join(TEAMS)}}}")
SCOPED = {
    **SETTINGS,
    "SFT_NAMESPACES": ",".join(TEAMS),
    "SFT_REQUIRE_PROFILE": "true",
    "SFT_LEADERSHIP": "Lease",
    "SFT_RESYNC_INTERVAL": "1",
}
PROFILE = {
    **OPEN_PROFILE,
    "spec": {**OPEN_PROFILE["spec"], "namespaces": {"selector": {"matchLabels": {"sft": "yes"}}}},
}
"""By label, so that the operator has to read its namespaces."""


def make_namespace(world: World, name: str) -> None:
    world.lab.kubectl("create", "namespace", name)
    world.lab.kubectl("label", "namespace", name, "sft=yes")


@pytest.fixture(scope="module")
def scoped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with start_lab(tmp_path_factory.mktemp("scoped") / "lab") as lab:
        assert lab.aws_endpoint
        aws = Sim(lab.aws_endpoint)
        aws.script("*", **BRIEF)
        for name in (*TEAMS, "team-c"):
            lab.kubectl("create", "namespace", name)
            lab.kubectl("label", "namespace", name, "sft=yes")
        install_chart(lab, *WATCHED)
        upload_data(lab)
        lab.kubectl("apply", "-f", "-", input=json.dumps(PROFILE))
        operator = start_operator(lab, settings=SCOPED)
        operator.wait_ready()
        yield World(lab, aws, operator, TEAMS[0], SCOPED)


def in_namespace(world: World, name: str) -> World:
    return World(world.lab, world.aws, world.operator, name, world.settings)


def test_jobs_of_the_listed_namespaces_run_and_no_other_is_touched(scoped: World) -> None:
    elsewhere = in_namespace(scoped, "team-c").apply(unchecked())
    for name in TEAMS:
        in_namespace(scoped, name).apply(unchecked()).until("Succeeded")
    assert elsewhere.status == {}
    assert elsewhere.creates() == 0
    assert not [line for line in scoped.log_lines() if line["level"] == "ERROR"]


def test_a_replica_that_stands_by_passes_both_probes(scoped: World) -> None:
    standby = start_operator(scoped.lab, name="standby", settings=SCOPED)
    standby.wait_ready()
    leads = [line for line in standby.get("/metrics")[1].splitlines() if line.startswith("sft_leader")]
    assert leads
    assert leads[0].endswith(" 0.0")
    assert (standby.get("/healthz")[0], standby.get("/readyz")[0]) == (200, 200)
    scoped.lab.kill("standby")


def test_a_replica_without_a_role_in_its_namespaces_is_not_ready_and_says_what_it_lacks(scoped: World) -> None:
    stranger = start_operator(scoped.lab, name="stranger", settings={**SCOPED, "SFT_NAMESPACES": "team-c"})
    wait_for("its page answers", lambda: stranger.get("/readyz")[0] == 503)
    assert "has the operator a Role in one of them" in stranger.get("/readyz")[1]
    assert stranger.get("/healthz")[0] == 200
    scoped.lab.kill("stranger")


def test_a_namespace_that_is_deleted_ends_nobody_elses_service_and_is_served_again_when_it_is_back(
    scoped: World,
) -> None:
    before = scoped.operator.program.pid()
    scoped.lab.kubectl("delete", "namespace", "team-b", "--timeout=60s")

    def told() -> str:
        watched = [line["message"] for line in scoped.log_lines() if "namespaces that are watched" in line["message"]]
        return watched[-1].partition(": ")[2]

    wait_for("only team-a is watched", lambda: told() == "team-a", told=told)
    scoped.apply(unchecked(name="meanwhile")).until("Succeeded")

    make_namespace(scoped, "team-b")
    install_chart(scoped.lab, *WATCHED)  # the Role went with the namespace
    wait_for("both are watched", lambda: told() == "team-a, team-b", told=told)
    in_namespace(scoped, "team-b").apply(unchecked(name="again")).until("Succeeded")
    assert scoped.operator.program.pid() == before
