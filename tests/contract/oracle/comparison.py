"""Two documents compared member by member against a table of accepted differences; which ones are accepted is elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = "absent"
_KEYS = ("ChannelName", "Key")
"""Members by which AWS's lists of structures are keyed: their order means nothing."""


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Accepted:
    """A difference with its reason. `path`, `sdk` and `ours` are patterns, the last two over JSON text or "absent"."""

    path: str
    sdk: str
    ours: str
    why: str
    when: Callable[[Any], bool] = _always
    """In which cases the difference is there; in these it must be."""


def unexplained(sdk: Any, ours: Any, accepted: Iterable[Accepted]) -> list[str]:
    """What differs and is not accepted, and what is accepted and does not differ: one line each, empty when all is well.

    `accepted` are the rows that hold for this case. Numbers differ when their types do: 2 is not 2.0.
    """
    left, right = dict(_members(sdk)), dict(_members(ours))
    found = {
        path: (left.get(path, ABSENT), right.get(path, ABSENT))
        for path in left | right
        if left.get(path, ABSENT) != right.get(path, ABSENT)
    }
    used: set[Accepted] = set()
    lines = []
    for path, (theirs, own) in found.items():
        row = next((row for row in accepted if _fits(row, path, theirs, own)), None)
        if row:
            used.add(row)
        else:
            lines.append(f"{path}: the SDK sends {theirs}, we send {own}")
    lines += [
        f"{row.path}: listed as different ({row.why}), and is not: take the row away"
        for row in accepted
        if row not in used
    ]
    return lines


def _fits(row: Accepted, path: str, sdk: str, ours: str) -> bool:
    pairs = ((row.path, path), (row.sdk, sdk), (row.ours, ours))
    return all(re.fullmatch(pattern, text) for pattern, text in pairs)


def _members(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and JSON text of every leaf; an empty map or list is a leaf."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _members(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            key = next((key for key in _KEYS if isinstance(item, Mapping) and key in item), None)
            rest = {name: inner for name, inner in item.items() if name != key} if key else item
            yield from _members(rest, f"{path}[{item[key] if key else index}]")
    else:
        yield path, json.dumps(value)
