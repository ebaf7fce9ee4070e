"""One line of what `sft doctor` has to tell, and the table of all; how anything is found out is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    WORKS = "works"
    DENIED = "denied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`missing` is what to add where it is denied, as text to paste. `by_nature`: no call could tell, so that it is
    unknown is no failure."""

    part: str
    verdict: Verdict
    permission: str
    on: str
    note: str = ""
    missing: str = ""
    by_nature: bool = False


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A heading for each part, one line for each row."""
    wide = max((len(row.permission) for row in rows), default=0)
    far = max((len(row.on) for row in rows if row.note), default=0)
    part = None
    for row in rows:
        if row.part != part:
            part = row.part
            yield part
        on = row.on.ljust(far) if row.note else row.on
        yield f"  {row.verdict.ljust(8)} {row.permission.ljust(wide)}  {on}{'  ' if row.note else ''}{row.note}".rstrip()


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """What is missing, once each, and how many there are of each verdict."""
    told: set[tuple[str, str]] = set()
    for row in rows:
        if row.verdict is Verdict.DENIED and row.missing and (row.part, row.missing) not in told:
            told.add((row.part, row.missing))
            yield f"missing: {row.part}: {row.missing}"
    yield ", ".join(f"{sum(row.verdict is verdict for row in rows)} {verdict}" for verdict in Verdict)


def exit_code(rows: Sequence[Row]) -> int:
    """0: nothing that could be tried failed; 1: something is denied; 2: something could not be tried."""
    if any(row.verdict is Verdict.DENIED for row in rows):
        return 1
    return 2 if not rows or any(row.verdict is Verdict.UNKNOWN and not row.by_nature for row in rows) else 0
