"""Reads SFTJobs from files as kubectl would: YAML 1.2 or JSON, several documents, what `kubectl get -o yaml` prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..api import yaml12
from ..api.crd import GROUP, KIND, VERSION
from ..api.findings import Finding
from ..api.sftjob import SFTJobSpec


@dataclass(frozen=True, slots=True)
class Manifest:
    """One SFTJob of a file; `spec` is None when findings say why it is none."""

    source: str
    namespace: str
    name: str
    uid: str
    spec: SFTJobSpec | None
    findings: tuple[Finding, ...]


def read(path: str, *, namespace: str) -> Iterator[Manifest]:
    """Every SFTJob in a file (`-`: standard input); other kinds are passed over. Raises yaml12.YAMLError, OSError."""
    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    for document in yaml12.load_all(text, source=path):
        items = document.get("items", [document]) if isinstance(document, Mapping) else ()
        for item in items:
            if isinstance(item, Mapping) and item.get("kind") == KIND:
                yield _manifest(item, path, namespace)


def _manifest(item: Mapping[str, Any], source: str, namespace: str) -> Manifest:
    metadata = item.get("metadata") or {}
    findings: list[Finding] = []
    if item.get("apiVersion") != f"{GROUP}/{VERSION}":
        findings.append(Finding("apiVersion", f"{item.get('apiVersion')!r} is not known; write {GROUP}/{VERSION}"))
    if not metadata.get("name"):
        findings.append(Finding("metadata.name", "is missing"))
    spec = None
    try:
        spec = SFTJobSpec.model_validate(item.get("spec") or {})
    except ValidationError as error:
        findings += [
            Finding(_path(problem["loc"]), problem["msg"].removeprefix("Value error, "))
            for problem in error.errors(include_url=False, include_input=False)
        ]
    return Manifest(
        source=source,
        namespace=metadata.get("namespace") or namespace,
        name=metadata.get("name") or "",
        uid=metadata.get("uid") or "not-applied",
        spec=spec if not findings else None,
        findings=tuple(findings),
    )


def _path(location: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
