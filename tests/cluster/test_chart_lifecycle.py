"""Install, upgrade, roll back, uninstall, with helm on a control plane of its own: what comes, what goes, and what stays.

No pod runs there, so nothing waits for one."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_lab.cluster.lab import Lab
from sft_lab.cluster.startup import start_lab
from tests.cluster.test_chart import CHART
from tests.manifests import nova_lite_2_lora

NAMESPACE = "sft-system"
CRDS = ("crd/sftjobs.sft-operator.dev", "crd/sftprofiles.sft-operator.dev")
OURS = "deployment,serviceaccount,role,rolebinding,service,networkpolicy,poddisruptionbudget,configmap"
CLUSTERS = "clusterrole,clusterrolebinding"
BY_HAND = Path(CHART).parents[1] / "crds"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with start_lab(tmp_path_factory.mktemp("helm") / "lab", aws=False) as lab:
        yield lab


@pytest.fixture
def lab(machine: Lab) -> Iterator[Lab]:
    """The module's control plane without release and CRD at the end."""
    yield machine
    for release in json.loads(machine.helm("list", "-A", "-o", "json").stdout):
        machine.helm("uninstall", release["name"], "--namespace", release["namespace"])
    machine.kubectl("delete", "sftjobs", "--all", "--all-namespaces", check=False)
    machine.kubectl("delete", *CRDS, "--ignore-not-found", "--wait=false")
    for number in range(20):
        if machine.kubectl("wait", "--for=delete", *CRDS, "--timeout=8s", check=False).returncode == 0:
            return
        # kube-apiserver 1.36 was seen to leave a CRD half deleted whose storage was just being made: a touch reminds it
        machine.kubectl("annotate", *CRDS, f"touched={number}", "--overwrite", check=False)
    raise AssertionError("the CRDs of a test are still there after three minutes")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The chart as an earlier version might have been: a field that jobs do not have yet, an older program."""
    chart = tmp_path_factory.mktemp("older") / "sft-operator"
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "0.0.9", "appVersion": "0.0.9"}))
    template = chart / "templates" / "crds" / "sftjobs.sft-operator.dev.yaml"
    head, _, rest = template.read_text().partition("{{- if .Values.crds.install }}\n")
    crd = yaml.safe_load(rest.removesuffix("{{- end }}\n"))
    del _spec_of(crd)["tags"]
    template.write_text(head + "{{- if .Values.crds.install }}\n" + yaml.safe_dump(crd) + "{{- end }}\n")
    return str(chart)


def _spec_of(crd: dict[str, Any]) -> dict[str, Any]:
    (version,) = crd["spec"]["versions"]
    properties: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return properties


def helm(
    lab: Lab, what: str, chart: str = CHART, *flags: str, name: str = "sft-operator", check: bool = True
) -> subprocess.CompletedProcess[str]:
    where = ("--namespace", NAMESPACE, "--create-namespace", "--set", "identityScope=test")
    return lab.helm(what, name, chart, *where, *flags, check=check)


def fields(lab: Lab) -> set[str]:
    """What a job's spec may hold, as the API server knows it."""
    return set(_spec_of(json.loads(lab.kubectl("get", CRDS[0], "-o", "json").stdout)))


def installed(lab: Lab) -> list[str]:
    """The names of what stands of ours besides the CRDs."""
    ours = "app.kubernetes.io/name=sft-operator"
    listed = lab.kubectl("get", OURS, "-n", NAMESPACE, "-l", ours, "-o", "name").stdout
    return (listed + lab.kubectl("get", CLUSTERS, "-l", ours, "-o", "name").stdout).split()


def image(lab: Lab) -> str:
    path = "jsonpath={.spec.template.spec.containers[0].image}"
    return lab.kubectl("get", "deployment", "sft-operator", "-n", NAMESPACE, "-o", path).stdout


def apply_job(lab: Lab) -> str:
    """A job that stands while charts come and go; returns its UID."""
    lab.kubectl("wait", "--for=condition=Established", *CRDS, "--timeout=20s")
    lab.kubectl("apply", "-f", "-", input=json.dumps(nova_lite_2_lora()))
    return uid(lab)


def uid(lab: Lab) -> str:
    return lab.kubectl("get", "sft", "nova-lite-2-lora", "-o", "jsonpath={.metadata.uid}").stdout


def test_install_upgrade_rollback_uninstall_and_install_again(lab: Lab, older: str) -> None:
    helm(lab, "install", older)
    job = apply_job(lab)
    assert "tags" not in fields(lab)
    assert image(lab) == "sft-operator:0.0.9"

    helm(lab, "upgrade")
    assert "tags" in fields(lab)
    assert image(lab) == "sft-operator:0.1.0"

    lab.helm("rollback", "sft-operator", "1", "--namespace", NAMESPACE)
    assert "tags" not in fields(lab)  # a rollback takes the CRD back too
    assert image(lab) == "sft-operator:0.0.9"

    answer = lab.helm("uninstall", "sft-operator", "--namespace", NAMESPACE)
    assert "[CustomResourceDefinition] sftjobs.sft-operator.dev" in answer.stdout
    assert installed(lab) == []
    assert uid(lab) == job

    helm(lab, "install")
    assert "tags" in fields(lab)
    assert uid(lab) == job


def test_an_upgrade_that_changes_a_setting_rolls_the_pods(lab: Lab) -> None:
    def template() -> str:
        path = "jsonpath={.spec.template.metadata.annotations}"
        return lab.kubectl("get", "deployment", "sft-operator", "-n", NAMESPACE, "-o", path).stdout

    helm(lab, "install", CHART, "--set", "config.log_level=INFO")
    before = template()
    helm(lab, "upgrade", CHART, "--set", "config.log_level=DEBUG")
    assert template() != before


def test_a_release_of_another_name_takes_the_crds_over_when_it_is_told_to(lab: Lab) -> None:
    helm(lab, "install")
    job = apply_job(lab)
    lab.helm("uninstall", "sft-operator", "--namespace", NAMESPACE)

    refused = helm(lab, "install", name="sft", check=False)
    assert refused.returncode != 0
    assert "exists and cannot be imported into the current release" in refused.stderr

    helm(lab, "upgrade", CHART, "--install", "--take-ownership", "--force-conflicts", name="sft")
    assert uid(lab) == job
    assert "tags" in fields(lab)
    helm(lab, "upgrade", name="sft")


@pytest.mark.parametrize("way", [["apply", "--server-side"], ["apply"], ["create"]], ids=" ".join)
def test_crds_that_were_brought_by_hand_are_taken_over(lab: Lab, way: list[str], tmp_path: Path) -> None:
    """Of an earlier version, so that the chart has something to change."""
    for path in BY_HAND.glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        crd["spec"]["names"]["shortNames"].append("old" + crd["spec"]["names"]["singular"])
        (tmp_path / path.name).write_text(yaml.safe_dump(crd))
    lab.kubectl(*way, "-f", str(tmp_path))
    job = apply_job(lab)

    refused = helm(lab, "install", check=False)
    assert refused.returncode != 0
    assert "invalid ownership metadata" in refused.stderr

    helm(lab, "upgrade", CHART, "--install", "--take-ownership", "--force-conflicts")
    names = "jsonpath={.spec.names.shortNames}"
    assert lab.kubectl("get", CRDS[0], "-o", names).stdout == '["sft"]'
    assert uid(lab) == job
    helm(lab, "upgrade")


def test_a_take_over_that_met_a_conflict_is_repeated_with_the_flag_that_it_lacked(lab: Lab, tmp_path: Path) -> None:
    crd = yaml.safe_load((BY_HAND / "sftjobs.sft-operator.dev.yaml").read_text())
    crd["spec"]["names"]["shortNames"].append("oldsft")
    lab.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(crd))
    refused = helm(lab, "upgrade", CHART, "--install", "--take-ownership", check=False)
    assert "conflict" in refused.stderr
    helm(lab, "upgrade", CHART, "--install", "--take-ownership", "--force-conflicts")
    assert len(installed(lab)) > 5


def test_two_releases_share_a_cluster_when_one_of_them_brings_the_crds(lab: Lab) -> None:
    for team in ("team-a", "team-b"):
        lab.kubectl("create", "namespace", team)
    helm(lab, "install", CHART, "--set", "watchNamespaces={team-a}")
    second = ("--set", "watchNamespaces={team-b},crds.install=false,rbac.aggregate=false,identityScope=second")
    helm(lab, "install", CHART, *second, name="second")
    assert lab.kubectl("get", "rolebindings", "-n", "team-b", "-o", "name").stdout.split() == [
        "rolebinding.rbac.authorization.k8s.io/sft-system-second"
    ]
    leases = {one for one in installed(lab) if one.startswith("role.") and one.endswith("-lease")}
    assert len(leases) == 2
    lab.helm("uninstall", "second", "--namespace", NAMESPACE)
    assert "tags" in fields(lab)
    assert any("deployment" in name for name in installed(lab))
