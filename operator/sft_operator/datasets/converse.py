"""What a Converse row (bedrock-conversation-2024) must look like; the rows of this version hold text only.

Rules: the data preparation page of the Nova user guide and AWS's own dataset validators, stricter where those let
through what cannot train (blank text, an empty system list, an empty content list).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType, json

from .wording import quoted, type_of

SCHEMA_VERSION = "bedrock-conversation-2024"

# Refused as substrings, case-sensitive, by AWS's Nova Forge dataset validator (2026).
RESERVED_WORDS = (
    *("System:", "SYSTEM:", "User:", "USER:", "Bot:", "BOT:", "Assistant:", "ASSISTANT:", "Thought:"),
    *("[EOS]", "<image>", "<video>", "<unk>"),
)
# The seven of the Nova user guide, whose page does not say whether another case is safe: a warning in that case.
_RESERVED_ANY_CASE = re.compile(
    r"(?<!\w)(?:system|user|bot|assistant):|\[eos\]|<image>|<video>", re.IGNORECASE | re.ASCII
)

_SAMPLE_KEYS = ("schemaVersion", "system", "messages")
_MESSAGE_KEYS = ("role", "content")
# Real Converse blocks that a later version will check; refused by name until then, so that none trains unchecked.
_LATER_BLOCKS = frozenset({"image", "video", "document", "toolUse", "toolResult", "reasoningContent", "cachePoint"})
_NOT_YET = "media, tool and reasoning content is not supported yet, only text"
# Role words that may be shown; any other value is row content.
_KNOWN_ROLES = frozenset(
    {"user", "assistant", "system", "tool", "developer", "function", "human", "gpt", "bot", "model"}
)


class Problem(NamedTuple):
    """One thing that is wrong with a row. `message` continues a sentence that starts with `json_path`."""

    json_path: str  # "messages[1].role"; "" for the row itself
    message: str
    severity: Literal["error", "warning"] = "error"


# --- The fast way: rows that are right, which is nearly all of them -------------------------------------------------


class _Text(Struct, forbid_unknown_fields=True, gc=False):
    text: str


class _Message(Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant"]
    content: Annotated[list[_Text], Meta(min_length=1)]


class _Sample(Struct, forbid_unknown_fields=True, gc=False):
    schemaVersion: Literal["bedrock-conversation-2024"]  # noqa: N815 (the format's own key)
    messages: Annotated[list[_Message], Meta(min_length=2)]
    system: Annotated[list[_Text], Meta(min_length=1)] | UnsetType = UNSET


_decode = json.Decoder(_Sample).decode
_ROLES = ["user", "assistant"]


def accept(line: bytes) -> int | None:
    """Characters of text in a row that is right in every respect, or None for a row that `explain` must look at.

    None may be a false alarm (an unreserved "my thought:"); a number never is: `explain` then finds nothing.
    """
    try:
        sample = _decode(line)
    except (ValueError, RecursionError):
        return None
    turns = sample.messages
    if [turn.role for turn in turns] != _ROLES * (len(turns) // 2):
        return None
    texts = [block.text for turn in turns for block in turn.content]
    if sample.system is not UNSET:
        texts += [block.text for block in sample.system]
    for text in texts:
        if _blank(text):
            return None
    joined = "\n".join(texts)
    return None if _may_hold_reserved(joined) else len(joined) - len(texts) + 1


def _blank(text: str) -> bool:
    return not text or text.isspace()


_COLON_ENDINGS = ("system", "user", "bot", "assistant", "thought")


def _may_hold_reserved(text: str) -> bool:
    """True for every text with a reserved word in any case; 20 times faster than the regular expression on prose."""
    if ("[" in text or "<" in text) and any(w in text.lower() for w in ("[eos]", "<image>", "<video>", "<unk>")):
        return True
    if ":" not in text:
        return False
    return any(
        before[-1:] in "MRTmrt" and before[-9:].lower().endswith(_COLON_ENDINGS) for before in text.split(":")[:-1]
    )


# --- The slow way: saying what is wrong -----------------------------------------------------------------------------


def explain(row: object, *, excerpts: bool = True) -> Iterator[Problem]:
    """Everything wrong with one decoded row, in the order of reading. Without `excerpts` no word of the row is shown."""
    if not isinstance(row, dict):
        yield Problem("", f"the line is {type_of(row)}; every line must be one JSON object")
        return
    yield from _schema_version(row)
    for key in row:
        if key == "toolConfig":
            yield Problem("toolConfig", f"is not allowed: {_NOT_YET}")
        elif key not in _SAMPLE_KEYS:
            yield Problem("", f"has {_unknown(key, excerpts)}; a row has schemaVersion, system (optional) and messages")
    if "system" in row:
        yield from _blocks("system", row["system"], "; leave system out when there is none", excerpts=excerpts)
    yield from _messages(row, excerpts)


def text_length(row: object) -> int:
    """Characters of text in a decoded row, as far as it can be read."""
    if not isinstance(row, dict):
        return 0
    turns = row.get("messages")
    lists = [
        row.get("system"),
        *(t.get("content") for t in (turns if isinstance(turns, list) else ()) if isinstance(t, dict)),
    ]
    blocks = (b for blocks in lists if isinstance(blocks, list) for b in blocks if isinstance(b, dict))
    return sum(len(text) for b in blocks if isinstance(text := b.get("text"), str))


def _schema_version(row: dict[str, object]) -> Iterator[Problem]:
    fix = f'every row must have "schemaVersion": "{SCHEMA_VERSION}"'
    if "schemaVersion" not in row:
        yield Problem("schemaVersion", f"is missing; {fix}")
    elif not isinstance(version := row["schemaVersion"], str):
        yield Problem("schemaVersion", f"is {type_of(version)}; {fix}")
    elif version != SCHEMA_VERSION:
        yield Problem("schemaVersion", f"is another version; {fix}")


def _messages(row: dict[str, object], excerpts: bool) -> Iterator[Problem]:
    turns = row.get("messages")
    if not isinstance(turns, list):
        found = f"is {type_of(turns)}" if "messages" in row else "is missing"
        yield Problem("messages", f"{found}; it must be a list of turns, user and assistant in turn")
        return
    if len(turns) < 2:
        yield Problem("messages", f"has {_turns(len(turns))}; at least one user and one assistant turn are needed")
    before: str | None = None
    for i, turn in enumerate(turns):
        path = f"messages[{i}]"
        if not isinstance(turn, dict):
            yield Problem(path, f"is {type_of(turn)}; a turn is an object with role and content")
            before = None
            continue
        for key in turn:
            if key not in _MESSAGE_KEYS:
                yield Problem(path, f"has {_unknown(key, excerpts)}; a turn has role and content")
        role = turn.get("role")
        yield from _role(f"{path}.role", turn, "user" if i == 0 else _after(before), last=0 < i == len(turns) - 1)
        before = role if role in _ROLES else None
        if "content" in turn:
            yield from _blocks(f"{path}.content", turn["content"], excerpts=excerpts)
        else:
            yield Problem(f"{path}.content", 'is missing; content must be a list such as [{"text": "..."}]')


def _after(before: str | None) -> str | None:
    """The role that must follow; None when the turn before is itself wrong, so that one mistake is told once."""
    return {"user": "assistant", "assistant": "user"}.get(before or "")


def _role(path: str, turn: dict[str, object], expected: str | None, *, last: bool) -> Iterator[Problem]:
    role = turn.get("role")
    if not isinstance(role, str):
        found = f"is {type_of(role)}" if "role" in turn else "is missing"
        yield Problem(path, f'{found}; it must be "user" or "assistant"')
        return
    if role not in _ROLES:
        found = f'"{role}"' if role in _KNOWN_ROLES else "another word"
        where = "; a system text belongs in the row's system list" if role == "system" else ""
        yield Problem(path, f'is {found}; it must be "user" or "assistant"{where}')
        return
    if expected is not None and role != expected:
        rule = "the first turn must be the user's" if path == "messages[0].role" else "roles must alternate"
        article = "an" if expected == "assistant" else "a"
        yield Problem(path, f'is "{role}"; {rule}, {article} {expected} turn is expected here')
    elif last and role == "user":
        yield Problem(path, 'is "user"; the last turn must be the assistant\'s: it is what the model learns')


def _blocks(path: str, blocks: object, hint: str = "", *, excerpts: bool) -> Iterator[Problem]:
    if not isinstance(blocks, list):
        yield Problem(path, f'is {type_of(blocks)}; it must be a list such as [{{"text": "..."}}]{hint}')
        return
    if not blocks:
        yield Problem(path, f"is an empty list; it needs at least one text{hint}")
    for i, block in enumerate(blocks):
        here = f"{path}[{i}]"
        if not isinstance(block, dict):
            yield Problem(here, f'is {type_of(block)}; it must be an object such as {{"text": "..."}}')
            continue
        others = [key for key in block if key != "text"]
        for key in others:
            if key in _LATER_BLOCKS:
                yield Problem(f"{here}.{key}", f"is not allowed: {_NOT_YET}")
            else:
                yield Problem(here, f"has {_unknown(key, excerpts)}; only text is allowed")
        if "text" in block:
            yield from _text(f"{here}.text", block["text"])
        elif not others:
            yield Problem(here, "is an empty object; it needs a text")


def _text(path: str, text: object) -> Iterator[Problem]:
    if not isinstance(text, str):
        yield Problem(path, f"is {type_of(text)}; it must be a string")
    elif _blank(text):
        yield Problem(path, "is empty or blank; a turn without words cannot be trained on")
    else:
        words = [word for word in RESERVED_WORDS if word in text]
        if words:
            listed = ", ".join(f'"{word}"' for word in words)
            yield Problem(path, f"contains {listed}, reserved by Nova: the training would fail; use another word")
        elif found := _RESERVED_ANY_CASE.search(text):
            message = (
                f'text contains "{found.group().lower()}", a reserved word of Nova in another case; safer reworded'
            )
            yield Problem("", message, "warning")


def _unknown(key: str, excerpts: bool) -> str:
    return f"the unknown key {quoted(key)}" if excerpts else "an unknown key"


def _turns(count: int) -> str:
    return "no turn" if count == 0 else "only one turn" if count == 1 else f"{count} turns"
