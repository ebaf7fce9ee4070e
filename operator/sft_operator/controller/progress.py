"""Percent, time to go and display strings, computed from the raw figures that a platform gives."""

from __future__ import annotations

from ..api.conditions import timestamp
from ..api.durations import display as duration
from ..api.status import Metrics, Progress
from ..platforms.base import RawProgress


def present(raw: RawProgress, *, planned_steps: int | None, stage: str) -> Progress:
    """`planned_steps` stands in where the log does not name a total. The stage is shown until there are steps."""
    total = raw.total_steps or planned_steps
    percent = eta = None
    if raw.step is not None and total:
        percent = min(100, max(0, raw.step * 100 // total))
        if raw.steps_per_second and raw.step < total:
            eta = round((total - raw.step) / raw.steps_per_second)
    return Progress(
        step=raw.step,
        total_steps=total,
        epoch=raw.epoch,
        percent=percent,
        eta_seconds=eta,
        eta=duration(eta) if eta is not None else None,
        display=_steps(raw.step, total, percent) if raw.step is not None else stage,
        source=raw.source or None,
        last_report_time=timestamp(raw.reported_at) if raw.reported_at else None,
    )


def stage_only(before: Progress | None, stage: str) -> Progress:
    """No figures of this moment: the last step is kept, the display names the stage."""
    if before is None or before.step is None:
        return Progress(display=stage)
    return before.model_copy(update={"eta": None, "eta_seconds": None})


def figures(raw: RawProgress, before: Metrics | None) -> Metrics:
    """Losses of this look; first and best are remembered from earlier ones."""
    known = [
        loss
        for loss in (raw.train_loss, raw.best_train_loss, before.best_train_loss if before else None)
        if loss is not None
    ]
    first = before.first_train_loss if before and before.first_train_loss is not None else raw.first_train_loss
    return Metrics(
        train_loss=raw.train_loss if raw.train_loss is not None else (before.train_loss if before else None),
        validation_loss=raw.validation_loss
        if raw.validation_loss is not None
        else (before.validation_loss if before else None),
        first_train_loss=first if first is not None else raw.train_loss,
        best_train_loss=min(known) if known else None,
        learning_rate=raw.learning_rate
        if raw.learning_rate is not None
        else (before.learning_rate if before else None),
        display=_loss(raw.train_loss if raw.train_loss is not None else (before.train_loss if before else None)),
    )


def _steps(step: int, total: int | None, percent: int | None) -> str:
    return f"{step}/{total} ({percent}%)" if total else str(step)


def _loss(loss: float | None) -> str | None:
    return None if loss is None else f"{loss:.4g}"
