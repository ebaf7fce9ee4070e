"""Percent, time to go and display strings, computed from the raw figures that a platform gives."""

from __future__ import annotations

import math

from ...api.conditions import timestamp
from ...api.durations import display as duration
from ...api.status import Metrics, Progress
from ...platforms.base import RawProgress

_MOST = 10**15
"""Steps: a larger number is no count, and more than JSON can carry exactly."""
_LONGEST = 10 * 365 * 86400.0
"""Seconds: a longer time to go is no estimate but a training that stands still."""


def present(raw: RawProgress, *, planned_steps: int | None, stage: str) -> Progress:
    """`planned_steps` stands in where the log does not name a total. The stage is shown until there are steps."""
    total, step = _count(raw.total_steps) or planned_steps, _count(raw.step)
    percent = eta = None
    if step is not None and total:
        percent = min(100, max(0, step * 100 // total))
        if raw.steps_per_second and raw.steps_per_second > 0 and step < total:
            left = (total - step) / raw.steps_per_second
            eta = round(left) if left <= _LONGEST else None
    return Progress(
        step=step,
        total_steps=total,
        epoch=_number(raw.epoch),
        percent=percent,
        eta_seconds=eta,
        eta=duration(eta) if eta is not None else None,
        display=_steps(step, total, percent) if step is not None else stage,
        source=raw.source or None,
        last_report_time=timestamp(raw.reported_at) if raw.reported_at else None,
    )


def stage_only(before: Progress | None, stage: str) -> Progress:
    """No figures of this moment: the last step stays; without one the display names the stage."""
    if before is None or before.step is None:
        return Progress(display=stage)
    return before.model_copy(update={"eta": None, "eta_seconds": None})


def figures(raw: RawProgress, before: Metrics | None) -> Metrics:
    """Losses of this look; first and best are remembered from earlier ones. A loss that diverged has no number: JSON
    knows neither NaN nor infinity, so only the display tells it."""
    before = before or Metrics()
    train = _latest(raw.train_loss, before.train_loss)
    best = [
        loss
        for loss in (_number(raw.train_loss), _number(raw.best_train_loss), before.best_train_loss)
        if loss is not None
    ]
    firsts = (before.first_train_loss, _number(raw.first_train_loss), _number(raw.train_loss))
    return Metrics(
        train_loss=train,
        validation_loss=_latest(raw.validation_loss, before.validation_loss),
        first_train_loss=next((loss for loss in firsts if loss is not None), None),
        best_train_loss=min(best, default=None),
        learning_rate=_latest(raw.learning_rate, before.learning_rate),
        display=before.display if raw.train_loss is None else f"{raw.train_loss:.4g}",
    )


def _latest(figure: float | None, before: float | None) -> float | None:
    return before if figure is None else _number(figure)


def _count(figure: int | None) -> int | None:
    return figure if figure is not None and abs(figure) <= _MOST else None


def _number(figure: float | None) -> float | None:
    return figure if figure is not None and math.isfinite(figure) else None


def _steps(step: int, total: int | None, percent: int | None) -> str:
    return f"{step}/{total} ({percent}%)" if total else str(step)
