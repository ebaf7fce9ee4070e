"""The rules that the API server enforces by CEL: unions, immutability of a run, and ends that stay ends.

Each rule works on Kubernetes 1.28; has() stands on both sides because CEL fails on a missing field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .durations import PATTERN as DURATION

Rule = dict[str, Any]


def _quoted(regex: str) -> str:
    """A regular expression as a CEL string: raw, so that its backslashes stay."""
    return f"r'{regex}'"


def validations(*rules: Rule) -> dict[str, Any]:
    return {"x-kubernetes-validations": list(rules)}


@dataclass(frozen=True, slots=True)
class OneOf:
    """A union: of the named fields not more than one may be there, and one must be if `required`."""

    what: str
    names: tuple[str, ...]
    required: bool = True

    def message(self, found: Sequence[str]) -> str:
        if self.required:
            return f"{self._demand}; found: {' '.join(found) or 'none'}"
        return self._demand

    @property
    def rule(self) -> Rule:
        if not self.required:
            return {"rule": f"{_count(self.names)} <= 1", "message": self._demand}
        return {
            "rule": f"{_count(self.names)} == 1",
            "message": self._demand,
            "messageExpression": f"'{self._demand}; found:' + ({_found(self.names)})",
        }

    @property
    def _demand(self) -> str:
        if self.required:
            return f"{self.what} must be given by exactly one of: {', '.join(self.names)}"
        return f"{self.what} is given twice: set only one of {', '.join(self.names)}"


def duration_between(low: str, high: str) -> Rule:
    """The field's pattern stands in the rule too: for text that is no duration CEL's own message would be a type
    conversion error."""
    return {
        "rule": f"self.matches({_quoted(DURATION)}) && duration(self) >= duration('{low}') "
        f"&& duration(self) <= duration('{high}')",
        "message": f"must be a duration between {low} and {high}, in hours, minutes and seconds like 120h, 90m or 1h30m",
    }


TAG_TEXT = r"\p{L}\p{Z}\p{N}_.:/=+@-"
"""What AWS takes in keys and values of tags, as the inside of a character class (SageMaker's service model)."""

TAG_KEYS: Rule = {
    "rule": f"self.all(k, k.matches({_quoted(f'^[{TAG_TEXT}]{{1,128}}$')}) && !k.matches('^(?i)aws:') "
    "&& !k.startsWith('sft-operator.dev/') && k != 'model_name_or_path')",
    "message": "a tag key has 1 to 128 letters, digits, spaces or _.:/=+-@ and may not start with aws: or "
    "sft-operator.dev/, nor be model_name_or_path: those are written by AWS and by the operator",
}


def immutable_within_run(*path: str) -> Rule:
    """A run-defining field changes only together with runID. `path` is relative to spec, parents before the last
    one always present."""
    field = ".".join(path)
    parent = ".".join(("self", *path))
    old = ".".join(("oldSelf", *path))
    return {
        "rule": f"self.runID != oldSelf.runID || (has({parent}) == has({old}) && (!has({parent}) || {parent} == {old}))",
        "message": f"{field} defines the run and is fixed: to run again with the change set a new runID in the same "
        "edit, or apply the job under a new name",
        "fieldPath": "." + field,
    }


TERMINAL_PHASES = ("Succeeded", "Failed", "Stopped")

ENDS_STAY: Rule = {
    # at the schema's root: a rule on .status is not asked when status is set to null
    "rule": "!has(oldSelf.status) || !has(oldSelf.status.phase) "
    f"|| !(oldSelf.status.phase in [{', '.join(repr(p) for p in TERMINAL_PHASES)}]) "
    "|| (has(self.status) && has(self.status.phase) && self.status.phase == oldSelf.status.phase) "
    "|| (has(self.status) && has(self.status.runID) && has(oldSelf.status.runID) "
    "&& self.status.runID != oldSelf.status.runID) "
    "|| (has(self.status) && has(self.status.attempt) && has(oldSelf.status.attempt) "
    "&& self.status.attempt > oldSelf.status.attempt)",
    "message": "a run that has ended keeps its phase: only a new status.runID or a higher status.attempt changes it",
}


def _count(names: Sequence[str]) -> str:
    return " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in names)


def _found(names: Sequence[str]) -> str:
    parts = " + ".join(f"(has(self.{name}) ? ' {name}' : '')" for name in names)
    return f"{_count(names)} == 0 ? ' none' : {parts}"
