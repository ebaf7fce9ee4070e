"""Every bound of the schema, found by walking it: what passes a bound is refused with the name of the field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sft_lab.cluster.lab import NAMESPACE, Lab
from sft_operator.api.crd import sftjob_crd
from tests.cluster.kubectl import Kubectl
from tests.manifests import ABSENT, nova_lite_2_lora

CREATE = ("create", "--dry-run=server", "-f", "-")
Schema = dict[str, Any]
Case = tuple[str, str, Any, str]
"""Path below spec as the builder takes it, the bound, a value that passes it, and the API server's words."""


def _spec() -> Schema:
    (version,) = sftjob_crd()["spec"]["versions"]
    spec: Schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return spec


def _walk(node: Schema, path: str) -> Iterator[Case]:
    yield from ((path, *passed) for passed in _passed(node))
    for name, child in node.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        if name in node.get("required", ()):
            yield below, "required", ABSENT, "Required value"
        yield from _walk(child, below)
    if "items" in node:
        yield from _walk(node["items"], f"{path}.0")
    if "additionalProperties" in node:
        yield from _walk(node["additionalProperties"], f"{path}.key")


def _passed(node: Schema) -> Iterator[tuple[str, Any, str]]:
    if "maxLength" in node:
        yield "maxLength", "a" * (node["maxLength"] + 1), f"Too long: may not be more than {node['maxLength']} bytes"
    if "minLength" in node:
        yield "minLength", "a" * (node["minLength"] - 1), f"should be at least {node['minLength']} chars long"
    if "pattern" in node:
        yield "pattern", "a\tb", "should match '"
    if "enum" in node:
        yield "enum", "Other", 'Unsupported value: "Other": supported values: '
    if "maximum" in node:
        yield "maximum", node["maximum"] + 1, f"should be less than or equal to {node['maximum']}"
    if "minimum" in node and node.get("exclusiveMinimum"):
        yield "minimum", node["minimum"], f"should be greater than {node['minimum']}"
    elif "minimum" in node:
        yield "minimum", node["minimum"] - 1, f"should be greater than or equal to {node['minimum']}"
    if "maxItems" in node:
        items = [{"uri": "s3://acme/a.jsonl", "name": f"n{i}"} for i in range(node["maxItems"] + 1)]
        yield "maxItems", items, f"must have at most {node['maxItems']} items"
    if "minItems" in node:
        yield "minItems", [], f"should have at least {node['minItems']} items"
    if "maxProperties" in node:
        pairs = {f"k{i}": "v" for i in range(node["maxProperties"] + 1)}
        yield "maxProperties", pairs, f"must have at most {node['maxProperties']} items"
    if node.get("type") in ("integer", "number", "boolean"):
        yield "type", "text", f'must be of type {node["type"]}: "string"'


CASES = list(_walk(_spec(), ""))


def _numbers(node: Schema, path: str = "") -> Iterator[tuple[str, float]]:
    for name, child in node.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        if "maximum" in child:
            yield below, child["maximum"]
            if not child.get("exclusiveMinimum"):
                yield below, child["minimum"]
        yield from _numbers(child, below)


def _parents(path: str) -> dict[str, Any]:
    """What must stand beside a field for its parents to be complete."""
    return {"dataset.validation": [{"uri": "s3://acme/v.jsonl"}]} if path.startswith("dataset.validation.0") else {}


@pytest.fixture(scope="module")
def refusals(lab: Lab) -> dict[str, str]:
    """What the API server says of each case, by its name; all go in one call, because a kubectl each takes a minute."""
    items = [nova_lite_2_lora({**_parents(case[0]), case[0]: case[2]}, name=_name(case)) for case in CASES]
    stderr = Kubectl(lab, NAMESPACE).refused(*CREATE, manifest=items)
    return {part.partition('"')[0]: part for part in stderr.split('SFTJob.sft-operator.dev "')}


def _name(case: Case) -> str:
    return f"{case[0]}-{case[1]}".lower()


def test_the_walk_finds_bounds_of_every_kind() -> None:
    kinds = {bound for _, bound, _, _ in CASES}
    assert kinds == {
        "required", "maxLength", "minLength", "pattern", "enum", "maximum", "minimum", "maxItems", "minItems",
        "maxProperties", "type",
    }  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_value_that_passes_a_bound_is_refused_with_the_name_of_its_field(
    refusals: dict[str, str], case: Case
) -> None:
    path, _, _, words = case
    refusal = refusals.get(_name(case), "it was accepted")
    assert f"spec.{path.replace('.0', '[0]')}: " in refusal
    assert words in refusal


def test_every_number_is_taken_on_its_bounds(lab: Lab) -> None:
    on_bound = {f"bound-{i}": edit for i, edit in enumerate(_numbers(_spec()))}
    length = {"hyperparameters.maxSteps": ABSENT}  # epochs and maxSteps exclude each other
    items = [nova_lite_2_lora({**length, path: value}, name=name) for name, (path, value) in on_bound.items()]
    answer = Kubectl(lab, NAMESPACE).accepted(*CREATE, manifest=items)
    assert len(answer.splitlines()) == len(items) > 10
