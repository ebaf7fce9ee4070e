"""References inside a recipe: what they are replaced by, and that a bad one is told and never left."""

from __future__ import annotations

from typing import Any

import pytest

from sft_operator.recipes.interpolation import InterpolationError, resolve


@pytest.mark.parametrize(
    ("content", "path", "value"),
    [
        ({"a": {"b": 100}, "c": "${oc.select:a.b}"}, "c", 100),
        ({"a": {"b": 1.5}, "c": "${a.b}"}, "c", 1.5),
        ({"base": "/out", "run": {"name": "n", "dir": "${base}/${.name}"}}, "run.dir", "/out/n"),
        ({"x": 3, "a": {"b": {"c": "${...x}"}}}, "a.b.c", 3),
        ({"c": "${oc.select:no.such,100000}"}, "c", 100000),
        ({"c": "${oc.select:no.such}"}, "c", None),
        ({"c": "${oc.select:no.such,-}"}, "c", "-"),
        ({"a": "${b}", "b": "${c}", "c": 7}, "a", 7),
        ({"a": [1, "${b}"], "b": 2}, "a", [1, 2]),
        ({"a": [5, 6], "b": "${a.1}"}, "b", 6),
        ({"a": {1: "one"}, "b": "${a.1}"}, "b", "one"),
        ({"a": True, "b": None, "c": "${a}-${b}"}, "c", "true-null"),
        ({"c": "costs $5 {x}"}, "c", "costs $5 {x}"),
    ],
)
def test_a_reference_becomes_what_it_points_at(content: dict[str, Any], path: str, value: object) -> None:
    node: Any = resolve(content)
    for key in path.split("."):
        node = node[key]
    assert node == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": "${b}", "b": "${a}"}, "leads back to itself: a -> b -> a"),
        ({"a": "${a}"}, "leads back to itself: a -> a"),
        ({"a": "x-${b.c}"}, r"a: \$\{b.c\} points at b.c, which the recipe does not have"),
        ({"a": {"b": 1}, "c": "${a}"}, "points at a map or list"),
        ({"a": "${now:%Y}"}, r"\$\{now:%Y\} is not understood"),
        ({"a": "${oc.env:HOME}"}, "is not understood"),
        ({"a": "${b"}, "not closed"),
        ({"a": "${b.${c}}", "c": "d"}, "not understood|not closed, or nested"),
        ({"${a}": 1}, "a key cannot be a reference"),
        ({f"k{n}": f"${{k{n + 1}}}" for n in range(50)} | {"k50": 1}, "a chain of more than 32"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_told(content: dict[str, Any], message: str) -> None:
    with pytest.raises(InterpolationError, match=message):
        resolve(content)


def test_references_that_double_at_every_step_cost_neither_time_nor_memory() -> None:
    growing = {f"k{n}": f"${{k{n + 1}}}${{k{n + 1}}}" for n in range(30)}
    with pytest.raises(InterpolationError, match="longer than"):
        resolve(growing | {"k30": "x"})
    assert resolve(growing | {"k30": ""})["k0"] == ""


def test_nothing_is_changed_in_the_recipe_that_was_given() -> None:
    content = {"a": 1, "b": {"c": "${a}"}}
    assert resolve(content) == {"a": 1, "b": {"c": 1}}
    assert content == {"a": 1, "b": {"c": "${a}"}}
