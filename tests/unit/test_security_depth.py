"""Input that is nested too deeply for Python: each way in ends in words for its author, and harms nobody else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sft_operator.controller.nesting import KEPT_LEVELS, shallow
from sft_operator.controller.reconcile.job import parse
from tests.manifests import nova_lite_2_lora


def nested(levels: int, inside: str = "1") -> str:
    return '{"a":' * levels + inside + "}" * levels


@pytest.mark.parametrize("levels", [40, 300, 900])
@pytest.mark.parametrize("part", ["inline", "overrides"])
def test_a_recipe_nested_deeper_than_a_plan_can_follow_is_refused_by_its_field(part: str, levels: int) -> None:
    body = nova_lite_2_lora()
    body["metadata"] |= {"namespace": "ml-team", "uid": "u", "creationTimestamp": "2026-11-22T12:00:00Z"}
    body["spec"]["recipe"] = {part: json.loads(nested(levels))}
    job = parse(body)
    assert (job.spec, job.spec_error) == (None, f"spec.recipe.{part}: nested deeper than 32 levels")


def test_what_lies_too_deep_is_left_out_and_the_rest_is_read() -> None:
    text = f'{{"before": ["]}}", "\\\\", "\\""], "deep": {nested(5000)}, "list": {"[" * 5000}{"]" * 5000}, "after": [1, {{}}]}}'
    found = json.loads(shallow(text))
    assert (found["before"], found["after"]) == (["]}", "\\", '"'], [1, {}])
    assert json.dumps(found["deep"]).count("{") == KEPT_LEVELS - 1
    assert json.dumps(found["list"]).count("[") == KEPT_LEVELS - 1


def test_what_is_not_too_deep_is_not_touched() -> None:
    text = nested(KEPT_LEVELS)
    assert shallow(text) == text


def test_a_process_that_reads_any_depth_reads_a_list_with_one_poisoned_resource() -> None:
    """In a process of its own: what it changes is changed for all of json."""
    program = """
import json
from sft_operator.controller.nesting import read_any_depth
text = '{"items": [{"spec": ' + '{"a":' * 9000 + '1' + '}' * 9000 + '}, {"name": "good"}]}'
read_any_depth()
print(json.loads(text)["items"][1]["name"], json.loads(text.encode())["items"][1]["name"])
try:
    json.loads("{")
except json.JSONDecodeError as error:
    print("still refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "good good"
    assert "still refused" in done.stdout
