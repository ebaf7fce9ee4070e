"""A Converse row: what is right, and how each thing that is wrong is told."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_operator.datasets import converse

Row = dict[str, Any]


def row(*turns: tuple[str, str], system: str | None = None) -> Row:
    pairs = turns or (("user", "My kettle is cold."), ("assistant", "Let us warm it up."))
    out: Row = {"schemaVersion": "bedrock-conversation-2024"}
    if system is not None:
        out["system"] = [{"text": system}]
    out["messages"] = [{"role": role, "content": [{"text": text}]} for role, text in pairs]
    return out


def told(bad: object) -> list[str]:
    return [f"{p.json_path} {p.message}".strip() for p in converse.explain(bad) if p.severity == "error"]


def accepted(candidate: object) -> bool:
    return converse.accept(json.dumps(candidate).encode()) is not None


def changed(change: Callable[[Row], object], base: Row | None = None) -> Row:
    out = copy.deepcopy(base or row())
    change(out)
    return out


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(
    lambda t: not t.isspace() and not list(converse.explain(row(("user", t), ("assistant", t))))
)
rows = st.builds(
    lambda pairs, system: row(*[t for u, a in pairs for t in (("user", u), ("assistant", a))], system=system),
    st.lists(st.tuples(words, words), min_size=1, max_size=4),
    st.none() | words,
)


@given(rows)
def test_a_right_row_is_accepted_and_its_characters_are_counted(good: Row) -> None:
    texts = [b["text"] for m in good["messages"] for b in m["content"]] + [b["text"] for b in good.get("system", [])]
    counted = converse.accept(json.dumps(good).encode())
    # None is a false alarm of the reserved word filter ("thought:"), and then the explanation finds nothing.
    assert counted == sum(map(len, texts)) or (counted is None and not list(converse.explain(good)))
    assert converse.text_length(good) == sum(map(len, texts))


WRONG: list[tuple[str, Row | object, str]] = [
    ("a list for a row", [], "the line is a list; every line must be one JSON object"),
    ("a number for a row", 3, "the line is a number; every line must be one JSON object"),
    (
        "no schemaVersion",
        changed(lambda r: r.pop("schemaVersion")),
        'schemaVersion is missing; every row must have "schemaVersion": "bedrock-conversation-2024"',
    ),
    (
        "another schemaVersion",
        changed(lambda r: r.update(schemaVersion="1")),
        'schemaVersion is another version; every row must have "schemaVersion": "bedrock-conversation-2024"',
    ),
    (
        "an unknown key",
        changed(lambda r: r.update(source="x")),
        'has the unknown key "source"; a row has schemaVersion, system (optional) and messages',
    ),
    (
        "tools",
        changed(lambda r: r.update(toolConfig={"tools": []})),
        "toolConfig is not allowed: media, tool and reasoning content is not supported yet, only text",
    ),
    (
        "an empty system list",
        changed(lambda r: r.update(system=[])),
        "system is an empty list; it needs at least one text; leave system out when there is none",
    ),
    (
        "a null system",
        changed(lambda r: r.update(system=None)),
        'system is null; it must be a list such as [{"text": "..."}]; leave system out when there is none',
    ),
    (
        "a blank system text",
        row(system=" \t"),
        "system[0].text is empty or blank; a turn without words cannot be trained on",
    ),
    (
        "no messages",
        changed(lambda r: r.pop("messages")),
        "messages is missing; it must be a list of turns, user and assistant in turn",
    ),
    (
        "one turn",
        row(("user", "hello")),
        "messages has only one turn; at least one user and one assistant turn are needed",
    ),
    (
        "two user turns",
        row(("user", "a"), ("user", "b"), ("assistant", "c")),
        'messages[1].role is "user"; roles must alternate, an assistant turn is expected here',
    ),
    (
        "the assistant first",
        row(("assistant", "a"), ("user", "b"), ("assistant", "c")),
        'messages[0].role is "assistant"; the first turn must be the user\'s, a user turn is expected here',
    ),
    (
        "the user last",
        row(("user", "a"), ("assistant", "b"), ("user", "c")),
        'messages[2].role is "user"; the last turn must be the assistant\'s: it is what the model learns',
    ),
    (
        "a system turn",
        row(("system", "be kind"), ("user", "a"), ("assistant", "b")),
        'messages[0].role is "system"; it must be "user" or "assistant"; a system text belongs in the row\'s system list',
    ),
    (
        "an unknown role",
        row(("user", "a"), ("Jane Roe", "b")),
        'messages[1].role is another word; it must be "user" or "assistant"',
    ),
    (
        "content as a string",
        changed(lambda r: r["messages"][0].update(content="hi")),
        'messages[0].content is a string; it must be a list such as [{"text": "..."}]',
    ),
    (
        "empty content",
        changed(lambda r: r["messages"][1].update(content=[])),
        "messages[1].content is an empty list; it needs at least one text",
    ),
    (
        "blank text",
        row(("user", "a"), ("assistant", "\n")),
        "messages[1].content[0].text is empty or blank; a turn without words cannot be trained on",
    ),
    (
        "an image",
        changed(lambda r: r["messages"][0]["content"].append({"image": {}})),
        "messages[0].content[1].image is not allowed: media, tool and reasoning content is not supported yet, only text",
    ),
    (
        "an extra key in a turn",
        changed(lambda r: r["messages"][0].update(name="x")),
        'messages[0] has the unknown key "name"; a turn has role and content',
    ),
    (
        "a reserved word",
        row(("user", "a"), ("assistant", "User: hello")),
        'messages[1].content[0].text contains "User:", reserved by Nova: the training would fail; use another word',
    ),
]


@pytest.mark.parametrize(("bad", "sentence"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_row_is_refused_with_its_path_and_one_sentence(bad: object, sentence: str) -> None:
    assert told(bad) == [sentence]
    assert not accepted(bad)


@pytest.mark.parametrize("block", ["image", "video", "document", "toolUse", "toolResult", "reasoningContent"])
def test_content_that_is_not_text_is_refused_by_its_name(block: str) -> None:
    bad = changed(lambda r: r["messages"][0].update(content=[{block: {}}]))
    assert [s.split(" ")[0] for s in told(bad)] == [f"messages[0].content[0].{block}"]


@pytest.mark.parametrize("word", converse.RESERVED_WORDS)
def test_every_reserved_word_is_an_error_wherever_text_stands(word: str) -> None:
    for bad in (
        row(system=f"a {word} b"),
        row(("user", word), ("assistant", "b")),
        row(("user", "a"), ("assistant", f"x{word}")),
    ):
        assert any(word in sentence for sentence in told(bad))
        assert not accepted(bad)


def test_a_reserved_word_in_another_case_is_a_warning_only() -> None:
    found = list(converse.explain(row(("user", "the user: me"), ("assistant", "ok"))))
    assert [p.severity for p in found] == ["warning"]
    assert "user:" in found[0].message


def test_the_content_of_a_row_and_control_characters_never_reach_a_message() -> None:
    secret = "card 4111"
    bad = row(("user", secret), (secret, secret))
    bad["schemaVersion"] = secret
    bad["a\n\x1b[31m\u202eb" + "k" * 80] = secret
    text = "\n".join(told(bad))
    assert secret not in text
    assert len(text.splitlines()) == len(told(bad))
    assert all(c.isprintable() for c in text.replace("\n", ""))
    assert r"\n\x1b[31m\u202eb" in text
    assert "k" * 60 not in text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from(["user", "assistant", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "text"]), inner, max_size=3)
    ),
    max_leaves=6,
)
PATHS: list[list[str | int]] = [
    ["schemaVersion"],
    ["system"],
    ["system", 0],
    ["system", 0, "text"],
    ["messages"],
    ["messages", 0],
    ["messages", 1, "role"],
    ["messages", 1, "content"],
    ["messages", 0, "content", 0],
    ["messages", 0, "content", 0, "text"],
]


@given(rows.filter(lambda r: "system" in r), st.sampled_from(PATHS), json_values)
def test_the_fast_way_and_the_explaining_way_agree_on_any_value_anywhere(
    good: Row, path: list[Any], value: object
) -> None:
    spot: Any = good
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = value
    assert accepted(good) == (not list(converse.explain(good)))
