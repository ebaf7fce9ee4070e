"""What the API server refuses at once, in the words that the user reads."""

from __future__ import annotations

from typing import Any

import pytest

from sft_lab.cluster.lab import NAMESPACE, Lab
from tests.cluster.kubectl import Kubectl
from tests.manifests import ABSENT, nova_lite_2_lora

CREATE = ("create", "--dry-run=server", "-f", "-")


@pytest.fixture
def shell(lab: Lab) -> Kubectl:
    """Nothing is stored by these tests, so they share a namespace."""
    return Kubectl(lab, NAMESPACE)


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "no platform": (
        {"sageMaker": ABSENT},
        "spec: Invalid value: a platform block must be given by exactly one of: sageMaker; found: none",
    ),
    "a platform that this version does not have": (
        {"hyperPod": {"instanceType": "ml.p5.48xlarge"}},
        'strict decoding error: unknown field "spec.hyperPod"',
    ),
    "no form of SageMaker job": (
        {"sageMaker.training": ABSENT},
        "spec.sageMaker: Invalid value: a form of job must be given by exactly one of: training; found: none",
    ),
    "a form of SageMaker job that this version does not have": (
        {"sageMaker.serverless": {"modelPackageGroup": "x"}},
        'unknown field "spec.sageMaker.serverless"',
    ),
    "epochs and maxSteps together": (
        {"hyperparameters.epochs": 2},
        "spec.hyperparameters: Invalid value: the length of the training is given twice: set only one of epochs, "
        "maxSteps",
    ),
    "model name and id together": (
        {"model.id": "amazon.nova-2-lite-v1:0:256k"},
        "spec.model: Invalid value: a model must be given by exactly one of: name, id; found: name id",
    ),
    "neither model name nor id": (
        {"model": {}},
        "spec.model: Invalid value: a model must be given by exactly one of: name, id; found: none",
    ),
    "recipe name and inline together": (
        {"recipe": {"name": "a/b", "inline": {"run": {}}}},
        "spec.recipe: Invalid value: the recipe is given twice: set only one of name, inline",
    ),
    "no epochs at all": (
        {"hyperparameters": {"epochs": 0}},
        "spec.hyperparameters.epochs: Invalid value: 0: spec.hyperparameters.epochs in body should be greater than 0",
    ),
    "a number in quotes": (
        {"hyperparameters.learningRate": "1e-5"},
        'spec.hyperparameters.learningRate: Invalid value: "string": '
        'spec.hyperparameters.learningRate in body must be of type number: "string"',
    ),
    "a misspelt field": ({"hyperparameters.learningrate": 1e-5}, 'unknown field "spec.hyperparameters.learningrate"'),
    "a role ARN with too short an account": (
        {"sageMaker.roleARN": "arn:aws:iam::1111:role/ml-team-sft"},
        'spec.sageMaker.roleARN: Invalid value: "arn:aws:iam::1111:role/ml-team-sft": spec.sageMaker.roleARN in body '
        "should match '^arn:aws",
    ),
    "a user's ARN for a role": (
        {"sageMaker.roleARN": "arn:aws:iam::111122223333:user/ml-team-sft"},
        "spec.sageMaker.roleARN in body should match '^arn:aws",
    ),
    "a data set that is no S3 URI": (
        {"dataset.train.uri": "https://acme-ml-team/train.jsonl"},
        "spec.dataset.train.uri in body should match '^s3://",
    ),
    "a data set without a key": (
        {"dataset.train.uri": "s3://acme-ml-team/"},
        "spec.dataset.train.uri in body should match '^s3://",
    ),
    "an output in a bucket of no legal name": (
        {"output.uri": "s3://Acme_ML/out/"},
        "spec.output.uri in body should match '^s3://",
    ),
    "a tag of AWS's own": (
        {"tags": {"aws:x": "y"}},
        "spec.tags: Invalid value: a tag key has 1 to 128 letters, digits, spaces or _.:/=+-@ and may not start with "
        "aws: or sft-operator.dev/, nor be model_name_or_path: those are written by AWS and by the operator",
    ),
    "a tag of AWS's own in capitals": ({"tags": {"AWS:x": "y"}}, "may not start with aws: or sft-operator.dev/"),
    "a tag of the operator's own": ({"tags": {"sft-operator.dev/uid": "y"}}, "may not start with aws: or sft-operator"),
    "the tag that SageMaker reads": ({"tags": {"model_name_or_path": "y"}}, "nor be model_name_or_path"),
    "a tag without a key": ({"tags": {"": "y"}}, "a tag key has 1 to 128 letters"),
    "a tag key of 129 characters": ({"tags": {"k" * 129: "y"}}, "a tag key has 1 to 128 letters"),
    "a tag key that AWS does not take": ({"tags": {"a*b": "y"}}, "a tag key has 1 to 128 letters"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_the_api_server_refuses(shell: Kubectl, case: str) -> None:
    edits, message = REFUSALS[case]
    assert message in shell.refused(*CREATE, manifest=nova_lite_2_lora(edits))


@pytest.mark.parametrize("duration", ["120", "5", "1d", "1h 30m", "-1h", "1H", "9" * 20 + "h", "h"])
def test_what_is_no_duration_is_refused_with_an_example_and_no_error_of_the_rule_engine(
    shell: Kubectl, duration: str
) -> None:
    refusal = shell.refused(*CREATE, manifest=nova_lite_2_lora({"runPolicy.maxRuntime": duration}))
    assert (
        f'spec.runPolicy.maxRuntime: Invalid value: "{duration}": must be a duration between 1m and 672h, in hours, '
        "minutes and seconds like 120h, 90m or 1h30m" in refusal
    )
    assert "type conversion" not in refusal


@pytest.mark.parametrize(
    ("field", "duration", "between"),
    [
        ("maxRuntime", "59s", "1m and 672h"),
        ("maxRuntime", "673h", "1m and 672h"),
        ("pendingDeadline", "0s", "1s and 672h"),
        ("pendingDeadline", "9999h", "1s and 672h"),
    ],
)
def test_a_duration_outside_its_bounds_is_refused(shell: Kubectl, field: str, duration: str, between: str) -> None:
    refusal = shell.refused(*CREATE, manifest=nova_lite_2_lora({f"runPolicy.{field}": duration}))
    assert f'spec.runPolicy.{field}: Invalid value: "{duration}": must be a duration between {between}' in refusal


@pytest.mark.parametrize("duration", ["1m", "672h", "90m", "1h30m", "0.5h", "2419200s", "40320m"])
def test_every_way_to_write_a_duration_is_taken(shell: Kubectl, duration: str) -> None:
    shell.accepted(*CREATE, manifest=nova_lite_2_lora({"runPolicy.maxRuntime": duration}))


def test_a_client_that_asks_for_no_strict_check_cannot_smuggle_a_job_without_a_platform(shell: Kubectl) -> None:
    manifest = nova_lite_2_lora({"sageMaker": ABSENT, "hyperPod": {"instanceType": "ml.p5.48xlarge"}})
    refusal = shell.refused(*CREATE, "--validate=false", manifest=manifest)
    assert "a platform block must be given by exactly one of: sageMaker; found: none" in refusal


def test_several_mistakes_are_told_at_once(shell: Kubectl) -> None:
    edits = {"sageMaker.roleARN": "x", "dataset.train.uri": "y", "hyperparameters": {"epochs": 0}}
    refusal = shell.refused(*CREATE, manifest=nova_lite_2_lora(edits))
    for field in ("spec.sageMaker.roleARN", "spec.dataset.train.uri", "spec.hyperparameters.epochs"):
        assert field in refusal


def test_tags_of_every_kind_that_aws_takes_are_taken(shell: Kubectl) -> None:
    tags = {
        "team": "support",
        "Kosten Stelle": "47/11",
        "a@b.c:d=e+f-g_h": "",
        "équipe": "données",
        "k" * 128: "v" * 256,
    }
    shell.accepted(*CREATE, manifest=nova_lite_2_lora({"tags": tags}))
