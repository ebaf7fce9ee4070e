"""The chart's README and values.schema.json, from the comments of its values.yaml; nothing here knows what a value means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sft_operator.controller.settings import Settings

VALUES = Path(__file__).resolve().parent.parent / "charts" / "sft-operator" / "values.yaml"
OWN_VALUES = ("identity_scope", "require_profile", "pause_launches", "namespaces", "lease_name", "lease_namespace")
"""Settings that the chart itself sets; said in `config` too, they would lose without a word."""

Schema = dict[str, Any]
_TYPES = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
_HEAD = """\
# sft-operator

Runs supervised fine-tuning of language models on Amazon SageMaker as a Kubernetes resource, SFTJob.

```
helm install sft-operator charts/sft-operator --namespace sft-system --create-namespace \\
  --set identityScope=prod-eu --set image.repository=REGISTRY/sft-operator
```

[docs/install.md](../../docs/install.md) leads from an empty cluster to the first job. A key that is not in this table is refused
(`values.schema.json`).

| value | default | meaning |
|---|---|---|
"""


@dataclass(frozen=True)
class Value:
    """One key of values.yaml, with what stands above it."""

    path: tuple[str, ...]
    default: Any
    text: str
    schema: Schema | None
    inner: tuple[Value, ...]


def readme(notice: str) -> str:
    rows = (f"| `{'.'.join(value.path)}` | {_shown(value.default)} | {_text(value)} |" for value in _leaves(_values()))
    return f"<!-- {notice} -->\n{_HEAD}" + "\n".join(rows) + "\n"


def schema(notice: str) -> str:
    root = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": notice,
        **_object(_values()),
    }
    # what Helm adds where this chart is a part of another
    root["properties"] |= {"global": {"type": "object"}, "enabled": {"type": "boolean"}}
    return json.dumps(root, indent=2) + "\n"


def _values() -> tuple[Value, ...]:
    source = VALUES.read_text()
    return tuple(_read(yaml.compose(source), (), source.splitlines()))


def _read(node: Any, above: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, content in node.value:
        text, schema = _comment(lines, key.start_mark.line)
        path = (*above, key.value)
        block = isinstance(content, yaml.MappingNode) and not content.flow_style and schema is None
        inner = tuple(_read(content, path, lines)) if block else ()
        yield Value(path, yaml.SafeLoader("").construct_document(content), text, schema, inner)


def _comment(lines: list[str], line: int) -> tuple[str, Schema | None]:
    """Text and `@schema` of the comment that ends above this line."""
    above: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        above.insert(0, lines[line].strip().removeprefix("#").strip())
    schema = [json.loads(text.removeprefix("@schema")) for text in above if text.startswith("@schema")]
    return " ".join(text for text in above if not text.startswith("@schema")), schema[0] if schema else None


def _leaves(values: tuple[Value, ...], inherited: str = "") -> Iterator[Value]:
    for value in values:
        text = " ".join(filter(None, (inherited, value.text)))
        if value.inner:
            first, *rest = value.inner
            yield from _leaves((first,), text)
            yield from _leaves(tuple(rest))
        else:
            yield Value(value.path, value.default, text, value.schema, ())


def _object(values: tuple[Value, ...]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {value.path[-1]: _property(value) for value in values},
    }


def _property(value: Value) -> Schema:
    if value.inner:
        return _object(value.inner)
    if value.schema == {"settings": True}:
        return _settings()
    derived = {"type": _TYPES[type(value.default)]} | (value.schema or {})
    return derived | ({"description": value.text} if value.text else {})


def _settings() -> Schema:
    """What may stand in the operator's settings file, with the bounds that the operator itself would refuse by."""
    model = Settings.model_json_schema()
    known = {name: _plain(field) for name, field in model["properties"].items() if name not in OWN_VALUES}
    return {"type": "object", "additionalProperties": False, "properties": known}


def _plain(field: Schema) -> Schema:
    kept = {key: value for key, value in field.items() if key not in ("title", "default", "format")}
    if "anyOf" in kept:
        kept["anyOf"] = [_plain(choice) for choice in kept["anyOf"]]
    return kept


def _shown(default: Any) -> str:
    return f"`{json.dumps(default)}`"


def _text(value: Value) -> str:
    choices = (value.schema or {}).get("enum")
    allowed = f"One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    return " ".join(filter(None, (value.text, allowed))).replace("|", "\\|")
