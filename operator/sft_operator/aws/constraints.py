"""Whether a request fits the service model's bounds: botocore's own client checks types and least lengths only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from ..api.findings import Finding
from .sessions import Clients

# Java's character classes, which the models use, in Python's words.
_CLASSES = {
    r"\p{L}": r"^\W\d_",
    r"\p{Z}": r"\s",
    r"\p{N}": r"\d",
    r"\p{Alpha}": "a-zA-Z",
    r"\p{Alnum}": "a-zA-Z0-9",
    r"\p{ASCII}": r"\x00-\x7f",
    r"\P{C}": r"\x20-\U0010ffff",
}


def violations(clients: Clients, service: str, operation: str, params: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Every member of `params` that the model of `operation` does not allow, by its path. A value that an enumeration
    does not have is a warning: the model in the image is older than the service."""
    shape = clients.model(service).operation_model(operation).input_shape
    return tuple(_walk(shape, params, "")) if shape is not None else ()


def _walk(shape: Shape, value: Any, path: str) -> Iterator[Finding]:
    if isinstance(shape, StructureShape):
        yield from _structure(shape, value, path)
    elif isinstance(shape, ListShape):
        if not isinstance(value, list | tuple):
            yield Finding(path, f"is {type(value).__name__}, a list is wanted")
            return
        yield from _bounds(shape, len(value), path, "entries")
        for index, item in enumerate(value):
            yield from _walk(shape.member, item, f"{path}[{index}]")
    elif isinstance(shape, MapShape):
        if not isinstance(value, Mapping):
            yield Finding(path, f"is {type(value).__name__}, a map is wanted")
            return
        yield from _bounds(shape, len(value), path, "entries")
        for key, item in value.items():
            yield from _walk(shape.key, key, f"{path}[{key}]")
            yield from _walk(shape.value, item, f"{path}.{key}")
    elif isinstance(shape, StringShape):
        yield from _string(shape, value, path)
    elif shape.type_name in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield Finding(path, f"is {type(value).__name__}, a number is wanted")
        else:
            yield from _bounds(shape, value, path, "")
    elif shape.type_name == "boolean" and not isinstance(value, bool):
        yield Finding(path, f"is {type(value).__name__}, true or false is wanted")


_NUMBERS = frozenset({"integer", "long", "float", "double"})


def _structure(shape: StructureShape, value: Any, path: str) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield Finding(path, f"is {type(value).__name__}, a structure is wanted")
        return
    for name in shape.required_members:
        if name not in value:
            yield Finding(_below(path, name), "is required")
    for name, item in value.items():
        if name in shape.members:
            yield from _walk(shape.members[name], item, _below(path, name))
        else:
            yield Finding(_below(path, name), f"is not a member of {shape.name}")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _string(shape: StringShape, value: Any, path: str) -> Iterator[Finding]:
    if not isinstance(value, str):
        yield Finding(path, f"is {type(value).__name__}, text is wanted")
        return
    yield from _bounds(shape, len(value), path, "characters")
    pattern = shape.metadata.get("pattern")
    if pattern and not compiled(pattern).search(value):
        yield Finding(path, f"{value!r} does not fit the pattern {pattern}")
    if shape.enum and value not in shape.enum:
        yield Finding(path, f"{value!r} is not among the {len(shape.enum)} values that are known", "warning")


def _bounds(shape: Shape, size: float, path: str, unit: str) -> Iterator[Finding]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    what = f"has {size} {unit}" if unit else f"is {size}"
    if least is not None and size < least:
        yield Finding(path, f"{what}, the least is {least}")
    if most is not None and size > most:
        yield Finding(path, f"{what}, the most is {most}")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A model's pattern for Python, for the whole text."""
    for theirs, ours in _CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    # [\p{L}\p{Z}...] became [^\W\d_\s...]: the negation must hold for the letters only.
    pattern = re.sub(r"\[\^\\W\\d_(.*?)\]", r"(?:[^\\W\\d_]|[\1])", pattern)
    return re.compile(rf"\A(?:{pattern})\Z", re.DOTALL if ".*" in pattern else 0)
