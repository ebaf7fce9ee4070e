"""Asking for the end of a run."""

from __future__ import annotations

import logging

from ...api import metadata
from ...aws.caller import AWSCaller
from ...aws.errors import AWSError, ErrorClass, classify
from ..base import RunRef
from . import tags
from .unavailable import unavailable

log = logging.getLogger(__name__)


async def stop(caller: AWSCaller, ref: RunRef, cause: str, scope: str) -> bool:
    """The cause is written first: a stop by delete lets a later resource of the same identity start anew. A job that
    is not there, has ended, or is not of our identity scope is no error. Returns whether there is such a job. Raises
    PlatformUnavailable."""
    known = True
    try:
        if (await tags.read(caller, ref)).get(metadata.TAG_SCOPE) != scope:
            # the name was promised to this run and taken by somebody else before its create
            log.warning("a training job that is not ours is not stopped", extra={"run": ref.job_name})
            return True
        await tags.add(caller, ref, {metadata.TAG_STOPPED_BY: cause})
    except AWSError as error:
        # without the tag a re-created resource takes over the stopped run: a nuisance, running on is worse
        known = classify(error).error_class is not ErrorClass.NOT_FOUND
        if known:
            log.warning("the cause of a stop could not be tagged: %s", error, extra={"run": ref.job_name})
    try:
        await caller.call("sagemaker", "StopTrainingJob", ref.region, account=ref.account, TrainingJobName=ref.job_name)
    except AWSError as error:
        if classify(error).error_class is not ErrorClass.NOT_FOUND:
            raise unavailable(error) from error
        return known
    return True
