"""The life of one training job as a pure function: when it is in which secondary status; no clock, no store."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sft_lab.awssim.script import Script

GRACE = 120.0  # seconds from SIGTERM to the end, at most (AWS documentation of StopTrainingJob)
_IDLE_GRACE = 1.0  # a stop before any container runs has nobody to wait for

TERMINAL = {
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopped": "Stopped",
    "MaxRuntimeExceeded": "Stopped",
    "MaxWaitTimeExceeded": "Stopped",
}

# AWS documents that these texts exist, not what they say; seen in answers quoted by users.
MESSAGES = {
    "Pending": "Waiting for compute capacity",
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading the training image",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Managed spot training instances were interrupted",
    "Restarting": "Restarting the training job",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Completed": "Training job completed",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in one secondary status. A terminal span has no end (infinity)."""

    status: str
    start: float
    end: float


def primary(secondary: str) -> str:
    """TrainingJobStatus that belongs to a secondary status."""
    return TERMINAL.get(secondary) or ("Stopping" if secondary == "Stopping" else "InProgress")


def spans(
    created: float,
    script: Script,
    max_runtime: float,
    max_wait: float | None = None,
    stopped: float | None = None,
) -> tuple[Span, ...]:
    """The whole life of a job that was created then, asked to stop at `stopped`, in order and without gaps.

    `max_runtime` counts from the moment the instances are up (Downloading), `max_wait` from the create, both in
    seconds.
    """
    life = _planned(created, script)
    deadline, verdict = _deadline(life, created, max_runtime, max_wait)
    if deadline is not None:
        life = _cut(life, deadline, verdict, script)
    if stopped is not None:
        life = _cut(life, stopped, "Stopped", script)
    return tuple(life)


def at(life: tuple[Span, ...], now: float) -> int:
    """Index of the span that holds at `now`; the first one before the job began."""
    index = len(life) - 1
    while index > 0 and life[index].start > now:
        index -= 1
    return index


def _planned(created: float, script: Script) -> list[Span]:
    stretches: list[tuple[str, float]] = [
        ("Pending", script.pending),
        ("Starting", script.starting),
        ("Downloading", script.downloading),
    ]
    trained = 0.0
    for after, lasts in script.interruptions:
        if trained <= after < script.training:
            stretches += [("Training", after - trained), ("Interrupted", lasts), ("Restarting", script.starting)]
            trained = after
    stretches += [("Training", script.training - trained), ("Uploading", script.uploading)]
    end = script.end
    if end != "Completed":
        stretches = _broken_off(stretches, script)
    life: list[Span] = []
    clock = created
    for status, seconds in stretches:
        if seconds > 0 or not life:
            end_of_span = clock + seconds
            life.append(Span(status, clock, end_of_span))
            clock = end_of_span
    life.append(Span(end, clock, math.inf))
    return life


def _broken_off(stretches: list[tuple[str, float]], script: Script) -> list[tuple[str, float]]:
    """What is left of a plan whose end takes hold in stage `fail_in`, after the part `fail_at` of it."""
    passes = getattr(script, script.fail_in.lower()) * script.fail_at
    kept: list[tuple[str, float]] = []
    for status, seconds in stretches:
        if status == script.fail_in and passes <= seconds:
            kept.append((status, passes))
            break
        kept.append((status, seconds))
        passes -= seconds if status == script.fail_in else 0
    if script.end == "Failed":
        # SageMaker uploads what the container left before it says Failed.
        return [*kept, ("Uploading", script.uploading)] if script.fail_in == "Training" else kept
    return [*kept, ("Stopping", script.stop_grace)]


def _deadline(life: list[Span], created: float, max_runtime: float, max_wait: float | None) -> tuple[float | None, str]:
    began = next((s.start for s in life if s.status == "Downloading"), None)
    limits: list[tuple[float, str]] = []
    if began is not None:
        limits.append((began + max_runtime, "MaxRuntimeExceeded"))
    if max_wait is not None:
        limits.append((created + max_wait, "MaxWaitTimeExceeded"))
    if not limits:
        return None, ""
    return min(limits)


def _cut(life: list[Span], moment: float, verdict: str, script: Script) -> list[Span]:
    """The life ended from outside at `moment`: nothing changes when it was over, or ending, by then."""
    index = at(tuple(life), moment)
    current = life[index]
    if current.status in TERMINAL or current.status == "Stopping" or moment < life[0].start:
        return life
    if verdict != "Stopped" and current.status == "Uploading":
        return life
    ran = any(s.status == "Training" and s.start < moment for s in life)
    grace = min(script.stop_grace, GRACE) if ran else min(script.stop_grace, _IDLE_GRACE)
    kept = life[:index]
    if moment > current.start:
        kept.append(Span(current.status, current.start, moment))
    if grace > 0:
        kept.append(Span("Stopping", moment, moment + grace))
    kept.append(Span(verdict, moment + grace, math.inf))
    return kept


def seconds_in(life: tuple[Span, ...], statuses: frozenset[str], until: float) -> float:
    """Time spent in these secondary statuses up to `until`."""
    return sum(min(s.end, until) - s.start for s in life if s.status in statuses and s.start < until)


def moment_of_training(life: tuple[Span, ...], seconds: float) -> float | None:
    """When the job has trained for that long; None when it never does."""
    for span in life:
        if span.status == "Training":
            if seconds <= span.end - span.start + 1e-9:
                return span.start + seconds
            seconds -= span.end - span.start
    return None
