"""A cluster, a cloud and a clock in one process: the real engine works against stand-ins that keep state, under a
virtual clock, so that a day passes in milliseconds and every run is the same."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import selectors
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sft_operator.api.conditions import find, timestamp
from sft_operator.api.metadata import FINALIZER
from sft_operator.api.rules import TERMINAL_PHASES
from sft_operator.api.status import Condition, ConditionType, SFTJobStatus
from sft_operator.controller.engine import Engine, wire
from sft_operator.controller.kube import Kube, KubeError, merge_patch
from sft_operator.controller.line import Line
from sft_operator.controller.metrics import Metrics
from sft_operator.controller.profiles import Profiles
from sft_operator.controller.queue import KeyedQueue
from sft_operator.controller.reconcile.decision import Context
from sft_operator.controller.reconcile.events import Event
from sft_operator.controller.reconcile.step import step
from sft_operator.controller.store import Store
from sft_operator.controller.watching import feeder
from sft_operator.platforms.base import JobView, Plan
from tests.manifests import ABSENT, Manifest, edited, nova_lite_2_lora
from tests.unit.cloud import Cloud

NAMESPACE = "ml-team"
EPOCH = datetime(2026, 11, 22, 12, tzinfo=UTC)
STATUS_LIMIT = 16 * 1024
NEVER = 1e12

_PROGRESS = {"progress", "metrics", "timeline", "message", "runtime", "billableSeconds", "instanceHours", "startTime"}


class _Instant(selectors.SelectSelector):
    """Waits for nothing: the time that would be waited is added to the clock instead."""

    elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("nothing is left that could ever happen")
        if not ready and timeout:
            self.elapsed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)

    def time(self) -> float:
        return self._instant.elapsed


class Cluster:
    """The API server as the engine sees it: versions, merge patches, finalizers, the rule that ends stay, and a watch
    that comes a little later than the answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], datetime]) -> None:
        self.loop, self.now = loop, now
        self.objects: dict[str, dict[str, Any]] = {}
        self.profiles: dict[str, dict[str, Any]] = {}
        self.namespaces: dict[str, dict[str, str]] = {}
        """Labels by name."""
        self.writes: list[tuple[str, frozenset[str]]] = []
        """(what: "status", "finalizer", "release"; top-level status keys that changed), in order."""
        self.written: list[dict[str, Any]] = []
        """Every status as it stood after a write."""
        self.told: list[Event] = []
        self.wrong: list[str] = []
        self.fail_next: list[KubeError] = []
        self.watchers: list[Callable[[Mapping[str, Any]], None]] = []
        self._version = 100
        self._uids = 0

    def apply(self, manifest: Manifest, namespace: str = NAMESPACE) -> str:
        key = f"{namespace}/{manifest['metadata']['name']}"
        known = self.objects.get(key)
        if known is None:
            self._uids += 1
            metadata = {
                "name": manifest["metadata"]["name"],
                "namespace": namespace,
                "uid": f"uid-{self._uids}",
                "generation": 1,
                "creationTimestamp": timestamp(self.now()),
            }
            self.objects[key] = {"kind": "SFTJob", "metadata": metadata, "spec": copy.deepcopy(manifest["spec"])}
        elif known["spec"] == manifest["spec"]:
            return key
        else:
            known["spec"] = copy.deepcopy(manifest["spec"])
            known["metadata"]["generation"] += 1
        self._changed(key)
        return key

    def annotate(self, key: str, **annotations: str) -> None:
        self.objects[key]["metadata"].setdefault("annotations", {}).update(annotations)
        self._changed(key)

    def delete(self, key: str) -> None:
        metadata = self.objects[key]["metadata"]
        if "deletionTimestamp" not in metadata:
            metadata["deletionTimestamp"] = timestamp(self.now())
            metadata["generation"] += 1
        self._reap(key)

    def _reap(self, key: str) -> None:
        body = self.objects[key]
        if "deletionTimestamp" in body["metadata"] and not body["metadata"].get("finalizers"):
            del self.objects[key]
            self._emit("DELETED", body)
        else:
            self._changed(key)

    def _changed(self, key: str) -> None:
        self._version += 1
        body = self.objects[key]
        body["metadata"]["resourceVersion"] = str(self._version)
        self._emit("MODIFIED", body)

    def _emit(self, kind: str, body: Mapping[str, Any]) -> None:
        event = {"type": kind, "object": copy.deepcopy(dict(body))}
        for watcher in self.watchers:
            self.loop.call_later(0.01, watcher, event)

    def _found(self, namespace: str, name: str) -> dict[str, Any]:
        if self.fail_next:
            raise self.fail_next.pop(0)
        key = f"{namespace}/{name}"
        if key not in self.objects:
            raise KubeError(404, f"{key} not found")
        return self.objects[key]

    def apply_profile(self, name: str, spec: Mapping[str, Any]) -> None:
        generation = self.profiles[name]["metadata"]["generation"] + 1 if name in self.profiles else 1
        body = {"kind": "SFTProfile", "metadata": {"name": name, "generation": generation}, "spec": dict(spec)}
        self.profiles[name] = body
        self._emit("MODIFIED", body)

    def delete_profile(self, name: str) -> None:
        self._emit("DELETED", self.profiles.pop(name))

    # --- what the engine calls

    scopes = (None,)

    async def list_all(self, scope: str | None) -> AsyncIterator[Mapping[str, Any]]:
        for body in list(self.objects.values()):
            yield copy.deepcopy(body)

    async def list_profiles(self) -> AsyncIterator[Mapping[str, Any]]:
        for body in list(self.profiles.values()):
            yield copy.deepcopy(body)

    async def namespace_labels(self, name: str) -> Mapping[str, str]:
        await asyncio.sleep(0)
        return self.namespaces.get(name, {})

    async def patch_status(self, metadata: Mapping[str, Any], patch: Mapping[str, Any]) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        namespace, name = metadata["namespace"], metadata["name"]
        body = self._found(namespace, name)
        if body["metadata"]["uid"] != metadata["uid"]:
            raise KubeError(409, "Precondition failed: UID in precondition")
        sent = json.loads(json.dumps(patch, allow_nan=False))
        before = body.get("status") or {}
        after = _merged(before, sent)
        SFTJobStatus.model_validate(after)
        size = len(json.dumps(after, separators=(",", ":"), ensure_ascii=False).encode())
        if size >= STATUS_LIMIT:
            self.wrong.append(f"a status of {size} bytes")
        self._guard_end(before, after)
        if after != before:
            self.writes.append(("status", frozenset(patch)))
            self.written.append(copy.deepcopy(after))
            body["status"] = after
            self._changed(f"{namespace}/{name}")
        return copy.deepcopy(body)

    def _guard_end(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """The CRD's rule ENDS_STAY, and that conditions of an end go only with it."""
        moved = before.get("runID") != after.get("runID") or (after.get("attempt") or 0) > (before.get("attempt") or 0)
        if before.get("phase") in TERMINAL_PHASES and after.get("phase") != before["phase"] and not moved:
            self.wrong.append(f"{before['phase']} became {after.get('phase')}")
            raise KubeError(422, "a run that has ended keeps its phase")

    async def set_finalizer(self, body: Mapping[str, Any], *, present: bool) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        metadata = self._found(body["metadata"]["namespace"], body["metadata"]["name"])["metadata"]
        if metadata["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise KubeError(409, "the object has been modified")
        if present and "deletionTimestamp" in metadata:
            raise KubeError(422, "no new finalizers can be added if the object is being deleted")
        self.writes.append(("finalizer" if present else "release", frozenset()))
        metadata["finalizers"] = [FINALIZER] if present else []
        key = f"{metadata['namespace']}/{metadata['name']}"
        served = copy.deepcopy(self.objects[key])
        self._reap(key)
        if key in self.objects:
            served = copy.deepcopy(self.objects[key])
        return served

    async def tell(self, body: Mapping[str, Any], event: Event) -> None:
        self.told.append(event)


def _merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386."""
    result = dict(before)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            standing = result.get(key)
            result[key] = _merged(standing if isinstance(standing, Mapping) else {}, value)
        else:
            result[key] = value
    return result


class _Problems(logging.Handler):
    """What the engine logs when something happened that never should."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.ERROR or "did not settle" in text:
            self.lines.append(text)


class World:
    """Everything of one test. Use as a context manager: at its end the rules that always hold are asserted."""

    def __init__(
        self, *, progress_interval: float = 0.0, require_profile: bool = False, pause_launches: bool = False
    ) -> None:
        self.require_profile, self.pause_launches = require_profile, pause_launches
        self.loop = VirtualLoop()
        self.cluster = Cluster(self.loop, self.now)
        self.aws = Cloud(self.now)
        self.aws.may_submit = self._announced
        self._progress_interval = progress_interval
        self._problems = _Problems()
        self._manifest = nova_lite_2_lora()
        self._operator: asyncio.Task[None] | None = None
        self.key = f"{NAMESPACE}/{self._manifest['metadata']['name']}"
        self.start_operator()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time())

    # --- the operator's process

    def start_operator(self) -> None:
        self.queue = KeyedQueue()
        self.line = line = Line(self.queue.add)
        self.store = Store(line.take)
        profiles = Profiles(lambda: self.queue.add_all(self.store.unsubmitted()))
        metrics = Metrics(self.store, lambda: 0, lambda: None)
        self.engine = Engine(
            kube=cast(Kube, self.cluster), store=self.store, queue=self.queue, platform=self.aws, metrics=metrics,
            profiles=profiles, line=line, require_profile=self.require_profile, pause_launches=self.pause_launches,
            identity_scope="test", workers=2, progress_interval=self._progress_interval, now=self.now,
        )  # fmt: skip
        feed = feeder(self.store, profiles, self.queue)
        self.cluster.watchers = [lambda event: feed(event["type"], event["object"])]
        for body in [*self.cluster.profiles.values(), *self.cluster.objects.values()]:
            self.cluster._emit("ADDED", body)
        self._operator = self.loop.create_task(self.engine.run())

    def kill_operator(self) -> None:
        """As kill -9 does: what was in hand is gone, calls that are out are not taken back."""
        self.cluster.watchers = []
        if self._operator is not None:
            self._operator.cancel()
            self.loop.run_until_complete(asyncio.wait([self._operator]))
        for key in list(self.store.keys()):
            self.store.remove(key)

    def restart_operator(self) -> None:
        self.kill_operator()
        self.start_operator()

    # --- the user

    def apply(self, edits: Mapping[str, Any] | None = None, *, settle: float = 1.0) -> str:
        self._manifest = edited(self._manifest, edits or {})
        key = self.cluster.apply(self._manifest)
        self.advance(settle)
        return key

    def delete(self, *, settle: float = 1.0) -> None:
        self.cluster.delete(self.key)
        self.advance(settle)

    def advance(self, seconds: float) -> None:
        """Lets time pass, and a moment more for what falls due at its end."""
        self.loop.run_until_complete(asyncio.sleep(seconds + 0.1))

    def until(self, phase: str, *, within: float = 3600.0) -> None:
        end = self.loop.time() + within
        while self.phase != phase:
            assert self.loop.time() < end, f"still {self.phase}: {self.status.get('message')}"
            self.advance(1.0)

    # --- what can be seen

    @property
    def body(self) -> dict[str, Any]:
        return self.cluster.objects[self.key]

    @property
    def gone(self) -> bool:
        return self.key not in self.cluster.objects

    @property
    def status(self) -> dict[str, Any]:
        return self.cluster.objects[self.key].get("status") or {}

    @property
    def phase(self) -> str | None:
        return self.status.get("phase")

    @property
    def attempt(self) -> int | None:
        return self.status.get("attempt")

    @property
    def story(self) -> list[str]:
        """The phases in the order in which they were written, each once per stretch."""
        phases = [str(status.get("phase")) for status in self.cluster.written]
        return [phase for place, phase in enumerate(phases) if not place or phases[place - 1] != phase]

    def condition(self, kind: str) -> Condition | None:
        return find(SFTJobStatus.model_validate(self.status).conditions, ConditionType(kind))

    def says(self, kind: str) -> tuple[str, str] | None:
        """(status, reason) of a condition."""
        found = self.condition(kind)
        return (found.status.value, found.reason) if found else None

    @property
    def events(self) -> list[str]:
        return [event.reason for event in self.cluster.told]

    def writes(self) -> Counter[str]:
        """Writes to the API server, those of progress alone apart."""
        return Counter(
            "progress" if what == "status" and keys <= _PROGRESS else what for what, keys in self.cluster.writes
        )

    # --- what always holds

    def _announced(self, plan: Plan, job: JobView) -> str | None:
        body = self.cluster.objects.get(f"{job.namespace}/{job.name}") or {}
        if (body.get("status") or {}).get("jobName") != plan.job_name:
            return f"{plan.job_name} was asked for before the intent was written"
        if FINALIZER not in body["metadata"].get("finalizers", ()):
            return f"{plan.job_name} was asked for without a finalizer"
        return None

    def assert_settled(self) -> None:
        """No write and no action is pending that nobody will come back for."""
        for key in list(self.store.keys()):
            entry = self.store.get(key)
            if entry is None or entry.job is None or entry.body is None:
                continue
            policy = self.loop.run_until_complete(self.engine._policy(entry.job))
            context = Context(self.aws, "test", self.now(), policy, self.line.position)
            decision = step(entry.job, entry.seen, context)
            patch = merge_patch(wire(entry.job.status), wire(decision.status))
            if self._progress_interval:
                patch = {name: value for name, value in patch.items() if name not in _PROGRESS}
            assert not patch, f"a write is pending: {patch}"
            assert decision.action is None, f"an action is pending: {decision.action}"

    def assert_rules(self) -> None:
        assert not self.cluster.wrong, self.cluster.wrong
        assert not self.aws.wrong, self.aws.wrong
        assert not self._problems.lines, "\n".join(self._problems.lines)

    def __enter__(self) -> World:
        logging.getLogger("sft_operator").addHandler(self._problems)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self.assert_settled()
                self.assert_rules()
        finally:
            logging.getLogger("sft_operator").removeHandler(self._problems)
            self.kill_operator()
            self.loop.close()


__all__ = ["ABSENT", "EPOCH", "NAMESPACE", "NEVER", "World"]
