"""Objects that the API server refuses, and such that it takes, as both it and `sft validate` must answer them.

A rule of our own is told in the same words by both; of the schema's bounds each tells in its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.manifests import ABSENT, Manifest, nova_lite_2_lora

TAG_KEYS = (
    "a tag key has 1 to 128 letters, digits, spaces or _.:/=+-@ and may not start with aws: or sft-operator.dev/, nor "
    "be model_name_or_path: those are written by AWS and by the operator"
)


@dataclass(frozen=True)
class Refused:
    """`server` and `offline` stand in what the API server and `sft validate` say."""

    manifest: Manifest
    server: tuple[str, ...]
    offline: str


def ruled(edits: Mapping[str, Any], field: str, words: str) -> Refused:
    return Refused(nova_lite_2_lora(edits), (f"{field}: Invalid value: ", words), f"error: {field}: {words}\n")


def bounded(edits: Mapping[str, Any], field: str, server: str, offline: str) -> Refused:
    return Refused(nova_lite_2_lora(edits), (server,), f"error: {field}: {offline}")


def unknown(edits: Mapping[str, Any], field: str) -> Refused:
    return bounded(edits, field, f'strict decoding error: unknown field "{field}"', "Extra inputs are not permitted\n")


def tag(key: str) -> Refused:
    return ruled({"tags": {key: "v"}}, "spec.tags", TAG_KEYS)


def duration(field: str, text: str, between: str) -> Refused:
    return ruled(
        {f"runPolicy.{field}": text},
        f"spec.runPolicy.{field}",
        f"must be a duration between {between}, in hours, minutes and seconds like 120h, 90m or 1h30m",
    )


def named(name: str, offline: str) -> Refused:
    return Refused(nova_lite_2_lora(name=name), ("metadata.name: Invalid value: ",), f"error: metadata.name: {offline}")


def changed(change: Mapping[str, Any], server: str, offline: str) -> Refused:
    """With other values at the top of the manifest."""
    return Refused({**nova_lite_2_lora(), **change}, (server,), f"error: {offline}")


NO_DURATIONS = ("", "120", "5", "1d", "1h 30m", "-1h", "1H", "9" * 20 + "h", "h", "10000h", "1h\n")

REFUSED: dict[str, Refused] = {
    "no platform": ruled(
        {"sageMaker": ABSENT}, "spec", "a platform block must be given by exactly one of: sageMaker; found: none"
    ),
    "a platform that this version does not have": unknown(
        {"hyperPod": {"instanceType": "ml.p5.48xlarge"}}, "spec.hyperPod"
    ),
    "no form of SageMaker job": ruled(
        {"sageMaker.training": ABSENT},
        "spec.sageMaker",
        "a form of job must be given by exactly one of: training; found: none",
    ),
    "a form of SageMaker job that this version does not have": unknown(
        {"sageMaker.serverless": {"modelPackageGroup": "x"}}, "spec.sageMaker.serverless"
    ),
    "epochs and maxSteps together": ruled(
        {"hyperparameters.epochs": 2},
        "spec.hyperparameters",
        "the length of the training is given twice: set only one of epochs, maxSteps",
    ),
    "model name and id together": ruled(
        {"model.id": "amazon.nova-2-lite-v1:0:256k"},
        "spec.model",
        "a model must be given by exactly one of: name, id; found: name id",
    ),
    "neither model name nor id": ruled(
        {"model": {}}, "spec.model", "a model must be given by exactly one of: name, id; found: none"
    ),
    "recipe name and inline together": ruled(
        {"recipe": {"name": "a/b", "inline": {"run": {}}}},
        "spec.recipe",
        "the recipe is given twice: set only one of name, inline",
    ),
    "no epochs at all": bounded(
        {"hyperparameters": {"epochs": 0}},
        "spec.hyperparameters.epochs",
        "spec.hyperparameters.epochs: Invalid value: 0: spec.hyperparameters.epochs in body should be greater than 0",
        "Input should be greater than 0",
    ),
    "a number in quotes": bounded(
        {"hyperparameters.learningRate": "1e-5"},
        "spec.hyperparameters.learningRate",
        'spec.hyperparameters.learningRate in body must be of type number: "string"',
        "Input should be a valid number",
    ),
    "a whole number in quotes": bounded(
        {"hyperparameters.maxSteps": "200"},
        "spec.hyperparameters.maxSteps",
        'spec.hyperparameters.maxSteps in body must be of type integer: "string"',
        "Input should be a valid integer",
    ),
    "half a step": bounded(
        {"hyperparameters.maxSteps": 200.5},
        "spec.hyperparameters.maxSteps",
        "spec.hyperparameters.maxSteps in body must be of type int64",
        "Input should be a valid integer",
    ),
    "a truth in quotes": bounded(
        {"runPolicy.suspend": "true"},
        "spec.runPolicy.suspend",
        'spec.runPolicy.suspend in body must be of type boolean: "string"',
        "Input should be a valid boolean",
    ),
    "a run without quotes": bounded(
        {"runID": 5},
        "spec.runID",
        'spec.runID in body must be of type string: "integer"',
        "Input should be a valid str",
    ),
    "nothing in place of what is required": bounded(
        {"dataset": None}, "spec.dataset", "spec.dataset: Required value", "Field required"
    ),
    "a misspelt field": unknown({"hyperparameters.learningrate": 1e-5}, "spec.hyperparameters.learningrate"),
    "a role ARN with too short an account": bounded(
        {"sageMaker.roleARN": "arn:aws:iam::1111:role/ml-team-sft"},
        "spec.sageMaker.roleARN",
        'spec.sageMaker.roleARN: Invalid value: "arn:aws:iam::1111:role/ml-team-sft": spec.sageMaker.roleARN in body '
        "should match '^arn:aws",
        "String should match pattern '^arn:aws",
    ),
    "a user's ARN for a role": bounded(
        {"sageMaker.roleARN": "arn:aws:iam::111122223333:user/ml-team-sft"},
        "spec.sageMaker.roleARN",
        "spec.sageMaker.roleARN in body should match '^arn:aws",
        "String should match pattern '^arn:aws",
    ),
    "a data set that is no S3 URI": bounded(
        {"dataset.train.uri": "https://acme-ml-team/train.jsonl"},
        "spec.dataset.train.uri",
        "spec.dataset.train.uri in body should match '^s3://",
        "String should match pattern '^s3://",
    ),
    "a data set without a key": bounded(
        {"dataset.train.uri": "s3://acme-ml-team/"},
        "spec.dataset.train.uri",
        "spec.dataset.train.uri in body should match '^s3://",
        "String should match pattern '^s3://",
    ),
    "an output in a bucket of no legal name": bounded(
        {"output.uri": "s3://Acme_ML/out/"},
        "spec.output.uri",
        "spec.output.uri in body should match '^s3://",
        "String should match pattern '^s3://",
    ),
    "a tag of AWS's own": tag("aws:x"),
    "a tag of AWS's own in capitals": tag("AWS:x"),
    "a tag of the operator's own": tag("sft-operator.dev/uid"),
    "the tag that SageMaker reads": tag("model_name_or_path"),
    "a tag without a key": tag(""),
    "a tag key of 129 characters": tag("k" * 129),
    "a tag key that AWS does not take": tag("a*b"),
    "a tag key that ends in a new line": tag("k\n"),
    **{f"a duration written {text!r}": duration("maxRuntime", text, "1m and 672h") for text in NO_DURATIONS},
    "too short a run": duration("maxRuntime", "59s", "1m and 672h"),
    "a run too short by a part of a second": duration("maxRuntime", "59.9s", "1m and 672h"),
    "too long a run": duration("maxRuntime", "673h", "1m and 672h"),
    "a run too long by a part of a second": duration("maxRuntime", "672h0.1s", "1m and 672h"),
    "no wait at all": duration("pendingDeadline", "0s", "1s and 672h"),
    "a wait of a part of a second": duration("pendingDeadline", "0.6s", "1s and 672h"),
    "too long a wait": duration("pendingDeadline", "9999h", "1s and 672h"),
    "a name in capitals": named("Nova", "'Nova' is no name for Kubernetes"),
    "a name with an underscore": named("nova_lite", "'nova_lite' is no name for Kubernetes"),
    "a name that begins with a hyphen": named("-nova", "'-nova' is no name for Kubernetes"),
    "a name with an empty part": named("nova..lite", "'nova..lite' is no name for Kubernetes"),
    "a name of 254 characters": named("n" * 254, "has 254 characters; at most 253 are allowed"),
    "a name that is a number": changed(
        {"metadata": {"name": 5}}, "cannot unmarshal number into Go struct field", "metadata.name: is 5, not text"
    ),
    "no name": changed({"metadata": {}}, "name or generateName is required", "metadata.name: is missing"),
    "metadata that is a list": changed(
        {"metadata": []}, "cannot unmarshal array into Go struct field", "metadata: is a list, not a map"
    ),
    "a misspelt field of metadata": changed(
        {"metadata": {"name": "nova", "labesl": {}}}, 'unknown field "metadata.labesl"', "metadata.labesl: is not known"
    ),
    "a misspelt field at the top": changed({"spce": {}}, 'unknown field "spce"', "spce: is not known"),
    "no spec": changed({"spec": None}, "spec: Required value", "spec.model: Field required"),
    "a spec that is a list": changed(
        {"spec": []}, 'spec in body must be of type object: "array"', "spec: Input should"
    ),
    "a list without a list": Refused(
        {"apiVersion": "v1", "kind": "List", "items": 5},
        ("invalid object to validate",),
        "error: items: is 5, not a list",
    ),
    "a list of what is no object": Refused(
        {"apiVersion": "v1", "kind": "List", "items": ["x"]},
        ("invalid object to validate",),
        "error: items[0]: is 'x', not a map",
    ),
}

TAKEN: dict[str, Manifest] = {
    **{
        f"a duration written {text}": nova_lite_2_lora({"runPolicy.maxRuntime": text})
        for text in ("1m", "672h", "90m", "1h30m", "0.5h", "2419200s", "40320m", "672h0.0s")
    },
    "tags of every kind that AWS takes": nova_lite_2_lora(
        {
            "tags": {
                "team": "support",
                "Kosten Stelle": "47/11",
                "a@b.c:d=e+f-g_h": "",
                "équipe": "données",
                "k" * 128: "v" * 256,
                "é" * 128: "é" * 256,
            }
        }
    ),
    "whole numbers with a point": nova_lite_2_lora({"hyperparameters.maxSteps": 200.0}),
    "nothing in place of what is optional": nova_lite_2_lora(
        {"method": None, "recipe": None, "tags": {"a": None}, "runPolicy.maxRuntime": None, "runPolicy.suspend": None}
    ),
    "a name of 253 characters": nova_lite_2_lora(name="n" * 253),
    "a name with points": nova_lite_2_lora(name="1.nova-lite.2"),
    "a status brought along": {**nova_lite_2_lora(), "status": {"phase": "Running"}},
}
