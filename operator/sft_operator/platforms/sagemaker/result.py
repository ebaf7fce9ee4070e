"""What a training job that has ended leaves behind: artifacts, checkpoint, final figures, and the log's last lines."""

from __future__ import annotations

import logging
from typing import Any

from ...api.findings import Finding
from ...api.reasons import Reason
from ...api.status import Artifacts, Effective
from ...aws.caller import AWSCaller
from ...aws.errors import AWSError, ErrorClass, classify
from ...aws.objects import ObjectStream, S3Object, S3Uri, head
from ..base import Observation, RawProgress, Result, RunRef, RunState
from . import logs, output, progress
from .unavailable import sentence, unavailable

log = logging.getLogger(__name__)

_TAIL_LINES = 20
_TAIL_READ = 60
_LINE_LENGTH = 300


async def collect(caller: AWSCaller, ref: RunRef, observation: Observation, effective: Effective) -> Result:
    """Raises PlatformUnavailable where AWS does not answer; what is not there is a warning."""
    prefix = f"{(effective.output_uri or '').rstrip('/')}/{ref.job_name}/"
    packed = output.Output()
    why: str | None = None
    if observation.state is RunState.SUCCEEDED:
        packed, why = await _output(caller, ref, f"{prefix}output/output.tar.gz")
        if why is None and packed.checkpoint is None:
            why = packed.problem or "output.tar.gz has no manifest.json that names a checkpoint"
    lines = await _log(caller, ref)
    figures = _merged(packed.losses, progress.parse(lines) if lines else None, observation.progress)
    field = "status.artifacts.checkpoint"
    return Result(
        artifacts=Artifacts(
            model=observation.model_artifact,
            checkpoint=packed.checkpoint,
            checkpoint_message=why[:512] if why else None,
            output=prefix,
            logs=logs.command(ref.region, ref.job_name),
        ),
        log_tail=() if observation.state is RunState.SUCCEEDED else tail(line.text for line in lines),
        metrics=observation.metrics,
        progress=figures,
        warnings=(Finding(field, f"{Reason.RESULT_MISSING}: {why}", "warning"),) if why else (),
    )


def tail(texts: Any) -> tuple[str, ...]:
    """The last lines, without control characters and cut to what a status can hold."""
    cleaned = ("".join(c if c.isprintable() else " " for c in text).strip() for text in texts)
    return tuple(text[:_LINE_LENGTH] for text in [line for line in cleaned if line][-_TAIL_LINES:])


async def _output(caller: AWSCaller, ref: RunRef, uri: str) -> tuple[output.Output, str | None]:
    where = S3Uri.parse(uri)

    def read(client: Any) -> output.Output:
        found = S3Object(client, where, head(client, where))
        return output.read(ObjectStream(found))

    try:
        return await caller.run("s3", ref.place, "GetObject", read), None
    except AWSError as error:
        verdict = classify(error)
        if verdict.error_class is ErrorClass.NOT_FOUND:
            return output.Output(), f"{uri} does not exist"
        if verdict.error_class is ErrorClass.AUTH:
            return output.Output(), f"{uri} may not be read by the operator: {sentence(error)}"
        if verdict.error_class is ErrorClass.USER:
            return output.Output(), f"{uri} cannot be read: {sentence(error)}"
        raise unavailable(error) from error


async def _log(caller: AWSCaller, ref: RunRef) -> list[progress.Line]:
    """Empty where the log cannot be read: the result does not depend on it."""
    try:
        stream = await logs.stream_of(caller, ref.place, ref.job_name)
        return await logs.newest(caller, ref.place, stream, _TAIL_READ) if stream else []
    except AWSError as error:
        log.warning("the training log cannot be read: %s", error, extra={"run": ref.job_name})
        return []


def _merged(
    losses: output.Losses | None, from_log: RawProgress | None, known: RawProgress | None
) -> RawProgress | None:
    """The metrics file tells the whole run, the log its end, earlier looks what was seen on the way."""
    base = from_log or known
    if losses is None:
        return base
    steps = [step for step in (losses.last_step, base.step if base else None) if step is not None]
    held_out = base.validation_loss if base else None
    return RawProgress(
        step=max(steps, default=None),
        total_steps=base.total_steps if base else None,
        epoch=losses.epoch if losses.epoch is not None else (base.epoch if base else None),
        train_loss=losses.last,
        first_train_loss=losses.first,
        best_train_loss=losses.best,
        validation_loss=losses.validation if losses.validation is not None else held_out,
        learning_rate=base.learning_rate if base else None,
        source="step_wise_training_metrics.csv",
        reported_at=base.reported_at if base else None,
    )
