"""Reads SFTJobs and SFTProfiles from files as kubectl would: YAML 1.2 or JSON, several documents, what `kubectl get -o yaml` prints.

What the API server would refuse of an object is a finding; whether the job can be launched is not asked here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..api import yaml12
from ..api.crd import GROUP, KIND, PROFILE_KIND, VERSION
from ..api.findings import Finding
from ..api.sftjob import SFTJobSpec
from ..api.sftprofile import SFTProfileSpec

_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")
_METADATA = (
    "annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName",
    "generation", "labels", "managedFields", "name", "namespace", "ownerReferences", "resourceVersion", "selfLink", "uid",
)  # fmt: skip
_SPECS: dict[str, type[SFTJobSpec | SFTProfileSpec]] = {KIND: SFTJobSpec, PROFILE_KIND: SFTProfileSpec}
_LISTS = ("List", *(f"{kind}List" for kind in _SPECS))
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LENGTH = 253
_FREE = (("recipe", "inline"), ("recipe", "overrides"))
"""Below spec: parts without a schema of their own."""
_WHOLE = 2.0**53
"""From here on floats no longer tell neighbouring whole numbers apart."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One SFTJob or SFTProfile of a file; `spec` is None when findings say why it is none."""

    source: str
    namespace: str
    name: str
    uid: str
    spec: SFTJobSpec | SFTProfileSpec | None
    findings: tuple[Finding, ...]


def read(path: str, *, namespace: str) -> Iterator[Manifest]:
    """Every SFTJob and SFTProfile in a file (`-`: standard input); other kinds are passed over. Raises yaml12.YAMLError, OSError."""
    for document in yaml12.load_all(_text(path), source=path):
        if not isinstance(document, Mapping):
            continue
        if document.get("kind") not in _LISTS:
            items = [document]
        elif isinstance(document.get("items"), list):
            items = document["items"]
        else:
            yield _unusable(path, namespace, Finding("items", f"is {_kind(document.get('items'))}, not a list"))
            continue
        for index, item in enumerate(items):
            if not isinstance(item, Mapping):
                yield _unusable(path, namespace, Finding(f"items[{index}]", f"is {_kind(item)}, not a map"))
            elif item.get("kind") in _SPECS:
                yield _manifest(item, path, namespace)


def _text(path: str) -> str:
    content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        problem = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise yaml12.YAMLError(problem, source=path, line=line, column=column) from None


def _unusable(source: str, namespace: str, finding: Finding) -> Manifest:
    return Manifest(source, namespace, "", "", None, (finding,))


def _manifest(item: Mapping[str, Any], source: str, namespace: str) -> Manifest:
    findings: list[Finding] = []
    if item.get("apiVersion") != f"{GROUP}/{VERSION}":
        findings.append(Finding("apiVersion", f"{item.get('apiVersion')!r} is not known; write {GROUP}/{VERSION}"))
    findings += _unknown(item, "", _TOP_LEVEL)
    metadata, wrong = _metadata(item.get("metadata"))
    findings += wrong
    spec = None
    try:
        spec = _spec(_SPECS[item["kind"]], item.get("spec"))
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


def _metadata(metadata: Any) -> tuple[dict[str, str], list[Finding]]:
    """The texts of metadata that are used here, and what is wrong with them."""
    if not isinstance(metadata, Mapping | None):
        return {}, [Finding("metadata", f"is {_kind(metadata)}, not a map")]
    texts: dict[str, str] = {}
    findings = _unknown(metadata or {}, "metadata.", _METADATA)
    for key in ("name", "namespace", "uid"):
        value = metadata.get(key) if metadata else None
        if isinstance(value, str):
            texts[key] = value
        elif value is not None:
            findings.append(Finding(f"metadata.{key}", f"is {_kind(value)}, not text; quote it"))
        elif key == "name":
            findings.append(Finding("metadata.name", "is missing"))
    problem = _name_problem(texts["name"]) if "name" in texts else None
    if problem:
        findings.append(Finding("metadata.name", problem))
    return texts, findings


def _unknown(part: Mapping[Any, Any], where: str, known: Sequence[str]) -> list[Finding]:
    return [Finding(f"{where}{key}", f"is not known; known are {', '.join(known)}") for key in part if key not in known]


def _name_problem(name: str) -> str | None:
    """Kubernetes' rule for names of most kinds: a DNS subdomain (RFC 1123)."""
    if len(name) > _NAME_LENGTH:
        return f"has {len(name)} characters; at most {_NAME_LENGTH} are allowed"
    if not _NAME.fullmatch(name):
        rule = "lowercase letters, digits, - and ., with a letter or digit at the ends and on both sides of every ."
        return f"{name!r} is no name for Kubernetes; write {rule}"
    return None


def _spec(model: type[SFTJobSpec | SFTProfileSpec], spec: Any) -> SFTJobSpec | SFTProfileSpec:
    """Read as the API server reads it, which makes no number of a text. Raises ValidationError."""
    return model.model_validate_json(json.dumps(_stored({} if spec is None else spec)), strict=True)


def _stored(value: Any, *path: str) -> Any:
    """What becomes of a value on its way into the cluster: 1.0 is stored as 1, and null is not there (tried on 1.36),
    except in a recipe, whose values are kept as they are written."""
    if isinstance(value, Mapping):
        kept = value if path[:2] in _FREE else {key: part for key, part in value.items() if part is not None}
        return {str(key): _stored(part, *path, str(key)) for key, part in kept.items()}
    if isinstance(value, list):
        return [_stored(part, *path, "") for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE else value


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, list):
        return "a list"
    return "missing" if value is None else repr(value)


def _path(location: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
