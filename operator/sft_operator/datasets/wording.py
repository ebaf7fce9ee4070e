"""How a row may be spoken of: types and key names, never its content, and nothing that a terminal or log would obey."""

from __future__ import annotations

_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
_MAX_NAME = 40


def type_of(value: object) -> str:
    """The JSON type with its article: "a list", "null"."""
    return "null" if value is None else _TYPES[type(value)]


def escaped(text: str) -> str:
    """`text` with every character that does not print (control, bidirectional, line separator) written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def quoted(name: str) -> str:
    """A key name for a message: escaped, in quotes, at most 40 characters of it. What stands in a data set is shown by
    no other way than this."""
    short = name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
    return '"' + escaped(short.replace("\\", "\\\\").replace('"', '\\"')) + '"'
