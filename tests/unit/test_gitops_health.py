"""What Argo CD and Flux make of an SFTJob: the examples' Lua and CEL, run by their engines over resources as the operator
really leaves them. The surroundings of the engines (what Flux asks before the expressions) follow Flux's RFC 0009."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cel_expr_python import cel
from lupa.lua51 import LuaRuntime

from sft_operator.api import yaml12
from sft_operator.api.reasons import Reason
from sft_operator.cli.manifest import read
from tests.unit.cloud import refusal
from tests.unit.world import World

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HEALTH_KEY = "resource.customizations.health.sft-operator.dev_SFTJob"
Body = dict[str, Any]


def document(path: str) -> Body:
    content: Body = yaml12.load((EXAMPLES / path).read_text(), source=path)
    return content


# --- the engines


def argo(body: Body) -> tuple[str, str | None]:
    """(health, message) by the example's script. Argo CD runs it on Lua 5.1 with the resource as `obj`."""
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from(json.loads(json.dumps(body)), recursive=True)
    answer = lua.execute(document("argo-cd/argocd-cm.yaml")["data"][HEALTH_KEY])
    return answer["status"], answer["message"]


def _evaluated(expression: str, body: Body) -> bool | None:
    """Parsed without types, as Flux does; None where the expression fails."""
    value = cel.NewEnv().compile(expression, disable_check=True).eval(data=body)
    return bool(value.plain_value()) if value.type() == cel.Type.BOOL else None


def flux(kustomization: str, body: Body) -> str:
    """InProgress, Failed or Current. An expression that fails is an error on which Flux goes on waiting."""
    (checks,) = document(f"flux/{kustomization}.yaml")["spec"]["healthCheckExprs"]
    observed = body.get("status", {}).get("observedGeneration")
    if observed is not None and observed != body["metadata"]["generation"]:
        return "InProgress"
    for name, verdict in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        answer = _evaluated(checks[name], body)
        if answer is None:
            return "InProgress"
        if answer:
            return verdict
    return "InProgress"


# --- resources as the operator leaves them


@dataclass(frozen=True)
class Recorded:
    body: Body

    def annotated(self, **annotations: str) -> Body:
        return {**self.body, "metadata": {**self.body["metadata"], "annotations": annotations}}


def _running(world: World) -> None:
    world.apply()
    world.aws.run()
    world.until("Running")


def _suspended(world: World) -> None:
    _running(world)
    world.apply({"runPolicy.suspend": True})
    world.until("Suspended")


def _failed(world: World) -> None:
    _running(world)
    world.aws.fail(Reason.ALGORITHM_ERROR, "CUDA error")
    world.until("Failed")


def _stopped(world: World) -> None:
    _running(world)
    world.apply({"runPolicy.stop": True})
    world.until("Stopped")


def _refused_for_good(world: World) -> None:
    world.aws.check_refusal = refusal(Reason.DATASET_INVALID, "train.jsonl line 7: no messages")
    world.apply()
    world.until("Failed")


def _refused_by_the_profile(world: World) -> None:
    world.aws.plan_refusal = refusal(Reason.POLICY_DENIED, "the role is not among the profile's")
    world.apply()
    world.until("Queued")


def _throttled(world: World) -> None:
    world.aws.create_refusal = refusal(Reason.THROTTLED, "Rate exceeded")
    world.aws.create_retry_after = 600.0
    world.apply()
    world.until("Queued")


def _succeeded(world: World) -> None:
    _running(world)
    world.aws.complete()
    world.until("Succeeded")


def _stale(world: World) -> None:
    """Succeeded, then a new run is asked for, and the operator has not looked yet."""
    _succeeded(world)
    world.kill_operator()
    world.apply({"runID": "2"})


def _new(world: World) -> None:
    world.kill_operator()
    world.apply()


HISTORIES: dict[str, Callable[[World], None]] = {
    "no status yet": _new,
    "running": _running,
    "suspended": _suspended,
    "failed": _failed,
    "stopped by its owner": _stopped,
    "refused for good": _refused_for_good,
    "refused by the profile": _refused_by_the_profile,
    "throttled": _throttled,
    "succeeded": _succeeded,
    "stale generation": _stale,
}


@cache
def recorded(history: str) -> Recorded:
    world = World()
    try:
        HISTORIES[history](world)
        return Recorded(json.loads(json.dumps(world.body)))
    finally:
        world.kill_operator()
        world.loop.close()


EXPECTED = {
    #                          Argo CD        Flux: launched  Flux: succeeded
    "no status yet":          ("Progressing", "InProgress",   "InProgress"),
    "running":                ("Progressing", "Current",      "InProgress"),
    "suspended":              ("Suspended",   "Current",      "InProgress"),
    "failed":                 ("Degraded",    "Failed",       "Failed"),
    "stopped by its owner":   ("Degraded",    "Failed",       "Failed"),
    "refused for good":       ("Degraded",    "Failed",       "Failed"),
    "refused by the profile": ("Degraded",    "Failed",       "Failed"),
    "throttled":              ("Progressing", "InProgress",   "InProgress"),
    "succeeded":              ("Healthy",     "Current",      "Current"),
    "stale generation":       ("Progressing", "InProgress",   "InProgress"),
}  # fmt: skip


def test_every_history_has_its_line() -> None:
    assert HISTORIES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("history", HISTORIES)
def test_argo_cd_shows_a_job_as_it_is(history: str) -> None:
    health, message = argo(recorded(history).body)
    assert health == EXPECTED[history][0]
    assert message


@pytest.mark.parametrize("history", HISTORIES)
def test_a_folder_of_jobs_is_ready_for_flux_once_they_are_launched(history: str) -> None:
    assert flux("jobs", recorded(history).body) == EXPECTED[history][1]


@pytest.mark.parametrize("history", HISTORIES)
def test_a_gate_of_flux_opens_for_a_success_alone(history: str) -> None:
    assert flux("gate", recorded(history).body) == EXPECTED[history][2]


def test_the_recorded_resources_are_in_the_states_they_are_named_for() -> None:
    assert "status" not in recorded("no status yet").body
    stale = recorded("stale generation").body
    assert stale["status"]["phase"] == "Succeeded"
    assert stale["status"]["observedGeneration"] < stale["metadata"]["generation"]
    refused = {c["type"]: c for c in recorded("refused by the profile").body["status"]["conditions"]}
    assert (refused["Validated"]["status"], refused["Validated"]["reason"]) == ("False", "PolicyDenied")
    assert refused["Failed"]["status"] == "False"


@pytest.mark.parametrize("history", ["failed", "refused for good", "refused by the profile"])
def test_argo_cd_shows_the_reason_in_the_operators_words(history: str) -> None:
    body = recorded(history).body
    assert argo(body)[1] == body["status"]["message"]


@pytest.mark.parametrize(("history", "health"), [
    ("no status yet", "Progressing"), ("throttled", "Progressing"), ("running", "Healthy"), ("succeeded", "Healthy"),
    ("failed", "Degraded"), ("suspended", "Suspended"), ("stale generation", "Progressing"),
])  # fmt: skip
def test_a_sync_wave_may_go_on_once_a_job_is_submitted(history: str, health: str) -> None:
    assert argo(recorded(history).annotated(**{"sft-operator.dev/healthy-when": "Submitted"}))[0] == health


def test_both_take_the_same_reasons_for_a_persons_work_and_each_is_one_of_ours() -> None:
    script = document("argo-cd/argocd-cm.yaml")["data"][HEALTH_KEY]
    (table,) = re.findall(r"local act = \{(.*?)\}", script, re.DOTALL)
    reasons = set(re.findall(r"(\w+) = true", table))
    for kustomization in ("jobs", "gate"):
        (checks,) = document(f"flux/{kustomization}.yaml")["spec"]["healthCheckExprs"]
        (listed,) = re.findall(r"reason in \[(.*?)\]", checks["failed"], re.DOTALL)
        assert reasons == set(re.findall(r"'(\w+)'", listed))
    assert reasons <= {str(reason) for reason in Reason}


@pytest.mark.parametrize(("path", "annotation", "kept"), [
    ("argo-cd/job.yaml", "argocd.argoproj.io/sync-options", "Prune=false"),
    ("flux/job.yaml", "kustomize.toolkit.fluxcd.io/prune", "disabled"),
])  # fmt: skip
def test_an_example_job_survives_its_removal_from_git_and_is_valid(path: str, annotation: str, kept: str) -> None:
    assert kept in document(path)["metadata"]["annotations"][annotation].split(",")
    (manifest,) = read(str(EXAMPLES / path), namespace="ml-team")
    assert not manifest.findings
    assert manifest.spec is not None


def test_nothing_in_the_examples_replaces_a_job_or_keeps_its_kustomization_waiting() -> None:
    application = document("argo-cd/application.yaml")["spec"]["syncPolicy"]["syncOptions"]
    assert not {"Force=true", "Replace=true"} & set(application)
    jobs, gate = document("flux/jobs.yaml")["spec"], document("flux/gate.yaml")["spec"]
    assert jobs["wait"]
    assert "force" not in jobs
    assert gate["dependsOn"] == [{"name": document("flux/jobs.yaml")["metadata"]["name"]}]
