"""The engine: takes keys from the queue, asks the step function, writes the status, carries out the action."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..api.status import SFTJobStatus
from ..platforms.base import Platform, PlatformUnavailable
from ..policy.ruling import Policy
from . import logs
from .actions import Actions
from .kube import Kube, KubeError, merge_patch
from .line import Line
from .metrics import Metrics
from .profiles import NamespaceLabels, Profiles
from .queue import KeyedQueue, backoff
from .reconcile.decision import AddFinalizer, Context, Decision, ReleaseFinalizer, Submit
from .reconcile.events import events
from .reconcile.job import Job
from .reconcile.step import step
from .store import Entry, Store

log = logging.getLogger("sft_operator.engine")

MAX_PASSES = 25
"""A job that wants more passes in a row than this is put back: nothing may turn in circles."""

_PROGRESS_ONLY = frozenset(
    {
        "progress",
        "metrics",
        "timeline",
        "message",
        "queuePosition",
        "runtime",
        "billableSeconds",
        "instanceHours",
        "startTime",
    }
)
"""Changes that may wait for the next write: one per job and progress interval."""


class Engine:
    def __init__(
        self,
        *,
        kube: Kube,
        store: Store,
        queue: KeyedQueue,
        platform: Platform,
        metrics: Metrics,
        profiles: Profiles,
        line: Line,
        identity_scope: str,
        workers: int,
        progress_interval: float,
        require_profile: bool = True,
        pause_launches: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube, self._store, self._queue, self._metrics = kube, store, queue, metrics
        self._platform, self._scope, self._workers = platform, identity_scope, workers
        self._progress_interval, self._now = progress_interval, now
        self._profiles, self._line, self._labels = profiles, line, NamespaceLabels(kube)
        self._require_profile, self._pause_launches = require_profile, pause_launches
        self._actions = Actions(platform=platform, store=store, queue=queue, now=now)

    async def run(self) -> None:
        """Works until cancelled."""
        await self._know_all()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._workers):
                tasks.create_task(self._work())
            tasks.create_task(self._follow())

    async def _know_all(self) -> None:
        """Nothing is decided before every job and profile is known: how many runs a profile has is counted."""
        tries = 0
        while True:
            try:
                await self._profiles.reread(self._kube)
                for scope in self._kube.scopes:
                    await self._know(scope)
                return
            except KubeError as error:
                if error.status == 404:
                    return  # there is no such kind yet, so there are no such objects
                tries += 1
                log.warning("the jobs and profiles cannot be listed yet: %s", error)
            await asyncio.sleep(backoff(tries, limit=30.0))

    async def _know(self, scope: str | None) -> None:
        try:
            async for body in self._kube.list_all(scope):
                key = self._store.put(body)
                if key is not None:
                    self._queue.add(key)
        except KubeError as error:
            if scope is None or error.status != 403:
                raise
            log.warning("namespace %s is passed over: %s", scope, error)

    async def _follow(self) -> None:
        """Takes what the platform sees of live runs."""
        async for ref, look in self._platform.watch(lambda: self._store.live(self._platform)):
            if isinstance(look, PlatformUnavailable):
                self._actions.unreachable(ref, look)
            else:
                self._actions.observed(ref, look)

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            logs.job.set(key)
            began = time.perf_counter()
            try:
                await self._reconcile(key)
                self._queue.succeeded(key)
            except KubeError as error:
                self._kube_failed(key, error)
            except Exception:
                # one resource must never end the others' service; it comes back with growing pauses
                log.exception("the pass failed; it is tried again")
                self._metrics.reconcile_errors.inc()
                self._queue.failed(key)
            finally:
                self._metrics.reconcile_seconds.observe(time.perf_counter() - began)
                logs.job.set(None)
                logs.run.set(None)
                self._queue.done(key)

    def _kube_failed(self, key: str, error: KubeError) -> None:
        if error.status == 404:
            self._store.remove(key)
            self._queue.forget(key)
        elif error.status == 409:
            self._queue.add_after(key, 1.0)  # a newer version is on its way to us
        else:
            delay = self._queue.failed(key, error.retry_after)
            log.warning("%s; tried again in %.0f s", error, delay)

    async def _reconcile(self, key: str) -> None:
        for _ in range(MAX_PASSES):
            entry = self._store.get(key)
            if entry is None or entry.job is None or entry.body is None:
                return
            logs.run.set(entry.job.status.job_name)
            policy = await self._policy(entry.job)
            if self._store.get(key) is not entry or entry.job is None:
                continue  # it went while the namespace was asked for
            decision = step(
                entry.job,
                entry.seen,
                Context(self._platform, self._scope, self._now(), policy, self._line.position),
            )
            profile = decision.status.profile
            if isinstance(decision.action, Submit) and profile is not None:
                self._line.goes(key, profile.name)
            if await self._write(key, entry, decision):
                continue
            if decision.action is None:
                self._rest(key, entry, decision)
                return
            if isinstance(decision.action, AddFinalizer | ReleaseFinalizer):
                present = isinstance(decision.action, AddFinalizer)
                self._take(key, await self._kube.set_finalizer(entry.body, present=present))
                self._metrics.writes.labels("finalizer").inc()
                continue
            await self._actions.perform(key, entry, decision.action)
        log.warning("%d passes in a row did not settle the job; it waits", MAX_PASSES)
        self._queue.failed(key, 30.0)

    async def _policy(self, job: Job) -> Policy:
        profiles = self._profiles.all
        # a stop or a deletion asks no profile, and must not wait for an API server that does not tell labels
        by_label = job.may_launch and any(profile.selects_by_label for profile in profiles)
        labels = await self._labels.of(job.namespace) if by_label else {}
        return Policy(profiles, labels, self._require_profile, self._pause_launches)

    def _take(self, key: str, body: Mapping[str, Any]) -> None:
        """Takes the answer to a write, unless the resource was deleted, or made again, while it was on its way."""
        entry = self._store.get(key)
        if entry is not None and entry.uid == body["metadata"]["uid"]:
            self._store.put(body)

    def _rest(self, key: str, entry: Entry, decision: Decision) -> None:
        if decision.look_after is not None:
            self._queue.add_after(key, decision.look_after)
        elif entry.job is not None and entry.job.finished and entry.job.deleting_since is None:
            self._store.forget_body(key)

    async def _write(self, key: str, entry: Entry, decision: Decision) -> bool:
        """Writes the status if it changed. Changes of progress alone wait for their interval."""
        if entry.job is None or entry.body is None:
            return False
        standing = entry.body.get("status") or {}
        # what this version does not know, a newer one wrote before it was rolled back: it stays
        patch = merge_patch(wire(entry.job.status), wire(decision.status))
        if not patch:
            return False
        progress_only = _can_wait(standing, patch)
        if progress_only:
            wait = entry.progress_written + self._progress_interval - time.monotonic()
            if wait > 0:
                self._queue.add_after(key, wait)
                return False
        entry.progress_written = time.monotonic()
        before, metadata = entry.job.status, entry.body["metadata"]  # the watch may be faster than the answer
        body = await self._kube.patch_status(metadata, patch)
        self._metrics.writes.labels("progress" if progress_only else "state").inc()
        if body["metadata"].get("resourceVersion") == metadata.get("resourceVersion"):
            # an older CRD prunes what it does not know: a stop must not wait for words that are never kept
            text = f"the API server keeps nothing of {', '.join(patch)}: is the CRD older than the operator?"
            if isinstance(decision.action, Submit):
                raise KubeError(0, f"{text} Nothing is launched that cannot be written down")
            log.warning("%s", text)
            return False
        self._take(key, body)
        if isinstance(decision.action, Submit) and decision.status.job_name != before.job_name:
            entry.seen = replace(entry.seen, unsent=decision.status.job_name)
        for event in events(before, decision.status):
            log.info("%s: %s", event.reason, event.message)
            with suppress(KubeError):
                await self._kube.tell(body, event)
                self._metrics.writes.labels("event").inc()
        return True


def wire(status: SFTJobStatus) -> Mapping[str, Any]:
    """A status as JSON, without what is absent."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def _can_wait(standing: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    """Whether a patch moves only figures and words: conditions count when one of them turns or has another reason."""
    if not patch.keys() <= _PROGRESS_ONLY | {"conditions"}:
        return False
    return "conditions" not in patch or _verdicts(standing.get("conditions")) == _verdicts(patch["conditions"])


def _verdicts(conditions: list[Mapping[str, Any]] | None) -> list[tuple[str, str, str]]:
    return [(known["type"], known["status"], known["reason"]) for known in conditions or ()]
