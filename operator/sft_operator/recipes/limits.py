"""Whether one value is of the right type and inside its range; which range applies is the catalogue's."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from sft_operator.api.findings import Finding
from sft_operator.recipes.tables import Limit, Recommended

_NAMES = {"integer": "a whole number", "float": "a number", "boolean": "true or false", "string": "a string"}


def kind_of(value: Any) -> str | None:
    """The table word for a value's type; None for null, maps and lists."""
    if isinstance(value, bool):
        return "boolean"
    return {int: "integer", float: "float", str: "string"}.get(type(value))


def coerce(value: Any, kind: str | None) -> Any:
    """`value` as `kind` where nothing is lost (2 as 2.0, 2.0 as 2), else unchanged."""
    if isinstance(value, list):
        return [coerce(item, kind) for item in value]
    if kind == "float" and type(value) is int:
        return float(value)
    if kind == "integer" and type(value) is float and value.is_integer():
        return int(value)
    return value


def check(value: Any, limit: Limit | None, base: Any, *, field: str, what: str) -> tuple[Finding, ...]:
    """Problems of a value the user set at `field`.

    `base` is the recipe's own value, whose type counts where no table gives one; `what` names the model in messages.
    """
    kind = (limit.type if limit else None) or kind_of(base[0] if isinstance(base, list) and base else base)
    if isinstance(base, list) != isinstance(value, list) and base is not None:
        wanted = "a list" if isinstance(base, list) else _NAMES.get(kind or "", "a single value")
        return (Finding(field, f"{_show(value)} is not {wanted}, as the recipe has there"),)
    findings: list[Finding] = []
    if limit and limit.length is not None and isinstance(value, list) and len(value) != limit.length:
        findings.append(Finding(field, f"{len(value)} values where {limit.length} are expected ({limit.source})"))
    for item in value if isinstance(value, list) else [value]:
        findings += _check_one(item, limit, kind, field, what)
    return tuple(findings)


def _check_one(value: Any, limit: Limit | None, kind: str | None, field: str, what: str) -> list[Finding]:
    found = kind_of(value)
    if isinstance(value, float) and not math.isfinite(value):
        return [Finding(field, f"{value} is not a finite number")]
    if kind and found != kind and not (kind == "float" and found == "integer"):
        return [Finding(field, f"{_show(value)} is not {_NAMES[kind]}{_unquote(value, kind)}")]
    if limit is None:
        return []
    if _outside(value, limit):
        return [
            Finding(
                field, f"{_show(value)} is outside {_range(limit)} for {what} ({limit.source}); set it in that range"
            )
        ]
    if limit.multiple_of and value % limit.multiple_of:
        return [Finding(field, f"{_show(value)} is not a multiple of {limit.multiple_of} ({limit.source})")]
    advice = limit.recommended
    if advice and _outside(value, advice):
        return [
            Finding(
                field,
                f"{_show(value)} is outside the recommended {_range(advice)} for {what} ({advice.source})",
                "warning",
            )
        ]
    return []


def _unquote(value: Any, kind: str) -> str:
    return "; write it without quotes" if isinstance(value, str) and kind in ("integer", "float", "boolean") else ""


def _outside(value: Any, limit: Limit | Recommended) -> bool:
    if limit.allowed and value not in limit.allowed:
        return True
    return (limit.minimum is not None and value < limit.minimum) or (
        limit.maximum is not None and value > limit.maximum
    )


def _range(limit: Limit | Recommended) -> str:
    if limit.allowed:
        return ", ".join(_show(item) for item in limit.allowed)
    low = "" if limit.minimum is None else _show(limit.minimum)
    high = "" if limit.maximum is None else _show(limit.maximum)
    return f"{low}..{high}" if high else f"{low}.. (no upper bound)"


def _show(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return show_number(value)
    return repr(value) if isinstance(value, str | list) else str(value)


def show_value(value: object) -> str:
    """A value of a recipe in YAML's words, at most about 80 characters of it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def show_number(value: float) -> str:
    """A number as people write it: 4, 0.5, 1e-04."""
    if not math.isfinite(value) or abs(value) >= 1e15:
        return repr(value)
    if float(value).is_integer():
        return str(int(value))
    if abs(value) >= 1e-3:
        return repr(value)
    digits, exponent = f"{Decimal(repr(value)).normalize():e}".split("e")
    return f"{digits}e{int(exponent):+03d}"
