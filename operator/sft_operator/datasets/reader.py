"""Where the bytes of a data set file come from: the reader a platform passes in, and the one for a file on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class ObjectReader(Protocol):
    """One stored object, read by byte range.

    An implementation reads one version of the object only: an object replaced between two calls is its error to raise.
    Whatever it raises passes through the check unchanged, so that "not readable" never looks like "not valid".
    """

    def size(self) -> int:
        """Stored size in bytes."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end), all of them; the caller keeps 0 <= start < end <= size()."""
        ...


class ShortReadError(OSError):
    """A reader answered with another number of bytes than was asked for: the object changed, or the answer was cut."""


class LocalFile:
    """A file on this machine."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def size(self) -> int:
        return self.path.stat().st_size

    def read(self, start: int, end: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)


def stored_chunks(reader: ObjectReader, chunk_bytes: int) -> Iterator[bytes]:
    """The object from its first to its last byte, at most `chunk_bytes` at a time. Raises ShortReadError."""
    size = reader.size()
    for start in range(0, size, chunk_bytes):
        end = min(start + chunk_bytes, size)
        chunk = reader.read(start, end)
        if len(chunk) != end - start:
            raise ShortReadError(
                f"asked for bytes {start} to {end}, got {len(chunk)} bytes: the object changed while it was read"
            )
        yield chunk
