"""SageMaker training jobs: the operations on them, in-process; a job's state is derived from the clock when asked for.

No HTTP, no moto: S3 is the `Storage` of rules.py, and what a job causes elsewhere is in effects.py.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sft_lab.awssim import describe, progress, rules
from sft_lab.awssim.clock import Clock
from sft_lab.awssim.errors import AWSError, not_found, validation
from sft_lab.awssim.job import Job, from_request
from sft_lab.awssim.job import arn as arn_of
from sft_lab.awssim.script import Scripts

DEFAULT_PAGE = 10  # ListTrainingJobs without MaxResults (documentation)
MAX_TAGS = 50


class Caller(NamedTuple):
    """Where a request belongs."""

    account: str
    region: str
    access_key: str = ""


@dataclass(slots=True)
class _Scope:
    """The jobs of one account and region, oldest first."""

    jobs: dict[str, Job] = field(default_factory=dict)


class TrainingJobs:
    """Every training job of the simulation. All methods may be called from any thread.

    Each operation takes and gives dicts in the shapes of the SageMaker API, times as seconds since the epoch, and
    raises AWSError. `changed` is called with a job whose course was just set (created, stopped).
    """

    def __init__(
        self,
        clock: Clock,
        scripts: Scripts,
        storage: rules.Storage | None = None,
        changed: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.clock = clock
        self.scripts = scripts
        self.storage = storage
        self.changed = changed
        self.quotas: dict[str, int] = {}  # instance type -> instances in use at most
        self._scopes: dict[tuple[str, str], _Scope] = {}
        self._sequence = 0
        self._lock = threading.RLock()

    def reset(self) -> None:
        with self._lock:
            self._scopes.clear()
            self.quotas.clear()

    def all(self) -> list[Job]:
        with self._lock:
            return [job for scope in self._scopes.values() for job in scope.jobs.values()]

    def _scope(self, caller: Caller) -> _Scope:
        return self._scopes.setdefault((caller.account, caller.region), _Scope())

    def _find(self, caller: Caller, name: str) -> Job:
        job = self._scope(caller).jobs.get(name)
        if job is None:
            raise not_found()
        return job

    def create(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        with self._lock:
            now = self.clock.now()
            rules.check_request(request, caller.account)
            name, scope = request["TrainingJobName"], self._scope(caller)
            arn = arn_of(name, caller.account, caller.region)
            if name in scope.jobs:
                raise AWSError(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, and a training job with "
                    f"this name already exists ({arn})",
                )
            if self.storage is not None:
                rules.check_data(request, caller.region, self.storage)
            tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", ())}
            channels = [channel["ChannelName"] for channel in request.get("InputDataConfig", ())]
            script = self.scripts.take(name, tags, channels)
            if script.create_error:
                raise AWSError(script.create_error, script.create_error_message or self._quota_text(request, 0, 0))
            self._check_quota(request, caller, now)
            self._sequence += 1
            job = from_request(
                request,
                caller.account,
                caller.region,
                created=now,
                sequence=self._sequence,
                script=script,
                plan=progress.plan(request, script, self.storage),
                hidden=script.not_found_first,
            )
            scope.jobs[name] = job
        self.changed(job)
        return {"TrainingJobArn": arn}

    def _check_quota(self, request: dict[str, Any], caller: Caller, now: float) -> None:
        resources = request.get("ResourceConfig", {})
        kind, wanted = resources.get("InstanceType"), resources.get("InstanceCount", 0)
        limit = self.quotas.get(kind) if kind else None
        if limit is None:
            return
        jobs = self._scope(caller).jobs.values()
        used = sum(job.instance_count for job in jobs if job.instance_type == kind and not job.ended(now))
        if used + wanted > limit:
            raise AWSError("ResourceLimitExceeded", self._quota_text(request, limit, used))

    @staticmethod
    def _quota_text(request: dict[str, Any], limit: int, used: int) -> str:
        resources = request.get("ResourceConfig", {})
        return (
            f"The account-level service limit '{resources.get('InstanceType')} for training job usage' is {limit} "
            f"Instances, with current utilization of {used} Instances and a request delta of "
            f"{resources.get('InstanceCount', 0)} Instances. Please contact AWS support to request an increase for "
            "this limit."
        )

    def describe(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        with self._lock:
            job = self._find(caller, request["TrainingJobName"])
            if job.hidden > 0:
                job.hidden -= 1
                raise not_found()
            return describe.describe(job, self.clock.now())

    def stop(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        with self._lock:
            job = self._find(caller, request["TrainingJobName"])
            now = self.clock.now()
            status = job.status(now)
            if status not in ("InProgress", "Stopping"):
                raise validation(f"The request was rejected because the training job is in status {status}.")
            if status == "InProgress":
                job.stop(now)
        self.changed(job)
        return {}

    def delete(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        with self._lock:
            job = self._find(caller, request["TrainingJobName"])
            status = job.status(self.clock.now())
            if status in ("InProgress", "Stopping"):
                raise AWSError(
                    "ResourceInUse", f"The request was rejected because the training job is in status {status}."
                )
            del self._scope(caller).jobs[job.name]
        return {}

    def list(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        with self._lock:
            now = self.clock.now()
            size = request.get("MaxResults", DEFAULT_PAGE)
            by, descending = request.get("SortBy", "CreationTime"), request.get("SortOrder") == "Descending"
            rows = list(self._matching(request, caller, now))  # in order of creation already
            if by != "CreationTime":
                rows.sort(key=lambda job: _sort_key(job, by, now))
            if descending:
                rows.reverse()
            if "NextToken" in request:
                # The token is the sort key of the last row shown, so that a row deleted meanwhile hides no other.
                seen = tuple(_from_token(request["NextToken"]))
                rows = [
                    j for j in rows if (_sort_key(j, by, now) < seen if descending else _sort_key(j, by, now) > seen)
                ]
            page = rows[:size]
            status = request.get("StatusEquals")
            # AWS cuts the page before it looks at the status: a page can be short, or empty, and still have a token.
            shown = [describe.summary(job, now) for job in page]
            answer: dict[str, Any] = {
                "TrainingJobSummaries": [s for s in shown if status is None or s["TrainingJobStatus"] == status]
            }
            if len(rows) > size:
                answer["NextToken"] = _token(_sort_key(page[-1], by, now))
            return answer

    def _matching(self, request: dict[str, Any], caller: Caller, now: float) -> Iterator[Job]:
        text = request.get("NameContains", "")
        created_after = request.get("CreationTimeAfter")
        created_before = request.get("CreationTimeBefore")
        modified_after = request.get("LastModifiedTimeAfter")
        modified_before = request.get("LastModifiedTimeBefore")
        plan = request.get("TrainingPlanArnEquals")
        warm_pool = request.get("WarmPoolStatusEquals")
        for job in self._scope(caller).jobs.values():
            if (
                text not in job.name
                or (created_after is not None and job.created <= created_after)
                or (created_before is not None and job.created >= created_before)
                or (modified_after is not None and job.span(now).start <= modified_after)
                or (modified_before is not None and job.span(now).start >= modified_before)
                or (plan is not None and job.request.get("ResourceConfig", {}).get("TrainingPlanArn") != plan)
                or warm_pool is not None
            ):
                continue
            yield job

    def _by_arn(self, arn: str, caller: Caller) -> Job:
        kind, _, name = arn.rpartition(":")[2].partition("/")
        if kind != "training-job":
            raise validation(f"Tags of {arn}: only training jobs are simulated")
        job = self._find(caller, name)
        if job.arn != arn:
            raise not_found()
        return job

    def add_tags(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        with self._lock:
            job = self._by_arn(request["ResourceArn"], caller)
            merged = job.tags | {tag["Key"]: tag["Value"] for tag in request["Tags"]}
            if len(merged) > MAX_TAGS:
                raise validation(f"A resource can have {MAX_TAGS} tags at most, found: {len(merged)}")
            job.tags = merged
            return {"Tags": _tag_list(merged)}

    def list_tags(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        with self._lock:
            tags = _tag_list(self._by_arn(request["ResourceArn"], caller).tags)
        start = int(_from_token(request["NextToken"])[0]) if "NextToken" in request else 0
        end = start + request.get("MaxResults", MAX_TAGS)
        answer: dict[str, Any] = {"Tags": tags[start:end]}
        if end < len(tags):
            answer["NextToken"] = _token((end,))
        return answer

    def delete_tags(self, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        with self._lock:
            job = self._by_arn(request["ResourceArn"], caller)
            job.tags = {key: value for key, value in job.tags.items() if key not in request["TagKeys"]}
        return {}


def _tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _sort_key(job: Job, by: str, now: float) -> tuple[Any, ...]:
    if by == "Name":
        return (job.name,)
    if by == "Status":
        return (job.status(now), job.sequence)
    return (job.sequence,)


def _token(key: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _from_token(token: str) -> list[Any]:
    try:
        key = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError as error:
        raise validation("Invalid pagination token") from error
    if not isinstance(key, list) or not key:
        raise validation("Invalid pagination token")
    return key
