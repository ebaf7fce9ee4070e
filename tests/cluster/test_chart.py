"""The chart: what it refuses, what its notes say, what its ServiceAccount may do and no more."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_lab.cluster.lab import Lab
from sft_lab.installation import NAMESPACE, RELEASE
from sft_operator.api.crd import sftjob_crd, sftprofile_crd

CHART = str(Path(__file__).resolve().parents[2] / "charts" / "sft-operator")
SCOPE = ("--set", "identityScope=test")


def render(lab: Lab, *flags: str) -> list[dict[str, Any]]:
    text = lab.helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *flags).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def test_without_an_identity_scope_the_chart_says_what_to_set(lab: Lab) -> None:
    answer = lab.helm("template", RELEASE, CHART, check=False)
    assert answer.returncode != 0
    assert "identityScope is required: a name for this environment such as prod-eu" in answer.stderr
    assert "--set identityScope=prod-eu" in answer.stderr


def test_the_crds_of_the_chart_are_the_generated_ones_and_outlive_the_release(lab: Lab) -> None:
    found = {crd["metadata"]["name"]: crd for crd in render(lab, *SCOPE) if crd["kind"] == "CustomResourceDefinition"}
    assert found.keys() == {"sftjobs.sft-operator.dev", "sftprofiles.sft-operator.dev"}
    for crd in found.values():
        assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert found == {crd["metadata"]["name"]: crd for crd in (sftjob_crd(), sftprofile_crd())}


ALLOWED = [
    ("list", "sftjobs"),
    ("watch", "sftjobs"),
    ("patch", "sftjobs"),
    ("patch", "sftjobs/status"),
    ("update", "sftjobs/finalizers"),
    ("create", "events"),
    ("list", "customresourcedefinitions"),
    ("watch", "customresourcedefinitions"),
    ("get", "sftprofiles"),
    ("list", "sftprofiles"),
    ("watch", "sftprofiles"),
    ("get", "namespaces"),
]
FORBIDDEN = [
    ("create", "sftjobs"),
    ("delete", "sftjobs"),
    ("update", "sftjobs"),
    ("create", "sftprofiles"),
    ("update", "sftprofiles"),
    ("patch", "sftprofiles"),
    ("delete", "sftprofiles"),
    ("get", "secrets"),
    ("list", "secrets"),
    ("create", "pods"),
    ("list", "namespaces"),
    ("patch", "namespaces"),
    ("get", "configmaps"),
    ("delete", "customresourcedefinitions"),
    ("patch", "customresourcedefinitions"),
    ("impersonate", "users"),
    ("create", "clusterrolebindings"),
]


@pytest.mark.parametrize(("verb", "resource", "allowed"), [
    *((verb, resource, True) for verb, resource in ALLOWED),
    *((verb, resource, False) for verb, resource in FORBIDDEN),
])  # fmt: skip
def test_the_service_account_may_do_what_the_operator_does_and_no_more(
    lab: Lab, verb: str, resource: str, allowed: bool
) -> None:
    name, _, subresource = resource.partition("/")
    flags = [f"--subresource={subresource}"] if subresource else []
    who = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
    answer = lab.kubectl("auth", "can-i", verb, name, *flags, "--all-namespaces", f"--as={who}", check=False)
    assert answer.stdout.strip() == ("yes" if allowed else "no"), answer.stderr


def test_the_service_account_may_do_nothing_that_this_table_leaves_out(lab: Lab) -> None:
    assert granted(operator_role(render(lab, *SCOPE))) == {*ALLOWED, ("get", "sftjobs")}


def operator_role(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The ClusterRole that is bound to the operator; the others are for people."""
    wanted = of_kind(documents, "ClusterRoleBinding")["roleRef"]["name"]
    (found,) = (one for one in documents if one["kind"] == "ClusterRole" and one["metadata"]["name"] == wanted)
    return found


def granted(role: dict[str, Any]) -> set[tuple[str, str]]:
    return {(verb, resource) for rule in role["rules"] for verb in rule["verbs"] for resource in rule["resources"]}


def test_with_namespaces_the_cluster_is_only_read_and_only_profiles_and_definitions(lab: Lab) -> None:
    documents = render(lab, *SCOPE, "--set", "watchNamespaces={team-a,team-b}", "--set", "rbac.aggregate=false")
    (cluster,) = (one for one in documents if one["kind"] == "ClusterRole")
    assert granted(cluster) == {
        *(pair for pair in ALLOWED if pair[1] in ("sftprofiles", "customresourcedefinitions")),
    }
    roles = {one["metadata"]["namespace"]: one for one in documents if one["kind"] == "Role"}
    assert {"team-a", "team-b"} <= roles.keys() <= {"team-a", "team-b", NAMESPACE}
    for namespace in ("team-a", "team-b"):
        assert granted(roles[namespace]) == {
            *(pair for pair in ALLOWED if pair[1] not in ("sftprofiles", "customresourcedefinitions")),
            ("get", "sftjobs"),
        }
        (own,) = (rule for rule in roles[namespace]["rules"] if rule["resources"] == ["namespaces"])
        assert own["resourceNames"] == [namespace]


def test_a_key_that_the_chart_does_not_know_is_refused_with_its_place(lab: Lab) -> None:
    wrong = "replicaCount=3,image.tagg=x,config.log_levle=DEBUG,config.require_profile=false"
    answer = lab.helm("template", RELEASE, CHART, *SCOPE, "--set", wrong, check=False)
    assert answer.returncode != 0
    for place, key in (("''", "replicaCount"), ("/image", "tagg"), ("/config", "log_levle"), ("/config", "require_")):
        assert any(place in line and key in line for line in answer.stderr.splitlines()), answer.stderr


@pytest.mark.parametrize(("flag", "told"), [
    ("watchNamespaces={team-*}", "does not match pattern"),
    ("image.digest=latest", "does not match pattern"),
    ("replicas=two", "want integer"),
    ("caBundle.configMap=a,caBundle.secret=b", "name a configMap or a secret, not both"),
    ("metrics.serviceMonitor.enabled=true,metrics.service=false", "needs metrics.service"),
    ("metrics.serviceMonitor.enabled=true,config.metrics_auth=TokenReview", "name its Secret"),
    ("serviceAccount.create=false", "serviceAccount.name is required"),
    ("config.leadership=Alone", "the old and the new process of an update"),
])  # fmt: skip
def test_a_value_that_cannot_work_is_refused_before_anything_is_installed(lab: Lab, flag: str, told: str) -> None:
    answer = lab.helm("template", RELEASE, CHART, *SCOPE, "--set", flag, check=False)
    assert answer.returncode != 0
    assert told in answer.stderr


def test_the_chart_can_be_a_part_of_another(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "charts").mkdir()
    shutil.copytree(CHART, tmp_path / "charts" / "sft-operator")
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: platform\nversion: 1.0.0\n")
    (tmp_path / "values.yaml").write_text("sft-operator: {identityScope: test}\nglobal: {team: ml}\n")
    assert "kind: Deployment" in lab.helm("template", RELEASE, str(tmp_path)).stdout


def test_the_notes_tell_the_next_command(lab: Lab) -> None:
    flags = ("--dry-run=client", "--namespace", NAMESPACE)
    notes = lab.helm("install", RELEASE, CHART, *flags, *SCOPE).stdout.partition("NOTES:")[2]
    assert f"kubectl -n {NAMESPACE} rollout status deployment/{RELEASE}" in notes
    assert "kubectl explain sftprofile.spec" in notes
    assert "serves every namespace" in notes
    paused = lab.helm("install", RELEASE, CHART, *flags, *SCOPE, "--set", "pauseLaunches=true,requireProfile=false")
    assert "pauseLaunches is set" in paused.stdout
    assert "sftprofile" not in paused.stdout.partition("NOTES:")[2]
