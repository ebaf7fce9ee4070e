"""Asking for the end of a run."""

from __future__ import annotations

import logging

from ...api import metadata
from ...api.reasons import Reason
from ...aws.caller import AWSCaller
from ...aws.errors import AWSError, ErrorClass, classify
from ..base import PlatformUnavailable, RunRef
from . import tags
from .unavailable import unavailable

log = logging.getLogger(__name__)

_FOREIGN_PAUSE = 300.0


async def stop(caller: AWSCaller, ref: RunRef, cause: str, scope: str) -> bool:
    """The cause is written first: a stop by delete lets a later resource of the same identity start anew. A job that
    is not there, or has ended, is no error. Returns whether there is such a job. Raises PlatformUnavailable, also for
    a job that is not of our identity scope: it runs on, and whoever waits for its end must be told."""
    known = True
    try:
        if (await tags.read(caller, ref)).get(metadata.TAG_SCOPE) != scope:
            # the name was promised to this run and taken by somebody else before its create
            raise PlatformUnavailable(
                Reason.NAME_CONFLICT,
                f"{ref.job_name} carries no tag of the identity scope {scope} and is not stopped: another environment "
                "made it, its tags were taken away, or the operator's identityScope was changed",
                _FOREIGN_PAUSE,
            )
        await tags.add(caller, ref, {metadata.TAG_STOPPED_BY: cause})
    except AWSError as error:
        # without the tag a re-created resource takes over the stopped run: a nuisance, running on is worse
        known = classify(error).error_class is not ErrorClass.NOT_FOUND
        if known:
            log.warning("the cause of a stop could not be tagged: %s", error, extra={"run": ref.job_name})
    try:
        await caller.call("sagemaker", "StopTrainingJob", ref.place, TrainingJobName=ref.job_name)
    except AWSError as error:
        if classify(error).error_class is not ErrorClass.NOT_FOUND:
            raise unavailable(error) from error
        return known
    return True
