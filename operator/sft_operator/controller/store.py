"""What this process remembers of each SFTJob: the resource as last served, and what was seen of its run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..api.place import Place
from ..platforms.base import Platform, RunRef
from .reconcile.decision import may_be_live, run_ref
from .reconcile.job import Job, Seen, parse


@dataclass(slots=True)
class Entry:
    """One SFTJob. `body` and `job` are None once nothing is left to do for it: finished jobs cost next to nothing."""

    uid: str
    version: str
    """resourceVersion of what was taken last; it stays when the body is forgotten."""
    body: Mapping[str, Any] | None
    job: Job | None
    seen: Seen = field(default_factory=Seen)
    phase: str = ""
    progress_written: float = 0.0
    check: asyncio.Task[None] | None = None


class Store:
    """Entries by `namespace/name`, and runs by job name. `changed` is told each job as it now is, None when it is gone."""

    def __init__(self, changed: Callable[[str, Job | None], None] = lambda key, job: None) -> None:
        self._changed = changed
        self._entries: dict[str, Entry] = {}
        self._by_job_name: dict[str, str] = {}

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def keys(self) -> list[str]:
        return list(self._entries)

    def put(self, body: Mapping[str, Any]) -> str | None:
        """Takes a resource as served. Returns its key, or None when what is known is newer or the same."""
        metadata = body["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        entry = self._entries.get(key)
        if entry is None or entry.uid != metadata["uid"]:
            self.remove(key)
            job = parse(body)
            entry = self._entries[key] = Entry(metadata["uid"], metadata.get("resourceVersion", ""), body, job)
        else:
            if not newer(metadata.get("resourceVersion", ""), entry.version) and not _shown_otherwise(entry, body):
                return None
            job = parse(body)
            if _another_run(entry.job, job):
                _forget_check(entry)
            entry.seen = _carried(entry.seen, entry.job, job)
            entry.version, entry.body, entry.job = metadata.get("resourceVersion", ""), body, job
        entry.phase = job.status.phase or "Pending"
        self._changed(key, job)
        if job.status.job_name:
            self._by_job_name[job.status.job_name] = key
        return key

    def remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        _forget_check(entry)
        self._changed(key, None)
        for name in [name for name, owner in self._by_job_name.items() if owner == key]:
            del self._by_job_name[name]

    def forget_body(self, key: str) -> None:
        """Nothing is left to do: only the phase is kept, for the metrics."""
        entry = self._entries.get(key)
        if entry is not None:
            _forget_check(entry)
            entry.body, entry.job, entry.seen = None, None, Seen()

    def key_of(self, job_name: str) -> str | None:
        return self._by_job_name.get(job_name)

    def live(self, platform: Platform) -> frozenset[RunRef]:
        """The runs of a platform that are to be followed. One that was asked for without a clear answer is not among
        them until its stop is wanted: asking again tells, and looking would find it missing too early."""
        return frozenset(
            ref
            for entry in self._entries.values()
            if (job := entry.job) is not None
            and not job.finished
            and (job.submitted or job.status.stop_request is not None)
            and may_be_live(job, entry.seen)
            and (ref := run_ref(job, platform)) is not None
        )

    def places(self, platform: Platform) -> frozenset[Place]:
        """Where the runs are that are to be followed."""
        return frozenset(ref.place.shared for ref in self.live(platform))

    def unsubmitted(self) -> list[str]:
        """Keys of the jobs that a change of profiles may concern."""
        return [
            key for key, entry in self._entries.items() if (job := entry.job) and not job.finished and not job.submitted
        ]

    def phases(self) -> Counter[tuple[str, str]]:
        """Jobs by (namespace, phase)."""
        return Counter((key.split("/", 1)[0], entry.phase) for key, entry in self._entries.items())


def _shown_otherwise(entry: Entry, body: Mapping[str, Any]) -> bool:
    """Whether the version that is known has another spec now: under another CRD the API server fills in and leaves out
    other fields, without a write."""
    if entry.body is None or body["metadata"].get("resourceVersion") != entry.version:
        return False
    return body.get("spec") != entry.body.get("spec")


def _forget_check(entry: Entry) -> None:
    if entry.check is not None:
        entry.check.cancel()
        entry.check = None
    entry.seen = replace(entry.seen, check=None, check_began=None, check_trouble=None)


def _another_run(before: Job | None, after: Job) -> bool:
    """Whether the data set may be another one now: it can change only together with runID."""
    return before is not None and (before.spec and before.spec.run_id) != (after.spec and after.spec.run_id)


def _carried(seen: Seen, before: Job | None, after: Job) -> Seen:
    """What stays known when the resource changed: nothing of another run, no back-off that an edit may have answered.

    A refused create stays known as refused, because it says that nothing runs; it is only tried again at once.
    """
    if before is None:
        return Seen()
    if before.status.job_name not in (None, after.status.job_name):
        return Seen()
    if before.generation == after.generation:
        return seen
    return replace(
        seen,
        submit_trouble=None,
        check=None if seen.check is not None and seen.check.refusal is not None else seen.check,
        check_trouble=None,
        stop_trouble=None,
    )


def newer(version: str, known: str) -> bool:
    """Resource versions of one object grow; an event that is older than our own last write is no news."""
    try:
        return int(version) > int(known)
    except ValueError:
        return True
