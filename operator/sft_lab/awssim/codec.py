"""Reading requests and writing answers by botocore's service models; knows no operation's meaning.

A request is checked against everything the model says: types, required members, minimum and maximum lengths and
values, patterns, enumerations. The messages have the form that AWS's services use.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import unicodedata
from datetime import datetime
from typing import Any

import botocore.loaders
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.utils import parse_to_aware_datetime

from sft_lab.awssim.errors import AWSError, validation

# Classes of Java's regular expressions that Python's lack, as they are written inside brackets.
_JAVA_CLASS = re.compile(r"\\p\{(\w+)\}")
_POSIX = {"Alpha": "a-zA-Z", "Digit": "0-9", "Alnum": "a-zA-Z0-9", "Print": " -~", "Graph": "!-~"}
_ENUM_SHOWN = 12


@functools.cache
def service(name: str) -> ServiceModel:
    """The model of a service by botocore's name for it (`sagemaker`)."""
    return ServiceModel(botocore.loaders.Loader().load_service_model(name, "service-2"), service_name=name)


@functools.cache
def operation(service_name: str, operation_name: str) -> OperationModel | None:
    model = service(service_name)
    return model.operation_model(operation_name) if operation_name in model.operation_names else None


def parse_json(shape: Shape | None, body: bytes) -> dict[str, Any]:
    """A JSON body as the input of an operation, checked in full.

    Timestamps become seconds since the epoch. Raises AWSError: SerializationException for a wrong type,
    ValidationException for a constraint that does not hold.
    """
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise AWSError("SerializationException", f"the body is not JSON: {error}") from error
    if shape is None:
        return {}
    reader = _Reader()
    parsed: dict[str, Any] = reader.read(shape, value, "")
    if reader.problems:
        count = len(reader.problems)
        word = "error" if count == 1 else "errors"
        raise validation(f"{count} validation {word} detected: " + "; ".join(reader.problems))
    return parsed


def wire(shape: Shape, value: Any) -> Any:
    """A value as the model's JSON: members that the shape does not know, or that are None, are left out."""
    kind = shape.type_name
    if kind == "structure":
        return {
            name: wire(member, value[name]) for name, member in shape.members.items() if value.get(name) is not None
        }
    if kind == "list":
        return [wire(shape.member, item) for item in value]
    if kind == "map":
        return {key: wire(shape.value, item) for key, item in value.items()}
    if kind == "timestamp":
        return round(value, 3)
    return value


def _where(path: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


class _Reader:
    """One pass over a request; `problems` collects what does not hold."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, shape: Shape, value: Any, path: str) -> Any:
        kind = shape.type_name
        method = getattr(self, f"_{kind}", None)
        if method is None:
            raise AWSError("SerializationException", f"{path}: type {kind} cannot be read")
        return method(shape, value, path)

    def _fail(self, value: Any, path: str, rule: str) -> None:
        shown = "null" if value is None else f"'{value}'"
        self.problems.append(f"Value {shown} at '{path}' failed to satisfy constraint: Member must {rule}")

    def _typed(self, types: tuple[type, ...], value: Any, path: str, expected: str) -> None:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            found = type(value).__name__
            raise AWSError("SerializationException", f"{path or 'the body'}: expected {expected}, found {found}")

    def _structure(self, shape: Any, value: Any, path: str) -> dict[str, Any]:
        self._typed((dict,), value, path, "an object")
        unknown = sorted(value.keys() - shape.members.keys())
        if unknown:
            raise AWSError("SerializationException", f"{path or 'the body'}: unknown member {', '.join(unknown)}")
        found = {
            name: self.read(member, value[name], _where(path, name))
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
        for name in shape.required_members:
            if name not in found:
                self._fail(None, _where(path, name), "not be null")
        return found

    def _list(self, shape: Any, value: Any, path: str) -> list[Any]:
        self._typed((list,), value, path, "a list")
        self._length(shape, value, path)
        return [self.read(shape.member, item, f"{path}.{index}.member") for index, item in enumerate(value, 1)]

    def _map(self, shape: Any, value: Any, path: str) -> dict[str, Any]:
        self._typed((dict,), value, path, "an object")
        self._length(shape, value, path)
        return {
            self.read(shape.key, key, f"{path}.key"): self.read(shape.value, item, f"{path}.{key}.value")
            for key, item in value.items()
        }

    def _string(self, shape: Any, value: Any, path: str) -> str:
        self._typed((str,), value, path, "a string")
        self._length(shape, value, path)
        if shape.enum and value not in shape.enum:
            allowed = ", ".join(shape.enum[:_ENUM_SHOWN]) + (", ..." if len(shape.enum) > _ENUM_SHOWN else "")
            self._fail(value, path, f"satisfy enum value set: [{allowed}]")
        pattern = shape.metadata.get("pattern")
        if pattern and not _compiled(pattern).fullmatch(value):
            self._fail(value, path, f"satisfy regular expression pattern: {pattern}")
        return sys.intern(value) if len(value) <= 32 else str(value)

    def _number(self, shape: Any, value: Any, path: str) -> Any:
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and value < low:
            self._fail(value, path, f"have value greater than or equal to {low}")
        if high is not None and value > high:
            self._fail(value, path, f"have value less than or equal to {high}")
        return value

    def _integer(self, shape: Any, value: Any, path: str) -> int:
        self._typed((int,), value, path, "an integer")
        return int(self._number(shape, value, path))

    _long = _integer

    def _float(self, shape: Any, value: Any, path: str) -> float:
        self._typed((int, float), value, path, "a number")
        return float(self._number(shape, value, path))

    _double = _float

    def _boolean(self, shape: Any, value: Any, path: str) -> bool:
        self._typed((bool,), value, path, "true or false")
        return bool(value)

    def _timestamp(self, shape: Any, value: Any, path: str) -> float:
        self._typed((int, float, str), value, path, "a timestamp")
        try:
            moment: datetime = parse_to_aware_datetime(value)
        except (ValueError, OverflowError) as error:
            raise AWSError("SerializationException", f"{path}: {value!r} is not a timestamp") from error
        return moment.timestamp()

    def _length(self, shape: Any, value: Any, path: str) -> None:
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and len(value) < low:
            self._fail(value, path, f"have length greater than or equal to {low}")
        if high is not None and len(value) > high:
            self._fail(value, path, f"have length less than or equal to {high}")


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_JAVA_CLASS.sub(lambda match: _members(match[1]), pattern))


@functools.cache
def _members(name: str) -> str:
    """The inside of a bracket expression for a POSIX name, or for a Unicode category (`L`, `Z`) of the basic plane."""
    if name in _POSIX:
        return _POSIX[name]
    found = [code for code in range(0x10000) if unicodedata.category(chr(code)).startswith(name)]
    ranges: list[list[int]] = []
    for code in found:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\u{low:04x}-\\u{high:04x}" for low, high in ranges)
