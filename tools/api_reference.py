"""Renders the schemas of CRDs as a page of field tables; nothing here knows what a field means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Schema = dict[str, Any]

_BOUNDS = (
    ("minimum", ">= {}"), ("maximum", "<= {}"), ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"), ("minItems", "at least {} items"), ("maxItems", "at most {} items"),
    ("maxProperties", "at most {} keys"),
)  # fmt: skip


def page(crds: Sequence[Schema], notice: str) -> str:
    """The whole page, in Markdown: for each kind one table for spec and, where it has one, for status."""
    lines = [
        f"<!-- {notice} -->",
        "# Field reference",
        "",
        "The same text is in `kubectl explain`. **Bold** fields are required where their parent is given.",
    ]
    for crd in crds:
        (version,) = crd["spec"]["versions"]
        schema = version["schema"]["openAPIV3Schema"]
        names, scope = crd["spec"]["names"], crd["spec"]["scope"]
        lines += [
            "",
            f"## {names['kind']}",
            "",
            schema["description"],
            "",
            f"`apiVersion: {crd['spec']['group']}/{version['name']}`, `kind: {names['kind']}`, {scope.lower()}; "
            f"`kubectl explain {names['singular']}.spec`, short name `{names['shortNames'][0]}`.",
        ]
        for part in (part for part in ("spec", "status") if part in schema["properties"]):
            lines += ["", f"### {names['kind']}: {part}", "", *_rules(schema["properties"][part])]
            lines += ["| field | type | limits | meaning |", "|---|---|---|---|"]
            lines += [_row(*field) for field in _fields(part, schema["properties"][part])]
    return "\n".join(lines) + "\n"


def _rules(node: Schema) -> list[str]:
    lines = [f"- {rule.get('fieldPath', '').lstrip('.') or 'spec'}: {rule['message']}" for rule in
             node.get("x-kubernetes-validations", [])]  # fmt: skip
    return ["The API server refuses a change that breaks one of these:", "", *lines, ""] if lines else []


def _fields(path: str, node: Schema) -> Iterator[tuple[str, bool, Schema]]:
    if node.get("type") == "array":
        yield from _fields(path + "[]", node["items"])
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", name in node.get("required", ()), child
        yield from _fields(f"{path}.{name}", child)


def _row(path: str, required: bool, node: Schema) -> str:
    name = f"**`{path}`**" if required else f"`{path}`"
    text = node.get("description", "") + "".join(
        f" Rule: {rule['message']}." for rule in node.get("x-kubernetes-validations", [])
    )
    return f"| {name} | {_type(node)} | {_limits(node)} | {_cell(text)} |"


def _type(node: Schema) -> str:
    kind = str(node.get("type", "any"))
    if kind == "array":
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    return "any keys" if node.get("x-kubernetes-preserve-unknown-fields") else kind


def _limits(node: Schema) -> str:
    parts = [" \\| ".join(f"`{value}`" for value in node["enum"])] if "enum" in node else []
    for bound, text in _BOUNDS:
        if bound in node:
            exclusive = node.get("exclusive" + bound.capitalize(), False)
            parts.append(text.replace("=", "" if exclusive else "=").format(node[bound]))
    if "pattern" in node:
        parts.append("`" + node["pattern"].replace("|", "\\|") + "`")
    if node.get("default") not in (None, {}):
        parts.append(f"default `{node['default']}`")
    return ", ".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
