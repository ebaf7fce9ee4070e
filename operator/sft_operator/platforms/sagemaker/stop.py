"""Asking for the end of a run, and changing its tags."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ...api import metadata
from ...aws.caller import AWSCaller
from ...aws.errors import AWSError, ErrorClass, classify
from ...aws.identity import training_job_arn
from ..base import RunRef
from .unavailable import unavailable

log = logging.getLogger(__name__)


async def stop(caller: AWSCaller, ref: RunRef, cause: str) -> None:
    """The cause is written first: a stop by delete lets a later resource of the same identity start anew. A job that
    is not there, or has ended, is no error. Raises PlatformUnavailable."""
    try:
        await _add_tags(caller, ref, {metadata.TAG_STOPPED_BY: cause})
    except AWSError as error:
        # without the tag a re-created resource takes over the stopped run: a nuisance, running on is worse
        if classify(error).error_class is not ErrorClass.NOT_FOUND:
            log.warning("the cause of a stop could not be tagged: %s", error, extra={"run": ref.job_name})
    try:
        await caller.call("sagemaker", "StopTrainingJob", ref.region, account=ref.account, TrainingJobName=ref.job_name)
    except AWSError as error:
        if classify(error).error_class is not ErrorClass.NOT_FOUND:
            raise unavailable(error) from error


async def tag(caller: AWSCaller, ref: RunRef, tags: Mapping[str, str]) -> None:
    """Adds tags to a live run. Raises PlatformUnavailable."""
    try:
        await _add_tags(caller, ref, tags)
    except AWSError as error:
        raise unavailable(error) from error


async def _add_tags(caller: AWSCaller, ref: RunRef, tags: Mapping[str, str]) -> None:
    await caller.call(
        "sagemaker",
        "AddTags",
        ref.region,
        account=ref.account,
        ResourceArn=training_job_arn(ref.account, ref.region, ref.job_name),
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
