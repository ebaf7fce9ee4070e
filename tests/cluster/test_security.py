"""What one user of a shared cluster can do to others through the operator: nothing. On the real API server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sft_lab.cluster.lab import Lab
from sft_lab.installation import NAMESPACE, RELEASE, ROOT, Operator, start_operator
from sft_lab.processes import end
from tests.cluster.story import SETTINGS, Job, World, unchecked, wait_for
from tests.manifests import nova_lite_2_lora

HOSTILE = "AlgorithmError: \x1b[31mred\x1b[0m\nERROR forged\r\t\x07\x9b\u202eevil\u2066\u2028 end"


def _created(world: World, name: str, levels: int) -> Job:
    """A job whose overrides are nested so deep; the API server takes it."""
    manifest = nova_lite_2_lora(name=name)
    manifest["spec"]["recipe"] = {"overrides": {"run": "@"}}
    text = json.dumps(manifest).replace('"@"', '{"a":' * levels + "1" + "}" * levels)
    world.kubectl("create", "--validate=false", "-f", "-", text=text)
    return Job(world, name)


def _phase(world: World, name: str) -> str:
    """Without reading the whole resource, which Python cannot."""
    return world.kubectl("get", "sft", name, "-o", "jsonpath={.status.phase} {.status.message}", check=False)


def test_a_resource_nested_thousands_of_levels_deep_is_refused_and_ends_nobodys_service(world: World) -> None:
    logged = len(world.log_lines())
    for levels in (40, 300, 900, 3000, 9000):
        _created(world, f"deep-{levels}", levels)
    beside = world.apply(unchecked(name="beside"))
    assert beside.until_finished()["phase"] == "Succeeded", "the watch goes on"
    world.kill_operator()
    world.restart_operator()
    assert world.apply(unchecked(name="after")).until_finished()["phase"] == "Succeeded", "so does a new list"
    for levels in (40, 300, 900, 3000, 9000):
        wait_for(
            f"deep-{levels} is refused",
            lambda name=f"deep-{levels}": _phase(world, name).startswith("Failed spec.recipe.overrides: nested deeper"),
            told=lambda name=f"deep-{levels}": _phase(world, name),
        )
    assert logged
    assert [line for line in world.log_lines() if line["level"] == "error"] == []


def test_who_may_edit_jobs_may_write_no_status_and_no_profile(world: World) -> None:
    world.kubectl("create", "rolebinding", "alice-edits", "--clusterrole=edit", "--user=alice")
    alice = ("--as=alice",)
    manifest = unchecked(name="forged") | {"status": {"phase": "Running", "jobName": "sft-of-somebody-else-1"}}
    world.kubectl(*alice, "create", "--validate=false", "-f", "-", text=json.dumps(manifest))
    job = Job(world, "forged")
    assert job.until_finished()["jobName"].startswith("sft-forged-"), "the status that came along was dropped"
    patch = json.dumps({"status": {"jobName": "sft-of-somebody-else-1"}})
    write = ("patch", "sft", "forged", "--subresource=status", "--type=merge", "-p", patch)
    assert "forbidden" in world.kubectl(*alice, *write, check=False).lower()
    for verb in ("create", "patch", "delete"):
        assert world.kubectl(*alice, "auth", "can-i", verb, "sftprofiles", check=False).startswith("no")


def test_words_of_a_training_container_are_text_in_status_events_and_logs(world: World) -> None:
    world.course(end="Failed", failure_reason=HOSTILE, error_lines=[HOSTILE, "Traceback\x1b[2J"])
    job = world.apply(unchecked(name="hostile"))
    status = job.until_finished()
    assert "ERROR forged" in status["failure"]["message"]
    assert any("Traceback" in line for line in status["failure"]["logTail"])
    texts = [text for text in _texts(status) if not text.isprintable()]
    assert texts == []
    messages = [message for _, message in job.events()]
    assert any("ERROR forged" in message for message in messages)
    assert all(message.isprintable() for message in messages)
    assert all(line.isprintable() for line in world.operator.program.log.read_text().splitlines())


def test_metrics_behind_token_review_are_for_whom_the_api_server_lets_and_probes_for_all(world: World) -> None:
    lab = world.lab
    rights = lab.helm(
        "template", RELEASE, str(ROOT / "charts" / "sft-operator"), "--namespace", NAMESPACE, "--set",
        "identityScope=lab,config.metrics_auth=TokenReview", "--show-only", "templates/metrics-auth.yaml",
    ).stdout  # fmt: skip
    with _second_operator(lab) as operator:
        assert operator.get("/readyz")[0] == 200
        assert operator.get("/metrics")[0] == 401
        world.kubectl("create", "serviceaccount", "prometheus")
        token = world.kubectl("create", "token", "prometheus").strip()
        assert _ask(operator, token)[0] == 503, "without the chart's rights nobody gets in"
        lab.kubectl("apply", "-f", "-", input=rights)
        wait_for("the token is looked at", lambda: _ask(operator, token)[0] == 403)
        assert _ask(operator, "invented")[0] == 403
    lab.kubectl(
        "create", "clusterrolebinding", f"scraper-{world.namespace}", f"--clusterrole={NAMESPACE}-{RELEASE}-metrics-reader",
        f"--serviceaccount={world.namespace}:prometheus",
    )  # fmt: skip
    with _second_operator(lab) as operator:
        world.apply(unchecked(name="counted"))
        wait_for("the token reads the metrics", lambda: "sft_jobs{phase=" in _ask(operator, token)[1])
        assert world.namespace not in _ask(operator, token)[1]
    lab.kubectl("delete", "clusterrolebinding", f"scraper-{world.namespace}", f"{NAMESPACE}-{RELEASE}-metrics-auth")


@contextmanager
def _second_operator(lab: Lab) -> Iterator[Operator]:
    """It only watches, beside the one that acts."""
    settings = {**SETTINGS, "SFT_LEADERSHIP": "Never", "SFT_METRICS_AUTH": "TokenReview"}
    operator = start_operator(lab, name="operator-metrics", settings=settings)
    try:
        operator.wait_ready()
        yield operator
    finally:
        end([operator.program], grace=5)


def _ask(operator: Operator, token: str) -> tuple[int, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{operator.port}/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _texts(part: Any) -> list[str]:
    if isinstance(part, dict):
        return [text for item in part.values() for text in _texts(item)]
    if isinstance(part, list):
        return [text for item in part for text in _texts(item)]
    return [part] if isinstance(part, str) else []
