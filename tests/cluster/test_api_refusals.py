"""What the API server refuses at once, in the words that the user reads; `sft validate` is asked the same objects in
tests/unit/test_api_refusals.py."""

from __future__ import annotations

import pytest

from sft_lab.cluster.lab import NAMESPACE, Lab
from tests.cluster.kubectl import Kubectl
from tests.manifests import ABSENT, nova_lite_2_lora
from tests.refusals import REFUSED, TAKEN

CREATE = ("create", "--dry-run=server", "-f", "-")


@pytest.fixture
def shell(lab: Lab) -> Kubectl:
    """Nothing is stored by these tests, so they share a namespace."""
    return Kubectl(lab, NAMESPACE)


@pytest.mark.parametrize("case", REFUSED)
def test_the_api_server_refuses(shell: Kubectl, case: str) -> None:
    refusal = shell.refused(*CREATE, manifest=REFUSED[case].manifest)
    for words in REFUSED[case].server:
        assert words in refusal
    assert "type conversion" not in refusal  # an error of CEL's engine, which is told in place of the rule's message


@pytest.mark.parametrize("case", TAKEN)
def test_the_api_server_takes(shell: Kubectl, case: str) -> None:
    shell.accepted(*CREATE, manifest=TAKEN[case])


def test_a_client_that_asks_for_no_strict_check_cannot_smuggle_a_job_without_a_platform(shell: Kubectl) -> None:
    manifest = nova_lite_2_lora({"sageMaker": ABSENT, "hyperPod": {"instanceType": "ml.p5.48xlarge"}})
    refusal = shell.refused(*CREATE, "--validate=false", manifest=manifest)
    assert "a platform block must be given by exactly one of: sageMaker; found: none" in refusal


def test_several_mistakes_are_told_at_once(shell: Kubectl) -> None:
    edits = {"sageMaker.roleARN": "x", "dataset.train.uri": "y", "hyperparameters": {"epochs": 0}}
    refusal = shell.refused(*CREATE, manifest=nova_lite_2_lora(edits))
    for field in ("spec.sageMaker.roleARN", "spec.dataset.train.uri", "spec.hyperparameters.epochs"):
        assert field in refusal
