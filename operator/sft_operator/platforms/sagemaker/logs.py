"""Reading the newest lines of a training job's CloudWatch log; what they mean is in progress.py."""

from __future__ import annotations

from ...api.place import Place
from ...aws.caller import AWSCaller
from ...aws.errors import AWSError, ErrorClass, classify
from ...aws.identity import TRAINING_LOG_GROUP
from .progress import Line


def command(region: str, job_name: str) -> str:
    """What a user types to see the log. The slash keeps job-1 from matching job-10."""
    return f"aws logs tail {TRAINING_LOG_GROUP} --log-stream-name-prefix {job_name}/ --region {region}"


async def stream_of(caller: AWSCaller, place: Place, job_name: str) -> str | None:
    """The log stream of the job's first container, the newest where a restart made several; None before there is one.
    Raises AWSError."""
    prefix = f"{job_name}/"
    try:
        answer = await caller.call(
            "logs", "DescribeLogStreams", place, logGroupName=TRAINING_LOG_GROUP, logStreamNamePrefix=prefix
        )
    except AWSError as error:
        if classify(error).error_class is ErrorClass.NOT_FOUND:
            return None
        raise
    names = sorted(str(stream["logStreamName"]) for stream in answer.get("logStreams", ()))
    first = [name for name in names if name.startswith(f"{prefix}algo-1-") or name == f"{prefix}algo-1"]
    found = first or names
    return found[-1] if found else None


async def newest(caller: AWSCaller, place: Place, stream: str, limit: int) -> list[Line]:
    """The last `limit` lines, oldest first; none while the stream does not exist. Raises AWSError."""
    try:
        answer = await caller.call(
            "logs", "GetLogEvents", place,
            logGroupName=TRAINING_LOG_GROUP, logStreamName=stream, limit=limit, startFromHead=False,
        )  # fmt: skip
    except AWSError as error:
        if classify(error).error_class is ErrorClass.NOT_FOUND:
            return []
        raise
    return [
        Line(float(event.get("timestamp", 0)) / 1000, str(event.get("message", "")))
        for event in answer.get("events", ())
    ]
