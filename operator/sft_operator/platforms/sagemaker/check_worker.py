"""The reading of a data set in a process of its own: heads, then one pass over the rows. Answers plain values only."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import Any, Literal

from ...api.place import Place
from ...aws.answers import answered, from_answer
from ...aws.counted import Calls, CountedClient
from ...aws.errors import AWSError
from ...aws.objects import Head, S3Object, S3Uri, head
from ...aws.sessions import Clients, Purpose
from ...datasets.check import DatasetFile, check
from ...datasets.formats import DatasetFormat
from ...datasets.reader import ShortReadError
from ...datasets.report import DatasetReport

_CLIENTS = Clients()


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object to read."""

    uri: str
    channel: Literal["train", "validation"]
    field: str
    format: DatasetFormat = "Auto"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why an object was not read. `bucket_region` is set when the bucket lies in another region than the job."""

    wanted: Wanted
    error: AWSError | None
    bucket_region: str | None = None
    missing_bucket: bool = False
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """What was read, and which version of each object."""

    report: DatasetReport
    heads: tuple[Head, ...]


def begin() -> None:
    """Runs first in a new process: it ends when its parent does, however that ends, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


def read(wanted: Sequence[Wanted], place: Place, excerpts: bool) -> tuple[Read | Unreadable, Calls]:
    """Reads every object once; beside the answer the calls that were made, for the metrics of the process that asked.
    What AWS refuses is answered, not raised; anything else is a bug and is raised."""
    calls = Calls()
    client = CountedClient(_CLIENTS.get("s3", place.region, Purpose.POLL, place.access), calls)
    return _read(client, wanted, place.region, excerpts), calls


def _read(client: Any, wanted: Sequence[Wanted], region: str, excerpts: bool) -> Read | Unreadable:
    heads: list[Head] = []
    for entry in wanted:
        found = _head(client, entry, region)
        if isinstance(found, Unreadable):
            return found
        heads.append(found)
    readers = [_Reader(client, entry, known) for entry, known in zip(wanted, heads, strict=True)]
    files = [
        DatasetFile(entry.uri, reader, entry.channel, known.etag, entry.format)
        for reader, entry, known in zip(readers, wanted, heads, strict=True)
    ]
    try:
        return Read(check(files, excerpts=excerpts), tuple(heads))
    except (AWSError, ShortReadError) as error:
        broken = next((reader for reader in readers if reader.failed), readers[0])
        if isinstance(error, ShortReadError) or error.code in ("PreconditionFailed", "InvalidRange", "412"):
            return Unreadable(broken.wanted, None, changed=True)
        return Unreadable(broken.wanted, error)


class _Reader(S3Object):
    """Remembers that it failed, so that the error can be told of the right field."""

    def __init__(self, client: Any, wanted: Wanted, known: Head) -> None:
        super().__init__(client, S3Uri.parse(wanted.uri), known)
        self.wanted, self.known, self.failed = wanted, known, False

    def read(self, start: int, end: int) -> bytes:
        self.failed = True
        found = super().read(start, end)
        self.failed = len(found) != end - start
        return found


def _head(client: Any, wanted: Wanted, region: str) -> Head | Unreadable:
    uri = S3Uri.parse(wanted.uri)
    bucket_region, bucket_error = _bucket(client, uri.bucket)
    if bucket_error is not None and bucket_error.code in ("404", "NoSuchBucket"):
        return Unreadable(wanted, bucket_error, missing_bucket=True)
    if bucket_region is not None and bucket_region != region:
        return Unreadable(wanted, None, bucket_region=bucket_region)
    try:
        return head(client, uri)
    except AWSError as error:
        return Unreadable(wanted, _in_words(client, uri, error))


def _bucket(client: Any, bucket: str) -> tuple[str | None, AWSError | None]:
    """The region of a bucket, which S3 tells even to those whom it lets see nothing else; and why not."""
    try:
        answer = answered("s3", "HeadBucket", lambda: _raw(client, bucket))
    except AWSError as error:
        return None, error
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    refused = from_answer("s3", "HeadBucket", answer) if "Error" in answer else None
    return headers.get("x-amz-bucket-region"), refused


def _raw(client: Any, bucket: str) -> Any:
    try:
        return client.head_bucket(Bucket=bucket)
    except client.exceptions.ClientError as error:
        return error.response


def _in_words(client: Any, uri: S3Uri, error: AWSError) -> AWSError:
    """HEAD answers have no body: one GET of a byte finds out what S3 says."""
    try:
        answered(
            "s3",
            "GetObject",
            lambda: client.get_object(Bucket=uri.bucket, Key=uri.key, Range="bytes=0-0")["Body"].close(),
        )
    except AWSError as told:
        return told if not told.lost else error
    return error
