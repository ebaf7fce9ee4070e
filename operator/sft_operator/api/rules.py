"""The rules that the API server enforces by CEL: unions, values, immutability of a run, and ends that stay ends.

What one object alone can break, OneOf and ValueRule, holds in the models too; the rest needs the object before. Each rule works on Kubernetes 1.28; has() stands on both sides because CEL fails on a missing field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import StringConstraints, TypeAdapter, ValidationError

from . import durations
from .metadata import DOMAIN, TAG_MODEL

Rule = dict[str, Any]


def _quoted(regex: str) -> str:
    """A regular expression as a CEL string: raw, so that its backslashes stay."""
    return f"r'{regex}'"


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


@dataclass(frozen=True, slots=True)
class ValueRule:
    """A rule on one value: `cel` is asked by the API server, `holds` by the models; both answer in the same words."""

    message: str
    cel: str
    holds: Callable[[Any], bool]

    @property
    def rule(self) -> Rule:
        return {"rule": self.cel, "message": self.message}


def duration_between(low: str, high: str) -> ValueRule:
    """The bounds are allowed too. The field's pattern stands in the rule as well: for text that is no duration CEL's
    own message would be a type conversion error."""

    def holds(text: str) -> bool:
        try:
            return durations.exact(low) <= durations.exact(text) <= durations.exact(high)
        except ValueError:
            return False

    return ValueRule(
        f"must be a duration between {low} and {high}, in hours, minutes and seconds like 120h, 90m or 1h30m",
        f"self.matches({_quoted(durations.PATTERN)}) && duration(self) >= duration('{low}') "
        f"&& duration(self) <= duration('{high}')",
        holds,
    )


TAG_TEXT = r"\p{L}\p{Z}\p{N}_.:/=+@-"
"""What AWS takes in keys and values of tags, as the inside of a character class (SageMaker's service model)."""
_TAG_TEXT: TypeAdapter[str] = TypeAdapter(Annotated[str, StringConstraints(pattern=f"^[{TAG_TEXT}]*$")])
_TAG_KEY_LENGTH = 128


def _tag_key(key: str) -> bool:
    try:
        _TAG_TEXT.validate_python(key)  # its expressions know \p, those of the standard library do not
    except ValidationError:
        return False
    reserved = key.lower().startswith("aws:") or key.startswith(f"{DOMAIN}/") or key == TAG_MODEL
    return 1 <= len(key) <= _TAG_KEY_LENGTH and not reserved


TAG_KEYS = ValueRule(
    f"a tag key has 1 to {_TAG_KEY_LENGTH} letters, digits, spaces or _.:/=+-@ and may not start with aws: or "
    f"{DOMAIN}/, nor be {TAG_MODEL}: those are written by AWS and by the operator",
    f"self.all(k, k.matches({_quoted(f'^[{TAG_TEXT}]{{1,{_TAG_KEY_LENGTH}}}$')}) && !k.matches('^(?i)aws:') "
    f"&& !k.startsWith('{DOMAIN}/') && k != '{TAG_MODEL}')",
    lambda tags: all(map(_tag_key, tags)),
)


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
