"""`sft doctor` with the chart's ServiceAccount on a real API server and a simulated AWS."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from sft_lab.awssim.control import Sim
from sft_lab.cluster.lab import Lab
from sft_lab.installation import NAMESPACE, RELEASE, ROOT
from sft_operator.api import yaml12
from sft_operator.cli.doctor_cluster import RIGHTS, Where
from tests.cluster.witness import OPERATOR_KEY
from tests.manifests import nova_lite_2_lora

SECRET = "a-secret-that-is-never-shown"
BUCKET = "acme-doctor"
ROLE = "arn:aws:iam::111122223333:role/sft-operator-doctor"
PROFILE: dict[str, Any] = {
    "apiVersion": "sft-operator.dev/v1alpha1",
    "kind": "SFTProfile",
    "metadata": {"name": "doctor"},
    "spec": {
        "namespaces": {"names": ["doctor-and-nobody-else"]},
        "defaults": {"sageMaker": {"region": "us-east-1", "roleARN": "arn:aws:iam::111122223333:role/doctor-sft"}},
        "allowed": {
            "roleARNs": ["arn:aws:iam::111122223333:role/doctor-*"],
            "uriPrefixes": [f"s3://{BUCKET}/"],
            "regions": ["us-east-1"],
        },
        "access": {"assumeRoleARN": ROLE},
    },
}


@dataclass(frozen=True)
class Answer:
    code: int
    text: str
    errors: str

    @property
    def summary(self) -> str:
        return self.text.splitlines()[-1]

    def line(self, permission: str) -> str:
        """The first line of a permission: verdict, permission, on what, note; single spaces."""
        return next(" ".join(line.split()) for line in self.text.splitlines() if f" {permission} " in f"{line} ")


@dataclass
class Doctor:
    lab: Lab
    directory: Path

    def __call__(self, *arguments: str, manifests: tuple[Any, ...] = (), **environment: str) -> Answer:
        """As the chart's ServiceAccount, with the operator's AWS key."""
        files = []
        for index, manifest in enumerate(manifests):
            file = self.directory / f"{index}.json"
            file.write_text(json.dumps(manifest))
            files.append(str(file))
        env = {
            **self.lab.env,
            "KUBECONFIG": str(self.lab.kubeconfig_of(NAMESPACE, RELEASE)),
            "SFT_LEASE_NAMESPACE": NAMESPACE,
            "AWS_ACCESS_KEY_ID": OPERATOR_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            **environment,
        }
        command = [str(Path(sys.executable).parent / "sft"), "doctor", *files, *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert SECRET not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def data(lab: Lab) -> None:
    """A bucket with one object in it."""
    key = {name.lower(): lab.env[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    s3 = boto3.client("s3", endpoint_url=lab.aws_endpoint, region_name="us-east-1", **key)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="train.jsonl", Body=b"{}\n")


@pytest.fixture
def doctor(lab: Lab, data: None, tmp_path: Path) -> Iterator[Doctor]:
    del data
    yield Doctor(lab, tmp_path)
    lab.kubectl("delete", "sftprofile", "doctor", "--ignore-not-found")


def job(uri: str = f"s3://{BUCKET}/train.jsonl") -> Any:
    return nova_lite_2_lora(
        {
            "dataset": {"train": {"uri": uri}},
            "hyperparameters": {"maxSteps": 100},
            "output.uri": f"s3://{BUCKET}/out/",
            "sageMaker.roleARN": "arn:aws:iam::111122223333:role/doctor-sft",
            "sageMaker.region": "us-east-1",
        }
    ) | {"metadata": {"name": "demo", "namespace": "doctor-and-nobody-else"}}


def test_a_right_installation_works_but_for_what_only_a_launch_tells(doctor: Doctor, aws: Sim) -> None:
    at = max((call.seq for call in aws.calls()), default=0)
    answer = doctor(manifests=(PROFILE, job()))
    assert answer.code == 0, answer.text
    assert answer.summary.endswith(" works, 0 denied, 2 unknown")
    assert answer.text.startswith(f"API server, as system:serviceaccount:{NAMESPACE}:{RELEASE}\n")
    assert "\nAWS, job doctor-and-nobody-else/demo\n" in answer.text
    assert answer.line("iam:PassRole").endswith("only a launch tells")
    assert answer.line("sagemaker:CreateTrainingJob").startswith("unknown")
    assert answer.line("sts:AssumeRole, sts:TagSession").startswith(f"works sts:AssumeRole, sts:TagSession {ROLE} as ")
    changed = ("CreateTrainingJob", "StopTrainingJob", "AddTags", "PutObject")
    assert [call for call in aws.calls(since=at) if call.operation in changed and call.committed] == []


def test_without_files_it_asks_for_what_the_profiles_of_the_cluster_allow(doctor: Doctor, lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", input=json.dumps(PROFILE))
    answer = doctor()
    assert "\nAWS, SFTProfile doctor\n" in answer.text
    part = answer.text.split("\nAWS, SFTProfile doctor\n")[1]
    assert f"s3://{BUCKET}/sft-doctor-" in part
    assert " denied " not in part


def test_a_job_goes_by_the_profile_that_the_cluster_has_for_it(doctor: Doctor, lab: Lab) -> None:
    lab.kubectl("apply", "-f", "-", input=json.dumps(PROFILE))
    alone = doctor(manifests=(job(),))
    assert f"sts:AssumeRole, sts:TagSession  {ROLE}" in alone.text
    refused = doctor(manifests=(job("s3://acme-other/train.jsonl"),))
    assert refused.code == 2
    assert "s3://acme-other/train.jsonl is not below an allowed prefix" in refused.text


DENIED = {
    "sagemaker:StopTrainingJob": ("StopTrainingJob", "AccessDeniedException", ":training-job/sft-*"),
    "sagemaker:AddTags": ("AddTags", "AccessDeniedException", ":training-job/sft-*"),
    "sagemaker:ListTrainingJobs": ("ListTrainingJobs", "AccessDeniedException", "*"),
    "s3:GetObject": ("HeadObject", "AccessDenied", f":{BUCKET}/train.jsonl"),
    "s3:PutObject": ("PutObject", "AccessDenied", f":{BUCKET}/out/sft-*/recipe/*"),
    "logs:GetLogEvents": ("GetLogEvents", "AccessDeniedException", ":log-stream:sft-*"),
}
"""By permission: the operation that is refused, how, and the end of the resource in the statement that is missing."""


def test_what_is_denied_is_told_with_the_statement_that_is_missing(doctor: Doctor, aws: Sim) -> None:
    for operation, code, _ in DENIED.values():
        aws.fail(operation, code=code, times=None)
    answer = doctor(manifests=(PROFILE, job()))
    assert answer.code == 1
    missing = [line.partition("demo: ")[2] for line in answer.text.splitlines() if line.startswith("missing: ")]
    statements = {statement["Action"][0]: statement for statement in map(json.loads, reversed(missing))}
    assert statements.keys() == DENIED.keys()
    for permission, (_, code, resource) in DENIED.items():
        assert answer.line(permission).startswith(f"denied {permission} ")
        assert ("403" if permission == "s3:GetObject" else code) in answer.line(permission)
        assert statements[permission]["Resource"][0].endswith(resource)


def test_a_role_that_may_not_be_assumed_ends_the_questions_of_its_profile(doctor: Doctor, aws: Sim) -> None:
    text = f"User: x is not authorized to perform: sts:TagSession on resource: {ROLE}"
    aws.fail("AssumeRole", code="AccessDenied", message=text, times=None)
    answer = doctor(manifests=(PROFILE,))
    assert answer.code == 1
    assert text in answer.line("sts:AssumeRole, sts:TagSession")
    assert f'"Resource": ["{ROLE}"]' in answer.text
    assert "sagemaker:" not in answer.text


def test_an_object_that_s3_keeps_quiet_about_is_unknown(doctor: Doctor, aws: Sim) -> None:
    for operation in ("HeadBucket", "HeadObject"):
        aws.fail(operation, code="AccessDenied", times=None)
    answer = doctor(manifests=(PROFILE, job()))
    assert answer.line("s3:ListBucket").startswith("denied")
    assert answer.line("s3:GetObject").startswith("unknown")
    assert "without s3:ListBucket S3 does not tell" in answer.line("s3:GetObject")


def test_credentials_of_another_account_are_told(doctor: Doctor) -> None:
    answer = doctor(manifests=(job(),), AWS_ACCESS_KEY_ID="999999999999")
    assert answer.code == 1
    assert "but the runs are in account 111122223333" in answer.line("credentials")


def test_an_identity_without_rights_is_told_every_rule(doctor: Doctor, lab: Lab) -> None:
    """Asked by an administrator about a ServiceAccount."""
    answer = doctor(
        "--service-account", f"{NAMESPACE}/nobody", manifests=(job(),), KUBECONFIG=str(lab.kubeconfig)
    )  # fmt: skip
    assert answer.code == 1
    assert answer.text.startswith(f"API server, as system:serviceaccount:{NAMESPACE}:nobody\n")
    rules = [json.loads("{" + line.partition(": {")[2]) for line in answer.text.splitlines() if "apiGroups" in line]
    assert {"apiGroups": ["sft-operator.dev"], "resources": ["sftjobs/status"], "verbs": ["patch"]} in rules
    assert len(rules) == sum(not right.metrics for right in RIGHTS)
    mine = doctor(
        "--service-account", f"{NAMESPACE}/{RELEASE}", manifests=(job(),), KUBECONFIG=str(lab.kubeconfig)
    )  # fmt: skip
    assert mine.code == 0


def test_without_a_cluster_aws_is_asked_all_the_same(doctor: Doctor, tmp_path: Path) -> None:
    answer = doctor(manifests=(job(),), KUBECONFIG=str(tmp_path / "none"))
    assert answer.code == 2
    assert "set KUBECONFIG, or run in the operator's pod" in answer.line("all rights")
    assert answer.line("sagemaker:DescribeTrainingJob").startswith("works")
    hung = doctor(manifests=(job(),), KUBECONFIG=str(_nowhere(tmp_path)))
    assert hung.code == 2
    assert hung.line("all rights").startswith("unknown all rights no answer: ")


def _nowhere(directory: Path) -> Path:
    """A kubeconfig of an API server that refuses connections."""
    file = directory / "nowhere"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {"token": "t"}}]
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "x",
                "clusters": [cluster], "contexts": [context], "users": users,
            }
        )
    )  # fmt: skip
    return file


def test_the_rights_that_it_asks_for_are_the_rules_of_the_chart(lab: Lab) -> None:
    chart = str(ROOT / "charts" / "sft-operator")
    common = ("template", RELEASE, chart, "--namespace", NAMESPACE, "--set", "identityScope=x")
    text = lab.helm(*common, "--set", "config.metrics_auth=TokenReview").stdout
    operators = ("ClusterRole", "Role")
    rules = {
        (group, resource, verb, bool(rule.get("resourceNames")))
        for document in yaml12.load_all(text, source="helm")
        if document and document["kind"] in operators and "aggregat" not in json.dumps(document["metadata"])
        and "metrics-reader" not in document["metadata"]["name"]
        for rule in document["rules"]
        if "nonResourceURLs" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }  # fmt: skip
    asked = {(right.group, right.kind, verb, right.named) for right in RIGHTS for verb in right.verbs}
    assert asked == rules
    assert {right.where for right in RIGHTS} == set(Where)
