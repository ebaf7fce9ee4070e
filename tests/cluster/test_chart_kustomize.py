"""The installation without Helm: the kustomize base is the chart's, and its example installs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_lab.cluster.lab import Lab
from tests.cluster.test_chart import SCOPE, render

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(lab: Lab) -> list[dict[str, Any]]:
    text = lab.kubectl("kustomize", str(ROOT / "examples" / "kustomize")).stdout
    return list(yaml.load_all(text, yaml.CSafeLoader))


def named(documents: list[dict[str, Any]], *kinds: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"]["name"]): one for one in documents if not kinds or one["kind"] in kinds}


def test_the_base_is_what_the_chart_says() -> None:
    command = [sys.executable, str(ROOT / "tools" / "kustomize_base.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_crd_is_part_of_it() -> None:
    listed = yaml.safe_load((ROOT / "crds" / "Kustomization").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in (ROOT / "crds").glob("*.yaml"))


def test_the_example_is_the_charts_installation_and_the_api_server_takes_it(
    lab: Lab, built: list[dict[str, Any]]
) -> None:
    chart = named(render(lab, *SCOPE))
    ours = named(built)
    extra = {(kind, name) for kind, name in ours.keys() - chart.keys()}
    assert ours.keys() >= chart.keys()
    assert {kind for kind, _ in extra} == {"Namespace", "ConfigMap"}
    for key, one in named(built, "ClusterRole", "Role").items():
        assert one["rules"] == chart[key]["rules"]
    answer = lab.kubectl(
        "apply", "--server-side", "--dry-run=server", "--force-conflicts", "-k", str(ROOT / "examples" / "kustomize")
    )
    assert len(answer.stdout.splitlines()) == len(built)
    assert "Warning" not in answer.stderr


def test_settings_reach_the_pod_by_the_config_map_and_a_change_rolls_it(built: list[dict[str, Any]]) -> None:
    (settings,) = named(built, "ConfigMap").values()
    (deployment,) = named(built, "Deployment").values()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert settings["data"]["SFT_IDENTITY_SCOPE"] == "prod-eu"
    assert settings["metadata"]["name"].startswith("sft-operator-settings-")  # the name carries the content's hash
    assert container["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    assert settings["metadata"]["namespace"] == deployment["metadata"]["namespace"] == "sft-system"
    assert container["image"] == "registry.example.com/ml/sft-operator:0.1.0"
    assert "env" not in container


def test_the_crds_folder_can_still_be_applied_as_it_is(lab: Lab) -> None:
    answer = lab.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", str(ROOT / "crds"))
    assert len(answer.stdout.splitlines()) == len(list((ROOT / "crds").glob("*.yaml")))
