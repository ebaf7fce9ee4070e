"""The log of a training job's container as a pure function of the job and a stretch of time."""

from __future__ import annotations

import itertools

from sft_lab.awssim import lifecycle, progress
from sft_lab.awssim.describe import trained_seconds
from sft_lab.awssim.job import Job

GROUP = "/aws/sagemaker/TrainingJobs"
# Between the end of training and what is logged about it: after the last step's line, in the same second.
_AFTERWARDS = 0.001


def stream(job: Job) -> str | None:
    """`<job>/algo-1-<epoch of the container's start>`; None when no container ever starts."""
    began = _began(job)
    return None if began is None else f"{job.name}/algo-1-{int(began)}"


def _began(job: Job) -> float | None:
    return next((s.start for s in job.life if s.status == "Training"), None)


def written(job: Job, after: float, until: float) -> list[tuple[float, str]]:
    """Lines with their times (seconds since the epoch), later than `after` and not later than `until`, in order."""
    began = _began(job)
    if began is None or not job.script.logs or until < began:
        return []
    found: list[tuple[float, str]] = []
    if after < began:
        found.append((began, f"SageMaker training job {job.name}: container started"))
        found += [(began, text) for text in job.script.log_lines]
    first = progress.steps_done(job.plan, job.script, trained_seconds(job, after)) + 1
    last = progress.steps_done(job.plan, job.script, trained_seconds(job, until))
    for step, text in progress.lines(job.name, job.plan, job.script, first, last):
        moment = lifecycle.moment_of_training(job.life, progress.seconds_for(job.plan, job.script, step))
        found.append((until if moment is None else min(moment, until), text))
    for span, following in itertools.pairwise(job.life):
        moment = following.start + _AFTERWARDS
        if span.status == "Training" and after < moment <= until:
            found += [(moment, text) for text in _at_the_end(job, following.status)]
    return sorted(found, key=lambda line: line[0])


def _at_the_end(job: Job, status: str) -> list[str]:
    """What the container says when its training gives way to `status`."""
    if status == "Stopping":
        return ["Received SIGTERM, saving state before exit"]
    if status == "Interrupted":
        return ["Received SIGTERM: the instance is being reclaimed"]
    if job.life[-1].status == "Failed":
        return [*job.script.error_lines, job.script.failure_reason]
    return [f"Training finished after {job.plan.steps} steps"]
