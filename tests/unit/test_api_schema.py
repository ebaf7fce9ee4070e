"""The generated CRD as a document: bounds, texts, and the split into run-defining and other fields."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sft_operator.api import rules
from sft_operator.api.crd import COLUMNS, sftjob_crd, structural
from sft_operator.api.identity import fingerprint
from sft_operator.api.sftjob import PLATFORMS, SFTJobSpec
from tests.manifests import nova_lite_2_lora

ROOT = Path(__file__).resolve().parents[2]
(VERSION,) = sftjob_crd()["spec"]["versions"]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]

NEWER_THAN_1_28 = {"selectableFields", "optionalOldSelf"}
"""Fields of a CRD that came with Kubernetes 1.29 or later."""


def nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key, step in (("items", "[]"), ("additionalProperties", "{}")):
        if key in node:
            yield from nodes(node[key], path + step)


SPEC = list(nodes(SCHEMA["properties"]["spec"], "spec"))
STATUS = list(nodes(SCHEMA["properties"]["status"], "status"))


def keys(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        yield from document
    for child in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from keys(child)


def test_no_generated_file_is_stale() -> None:
    answer = subprocess.run([sys.executable, "tools/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_every_field_has_a_text() -> None:
    mute = [path for path, node in SPEC + STATUS if not path.endswith(("[]", "{}")) and not node.get("description")]
    assert mute == []


def test_every_text_is_one_paragraph() -> None:
    assert [path for path, node in SPEC + STATUS if re.search(r"\s\s|\n", node.get("description", ""))] == []


def test_every_string_list_and_map_is_bounded() -> None:
    unbounded = [
        path
        for path, node in SPEC + STATUS
        if (node["type"] == "string" and not {"maxLength", "enum"} & set(node) and node.get("format") != "date-time")
        or (node["type"] == "array" and "maxItems" not in node)
        or (node["type"] == "object" and "properties" not in node and "maxProperties" not in node)
    ]
    assert unbounded == []


def test_every_number_of_the_spec_is_bounded_on_both_sides() -> None:
    numbers = [(path, node) for path, node in SPEC if node["type"] in ("integer", "number")]
    assert [path for path, node in numbers if not {"minimum", "maximum"} <= set(node)] == []


def test_every_bound_of_a_number_is_told_to_the_reader_of_its_default() -> None:
    """A default that breaks its own bounds would make every object invalid."""
    for path, node in SPEC:
        if "default" in node and node["type"] in ("integer", "number"):
            assert node["minimum"] <= node["default"] <= node["maximum"], path


def test_the_crd_uses_nothing_newer_than_kubernetes_1_28() -> None:
    assert NEWER_THAN_1_28.isdisjoint(keys(sftjob_crd()))


def test_the_columns_are_those_of_the_design() -> None:
    plain = [column["name"] for column in COLUMNS if not column.get("priority")]
    wide = [column["name"] for column in COLUMNS if column.get("priority")]
    assert plain == ["Model", "Phase", "Reason", "Progress", "Loss", "ETA", "Age"]
    assert wide == ["Platform", "Job", "Instance-Hours"]


OTHER_VALUES: dict[str, Any] = {
    "model": {"name": "nova-micro"},
    "method": "Full",
    "dataset.train": {"uri": "s3://acme-ml-team/other.jsonl"},
    "dataset.validation": [{"uri": "s3://acme-ml-team/other.jsonl"}],
    "dataset.check": "Skip",
    "hyperparameters": {"maxSteps": 100},
    "recipe": {"overrides": {"training_config": {"save_steps": 50}}},
    "output": {"uri": "s3://acme-ml-team/other/"},
    "sageMaker": {
        "region": "us-west-2",
        "roleARN": "arn:aws:iam::111122223333:role/ml-team-sft",
        "training": {"instanceType": "ml.p5.48xlarge", "instanceCount": 4},
    },
    "runPolicy": {"suspend": True},
    "tags": {"team": "support"},
    "profile": "another",
}
"""A second value of every field of spec and of dataset; a new field fails the test below until it stands here."""


def test_a_field_moves_the_fingerprint_exactly_when_the_api_server_holds_it_fixed() -> None:
    spec = SCHEMA["properties"]["spec"]
    fixed = {rule["fieldPath"].lstrip(".") for rule in spec["x-kubernetes-validations"] if "fieldPath" in rule}
    fields = {f"dataset.{name}" for name in spec["properties"]["dataset"]["properties"]}
    fields |= set(spec["properties"]) - {"dataset", "runID"}
    base = fingerprint(SFTJobSpec.model_validate(nova_lite_2_lora()["spec"]))
    moving = {
        field
        for field in fields
        if fingerprint(SFTJobSpec.model_validate(nova_lite_2_lora({field: OTHER_VALUES[field]})["spec"])) != base
    }
    assert moving == fixed


def test_every_platform_of_the_union_is_a_field_and_an_immutable_one() -> None:
    for platform in PLATFORMS:
        assert platform in SCHEMA["properties"]["spec"]["properties"]


def test_a_union_says_the_same_here_and_at_the_api_server() -> None:
    union = rules.OneOf("a platform block", ("sageMaker", "hyperPod"))
    assert union.rule["rule"] == "(has(self.sageMaker) ? 1 : 0) + (has(self.hyperPod) ? 1 : 0) == 1"
    assert union.rule["message"] == "a platform block must be given by exactly one of: sageMaker, hyperPod"
    assert union.message(["sageMaker", "hyperPod"]) == union.rule["message"] + "; found: sageMaker hyperPod"
    assert union.message([]) == union.rule["message"] + "; found: none"


def test_a_union_of_types_is_refused_by_the_generator() -> None:
    class Loose(BaseModel):
        value: int | str

    with pytest.raises(TypeError, match="a union cannot be written"):
        structural(Loose)
