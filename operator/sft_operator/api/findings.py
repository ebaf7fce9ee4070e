"""What a check found: one problem of a spec, a recipe or a data set, told so that the user can act on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem.

    `field` is the path in the SFTJob (`spec.hyperparameters.learningRate`), `message` says what was found, what is
    allowed, where that rule comes from and what to do. An error refuses the launch, a warning is only shown.
    """

    field: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def errors(findings: tuple[Finding, ...] | list[Finding]) -> tuple[Finding, ...]:
    return tuple(f for f in findings if f.severity == "error")


def warnings(findings: tuple[Finding, ...] | list[Finding]) -> tuple[Finding, ...]:
    return tuple(f for f in findings if f.severity == "warning")
