"""What is inside a Nova job's output.tar.gz. It was written by a training container: nothing in it is trusted."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

MANIFEST = "manifest.json"
METRICS = "step_wise_training_metrics.csv"
MAX_MEMBERS = 10_000
MAX_MEMBER_BYTES = 16 << 20
"""Of a member that is read; others are passed over."""
MAX_UNPACKED_BYTES = 4 << 30
"""Read through in all: a checkpoint is not in this archive, so a larger one is not what it should be."""
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
        self._left = MAX_UNPACKED_BYTES
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._ahead:
            if self._inflate.eof:
                chunk = self._inflate.unused_data or self._packed.read(1 << 16)
                if not chunk:
                    return 0
                self._inflate = zlib.decompressobj(wbits=31)  # gzip members may follow each other
            else:
                chunk = self._inflate.unconsumed_tail or self._packed.read(1 << 16)
            if not chunk:
                raise EOFError("the archive is cut off")
            self._ahead = self._inflate.decompress(chunk, 1 << 18)
            self._left -= len(self._ahead)
            if self._left < 0:
                raise _TooLargeError(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        part = self._ahead[: len(into)]
        self._ahead = self._ahead[len(part) :]
        into[: len(part)] = part
        return len(part)


class _TooLargeError(Exception):
    pass


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
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        problem = problem or f"output.tar.gz is not a readable archive: {error}"
    return Output(checkpoint, losses, problem)


def _members(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files that are wanted, at whatever depth; names that leave the archive, links and
    devices are passed over."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for number, member in enumerate(archive):
            if number >= MAX_MEMBERS:
                raise _TooLargeError(f"it has more than {MAX_MEMBERS} members")
            parts = member.name.split("/")
            if not member.isreg() or member.name.startswith("/") or ".." in parts:
                continue
            if parts[-1] not in (MANIFEST, METRICS):
                continue
            if member.size > MAX_MEMBER_BYTES:
                raise _TooLargeError(f"{parts[-1]} has {member.size} bytes, the most is {MAX_MEMBER_BYTES}")
            file = archive.extractfile(member)
            if file is not None:
                yield parts[-1], file.read(MAX_MEMBER_BYTES)


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
    rows = csv.reader(io.StringIO(body.decode("utf-8", "replace"), newline=""))
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        table = [dict(zip(header, row, strict=False)) for row in rows]
    except csv.Error:
        return None
    losses = [(loss, row) for row in table if (loss := _number(row.get("training_loss"))) is not None]
    if not losses:
        return None
    last, final = losses[-1]
    step, epoch = _number(final.get("step_number")), _number(final.get("epoch_number"))
    held_out = [loss for row in table if (loss := _number(row.get("validation_loss"))) is not None]
    return Losses(
        first=losses[0][0],
        last=last,
        best=min(loss for loss, _ in losses),
        last_step=int(step) if step is not None else None,
        epoch=epoch,
        validation=held_out[-1] if held_out else None,
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
