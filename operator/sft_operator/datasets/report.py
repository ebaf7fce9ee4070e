"""The answer of a data set check: counts, facts of each file, findings; small, picklable, and plain enough for JSON."""

from __future__ import annotations

from dataclasses import dataclass

from .wording import escaped


@dataclass(frozen=True, slots=True)
class RowFinding:
    """One problem. `line` counts from 1, 0 is the whole file; `message` goes on where `json_path` starts a sentence."""

    uri: str
    line: int
    json_path: str
    message: str

    def __str__(self) -> str:
        where = escaped(self.uri) + (f" line {self.line}" if self.line else "")
        return f"{where}: {self.json_path} {self.message}" if self.json_path else f"{where}: {self.message}"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file as it was read. `sha256` (hex, of the stored bytes) is empty when reading had to stop early."""

    uri: str
    channel: str
    etag: str
    rows: int
    bytes: int  # stored, that is compressed when the file is
    sha256: str


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What was found. Rows count every line that is not blank, wrong ones included; bytes are as stored.

    `rows`, `bytes` and `tokens_estimate` (characters / 4) describe the training channel. `errors` and `warnings` hold
    the first few; `wrong_rows` counts rows with an error, `error_count` adds errors of whole files to them.
    """

    rows: int
    validation_rows: int
    bytes: int
    tokens_estimate: int
    files: tuple[FileFacts, ...]
    errors: tuple[RowFinding, ...]
    error_count: int
    wrong_rows: int
    warnings: tuple[RowFinding, ...]

    @property
    def ok(self) -> bool:
        return self.error_count == 0

    def summary(self) -> str:
        """One line for a status message: the first error and how many there are, or the counts."""
        if not self.errors:
            held_out = f", {self.validation_rows} validation rows" if self.validation_rows else ""
            return f"{self.rows} training rows{held_out}, about {self.tokens_estimate} training tokens"
        if self.error_count == 1:
            return str(self.errors[0])
        if self.error_count == self.wrong_rows:
            return f"{self.errors[0]} ({self.wrong_rows} rows are wrong)"
        return f"{self.errors[0]} ({self.error_count} rows or files are wrong)"
