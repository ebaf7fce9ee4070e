"""Within one served version the schema is never tightened: today's CRD against those of released versions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_operator.api.crd import sftjob_crd, sftprofile_crd
from tests.tightening import tightened

RELEASED = sorted((Path(__file__).parents[1] / "cluster" / "data").glob("sft*-*.yaml"))
TODAY = {crd["metadata"]["name"]: crd for crd in (sftjob_crd(), sftprofile_crd())}

LISTED: dict[str, str] = {}
"""A finding of `tightened` → why it harms no stored object. Whoever adds one tells it in CHANGELOG.md."""

Schema = dict[str, Any]


def _of(crd: Schema) -> Schema:
    (version,) = [one for one in crd["spec"]["versions"] if one["name"] == "v1alpha1"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


@pytest.mark.parametrize("file", RELEASED, ids=lambda file: file.stem)
def test_what_a_released_crd_took_todays_takes(file: Path) -> None:
    released = yaml.safe_load(file.read_text())
    found = set(tightened(_of(released), _of(TODAY[released["metadata"]["name"]])))
    assert found - LISTED.keys() == set()


@pytest.mark.parametrize("file", RELEASED, ids=lambda file: file.stem)
def test_a_released_kind_keeps_its_names_and_its_version(file: Path) -> None:
    released = yaml.safe_load(file.read_text())["spec"]
    today = TODAY[f"{released['names']['plural']}.{released['group']}"]["spec"]
    assert (today["group"], today["scope"], today["names"]) == (released["group"], released["scope"], released["names"])
    (before,), (now,) = released["versions"], today["versions"]
    assert (now["served"], now["storage"], now["subresources"]) == (True, True, before["subresources"])
    columns = [column["name"] for column in now["additionalPrinterColumns"]]
    assert {column["name"] for column in before["additionalPrinterColumns"]} <= set(columns)


def test_nothing_is_listed_that_is_not_so() -> None:
    released = [yaml.safe_load(file.read_text()) for file in RELEASED]
    found = {finding for crd in released for finding in tightened(_of(crd), _of(TODAY[crd["metadata"]["name"]]))}
    assert LISTED.keys() <= found


BEFORE: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 63, "minLength": 1, "pattern": "^[a-z]+$"},
        "kind": {"type": "string", "enum": ["A", "B"], "default": "A"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "text": {"type": "string"},
        "tags": {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "string", "maxLength": 8}},
        "list": {
            "type": "array",
            "maxItems": 3,
            "items": {"type": "object", "properties": {"uri": {"type": "string"}}},
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
    "x-kubernetes-validations": [{"rule": "self.name != 'x'", "message": "no x"}],
}

Edit = Callable[[Schema], object]


def _edited(edit: Edit) -> Schema:
    schema = copy.deepcopy(BEFORE)
    edit(schema)
    return schema


NARROWER: dict[str, Edit] = {
    "a field is gone": lambda s: s["properties"].pop("text"),
    "a field inside a list is gone": lambda s: s["properties"]["list"]["items"]["properties"].pop("uri"),
    "another type": lambda s: s["properties"]["count"].update(type="string"),
    "a lower maximum": lambda s: s["properties"]["count"].update(maximum=8),
    "a higher minimum": lambda s: s["properties"]["count"].update(minimum=2),
    "a bound that is exclusive now": lambda s: s["properties"]["count"].update(exclusiveMinimum=True),
    "a shorter text": lambda s: s["properties"]["name"].update(maxLength=62),
    "a bound where there was none": lambda s: s["properties"]["text"].update(maxLength=10**6),
    "a text that may not be empty now": lambda s: s["properties"]["text"].update(minLength=1),
    "fewer items": lambda s: s["properties"]["list"].update(maxItems=2),
    "fewer keys": lambda s: s["properties"]["tags"].update(maxProperties=3),
    "shorter values": lambda s: s["properties"]["tags"]["additionalProperties"].update(maxLength=7),
    "another pattern": lambda s: s["properties"]["name"].update(pattern="^[a-z0-9]+$"),
    "a pattern where there was none": lambda s: s["properties"]["text"].update(pattern="."),
    "a value less in an enum": lambda s: s["properties"]["kind"].update(enum=["A"]),
    "an enum where there was none": lambda s: s["properties"]["text"].update(enum=["A"]),
    "an old field that is required now": lambda s: s["required"].append("text"),
    "a new field that is required": lambda s: s["required"].append("new"),
    "a new rule": lambda s: s["x-kubernetes-validations"].append({"rule": "has(self.text)"}),
    "another rule": lambda s: s["x-kubernetes-validations"][0].update(rule="self.name != 'y'"),
    "another default, which would make another run of a spec": lambda s: s["properties"]["kind"].update(default="B"),
    "no default any more": lambda s: s["properties"]["kind"].pop("default"),
    "a default for an old field": lambda s: s["properties"]["text"].update(default="A"),
    "a list that is merged otherwise": lambda s: s["properties"]["list"].update({"x-kubernetes-list-type": "set"}),
    "unknown fields are pruned": lambda s: s["properties"]["free"].pop("x-kubernetes-preserve-unknown-fields"),
}

WIDER: dict[str, Edit] = {
    "a new field": lambda s: s["properties"].update(new={"type": "string", "maxLength": 1}),
    "a new field with a default": lambda s: s["properties"].update(new={"type": "integer", "default": 5}),
    "a field that need not be there": lambda s: s["required"].clear(),
    "a higher maximum": lambda s: s["properties"]["count"].update(maximum=10),
    "no bound": lambda s: s["properties"]["name"].pop("maxLength"),
    "a value more in an enum": lambda s: s["properties"]["kind"]["enum"].append("C"),
    "any value": lambda s: s["properties"]["kind"].pop("enum"),
    "no pattern": lambda s: s["properties"]["name"].pop("pattern"),
    "a rule less": lambda s: s["x-kubernetes-validations"].clear(),
    "another text": lambda s: s["properties"]["text"].update(description="other words"),
    "other words of a rule": lambda s: s["x-kubernetes-validations"][0].update(message="other words"),
}


@pytest.mark.parametrize("what", NARROWER)
def test_what_would_refuse_or_change_a_stored_object_is_found(what: str) -> None:
    assert len(list(tightened(BEFORE, _edited(NARROWER[what])))) == 1


@pytest.mark.parametrize("what", WIDER)
def test_what_takes_more_than_before_is_free(what: str) -> None:
    assert list(tightened(BEFORE, _edited(WIDER[what]))) == []
