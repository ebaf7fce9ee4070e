"""What may change in an SFTJob: nothing of a run without a new runID, everything else at any time, no end undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sft_lab.cluster.lab import NAMESPACE, Lab
from tests.cluster.kubectl import Kubectl
from tests.manifests import ABSENT, Manifest, nova_lite_2_lora

JOB = "nova-lite-2-lora"
TRY = ("apply", "--dry-run=server", "-f", "-")
FIRST = {
    "recipe": {"overrides": {"training_config": {"save_steps": 50, "betas": [0.9, 0.95]}}},
    "output.kmsKeyID": "alias/ml-team",
}
"""The run that the tests below try to change has something of everything."""

CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "model": ("model", {"model.name": "nova-lite"}),
    "model by id": ("model", {"model": {"id": "nova-lite-2/prod"}}),
    "method": ("method", {"method": "Full"}),
    "training data": ("dataset.train", {"dataset.train.uri": "s3://acme-ml-team/other.jsonl"}),
    "format": ("dataset.train", {"dataset.train.format": "Converse"}),
    "validation data": ("dataset.validation", {"dataset.validation.0.uri": "s3://acme-ml-team/other.jsonl"}),
    "validation data taken away": ("dataset.validation", {"dataset.validation": ABSENT}),
    "a hyperparameter": ("hyperparameters", {"hyperparameters.learningRate": 2e-5}),
    "a hyperparameter more": ("hyperparameters", {"hyperparameters.weightDecay": 0.1}),
    "a hyperparameter taken away": ("hyperparameters", {"hyperparameters.warmupSteps": ABSENT}),
    "all hyperparameters taken away": ("hyperparameters", {"hyperparameters": ABSENT}),
    "an override": ("recipe", {"recipe.overrides.training_config.save_steps": 51}),
    "an override inside a list": ("recipe", {"recipe.overrides.training_config.betas": [0.9, 0.96]}),
    "an override more": ("recipe", {"recipe.overrides.run": {"mlflow_run_name": "x"}}),
    "the recipe taken away": ("recipe", {"recipe": ABSENT}),
    "output": ("output", {"output.uri": "s3://acme-ml-team/elsewhere/"}),
    "output key taken away": ("output", {"output.kmsKeyID": ABSENT}),
    "role": ("sageMaker", {"sageMaker.roleARN": "arn:aws:iam::111122223333:role/other"}),
    "region": ("sageMaker", {"sageMaker.region": "us-west-2"}),
    "instances": ("sageMaker", {"sageMaker.training.instanceCount": 8}),
    "image": ("sageMaker", {"sageMaker.training.image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/x:1"}),
}


def first_run(edits: dict[str, Any] | None = None) -> Manifest:
    return nova_lite_2_lora({**FIRST, **(edits or {})})


def minimal_run(edits: dict[str, Any] | None = None) -> Manifest:
    """Only what is required: every rule meets absent fields."""
    absent = dict.fromkeys(["method", "dataset.validation", "hyperparameters", "runPolicy"], ABSENT)
    return nova_lite_2_lora({**absent, **(edits or {})})


@pytest.fixture(scope="module")
def stored(lab: Lab) -> Iterator[Kubectl]:
    """The first run, stored once: what is tried on it is a dry run."""
    kubectl = Kubectl(lab, NAMESPACE)
    kubectl.apply(first_run())
    yield kubectl
    kubectl.accepted("delete", "sft", JOB)


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_of_the_run_needs_a_new_run_id_and_the_refusal_says_so(stored: Kubectl, case: str) -> None:
    field, edits = CHANGES[case]
    assert (
        f"spec.{field}: Invalid value: {field} defines the run and is fixed: to run again with the change set a new "
        "runID in the same edit, or apply the job under a new name" in stored.refused(*TRY, manifest=first_run(edits))
    )
    stored.accepted(*TRY, manifest=first_run({**edits, "runID": "2"}))


@pytest.mark.parametrize("field", ["dataset.validation", "hyperparameters", "recipe"])
def test_an_optional_part_of_the_run_cannot_be_added_later_either(kubectl: Kubectl, field: str) -> None:
    added = {
        "dataset.validation": [{"uri": "s3://acme-ml-team/val.jsonl"}],
        "hyperparameters": {"maxSteps": 100},
        "recipe": {"overrides": {"training_config": {"save_steps": 50}}},
    }
    kubectl.apply(minimal_run())
    assert f"{field} defines the run and is fixed" in kubectl.apply_refused(minimal_run({field: added[field]}))
    kubectl.apply(minimal_run({field: added[field], "runID": "2"}))


@pytest.mark.parametrize("run", [first_run, minimal_run], ids=["with optional fields", "without optional fields"])
def test_how_a_run_is_handled_may_change_at_any_time(kubectl: Kubectl, run: Any) -> None:
    kubectl.apply(run())
    kubectl.apply(run({"runPolicy": {"suspend": True, "maxRuntime": "1h", "deletionPolicy": "Orphan"}}))
    kubectl.apply(run({"tags": {"team": "support"}}))
    kubectl.apply(run({"dataset.check": "Skip"}))
    kubectl.accepted("label", "sft", JOB, "looked=at")
    kubectl.patch_status(JOB, {"phase": "Running", "attempt": 1, "runID": "1"})
    kubectl.patch(JOB, {"metadata": {"finalizers": ["sft-operator.dev/stop-run"]}})
    kubectl.patch(JOB, {"metadata": {"finalizers": None}})


def test_the_same_file_applied_again_changes_nothing(kubectl: Kubectl) -> None:
    kubectl.apply(first_run())
    before = kubectl.get("sft", JOB)["metadata"]
    assert kubectl.apply(first_run()) == f"sftjob.sft-operator.dev/{JOB} unchanged\n"
    assert kubectl.get("sft", JOB)["metadata"] == before


def test_taking_the_run_id_away_falls_back_to_the_first_run(kubectl: Kubectl) -> None:
    kubectl.apply(first_run({"runID": "2"}))
    kubectl.apply(first_run())
    assert kubectl.get("sft", JOB)["spec"]["runID"] == "1"


ENDS = ("Succeeded", "Failed", "Stopped")
MESSAGE = "a run that has ended keeps its phase: only a new status.runID or a higher status.attempt changes it"


@pytest.mark.parametrize("end", ENDS)
def test_an_end_cannot_be_rewritten(kubectl: Kubectl, end: str) -> None:
    kubectl.apply(first_run())
    kubectl.patch_status(JOB, {"phase": end, "runID": "1", "attempt": 1})
    for status in ({"phase": "Running"}, {"phase": None}, {"phase": "Running", "attempt": None}, None):
        assert MESSAGE in kubectl.patch_status_refused(JOB, status)
    for other in set(ENDS) - {end}:
        assert MESSAGE in kubectl.patch_status_refused(JOB, {"phase": other})
    assert kubectl.get("sft", JOB)["status"]["phase"] == end


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("moved", [{"attempt": 2}, {"runID": "2"}], ids=["a higher attempt", "another run"])
def test_an_end_gives_way_to(kubectl: Kubectl, end: str, moved: dict[str, Any]) -> None:
    kubectl.apply(first_run())
    kubectl.patch_status(JOB, {"phase": end, "runID": "1", "attempt": 1})
    kubectl.patch_status(JOB, {"phase": "Pending", **moved})
    assert kubectl.get("sft", JOB)["status"]["phase"] == "Pending"


def test_a_lower_attempt_undoes_no_end(kubectl: Kubectl) -> None:
    kubectl.apply(first_run())
    kubectl.patch_status(JOB, {"phase": "Failed", "runID": "1", "attempt": 2})
    assert MESSAGE in kubectl.patch_status_refused(JOB, {"phase": "Running", "attempt": 1})


def test_the_rest_of_an_ended_status_and_spec_may_still_change(kubectl: Kubectl) -> None:
    kubectl.apply(first_run())
    kubectl.patch_status(JOB, {"phase": "Succeeded", "runID": "1", "attempt": 1})
    kubectl.patch_status(JOB, {"message": "looked again"})
    kubectl.patch(JOB, {"spec": {"tags": {"team": "support"}}})
    kubectl.patch(JOB, {"spec": {"runID": "2", "method": "Full"}})
    assert kubectl.get("sft", JOB)["status"]["phase"] == "Succeeded"
