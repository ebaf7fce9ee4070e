"""Which run an SFTJob means: fingerprint, identity and job name, all pure.

The identity does not hold the resource's UID: a resource that is deleted and applied again, or restored on a rebuilt
cluster, finds its old run instead of paying for a second one.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from .sftjob import SFTJobSpec

FINGERPRINT_VERSION = "f1"
_NOT_RUN_DEFINING: Any = {"run_policy": True, "run_id": True, "tags": True, "profile": True, "dataset": {"check": True}}


def canonical(spec: SFTJobSpec) -> dict[str, Any]:
    """The run-defining part of a spec in the form that is hashed.

    Values equal to a schema default and empty maps are left out, so that neither a new default in the CRD nor writing
    an old one down changes the run. Whole numbers lose their point: the API server stores 1.0 as 1 (tried on 1.36).
    """
    document = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_NOT_RUN_DEFINING)
    validation = document.get("dataset", {}).get("validation")
    if validation:
        validation.sort(key=lambda data: data.get("name", ""))
    pruned: dict[str, Any] = _prune(document)
    return pruned


def fingerprint(spec: SFTJobSpec) -> str:
    """`f1:` and 32 hex digits over the canonical form."""
    return f"{FINGERPRINT_VERSION}:{digest(canonical(spec))[:32]}"


def digest(document: Any) -> str:
    """SHA-256 (hex) of a JSON document, independent of key order."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def run_identity(
    *, scope: str, account: str, region: str, namespace: str, name: str, run_id: str, fingerprint: str
) -> str:
    """SHA-256 (hex) of all that makes two runs the same run."""
    return digest([scope, account, region, namespace, name, run_id, fingerprint])


def job_name(*, name: str, identity: str, attempt: int, limit: int = 63) -> str:
    """`sft-<readable>-<10 hex>-<attempt>`, at most `limit` characters; only the readable part is ever cut."""
    tail = f"-{identity[:10]}-{attempt}"
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    readable = readable[: limit - len("sft-") - len(tail)].rstrip("-") or "job"
    return f"sft-{readable}{tail}"


def _prune(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _prune(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item != {}}
    if isinstance(value, list):
        return [_prune(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
