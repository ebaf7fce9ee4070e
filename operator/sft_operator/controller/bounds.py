"""Keeps texts and whole statuses short enough to be stored; decides nothing."""

from __future__ import annotations

from typing import Any

from ..api.status import SFTJobStatus

MESSAGE_LIMIT = 2000
STATUS_LIMIT = 16 * 1024
"""Bytes of JSON. etcd and every watcher carry the whole status with each change."""


def cut(text: str, limit: int = MESSAGE_LIMIT) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def fitted(status: SFTJobStatus) -> SFTJobStatus:
    """The status under STATUS_LIMIT: what is told least is cut first, until it fits. What the next step decides by
    (names, digests, data files) is never cut."""
    for reduce in _REDUCTIONS:
        if size(status) < STATUS_LIMIT:
            break
        status = status.model_copy(update=reduce(status))
    return status


def size(status: SFTJobStatus) -> int:
    """Bytes of the status as JSON."""
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())


def _stages_without_words(status: SFTJobStatus) -> dict[str, Any]:
    return {"timeline": [stage.model_copy(update={"message": None}) for stage in status.timeline or []] or None}


def _short_conditions(status: SFTJobStatus) -> dict[str, Any]:
    return {
        "conditions": [
            condition.model_copy(update={"message": cut(condition.message, 300)})
            for condition in status.conditions or []
        ]
    }


def _few_row_errors(status: SFTJobStatus) -> dict[str, Any]:
    errors = status.dataset.errors if status.dataset else None
    if status.dataset is None or not errors:
        return {}
    return {"dataset": status.dataset.model_copy(update={"errors": [cut(line, 200) for line in errors[:5]]})}


def _few_warnings(status: SFTJobStatus) -> dict[str, Any]:
    return {"warnings": (status.warnings or [])[:5] or None}


def _late_stages(status: SFTJobStatus) -> dict[str, Any]:
    return {"timeline": (status.timeline or [])[-15:] or None}


def _short_log(status: SFTJobStatus) -> dict[str, Any]:
    if status.failure is None or status.failure.log_tail is None:
        return {}
    lines = [cut(line, 200) for line in status.failure.log_tail[-10:]]
    return {"failure": status.failure.model_copy(update={"log_tail": lines})}


def _short_messages(status: SFTJobStatus) -> dict[str, Any]:
    failure = status.failure
    if failure is not None:
        failure = failure.model_copy(
            update={"message": cut(failure.message, 500), "hint": cut(failure.hint or "", 300)}
        )
    return {"message": cut(status.message or "", 500), "failure": failure}


def _bare(status: SFTJobStatus) -> dict[str, Any]:
    effective = status.effective.model_copy(update={"hyperparameters": None}) if status.effective else None
    return {"effective": effective, "timeline": None, "warnings": (status.warnings or [])[:1] or None}


_REDUCTIONS = (
    _stages_without_words,
    _short_conditions,
    _few_row_errors,
    _late_stages,
    _few_warnings,
    _short_log,
    _short_messages,
    _bare,
)
