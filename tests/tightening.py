"""What a newer schema of a resource refuses, forgets or changes that an older one of the same version took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_LOW = ("minimum", "minLength", "minItems", "minProperties")
_HIGH = ("maximum", "maxLength", "maxItems", "maxProperties")
_SAME = ("type", "pattern", "format", "exclusiveMinimum", "exclusiveMaximum", "nullable", "multipleOf", "uniqueItems")
"""Changed or added, they may refuse what was taken. Some changes would be harmless; nobody has to prove which."""
_LISTS = ("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")
"""How lists are merged by who applies them: a change of it is none of the schema's values, but of their owners."""
_HARMLESS_WHEN_GONE = ("pattern", "format", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems")


def tightened(old: Schema, new: Schema, path: str = "") -> Iterator[str]:
    """`<path>: <what>` for each way in which `new` is narrower than `old`, or means something else."""
    where = path or "(root)"
    for key in (*_SAME, *_LISTS):
        if old.get(key) != new.get(key) and not (key not in new and key in _HARMLESS_WHEN_GONE):
            yield f"{where}: {key} was {old.get(key)!r}, is {new.get(key)!r}"
    for key in _LOW:
        if key in new and new[key] > old.get(key, float("-inf")):
            yield f"{where}: {key} was {old.get(key)}, is {new[key]}"
    for key in _HIGH:
        if key in new and new[key] < old.get(key, float("inf")):
            yield f"{where}: {key} was {old.get(key)}, is {new[key]}"
    if "enum" in new and not ("enum" in old and set(old["enum"]) <= set(new["enum"])):
        yield f"{where}: enum was {old.get('enum')}, is {new['enum']}"
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{where}: {name} is required"
    known = {rule["rule"] for rule in old.get("x-kubernetes-validations", ())}
    for rule in new.get("x-kubernetes-validations", ()):
        if rule["rule"] not in known:
            yield f"{where}: a rule is new: {rule['rule']}"
    if old.get("default") != new.get("default"):
        yield f"{where}: default was {old.get('default')!r}, is {new.get('default')!r}"
    if old.get("x-kubernetes-preserve-unknown-fields") and not new.get("x-kubernetes-preserve-unknown-fields"):
        yield f"{where}: unknown fields are no longer kept"
    yield from _inside(old, new, path)


def _inside(old: Schema, new: Schema, path: str) -> Iterator[str]:
    properties = new.get("properties", {})
    for name, part in old.get("properties", {}).items():
        if name in properties:
            yield from tightened(part, properties[name], f"{path}.{name}".lstrip("."))
        else:
            yield f"{path}.{name}".lstrip(".") + ": is gone"
    for key, step in (("items", "[]"), ("additionalProperties", "{}")):
        if key in old and key not in new:
            yield f"{path}{step}: is gone"
        elif key in old:
            yield from tightened(old[key], new[key], path + step)
