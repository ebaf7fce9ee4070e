"""Stored bytes to numbered lines in bounded memory, gzip included; what a line means is not known here."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

GZIP_MAGIC = b"\x1f\x8b"
# Small enough to stay in the processor's cache, large enough that the loop around a piece costs nothing.
_PIECE_BYTES = 256 * 1024
# A short text of equal rows compresses better than any honest ratio; below this the ratio says nothing.
_RATIO_FREE_BYTES = 16 * 1024 * 1024
# What is left of a piece is copied at each end of a gzip member: small pieces keep millions of tiny members cheap.
_PACKED_PIECE_BYTES = 16 * 1024
STORED_FREE_BYTES = 1024 * 1024
"""Stored bytes that may hold no text at all; beyond them a gzip file is never larger than twice its text, else it is
made of empty members and would be read for hours without a row."""


class BrokenStreamError(ValueError):
    """The bytes cannot be followed any further; the text says why and what to do."""


class Line(NamedTuple):
    number: int  # from 1
    offset: int  # of its first byte in the text (after gunzip)
    data: bytes | None  # without the newline; None when longer than allowed


def text_pieces(chunks: Iterable[bytes], *, max_text_bytes: int, max_ratio: int) -> Iterator[bytes]:
    """The text of a stored object, gunzipped when it starts like gzip.

    Raises BrokenStreamError for a cut or damaged gzip stream, and for more text than `max_text_bytes`, more than
    `max_ratio` bytes of text per stored byte (a decompression bomb), or hardly any text at all.
    """
    source = iter(chunks)
    first = next(source, b"")
    whole = chain((first,), source)
    total = 0
    for piece in _gunzipped(whole, max_ratio) if first.startswith(GZIP_MAGIC) else _sliced(whole):
        total += len(piece)
        if total > max_text_bytes:
            raise BrokenStreamError(
                f"holds more than {max_text_bytes} bytes of text, the most that is read of one file; split it"
            )
        yield piece


def _sliced(chunks: Iterable[bytes], size: int = _PIECE_BYTES) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


def _gunzipped(chunks: Iterable[bytes], max_ratio: int) -> Iterator[bytes]:
    stored = text = 0
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    inside = True  # between the first byte of a member and its end
    for chunk in _sliced(chunks, _PACKED_PIECE_BYTES):
        stored += len(chunk)
        pending = chunk
        while pending:
            if not inside:
                pending = pending.lstrip(b"\0")  # padding between or after members, as gzip itself allows
                if not pending:
                    break
                member, inside = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), True
            try:
                piece = member.decompress(pending, _PIECE_BYTES)
            except zlib.error as error:
                where = f"near stored byte {stored - len(pending)}"
                raise BrokenStreamError(
                    f"is a damaged gzip file ({where}: {error}); compress and upload it again"
                ) from None
            pending = member.unconsumed_tail
            if member.eof:
                pending, inside = member.unused_data, False
            text += len(piece)
            if text > _RATIO_FREE_BYTES and text > max_ratio * stored:
                raise BrokenStreamError(
                    f"unpacks to more than {max_ratio} times its stored size; upload it uncompressed"
                )
            if piece:
                yield piece
        if hollow(stored, text):
            raise BrokenStreamError(f"holds hardly any text in {stored} stored bytes of gzip; upload it uncompressed")
    # No output is left inside: a member's last bytes are a checksum, read only after all of its text came out.
    if inside:
        raise BrokenStreamError(f"is a gzip file cut short after {stored} stored bytes; upload the whole file again")


def hollow(stored: int, text: int) -> bool:
    """Whether so many bytes of gzip hold less than any honest compression leaves of a text."""
    return stored > STORED_FREE_BYTES + 2 * text


def lines(pieces: Iterable[bytes], max_line_bytes: int) -> Iterator[Line]:
    """Every line, the last one also without its newline; never more than one line and one piece are held."""
    number = offset = 0
    held: list[bytes] = []  # the parts of a line that began in an earlier piece
    held_bytes = 0  # its length so far, also when it is too long to be held
    for piece in pieces:
        parts = piece.split(b"\n")
        rest = parts.pop()
        for part in parts:
            number += 1
            size = held_bytes + len(part)
            if size > max_line_bytes:
                yield Line(number, offset, None)
            elif held:
                yield Line(number, offset, b"".join((*held, part)))
            else:
                yield Line(number, offset, part)
            offset += size + 1
            held_bytes = 0
            held.clear()
        if rest:
            held_bytes += len(rest)
            if held_bytes <= max_line_bytes:
                held.append(rest)
            else:
                held.clear()
    if held_bytes:
        yield Line(number + 1, offset, b"".join(held) if held_bytes <= max_line_bytes else None)
