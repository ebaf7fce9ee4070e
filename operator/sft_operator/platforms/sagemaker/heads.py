"""Whether the data objects are still those that were checked: HeadObject against the recorded facts."""

from __future__ import annotations

import asyncio

from ...api.place import Place
from ...api.status import DatasetFile, DatasetStatus
from ...aws.caller import AWSCaller
from ...aws.errors import AWSError, ErrorClass, classify
from ...aws.objects import Head, S3Uri


async def unchanged(caller: AWSCaller, place: Place, facts: DatasetStatus) -> bool:
    """Raises AWSError when AWS does not tell. An object that is gone has changed."""
    same = await asyncio.gather(*(_same(caller, place, file) for file in facts.files or ()))
    return all(same)


async def _same(caller: AWSCaller, place: Place, file: DatasetFile) -> bool:
    uri = S3Uri.parse(file.uri)
    try:
        found = Head.of(await caller.call("s3", "HeadObject", place, Bucket=uri.bucket, Key=uri.key))
    except AWSError as error:
        if classify(error).error_class is ErrorClass.NOT_FOUND:
            return False
        raise
    return found.etag == file.etag and (file.version is None or found.version == file.version)
