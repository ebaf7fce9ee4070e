"""The YAML loader: what a user's file means, what it may not do, and that what we write reads back everywhere."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sft_operator.api import yaml12


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("5e-06", 5e-6),
        (".5", 0.5),
        ("-1.", -1.0),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ('"null"', "null"),
        ("2026-06-23", "2026-06-23"),
        ("1:30", "1:30"),
        ("<<", "<<"),
        ("!!str 12", "12"),
        ("!!float 1", 1.0),
        ("-.inf", -math.inf),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(text: str, value: object) -> None:
    read = yaml12.load(f"key: {text}", source="test")["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", 4, 3, "stands twice"),
        ("a: 1\nb: [1,\n", 3, 1, "did not find expected"),
        ("a: b: c", 1, 5, "mapping values are not allowed"),
        ("a: !!python/object:os.system x", 1, 4, "tag"),
        ("a: !!set {b}", 1, 4, "tag"),
        ("a: *b", 1, 4, "no finished anchor"),
        ("a: &a [*a]", 1, 8, "no finished anchor"),
        ("[" * 100_000, 1, 65, "nested deeper than 64"),
        ("null: 1", 1, 1, "neither a string nor a whole number"),
        ("n: " + "9" * 5000, 1, 4, "5000 digits"),
    ],
)
def test_a_refused_text_is_told_with_line_and_column(text: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(yaml12.YAMLError, match=problem) as caught:
        yaml12.load(text, source="recipe.yaml")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"recipe.yaml, line {line}, column {column}: ")


def test_aliases_may_share_a_block_but_not_explode() -> None:
    assert yaml12.load("a: &x {b: 1}\nc: *x\n", source="t") == {"a": {"b": 1}, "c": {"b": 1}}
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    with pytest.raises(yaml12.YAMLError, match="aliases stand for more than 1000 values"):
        yaml12.load(bomb, source="bomb.yaml")


def test_a_value_reached_by_an_alias_is_a_copy() -> None:
    read = yaml12.load("a: &x {b: 1}\nc: *x\n", source="t")
    read["c"]["b"] = 2
    assert read["a"] == {"b": 1}


def test_a_text_beyond_the_size_bound_is_refused() -> None:
    with pytest.raises(yaml12.YAMLError, match="longer than"):
        yaml12.load("a" * (yaml12.MAX_CHARACTERS + 1), source="big.yaml")


def test_several_documents_are_read_in_order_and_refused_where_one_is_expected() -> None:
    text = "a: 1\n---\n---\nb: 2\n"
    assert list(yaml12.load_all(text, source="t")) == [{"a": 1}, None, {"b": 2}]
    with pytest.raises(yaml12.YAMLError, match="3 documents where one is expected"):
        yaml12.load(text, source="t")
    assert yaml12.load("", source="t") is None


def test_what_is_written_keeps_its_order_and_looks_the_same_to_both_versions_of_yaml() -> None:
    text = yaml12.dump({"lr": 1e-5, "scheme": "null", "off": None, "text": "1e-5", "flag": "yes", "big": 1e16})
    assert text == "lr: 1.0e-05\nscheme: 'null'\n'off': null\ntext: '1e-5'\nflag: 'yes'\nbig: 1.0e+16\n"


_WORDS = st.sampled_from(
    ["1e-5", "yes", "NO", "on", "null", "~", "", "0o17", "0x1", "1_0", "1:30", "y", ".5", "1.", "<<"]
)
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | _WORDS
)
_PRINTABLE = _SCALARS.filter(lambda value: not isinstance(value, str) or value.isprintable())
_TREES = st.dictionaries(
    _WORDS | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8),
    st.recursive(
        _PRINTABLE,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=6,
)


@given(_TREES)
def test_readers_of_either_version_get_back_what_was_written(tree: dict[str, object]) -> None:
    text = yaml12.dump(tree)
    assert yaml12.load(text, source="t") == tree
    assert yaml.safe_load(text) == tree
    assert yaml12.dump(yaml12.load(text, source="t")) == text
