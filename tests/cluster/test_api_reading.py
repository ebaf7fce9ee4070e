"""What a user reads without the operator: kubectl explain, the columns of kubectl get, the state of the CRD."""

from __future__ import annotations

import pytest

from sft_operator.api.crd import sftjob_crd
from tests.cluster.kubectl import Kubectl
from tests.manifests import nova_lite_2_lora


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("sftjob", "SFTJob is one supervised fine-tuning of a language model"),
        ("sftjob.spec.hyperparameters.learningRate", "Peak learning rate, a number such as 1e-5."),
        ("sft.spec.model.name", "Name in the operator's catalogue: nova-micro, nova-lite, nova-pro or nova-lite-2."),
        ("sftjobs.spec.dataset.validation.uri", "S3 object in JSON Lines"),
        ("sftjob.spec.recipe.overrides", "Values laid over the recipe last, by its own paths:"),
        ("sftjob.spec.sageMaker.training.instanceCount", "becomes the recipe's run.replicas."),
        ("sftjob.spec.runPolicy.maxRuntime", "1m to 672h (default: the profile's, else 120h)"),
        ("sftjob.status.conditions.reason", "Why, as one word of a closed list"),
    ],
)
def test_kubectl_explain_reads_like_documentation(kubectl: Kubectl, field: str, text: str) -> None:
    assert text in " ".join(kubectl.accepted("explain", field).split())


def test_the_crd_is_established_structural_and_named_without_conflict(kubectl: Kubectl) -> None:
    crd = kubectl.get("crd", sftjob_crd()["metadata"]["name"])
    conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions


def cells(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def test_a_new_job_is_listed_with_its_model_by_name_or_id(kubectl: Kubectl) -> None:
    kubectl.apply(nova_lite_2_lora(name="by-name"))
    kubectl.apply(nova_lite_2_lora({"model": {"id": "nova-lite-2/prod"}}, name="by-id"))
    header, by_id, by_name = cells(kubectl.accepted("get", "sft"))
    assert header == ["NAME", "MODEL", "PHASE", "REASON", "PROGRESS", "LOSS", "ETA", "AGE"]
    assert by_id[:2] == ["by-id", "nova-lite-2/prod"]
    assert by_name[:2] == ["by-name", "nova-lite-2"]


def test_the_columns_tell_phase_reason_progress_loss_and_eta(kubectl: Kubectl) -> None:
    kubectl.apply(nova_lite_2_lora())
    status = {
        "phase": "Running",
        "reason": "Throttled",
        "progress": {"step": 60, "totalSteps": 200, "percent": 30, "display": "60/200", "eta": "1h20m"},
        "metrics": {"trainLoss": 0.8123, "display": "0.812"},
        "platform": "SageMaker",
        "jobName": "sft-nova-lite-2-lora-0123456789-1",
        "instanceHours": "12.5",
    }
    kubectl.patch_status("nova-lite-2-lora", status)
    plain, row = cells(kubectl.accepted("get", "sft"))
    assert row[:-1] == ["nova-lite-2-lora", "nova-lite-2", "Running", "Throttled", "60/200", "0.812", "1h20m"]
    wide, row = cells(kubectl.accepted("get", "sft", "-o", "wide"))
    assert wide == [*plain, "PLATFORM", "JOB", "INSTANCE-HOURS"]
    assert row[-3:] == ["SageMaker", "sft-nova-lite-2-lora-0123456789-1", "12.5"]


def test_jobs_are_found_by_short_name_and_by_category(kubectl: Kubectl) -> None:
    kubectl.apply(nova_lite_2_lora())
    assert kubectl.accepted("get", "sft", "-o", "name") == "sftjob.sft-operator.dev/nova-lite-2-lora\n"
    assert kubectl.accepted("get", "ml", "-o", "name") == "sftjob.sft-operator.dev/nova-lite-2-lora\n"
