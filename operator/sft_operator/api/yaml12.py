"""YAML with the 1.2 core schema, where `1e-5` is a number and `on` is a word: bounded reading, and stable writing.

PyYAML alone reads YAML 1.1, in which `1e-5` is a string; its parser is used here, its schema is not.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml import events

MAX_CHARACTERS: Final = 1024 * 1024
MAX_DEPTH: Final = 64
MAX_ALIASED_NODES: Final = 1000
"""Nodes that aliases may add in all: enough for a shared block, far too few for an entity-expansion bomb."""

_NULL: Final = re.compile(r"null|Null|NULL|~|")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_TAG: Final = "tag:yaml.org,2002:"
_MAX_DIGITS: Final = 400


class YAMLError(ValueError):
    """A text that is not acceptable YAML; `line` and `column` count from 1."""

    def __init__(self, problem: str, *, source: str, line: int, column: int) -> None:
        super().__init__(f"{source}, line {line}, column {column}: {problem}")
        self.problem = problem
        self.source = source
        self.line = line
        self.column = column


def load(text: str, *, source: str) -> Any:
    """The one document of `text`; an empty text is None. `source` names the text in errors. Raises YAMLError."""
    documents = list(load_all(text, source=source))
    if len(documents) > 1:
        raise YAMLError(f"{len(documents)} documents where one is expected", source=source, line=1, column=1)
    return documents[0] if documents else None


def load_all(text: str, *, source: str) -> Iterator[Any]:
    """Every document of `text`, in order. Raises YAMLError."""
    return _Reader(text, source).documents()


def dump(value: Any, *, shown: bool = False) -> str:
    """Block YAML of plain data: the same value gives the same text, keys keep their order. `shown` on a terminal, text
    with characters that do not print (YAML takes bidirectional marks as they are) has every one of them escaped.

    Readers of YAML 1.1 and 1.2 get the same value back: floats carry a point and a signed exponent (`1.0e-05`), and
    a string that either schema would take for something else is quoted.
    """
    text = _dump(value, unicode=True)
    return _dump(value, unicode=False) if shown and not all(map(str.isprintable, text.split("\n"))) else text


def _dump(value: Any, *, unicode: bool) -> str:
    text: str = yaml.dump(
        value, Dumper=_Writer, sort_keys=False, default_flow_style=False, allow_unicode=unicode, width=4096, indent=2
    )
    return text


def plain(text: str) -> Any:
    """What the core schema makes of an unquoted scalar. Raises ValueError for a number of absurd length."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits")
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


class _Reader:
    """Builds values from PyYAML's event stream, so that depth and aliases are bounded while reading."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        if len(text) > MAX_CHARACTERS:
            raise YAMLError(f"longer than {MAX_CHARACTERS} characters", source=source, line=1, column=1)
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events = yaml.parse(text, Loader=loader)
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self._aliased = 0

    def documents(self) -> Iterator[Any]:
        while True:
            event = self._next()
            if isinstance(event, events.StreamEndEvent):
                return
            if isinstance(event, events.DocumentStartEvent):
                self._anchors.clear()
                yield self._value(self._next(), 1)

    def _next(self) -> Any:
        try:
            return next(self._events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise YAMLError(error.problem or "not YAML", source=self._source, line=line, column=column) from None
        except yaml.YAMLError as error:
            raise YAMLError(str(error).splitlines()[0], source=self._source, line=1, column=1) from None

    def _value(self, event: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels", event)
        if isinstance(event, events.AliasEvent):
            return self._alias(event)
        before = self._nodes
        self._nodes += 1
        value: Any
        if isinstance(event, events.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, events.SequenceStartEvent):
            self._collection_tag(event, "seq")
            value = []
            while not isinstance(item := self._next(), events.SequenceEndEvent):
                value.append(self._value(item, depth + 1))
        else:
            self._collection_tag(event, "map")
            value = self._mapping(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _mapping(self, depth: int) -> dict[str | int, Any]:
        value: dict[str | int, Any] = {}
        while not isinstance(key_event := self._next(), events.MappingEndEvent):
            key = self._value(key_event, depth + 1)
            if isinstance(key, bool) or not isinstance(key, str | int):  # AWS recipes do have whole numbers as keys
                raise self._error(f"the key {key!r} is neither a string nor a whole number; quote it", key_event)
            if key in value:
                raise self._error(f"the key {key!r} stands twice in this map", key_event)
            value[key] = self._value(self._next(), depth + 1)
        return value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise self._error(f"the alias *{event.anchor} has no finished anchor before it", event)
        value, nodes = self._anchors[event.anchor]
        self._aliased += nodes
        if self._aliased > MAX_ALIASED_NODES:
            raise self._error(f"aliases stand for more than {MAX_ALIASED_NODES} values", event)
        self._nodes += nodes
        return copy.deepcopy(value)

    def _collection_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _TAG + kind):
            raise self._error(f"the tag {event.tag} is not supported", event)

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is None:
            return self._plain(text, event) if event.implicit[0] else text
        if event.tag in ("!", _TAG + "str"):
            return text
        value = self._plain(text, event)
        wanted: dict[str, Any] = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}
        kind = wanted.get(event.tag.removeprefix(_TAG))
        if kind is None or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._error(f"the tag {event.tag} does not fit {text!r}", event)
        return float(value) if event.tag == _TAG + "float" else value

    def _plain(self, text: str, event: Any) -> Any:
        try:
            return plain(text)
        except ValueError as error:
            raise self._error(str(error), event) from None

    def _error(self, problem: str, event: Any) -> YAMLError:
        mark = event.start_mark
        return YAMLError(problem, source=self._source, line=mark.line + 1, column=mark.column + 1)


class _Writer(yaml.SafeDumper):
    """PyYAML's writer, which also quotes what only a 1.2 reader (or a strict 1.1 one) would not take for a string."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_float(writer: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    if math.isfinite(value):
        text = repr(value)
        if "e" in text and "." not in text:
            text = text.replace("e", ".0e")
    else:
        text = ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return writer.represent_scalar(_TAG + "float", text)


_Writer.add_representer(float, _represent_float)
for _kind, _pattern, _first in (
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("bool", re.compile(r"[yYnN]"), "yYnN"),
):
    _Writer.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern.pattern})\Z"), list(_first))
