"""How long a run is and when it evaluates, from rows, batch and what the user said; ranges are checked elsewhere."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from sft_operator.api.findings import Finding
from sft_operator.recipes.limits import show_value

EPOCHS = "spec.hyperparameters.epochs"


def steps(rows: int, epochs: float, batch: int) -> int:
    """Optimizer steps of `epochs` passes over `rows` rows, `batch` rows a step; the last step may be short."""
    return math.ceil(Fraction(str(epochs)) * rows / batch)


def steps_for_epochs(epochs: float, rows: int | None, batch: Any, minimum: int) -> tuple[int | None, list[Finding]]:
    """Steps for a recipe that counts steps only, at least `minimum`; None with an error where they cannot be told."""
    if isinstance(epochs, bool) or not isinstance(epochs, int | float) or not math.isfinite(epochs) or epochs <= 0:
        return None, [Finding(EPOCHS, f"{show_value(epochs)} is not a number above 0")]
    if rows is None:
        return None, [
            Finding(
                EPOCHS,
                "this recipe counts steps, and steps can be told from epochs only once the rows are counted; "
                "set spec.hyperparameters.maxSteps, or let spec.dataset.check read the data (Enforce or Warn)",
            )
        ]
    if not positive(batch):
        return None, []  # the batch itself is refused
    wanted = steps(rows, epochs, batch)
    if wanted >= minimum:
        return wanted, []
    text = f"{epochs:g} epochs of {rows} rows in batches of {batch} are {wanted} steps; the recipe's minimum {minimum} is used"
    return minimum, [Finding(EPOCHS, text, "warning")]


def default_interval(total_steps: int) -> int:
    """A tenth of the run, at least 1."""
    return max(1, total_steps // 10)


def interval_findings(interval: Any, total_steps: int, field: str) -> list[Finding]:
    """Whether validation every `interval` steps happens at least once in the run."""
    if not positive(interval):
        return [Finding(field, f"{show_value(interval)} is not a number of steps")]
    if interval > total_steps:
        text = f"{interval} is more than the run's {total_steps} steps, so validation would never run"
        return [Finding(field, f"{text}; set it to {total_steps} or less")]
    return []


def positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
