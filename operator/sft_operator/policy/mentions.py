"""What a text names: URIs and ARNs, in every way that something may read it. Which of them are allowed is in guard.py.

All of it takes time in proportion to the text: tenants write these texts, and one event loop serves all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

_MARK = "://"
_SCHEME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")
_LONGEST_SCHEME = 32
_READ_ANOTHER_WAY = re.compile(r"[^ -~]|[%\\]")
_SEGMENTS = re.compile(r"[/\\?#]")
_SHOWN_UNTIL = re.compile(r"[\s\"']")
_S3_ARN = re.compile(r"arn:[^:\s]{0,32}:s3([a-z-]{0,32}:[^:\s]{0,32}:[^:\s]{0,32}):", re.IGNORECASE)
_IAM_ARN = re.compile(r"(?=(arn:[^:\s]{0,32}:(?:iam|sts):[a-z0-9+=.@_/:-]{0,2048}))", re.IGNORECASE)
_ROLE = re.compile(r"arn:[^:\s]{0,32}:iam::[0-9]*:role/[A-Za-z0-9+=,.@_/-]*", re.IGNORECASE)
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Prefix:
    """A URI prefix without the slash at its end; `rest` is empty where every place of the scheme is below it."""

    scheme: str
    rest: str

    @classmethod
    def parse(cls, uri: str) -> Prefix:
        scheme, _, rest = uri.partition(_MARK)
        return cls(_same(scheme), rest.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Location:
    """A URI in a text, or an ARN of S3, which is one too. `at` is where in `text` stands what follows the scheme;
    nobody can tell where a URI inside a longer text ends, so it is taken to go on to the end."""

    text: str
    scheme: str
    at: int
    whole: bool = True
    """False: no bucket and key, such as an access point."""

    def below(self, prefix: Prefix) -> bool:
        """At whole segments: s3://bucket/team does not hold s3://bucket/team-b."""
        if prefix.scheme != self.scheme:
            return False
        end = self.at + len(prefix.rest)
        within = self.text.startswith(prefix.rest, self.at) and (end == len(self.text) or self.text[end] == "/")
        return not prefix.rest or (self.whole and within)

    def __str__(self) -> str:
        end = _SHOWN_UNTIL.search(self.text, self.at)
        return f"{self.scheme}{_MARK}{self.text[self.at : end.start() if end else None]}"[:_SHOWN]


def readings(text: str) -> tuple[str, ...]:
    """The text as it stands, and as it is to what decodes it: %2e and a full-width colon, line ends that Python's
    urlsplit drops, a backslash for a slash."""
    if not _READ_ANOTHER_WAY.search(text):
        return (text,)
    plain = unicodedata.normalize("NFKC", unquote(text)).replace("\\", "/")
    plain = "".join(character for character in plain if unicodedata.category(character) not in ("Cc", "Cf"))
    return (text, plain) if plain != text else (text,)


def locations(text: str) -> Iterator[Location]:
    """Every URI, also one inside another, and every ARN of S3."""
    at = text.find(_MARK)
    while at >= 0:
        start = at
        while start > max(0, at - _LONGEST_SCHEME) and text[start - 1] in _SCHEME:
            start -= 1
        yield Location(text, _same(text[start:at].lower()), at + len(_MARK))
        at = text.find(_MARK, at + 1)
    for arn in _S3_ARN.finditer(text):
        bucket = arn.group(1) == "::"
        yield Location(text, "s3", arn.end() if bucket else arn.start(), whole=bucket)


def roles(text: str) -> Iterator[str]:
    """Every ARN of IAM or STS. A comma may stand in a role's name, but between two ARNs it parts them."""
    if _ROLE.fullmatch(text):
        yield text
        return
    for arn in _IAM_ARN.finditer(text):
        yield arn.group(1)


def leads_out(text: str) -> bool:
    """Whether a URI in the text has a segment of dots: to S3 a key like any other, to what else reads it a way out."""
    return _MARK in text and not {".", ".."}.isdisjoint(_SEGMENTS.split(text))


def matches(glob: str, value: str) -> bool:
    """`*` stands for any characters, none included; nothing else is special."""
    first, *rest = glob.split("*")
    if not rest:
        return value == glob
    *middle, last = rest
    if not value.startswith(first) or not value.endswith(last) or len(value) < len(first) + len(last):
        return False
    at, end = len(first), len(value) - len(last)
    for part in middle:
        found = value.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _same(scheme: str) -> str:
    return "s3" if scheme in ("s3a", "s3n") else scheme
