"""Reading one S3 object by byte range, always the same version of it; blocking, for worker threads and processes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from .answers import answered


@dataclass(frozen=True, slots=True)
class S3Uri:
    """`s3://bucket/key`; `key` may be empty."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> S3Uri:
        """Raises ValueError for what is not an s3:// URI."""
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise ValueError(f"{uri!r} is not an S3 URI: write s3://bucket/key")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Head:
    """What HeadObject says: the identity of one version of an object."""

    etag: str
    version: str | None
    size: int

    @classmethod
    def of(cls, answer: Any) -> Head:
        return cls(str(answer.get("ETag", "")).strip('"'), answer.get("VersionId"), int(answer["ContentLength"]))


def head(client: Any, uri: S3Uri) -> Head:
    """Raises AWSError."""
    return Head.of(answered("s3", "HeadObject", lambda: client.head_object(Bucket=uri.bucket, Key=uri.key)))


class S3Object:
    """One version of an object. Every read raises AWSError with code PreconditionFailed once it was replaced."""

    def __init__(self, client: Any, uri: S3Uri, known: Head) -> None:
        self._client, self._uri, self._head = client, uri, known

    def size(self) -> int:
        return self._head.size

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end)."""

        def get() -> bytes:
            answer = self._client.get_object(
                Bucket=self._uri.bucket,
                Key=self._uri.key,
                Range=f"bytes={start}-{end - 1}",
                IfMatch=f'"{self._head.etag}"',
            )
            body: bytes = answer["Body"].read()
            return body

        return answered("s3", "GetObject", get)


class ObjectStream(io.RawIOBase):
    """An S3Object as a readable file, for tarfile and gzip; wrap it in io.BufferedReader."""

    def __init__(self, source: S3Object, chunk: int = 1 << 20) -> None:
        self._source, self._chunk = source, chunk
        self._at = 0
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if not self._ahead:
            end = min(self._at + max(len(into), self._chunk), self._source.size())
            if end <= self._at:
                return 0
            self._ahead = self._source.read(self._at, end)
            self._at = end
        part = self._ahead[: len(into)]
        self._ahead = self._ahead[len(part) :]
        into[: len(part)] = part
        return len(part)
