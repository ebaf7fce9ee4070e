"""Who waits for a run of a profile, and who has one: the lines of maxConcurrentRuns, kept as jobs change.

All of it follows from what stands in the jobs' statuses, so a restart forgets nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from ..api.conditions import parse_timestamp
from ..api.reasons import Reason
from ..api.status import Phase
from .reconcile.job import Job

Place = tuple[datetime, datetime, str]
"""Since when the launch waits, when the job was made, its key: first come, first served."""


@dataclass(slots=True)
class _Profile:
    running: set[str] = field(default_factory=set)
    waiting: list[Place] = field(default_factory=list)
    """Sorted."""


class Line:
    """`wake` is called with the key of a job whose turn may have come."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        self._wake = wake
        self._profiles: dict[str, _Profile] = {}
        self._of: dict[str, tuple[str, Place | None]] = {}
        """Key -> its profile, and its place if it waits; None: it has a run."""

    def take(self, key: str, job: Job | None) -> None:
        """Takes a job as it now is; None: it is gone."""
        self._put(key, _standing(key, job) if job is not None else None)

    def position(self, job: Job, profile: str, limit: int) -> int:
        """From 1; 0: the job may have its run."""
        line = self._profiles.get(profile)
        if line is None or job.key in line.running:
            return 0
        ahead = bisect_left(line.waiting, _place(job.key, job))
        return max(0, ahead - max(0, limit - len(line.running)) + 1)

    def goes(self, key: str, profile: str) -> None:
        """Counts a job as running from before its launch is written down. An error of that write takes nothing back: it
        may have been heard, and what then stands in the job's status is taken as it comes."""
        self._put(key, (profile, None))

    def _put(self, key: str, after: tuple[str, Place | None] | None) -> None:
        before = self._of.get(key)
        if before == after:
            return
        if before is not None:
            profile, place = before
            line = self._profiles[profile]
            if place is None:
                line.running.discard(key)
            else:
                line.waiting.pop(bisect_left(line.waiting, place))
        if after is None:
            del self._of[key]
        else:
            profile, place = after
            line = self._profiles.setdefault(profile, _Profile())
            if place is None:
                line.running.add(key)
            else:
                insort(line.waiting, place)
            self._of[key] = after
        if before is not None and self._profiles[before[0]].waiting:
            # the first alone: when it goes, the next one is asked
            self._wake(self._profiles[before[0]].waiting[0][2])


def _standing(key: str, job: Job) -> tuple[str, Place | None] | None:
    status = job.status
    if status.profile is None or job.finished:
        return None
    if status.phase is Phase.QUEUED and status.reason == Reason.CONCURRENCY_LIMIT:
        # one that is being deleted never goes, however long somebody's finalizer keeps it: nobody waits behind it
        return (status.profile.name, _place(key, job)) if job.deleting_since is None else None
    if status.job_name is None or status.phase is Phase.SUSPENDED:
        return None
    return status.profile.name, None


def _place(key: str, job: Job) -> Place:
    since = parse_timestamp(job.status.pending_since) if job.status.pending_since else job.created
    return since, job.created, key
