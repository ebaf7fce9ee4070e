"""The chart: lint, what the API server says of its objects, what its ServiceAccount may do and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_lab.cluster.lab import Lab
from sft_lab.installation import NAMESPACE, RELEASE
from sft_operator.api.crd import sftjob_crd

CHART = str(Path(__file__).resolve().parents[2] / "charts" / "sft-operator")
SCOPE = ("--set", "identityScope=test")
EVERYTHING = (
    *SCOPE, "--set", "region=us-east-1,leader=false,config.log_level=DEBUG,env[0].name=A,env[0].value=b",
    "--set", "imagePullSecrets[0].name=registry,serviceAccount.name=other,image.tag=1.2.3",
    "--set-string", "serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=arn:aws:iam::111122223333:role/x",
)  # fmt: skip


def render(lab: Lab, *flags: str) -> list[dict[str, Any]]:
    text = lab.helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *flags).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


@pytest.mark.parametrize("flags", [SCOPE, EVERYTHING], ids=["what is required", "every value set"])
def test_the_chart_lints_and_the_api_server_takes_what_it_renders(lab: Lab, flags: tuple[str, ...]) -> None:
    assert "0 chart(s) failed" in lab.helm("lint", "--strict", CHART, *flags).stdout
    text = lab.helm("template", RELEASE, CHART, "--namespace", NAMESPACE, *flags).stdout
    answer = lab.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", input=text)
    assert len(answer.stdout.splitlines()) == len(render(lab, *flags))
    assert "Warning" not in answer.stderr


def test_without_an_identity_scope_the_chart_says_what_to_set(lab: Lab) -> None:
    answer = lab.helm("template", RELEASE, CHART, check=False)
    assert answer.returncode != 0
    assert "identityScope is required: a name for this environment such as prod-eu" in answer.stderr
    assert "--set identityScope=prod-eu" in answer.stderr


def test_the_crd_of_the_chart_is_the_generated_one_and_outlives_the_release(lab: Lab) -> None:
    crd = of_kind(render(lab, *SCOPE), "CustomResourceDefinition")
    assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert crd == sftjob_crd()


def test_one_replica_runs_and_never_two_at_once(lab: Lab) -> None:
    deployment = of_kind(render(lab, *SCOPE), "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})


def test_values_reach_the_operator_as_its_settings(lab: Lab) -> None:
    documents = render(lab, *EVERYTHING)
    pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert env == {
        "SFT_IDENTITY_SCOPE": "test",
        "SFT_LEADER": "false",
        "AWS_REGION": "us-east-1",
        "SFT_CONFIG": "/etc/sft-operator/config.yaml",
        "A": "b",
    }
    assert yaml.safe_load(of_kind(documents, "ConfigMap")["data"]["config.yaml"]) == {"log_level": "DEBUG"}
    assert pod["serviceAccountName"] == of_kind(documents, "ServiceAccount")["metadata"]["name"] == "other"
    assert of_kind(documents, "ClusterRoleBinding")["subjects"][0]["name"] == "other"


ALLOWED = [
    ("list", "sftjobs"),
    ("watch", "sftjobs"),
    ("patch", "sftjobs"),
    ("patch", "sftjobs/status"),
    ("update", "sftjobs/finalizers"),
    ("create", "events"),
    ("list", "customresourcedefinitions"),
    ("watch", "customresourcedefinitions"),
]
FORBIDDEN = [
    ("create", "sftjobs"),
    ("delete", "sftjobs"),
    ("update", "sftjobs"),
    ("get", "secrets"),
    ("list", "secrets"),
    ("create", "pods"),
    ("list", "namespaces"),
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
    rules = of_kind(render(lab, *SCOPE), "ClusterRole")["rules"]
    granted = {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}
    assert granted == {*ALLOWED, ("get", "sftjobs")}
