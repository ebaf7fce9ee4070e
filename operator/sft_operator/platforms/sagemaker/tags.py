"""Reading and writing the tags of a training job; what they mean for a launch is in existing.py."""

from __future__ import annotations

from collections.abc import Mapping

from ...api import metadata
from ...aws.caller import AWSCaller
from ...aws.identity import training_job_arn
from ..base import RunRef


async def read(caller: AWSCaller, ref: RunRef) -> dict[str, str]:
    """All tags. Raises AWSError."""
    tags: dict[str, str] = {}
    more: dict[str, str] = {}
    while True:
        page = await caller.call("sagemaker", "ListTags", ref.place, ResourceArn=_arn(ref), **more)
        tags |= {tag["Key"]: tag["Value"] for tag in page.get("Tags", ())}
        if not page.get("NextToken"):
            return tags
        more = {"NextToken": page["NextToken"]}


async def add(caller: AWSCaller, ref: RunRef, tags: Mapping[str, str]) -> None:
    """Raises AWSError."""
    sent = [{"Key": key, "Value": value} for key, value in tags.items()]
    await caller.call("sagemaker", "AddTags", ref.place, ResourceArn=_arn(ref), Tags=sent)


def users(tags: Mapping[str, str], *, besides: Mapping[str, str]) -> tuple[str, ...]:
    """Keys of a run's tags that are neither the operator's nor AWS's, nor among those named."""
    owned = (f"{metadata.DOMAIN}/", "aws:")
    return tuple(
        sorted(key for key in tags if key not in besides and key != metadata.TAG_MODEL and not key.startswith(owned))
    )


def _arn(ref: RunRef) -> str:
    return training_job_arn(ref.account, ref.region, ref.job_name)
