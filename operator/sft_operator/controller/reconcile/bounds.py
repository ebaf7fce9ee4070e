"""Keeps texts and whole statuses fit to be stored and shown: short, and neutral. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ...api.neutral import neutral
from ...api.status import DatasetFile, Effective, SFTJobStatus

MESSAGE_LIMIT = 2000
STATUS_LIMIT = 16 * 1024
"""Bytes of JSON. etcd and every watcher carry the whole status with each change."""


_EXACT: Mapping[type[BaseModel], frozenset[str]] = {
    DatasetFile: frozenset(DatasetFile.model_fields),
    Effective: frozenset(Effective.model_fields) - {"hyperparameters"},
}
"""What later steps compare or send, and what comes from the spec alone: kept as it is written there."""


def cut(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Neutral, and at most `limit` characters; the last one shows that there was more."""
    text = neutral(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def fitted(status: SFTJobStatus) -> SFTJobStatus:
    """The status under STATUS_LIMIT: what is missed least is cut first, until it fits. What later steps decide by
    (names, digests, data files) is never cut. Its texts are neutral: words of AWS, of a training container, of a data
    set and of other users pass here on their way to kubectl, to Events and to logs."""
    status = _neutral(status)
    for reduction in _REDUCTIONS:
        if size(status) < STATUS_LIMIT:
            break
        status = status.model_copy(update=reduction(status))
    return status


def _neutral(part: Any) -> Any:
    """`part` itself where there is nothing to change."""
    if isinstance(part, str):
        return neutral(part)
    if isinstance(part, BaseModel):
        exact = _EXACT.get(type(part), frozenset())
        fields = {name: value for name, value in part if name not in exact}
        changed = {name: new for name, value in fields.items() if (new := _neutral(value)) is not value}
        return part.model_copy(update=changed) if changed else part
    if isinstance(part, list):
        items = [_neutral(item) for item in part]
        return items if any(new is not old for new, old in zip(items, part, strict=True)) else part
    if isinstance(part, dict):
        values = {_neutral(key): _neutral(value) for key, value in part.items()}
        return values if values != part else part
    return part


def size(status: SFTJobStatus) -> int:
    """Bytes of the status as JSON."""
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())


def _squeezed(text: str, limit: int) -> str:
    """At most `limit` bytes of JSON, which a character may take six of."""
    if _bytes(text) <= limit:
        return text
    left = limit - _bytes("…")
    for place, letter in enumerate(text):
        left -= _bytes(letter)
        if left < 0:
            return text[:place] + "…"
    return text


def _bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def _stages_without_words(status: SFTJobStatus) -> dict[str, Any]:
    return {"timeline": [stage.model_copy(update={"message": None}) for stage in status.timeline or []] or None}


def _short_conditions(status: SFTJobStatus) -> dict[str, Any]:
    return {
        "conditions": [
            condition.model_copy(update={"message": _squeezed(condition.message, 300)})
            for condition in status.conditions or []
        ]
    }


def _few_row_errors(status: SFTJobStatus) -> dict[str, Any]:
    if status.dataset is None or not status.dataset.errors:
        return {}
    errors = [_squeezed(line, 200) for line in status.dataset.errors[:5]]
    return {"dataset": status.dataset.model_copy(update={"errors": errors})}


def _late_stages(status: SFTJobStatus) -> dict[str, Any]:
    return {"timeline": (status.timeline or [])[-15:] or None}


def _few_warnings(status: SFTJobStatus) -> dict[str, Any]:
    # whole ones: a warning in other words would be told again as a new one
    return {"warnings": (status.warnings or [])[:5] or None}


def _short_messages(status: SFTJobStatus) -> dict[str, Any]:
    failure = status.failure
    if failure is not None:
        hint = _squeezed(failure.hint, 300) if failure.hint else None
        failure = failure.model_copy(update={"message": _squeezed(failure.message, 1000), "hint": hint})
    return {"message": _squeezed(status.message or "", 500), "failure": failure}


def _short_log(status: SFTJobStatus) -> dict[str, Any]:
    if status.failure is None or not status.failure.log_tail:
        return {}
    lines = [_squeezed(line, 200) for line in status.failure.log_tail[-10:]]
    return {"failure": status.failure.model_copy(update={"log_tail": lines})}


def _bare(status: SFTJobStatus) -> dict[str, Any]:
    effective = status.effective.model_copy(update={"hyperparameters": None}) if status.effective else None
    return {"effective": effective, "timeline": None, "warnings": (status.warnings or [])[:1] or None}


_REDUCTIONS = (
    _stages_without_words,
    _short_conditions,
    _few_row_errors,
    _late_stages,
    _few_warnings,
    _short_messages,
    _short_log,
    _bare,
)
