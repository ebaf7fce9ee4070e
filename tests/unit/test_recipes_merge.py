"""Laying overrides over a recipe: what merges, what replaces, and which paths may be named."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_operator.api.free import deep
from sft_operator.recipes.merge import get, has, lay_over, leaves, merge, parse, set_at, values

RECIPE: dict[str, Any] = {
    "run": {"name": "n", "sets": {}, "nothing": None},
    "training_config": {"save_steps": 10, "betas": [0.9, 0.95], "optim_config": {"lr": 1e-5}},
}

_LEAVES = (
    st.none() | st.booleans() | st.integers(0, 9) | st.text("ab", max_size=2) | st.lists(st.integers(0, 3), max_size=2)
)
_TREES = st.recursive(
    st.dictionaries(st.sampled_from("abcd"), _LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), _LEAVES | inner, max_size=3),
    max_leaves=10,
)


@given(_TREES, _TREES)
def test_every_value_of_the_override_is_in_the_result(base: dict[str, Any], over: dict[str, Any]) -> None:
    result = merge(base, over)
    assert all(get(result, path) == value for path, value in leaves(over) if value != {})


@given(_TREES, _TREES)
def test_what_the_override_does_not_touch_stays(base: dict[str, Any], over: dict[str, Any]) -> None:
    result = merge(base, over)
    touched = [path for path, _ in leaves(over)]
    for path, value in leaves(base):
        if not any(path[: len(t)] == t or t[: len(path)] == path for t in touched):
            assert get(result, path) == value


@given(_TREES, _TREES)
def test_merging_twice_is_merging_once_and_changes_neither_side(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = copy.deepcopy((base, over))
    once = merge(base, over)
    assert merge(once, over) == once
    assert merge(base, {}) == base
    assert merge({}, over) == over
    assert (base, over) == before


@given(_TREES, _TREES, _TREES)
def test_the_last_override_wins_however_the_merges_are_grouped(
    base: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    in_turn = merge(merge(base, first), second)
    for path, value in leaves(second):
        if value != {}:
            assert get(in_turn, path) == value


@given(_TREES, _TREES)
def test_an_override_that_is_not_refused_gives_what_merging_gives(base: dict[str, Any], over: dict[str, Any]) -> None:
    laid = lay_over(base, over, field="o")
    if not laid.findings:
        # an empty map says nothing, wherever it stands
        assert {p: v for p, v in leaves(laid.content) if v != {}} == {
            p: v for p, v in leaves(merge(base, over)) if v != {}
        }


@given(_TREES, _TREES)
def test_no_override_brings_in_a_key_the_recipe_lacks_unless_below_an_empty_map(
    base: dict[str, Any], over: dict[str, Any]
) -> None:
    for path, _ in leaves(lay_over(base, over, field="o").content):
        assert has(base, path) or any(get(base, path[:depth]) == {} for depth in range(1, len(path)))


def test_lists_and_scalars_replace_and_the_result_shares_nothing_with_either_side() -> None:
    over: dict[str, Any] = {"training_config": {"betas": [0.8]}}
    laid = lay_over(RECIPE, over, field="o")
    assert laid.content["training_config"] == {"save_steps": 10, "betas": [0.8], "optim_config": {"lr": 1e-5}}
    laid.content["training_config"]["betas"].append(1)
    assert over["training_config"]["betas"] == [0.8]
    assert RECIPE["training_config"]["betas"] == [0.9, 0.95]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (
            {"training_config": {"savesteps": 5}},
            "o.training_config.savesteps: the recipe has no such path; did you mean training_config.save_steps?",
        ),
        (
            {"training_config": {"lr": 5}},
            "o.training_config.lr: the recipe has no such path; did you mean training_config.optim_config.lr?",
        ),
        ({"zzz": 5}, "o.zzz: the recipe has no such path; see the recipe's own keys"),
        (
            {"training_config.save_steps": 5},
            "o.training_config.save_steps: the recipe has this path, but as nested maps; "
            "write {training_config: {save_steps: ...}}",
        ),
        (
            {"training_config": {"save_steps": {"every": 5}}},
            "o.training_config.save_steps.every: the recipe has a value at training_config.save_steps, not a map; "
            "nothing can stand below it",
        ),
        (
            {"training_config": 5},
            "o.training_config: the recipe has a map at training_config; a single value cannot "
            "replace it, name the keys below it",
        ),
        (
            {"training_config": {"save_steps": {}}},
            "o.training_config.save_steps: the recipe has a single value at "
            "training_config.save_steps; a map cannot replace it",
        ),
    ],
)
def test_a_path_the_recipe_lacks_is_refused_with_the_nearest_one(over: dict[str, Any], message: str) -> None:
    laid = lay_over(RECIPE, over, field="o")
    assert [str(finding) for finding in laid.findings] == [message]
    assert laid.content == RECIPE
    assert laid.paths == ()


def test_new_keys_are_welcome_below_a_map_that_the_recipe_leaves_empty_and_only_there() -> None:
    laid = lay_over(RECIPE, {"run": {"sets": {"a.b": "s3://x/y", "deeper": {"c": 1}}}}, field="o")
    assert laid.findings == ()
    assert laid.content["run"]["sets"] == {"a.b": "s3://x/y", "deeper": {"c": 1}}
    assert laid.paths == (("run", "sets", "a.b"), ("run", "sets", "deeper", "c"))
    assert lay_over(RECIPE, {"run": {"nothing": {"c": 1}}}, field="o").findings
    assert lay_over(RECIPE, {"run": {"new": 1}}, field="o").findings


def test_an_override_of_absurd_size_is_one_refusal() -> None:
    (finding,) = lay_over(RECIPE, {f"k{number}": 1 for number in range(5000)}, field="o").findings
    assert "5000 values, more than the 200" in finding.message


def test_paths_can_be_read_and_set() -> None:
    content: dict[Any, Any] = {"a": 1}
    set_at(content, parse("b.c"), 2)
    assert content == {"a": 1, "b": {"c": 2}}
    assert get(content, parse("b.c")) == 2
    assert get(content, parse("a.x"), "none") == "none"
    assert not has(content, parse("b.d"))


def test_depth_and_number_of_values_are_measured_without_end() -> None:
    chain: dict[str, Any] = {}
    for _ in range(40):
        chain = {"a": chain}
    assert deep(chain)
    assert not deep(RECIPE)
    assert values(RECIPE) == 6
