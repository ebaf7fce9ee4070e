"""From lines of a Nova training log to step, losses and speed. Pure.

The container writes `global_step: 12 | reduced_train_loss: 1.23` on its progress lines (SageMaker Python SDK and AWS
samples parse these); the name of the validation loss and the meaning of `iteration 11/99` are not confirmed on a real
account, so both are taken only where they stand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ..base import RawProgress

SOURCE = "CloudWatch log"
_NUMBER = r"[=:]\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
_STEP = re.compile(r"\bglobal_step[=:]\s*([0-9]{1,9})(?:\.0+)?\b")
_TRAIN = re.compile(r"\b(?:reduced_train_loss|train_loss|training_loss)" + _NUMBER)
_VALIDATION = re.compile(r"\b(?:val_loss|validation_loss|reduced_val_loss|eval_loss)" + _NUMBER)
_RATE = re.compile(r"\b(?:lr|learning_rate)" + _NUMBER)
_ITERATION = re.compile(r"\biteration ([0-9]{1,9})/([0-9]{1,9})\b")
_EPOCH = re.compile(r"\b[Ee]poch ([0-9]{1,6})\b")


@dataclass(frozen=True, slots=True)
class Line:
    """`moment` in seconds since the epoch, as CloudWatch has it."""

    moment: float
    text: str


def parse(lines: Iterable[Line]) -> RawProgress | None:
    """What the newest lines say; None when none of them is about progress. Steps that go back begin anew: the
    training was restarted, and its speed is that since then."""
    reports: list[tuple[float, int]] = []
    train: list[float] = []
    validation = rate = epoch = None
    total: int | None = None
    for line in lines:
        text = line.text[:2000]
        step = _STEP.search(text)
        if step is None:
            continue
        loss, held_out, learning = _found(_TRAIN, text), _found(_VALIDATION, text), _found(_RATE, text)
        validation = held_out if held_out is not None else validation
        if loss is None:
            continue
        number = int(step[1])
        if reports and number < reports[-1][1]:
            reports.clear()
        reports.append((line.moment, number))
        train.append(loss)
        rate = learning if learning is not None else rate
        passed, of = _EPOCH.search(text), _ITERATION.search(text)
        epoch = float(passed[1]) if passed else epoch
        if of is not None and int(of[2]) + 1 >= number:
            total = int(of[2]) + 1  # counted from 0
    if not reports:
        return None
    return RawProgress(
        step=reports[-1][1],
        total_steps=total,
        epoch=epoch,
        train_loss=train[-1],
        best_train_loss=min(train),
        validation_loss=validation,
        learning_rate=rate,
        steps_per_second=_speed(reports),
        source=SOURCE,
        reported_at=datetime.fromtimestamp(reports[-1][0], UTC),
    )


def _speed(reports: list[tuple[float, int]]) -> float | None:
    (began, first), (ended, last) = reports[0], reports[-1]
    return (last - first) / (ended - began) if ended > began and last > first else None


def _found(pattern: re.Pattern[str], text: str) -> float | None:
    match = pattern.search(text)
    if match is None:
        return None
    value = float(match[1])
    return value if math.isfinite(value) else None
