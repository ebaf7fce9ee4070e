"""What is inside a Nova job's output.tar.gz. It was written by a training container: nothing in it is trusted."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from ...api.neutral import neutral
from ...datasets.lines import hollow

MANIFEST = "manifest.json"
METRICS = "step_wise_training_metrics.csv"
MAX_MEMBERS = 10_000
MAX_BYTES = {MANIFEST: 1 << 20, METRICS: 16 << 20}
"""Of a member that is read; others are passed over."""
MAX_LINE = 8 << 10
"""Characters of a line of the metrics file: a few columns of numbers."""
MAX_HEADER_BYTES = 8 << 10
"""Of what describes a member: tarfile keeps all of it in memory."""
MAX_UNPACKED_BYTES = 4 << 30
"""Read through in all: a checkpoint is not in this archive, so a larger one is not what it should be."""
_AROUND = ' \t"'
_CHECKPOINT = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[\x21-\x7e]{1,1900}")


@dataclass(frozen=True, slots=True)
class Losses:
    """Figures of the metrics file: first, last and lowest training loss."""

    first: float
    last: float
    best: float
    last_step: int | None = None
    epoch: float | None = None
    validation: float | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """`problem` says why there is no checkpoint."""

    checkpoint: str | None = None
    losses: Losses | None = None
    problem: str | None = None


class _Limited(io.RawIOBase):
    """The unpacked archive, up to a bound: a few kilobytes of gzip can hold terabytes."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._inflate = zlib.decompressobj(wbits=31)
        self._packed_bytes = self._unpacked_bytes = 0
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._ahead:
            if self._inflate.eof:
                chunk = self._inflate.unused_data or self._more()
                if not chunk:
                    return 0
                self._inflate = zlib.decompressobj(wbits=31)  # gzip members may follow each other
            else:
                chunk = self._inflate.unconsumed_tail or self._more()
            if not chunk:
                raise EOFError("the archive is cut off")
            self._ahead = self._inflate.decompress(chunk, 1 << 18)
            self._unpacked_bytes += len(self._ahead)
            if self._unpacked_bytes > MAX_UNPACKED_BYTES:
                raise _TooLargeError(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        part = self._ahead[: len(into)]
        self._ahead = self._ahead[len(part) :]
        into[: len(part)] = part
        return len(part)

    def _more(self) -> bytes:
        """Small pieces: what is left of one is copied at the end of each gzip member."""
        if hollow(self._packed_bytes, self._unpacked_bytes):
            raise _TooLargeError(f"{self._packed_bytes} bytes of it hold hardly anything")
        chunk = self._packed.read(1 << 14)
        self._packed_bytes += len(chunk)
        return chunk


class _TooLargeError(Exception):
    pass


class _Member(tarfile.TarInfo):
    """A member whose description is small; sparse files, whose maps may be endless, are not looked into."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise _TooLargeError("it has a sparse member")
        if self.type in _DESCRIPTIONS and self.size > MAX_HEADER_BYTES:
            raise _TooLargeError(f"a member is described in {self.size} bytes, the most is {MAX_HEADER_BYTES}")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise _TooLargeError("it has a sparse member")


_DESCRIPTIONS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def read(packed: io.RawIOBase) -> Output:
    """Reads the archive once from front to back and unpacks nothing to disk. Errors of `packed` pass through; a broken
    archive is a problem of the Output, beside what was found before the break."""
    checkpoint: str | None = None
    losses: Losses | None = None
    problem: str | None = None
    stream = io.BufferedReader(_Limited(io.BufferedReader(packed, 1 << 16)), 1 << 16)
    try:
        for name, body in _members(stream):
            if name == MANIFEST and checkpoint is None:
                checkpoint, problem = _checkpoint(body)
            elif name == METRICS and losses is None:
                losses = _losses(body)
            if checkpoint is not None and losses is not None:
                break
    except _TooLargeError as error:
        problem = problem or f"output.tar.gz was not read to its end: {error}"
    except (tarfile.TarError, EOFError, zlib.error, ValueError, RecursionError) as error:
        problem = problem or f"output.tar.gz is not a readable archive: {neutral(str(error))[:200]}"
    return Output(checkpoint, losses, problem)


def _members(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files that are wanted, at whatever depth; names that leave the archive, links and
    devices are passed over."""
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as archive:
        for number, member in enumerate(archive):
            archive.members.clear()  # type: ignore[attr-defined]  # nobody goes back to them
            archive.pax_headers.clear()  # type: ignore[attr-defined]
            if number >= MAX_MEMBERS:
                raise _TooLargeError(f"it has more than {MAX_MEMBERS} members")
            parts = member.name.split("/")
            if not member.isreg() or member.name.startswith("/") or ".." in parts:
                continue
            if parts[-1] not in (MANIFEST, METRICS):
                continue
            most = MAX_BYTES[parts[-1]]
            if member.size > most:
                raise _TooLargeError(f"{parts[-1]} has {member.size} bytes, the most is {most}")
            file = archive.extractfile(member)
            if file is not None:
                yield parts[-1], file.read(most)


def _checkpoint(body: bytes) -> tuple[str | None, str | None]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None, f"{MANIFEST} is not JSON"
    found = document.get("checkpoint_s3_bucket") if isinstance(document, Mapping) else None
    if not isinstance(found, str):
        return None, f"{MANIFEST} has no checkpoint_s3_bucket"
    if not _CHECKPOINT.fullmatch(found):
        return None, f"checkpoint_s3_bucket of {MANIFEST} is not an S3 URI"
    return found, None


def _losses(body: bytes) -> Losses | None:
    """Columns are found by name: case and order differ between sources."""
    # quotes mean nothing: one that stays open would join millions of lines to one row
    rows = csv.reader(_short_lines(body), quoting=csv.QUOTE_NONE)
    first = last = best = held_out = None
    final: Mapping[str, str] = {}
    try:
        header = [name.strip(_AROUND).lower() for name in next(rows, [])]
        # row by row: a table of all of them can take a hundred times the memory of the file
        for row in (dict(zip(header, cells, strict=False)) for cells in rows):
            loss = _number(row.get("training_loss"))
            if loss is not None:
                first, last, final = loss if first is None else first, loss, row
                best = loss if best is None else min(best, loss)
            validation = _number(row.get("validation_loss"))
            held_out = held_out if validation is None else validation
    except (csv.Error, _TooLargeError):
        return None
    if first is None or last is None or best is None:
        return None
    step, epoch = _number(final.get("step_number")), _number(final.get("epoch_number"))
    return Losses(
        first=first,
        last=last,
        best=best,
        last_step=int(step) if step is not None else None,
        epoch=epoch,
        validation=held_out,
    )


def _short_lines(body: bytes) -> Iterable[str]:
    """A row with millions of cells would take thirty times the memory of the file."""
    for line in io.StringIO(body.decode("utf-8", "replace"), newline=""):
        if len(line) > MAX_LINE:
            raise _TooLargeError
        yield line


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").strip(_AROUND))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
