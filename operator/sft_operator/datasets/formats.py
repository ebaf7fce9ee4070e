"""Which data set format a row looks like, by its keys alone; whether the row is right is not asked here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

DatasetFormat = Literal["Auto", "Converse", "Messages", "PromptCompletion"]

# Key sets that betray a format, first match wins; the shapes are those that trainers and chat data sets use.
_BY_KEYS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"prompt", "completion"}), "PromptCompletion"),
    (frozenset({"instruction", "output"}), "Alpaca (instruction, output)"),
    (frozenset({"conversations"}), "ShareGPT (conversations)"),
    (frozenset({"input", "output"}), "input/output pairs"),
)


def other_format(row: Mapping[str, object]) -> str | None:
    """The name of the format that `row` looks like when it is not Converse; None when it could be meant as Converse."""
    if "schemaVersion" in row:
        return None
    for keys, name in _BY_KEYS:
        if keys <= row.keys():
            return name
    turns = row.get("messages")
    if not isinstance(turns, list) or not any(isinstance(t, dict) and isinstance(t.get("content"), str) for t in turns):
        return None
    return "Claude chat (system, messages)" if "system" in row else "Messages (OpenAI chat)"
