"""One pass over the files of a data set, from bytes to a report; the rules for a row are in converse.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from msgspec import json

from . import converse
from .converse import Problem
from .formats import DatasetFormat, other_format
from .lines import GZIP_MAGIC, BrokenStreamError, Line, lines, text_pieces
from .reader import ObjectReader, stored_chunks
from .report import DatasetReport, FileFacts, RowFinding
from .wording import escaped

Channel = Literal["train", "validation"]

_ERRORS_PER_ROW = 5
_UTF8_MARK = b"\xef\xbb\xbf"
# First bytes of files that people upload in place of JSON Lines.
_NOT_TEXT = (
    (b"PAR1", "a Parquet file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "a bzip2 file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)
_WANTED = "this model takes JSON Lines in UTF-8, one Converse row a line"


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """One file to check, of the declared format. `etag` (or a version) is copied into the report as it is."""

    uri: str
    reader: ObjectReader
    channel: Channel
    etag: str = ""
    format: DatasetFormat = "Auto"


@dataclass(frozen=True, slots=True)
class DatasetLimits:
    """Bounds of one check; sizes in bytes. A longer line is a finding; the other bounds end the reading of a file."""

    line_bytes: int = 10 * 1024 * 1024
    text_bytes: int = 50 * 1024**3
    gzip_ratio: int = 200
    wrong_rows: int = 10_000  # of one file; what follows is not read
    blank_lines: int = 1000  # in a row
    findings: int = 20  # kept, with their text
    row_parts: int = 500_000  # lists and objects of one row: decoded, each takes twenty times its bytes
    chunk_bytes: int = 2 * 1024 * 1024  # of one ranged read


DEFAULT_LIMITS = DatasetLimits()


def check(
    files: Sequence[DatasetFile], *, limits: DatasetLimits = DEFAULT_LIMITS, excerpts: bool = True
) -> DatasetReport:
    """Read every file once, front to back, and say what is wrong with it.

    Findings quote nothing of a row but the names of keys that should not be there, and not even those without
    `excerpts`. Memory is bounded by one line, one ranged read and the kept findings. What a reader raises passes through, and so
    does reader.ShortReadError: an unreadable object is not an invalid one.
    """
    found = _Findings(limits.findings)
    facts: list[FileFacts] = []
    characters = 0
    if not any(file.channel == "train" for file in files):
        found.file_error("train", "no training file is given")
    for file in files:
        if file.format not in ("Auto", "Converse"):
            found.file_error(
                file.uri, f"format {file.format} is declared; this model takes Converse: convert the file first"
            )
            facts.append(FileFacts(file.uri, file.channel, file.etag, 0, file.reader.size(), ""))
            continue
        one = _FilePass(file, limits, found, excerpts)
        facts.append(one.run())
        if file.channel == "train":
            characters += one.characters
    train = [f for f in facts if f.channel == "train"]
    return DatasetReport(
        rows=sum(f.rows for f in train),
        validation_rows=sum(f.rows for f in facts if f.channel == "validation"),
        bytes=sum(f.bytes for f in train),
        tokens_estimate=characters // 4,
        files=tuple(facts),
        errors=tuple(found.errors),
        error_count=found.error_count,
        wrong_rows=found.wrong_rows,
        warnings=found.warnings(),
    )


class _Findings:
    """The first findings of all files, and counts of the rest."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.errors: list[RowFinding] = []
        self.error_count = 0
        self.wrong_rows = 0
        # A warning of the same text in the same file is told once, with the number of its rows.
        self._warnings: dict[tuple[str, str], tuple[RowFinding, int]] = {}

    def file_error(self, uri: str, message: str, line: int = 0) -> None:
        self.error_count += 1
        self._keep(RowFinding(uri, line, "", message))

    def row_errors(self, uri: str, line: int, problems: Iterable[Problem], rows: int = 1) -> None:
        self.error_count += rows
        self.wrong_rows += rows
        for problem in problems:
            self._keep(RowFinding(uri, line, problem.json_path, problem.message))

    def warn(self, uri: str, line: int, message: str) -> None:
        first, rows = self._warnings.get((uri, message), (RowFinding(uri, line, "", message), 0))
        if rows or len(self._warnings) < self.keep:
            self._warnings[uri, message] = (first, rows + 1)

    def warnings(self) -> tuple[RowFinding, ...]:
        return tuple(
            replace(first, message=f"{first.message} ({rows} rows)") if rows > 1 else first
            for first, rows in self._warnings.values()
        )

    def _keep(self, finding: RowFinding) -> None:
        if len(self.errors) < self.keep:
            self.errors.append(finding)


class _WrongFileError(Exception):
    """The file is of another kind altogether: one error tells more than one for each of its rows."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class _FilePass:
    """The reading of one file."""

    def __init__(self, file: DatasetFile, limits: DatasetLimits, found: _Findings, excerpts: bool) -> None:
        self.file, self.limits, self.found, self._excerpts = file, limits, found, excerpts
        self.rows = self.wrong_rows = self.characters = 0
        self._line = 0  # the last one seen
        self._blank: tuple[int, int] | None = (
            None  # first line and number of blank lines that may yet be the file's end
        )
        self._format_known = False
        self._digest = hashlib.sha256()

    def run(self) -> FileFacts:
        uri, limits = self.file.uri, self.limits
        pieces = text_pieces(self._hashed(), max_text_bytes=limits.text_bytes, max_ratio=limits.gzip_ratio)
        errors_before = self.found.error_count
        digest = ""
        try:
            for line in lines(pieces, limits.line_bytes):
                self._one_line(line)
            digest = self._digest.hexdigest()
        except BrokenStreamError as broken:
            self.found.file_error(uri, str(broken), self._line + 1)
        except _WrongFileError as wrong:
            self.found.file_error(uri, str(wrong), wrong.line)
        if self.rows == 0 and self.found.error_count == errors_before:
            self.found.file_error(uri, f"is empty: it holds no row; {_WANTED}")
        return FileFacts(uri, self.file.channel, self.file.etag, self.rows, self.file.reader.size(), digest)

    def _hashed(self) -> Iterator[bytes]:
        for i, chunk in enumerate(stored_chunks(self.file.reader, self.limits.chunk_bytes)):
            self._digest.update(chunk)
            if i == 0:
                self._look_at_first_bytes(chunk)
            yield chunk

    def _look_at_first_bytes(self, chunk: bytes) -> None:
        for magic, name in _NOT_TEXT:
            if chunk.startswith(magic):
                raise _WrongFileError(f"looks like {name}; {_WANTED}", 0)
        if chunk.startswith(GZIP_MAGIC):
            message = "is compressed with gzip; that the training reads gzip is not confirmed, plain is safer"
            self.found.warn(self.file.uri, 0, message)

    def _one_line(self, line: Line) -> None:
        number, offset, data = line
        self._line = number
        if data is not None:
            if number == 1:
                data = self._without_mark(data)
                offset += len(line.data or b"") - len(data)
            characters = converse.accept(data)
            if characters is not None and self._blank is None:
                self.rows += 1
                self.characters += characters
                self._format_known = True
                return
            if not data.strip(b" \t\r"):
                start, count = self._blank or (number, 0)
                self._blank = (start, count + 1)
                if count == self.limits.blank_lines:
                    raise _WrongFileError(
                        f"more than {count} blank lines follow each other; the rest is not read", start
                    )
                return
        self._blank_lines_were_not_the_end()
        self.rows += 1
        if data is None:
            most = f"{self.limits.line_bytes} bytes, the most that is read as one row"
            self._wrong(number, Problem("", f"the line is longer than {most}"))
        else:
            self._explain(number, offset, data)

    def _explain(self, number: int, offset: int, data: bytes) -> None:
        if data.count(b"[") + data.count(b"{") > self.limits.row_parts:
            most = f"{self.limits.row_parts} lists and objects, the most that is looked at in one row"
            self._wrong(number, Problem("", f"the line has more than {most}"))
            return
        try:
            row: object = json.decode(data)
        except RecursionError:
            self._wrong(number, Problem("", "is not usable JSON: nested too deeply"))
            return
        except ValueError as error:
            self._wrong(number, Problem("", _why_not_json(data, offset, error)))
            return
        if not self._format_known and isinstance(row, dict):
            self._format_known = True
            if name := other_format(row):
                raise _WrongFileError(
                    f"looks like {name}; this model takes Converse ({converse.SCHEMA_VERSION}): convert it", number
                )
        self.characters += converse.text_length(row)
        errors: list[Problem] = []
        for problem in converse.explain(row, excerpts=self._excerpts):
            if problem.severity == "warning":
                self.found.warn(self.file.uri, number, problem.message)
            else:
                errors.append(problem)
                if len(errors) == _ERRORS_PER_ROW:
                    break
        if errors:
            self._wrong(number, *errors)

    def _wrong(self, number: int, *problems: Problem, rows: int = 1) -> None:
        self.found.row_errors(self.file.uri, number, problems, rows)
        self.wrong_rows += rows
        if self.wrong_rows > self.limits.wrong_rows:
            raise _WrongFileError(f"more than {self.limits.wrong_rows} rows are wrong; the rest is not read", number)

    def _blank_lines_were_not_the_end(self) -> None:
        if self._blank is None:
            return
        start, count = self._blank
        self._blank = None
        more = f" ({count} in a row)" if count > 1 else ""
        message = f"the line is blank{more}; every line but the last ones must hold a row"
        self._wrong(start, Problem("", message), rows=count)

    def _without_mark(self, data: bytes) -> bytes:
        if not data.startswith(_UTF8_MARK):
            return data
        self.found.warn(
            self.file.uri, 1, "starts with a byte order mark, which some JSON readers refuse; save it without"
        )
        return data[len(_UTF8_MARK) :]


def _why_not_json(data: bytes, offset: int, error: ValueError) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as bad:
        return f"is not UTF-8 at byte {bad.start + 1} of the line (offset {offset + bad.start} in the file's text)"
    if data.strip() in (b"{", b"[", b"[{"):
        return (
            "is not a whole JSON object; the file seems to be one JSON document over many lines: write one row a line"
        )
    # The decoder names positions and kinds of characters, never the text.
    return f"is not JSON: {escaped(str(error)).removeprefix('JSON is malformed: ')}"
