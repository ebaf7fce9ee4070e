"""What a training job that already has our name means for a launch: design's rules for at most one launch. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...api import metadata
from ...api.findings import Finding
from ...api.reasons import Reason
from ..base import JobView, Refusal, RunRef, RunState, SubmitKind, SubmitOutcome
from .translate import state_of

_ENDING_PAUSE = 10.0
_ANOTHER_ATTEMPT_FOLLOWS = ("Delete", "Suspend")
"""Causes of our own stops that were not the end of the run: its story goes on under the next attempt's name."""


def outcome(ref: RunRef, job: JobView, described: Mapping[str, Any], tags: Mapping[str, str]) -> SubmitOutcome:
    """`described` is DescribeTrainingJob's answer for the job, `tags` are those that it has."""
    arn = described.get("TrainingJobArn")
    if not _is_ours(job, tags):
        return SubmitOutcome(SubmitKind.REFUSED, arn, refusal=_conflict(ref, job, tags))
    inputs = tags.get(metadata.TAG_INPUTS)
    state = state_of(str(described.get("TrainingJobStatus", "")), str(described.get("SecondaryStatus", "")))
    stopped_by = tags.get(metadata.TAG_STOPPED_BY) if state is RunState.STOPPED else None
    attached = SubmitOutcome(SubmitKind.ATTACHED, arn, inputs_digest=inputs, state=state, stopped_by=stopped_by)
    if tags.get(metadata.TAG_UID) == job.uid:
        return attached
    if state is RunState.STOPPING:
        return SubmitOutcome(SubmitKind.ENDING, arn, retry_after=_ENDING_PAUSE)
    if state is RunState.SUCCEEDED and tags.get(metadata.TAG_FINGERPRINT) == job.fingerprint:
        return SubmitOutcome(SubmitKind.ADOPTED_FINISHED, arn, inputs_digest=inputs)
    if stopped_by in _ANOTHER_ATTEMPT_FOLLOWS:
        return SubmitOutcome(SubmitKind.NEXT_ATTEMPT, arn)
    return attached


def _is_ours(job: JobView, tags: Mapping[str, str]) -> bool:
    wanted = {
        metadata.TAG_SCOPE: job.identity_scope,
        metadata.TAG_NAMESPACE: job.namespace,
        metadata.TAG_NAME: job.name,
    }
    return all(tags.get(key) == value for key, value in wanted.items())


def _conflict(ref: RunRef, job: JobView, tags: Mapping[str, str]) -> Refusal:
    scope = tags.get(metadata.TAG_SCOPE)
    if scope is None:
        owner = "it carries no tags of this operator"
    else:
        owner = (
            f"it belongs to {tags.get(metadata.TAG_NAMESPACE)}/{tags.get(metadata.TAG_NAME)} "
            f"of the environment {scope}, this is {job.namespace}/{job.name} of {job.identity_scope}"
        )
    text = (
        f"{ref.job_name} exists in account {ref.account}, {ref.region}: {owner}; nothing was launched and nothing "
        "will be stopped. Choose another metadata.name or a new spec.runID"
    )
    return Refusal(Reason.NAME_CONFLICT, (Finding("metadata.name", text),))
