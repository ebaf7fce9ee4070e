"""Puts the process together: settings, clients, engine, watch, probes. The only place that knows every part."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from ..api.place import Place
from ..aws.caller import AWSCaller, CallerSettings, Rate
from ..aws.sessions import Clients
from ..platforms.sagemaker.platform import SageMakerPlatform
from ..platforms.sagemaker.settings import SageMakerSettings
from ..recipes.catalogue import load_catalogue
from .access import Access
from .engine import Engine
from .kube import Kube, KubeError
from .leadership import Leadership, leadership
from .line import Line
from .metrics import Metrics
from .nesting import read_any_depth
from .profiles import Profiles
from .queue import KeyedQueue
from .server import Health, serve
from .settings import Settings
from .store import Store
from .watching import Watching, feeder

log = logging.getLogger("sft_operator")

CLOSING_SECONDS = 4.0


async def run(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT. Returns the exit code: 1 when the watch ended by itself. A process that has lost its
    leadership does not return from here."""
    read_any_depth()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    kube = await Kube.connect(call_timeout=settings.kubernetes_timeout, namespaces=settings.namespaces)
    leading = leadership(settings, kube.configuration)
    queue = KeyedQueue()
    line = Line(queue.add)
    store = Store(line.take)
    profiles = Profiles(lambda: queue.add_all(store.unsubmitted()))
    sweeps = SweepClock()
    metrics = Metrics(
        store,
        lambda: len(queue),
        lambda: sweeps.age(store.places(platform)) if leading.leads else None,
        leads=lambda: leading.leads,
        namespaces=settings.metrics_namespaces,
    )
    caller = AWSCaller(Clients(may_send=leading.may_send), _caller_settings(settings), observe=metrics.aws_call)
    platform = SageMakerPlatform(
        caller,
        load_catalogue(settings.catalogue_dir),
        _sagemaker_settings(settings),
        identity_scope=settings.identity_scope,
        swept=sweeps.swept,
    )
    watching = Watching(feeder(store, profiles, queue), kube.served, kube.admitted if settings.namespaces else None)
    health = Health(lambda: watching.open, lambda: leading.trouble)
    access = Access(lambda token: kube.may_get(token, "/metrics")) if settings.metrics_auth == "TokenReview" else None
    runner, port = await serve(health, metrics, host=settings.http_host, port=settings.http_port, access=access)
    log.info("probes and metrics on port %d; identity scope %s", port, settings.identity_scope)
    engine = Engine(
        kube=kube,
        store=store,
        queue=queue,
        platform=platform,
        metrics=metrics,
        profiles=profiles,
        line=line,
        identity_scope=settings.identity_scope,
        require_profile=settings.require_profile,
        pause_launches=settings.pause_launches,
        workers=settings.workers,
        progress_interval=settings.progress_interval,
    )
    tasks = [
        asyncio.create_task(_resync(kube, store, queue, settings.resync_interval), name="resync"),
        asyncio.create_task(_keep_profiles(kube, profiles), name="profiles"),
    ]
    acting = [
        asyncio.create_task(leading.run(), name="leadership"),
        asyncio.create_task(_act(leading, engine, caller), name="engine"),
    ]
    watch = asyncio.create_task(watching.run(stop), name="watch")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({watch, stopping, *acting}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in (watch, *acting) if task.done() and _broke(task)]
        for task in failed:
            health.failed = f"{task.get_name()} ended"
            log.error("%s ended: %r", task.get_name(), task.exception())
        return 1 if failed else 0
    finally:
        stop.set()
        await _ended(*tasks, stopping, acting[1])
        await leading.resign(caller.settled)
        await _ended(acting[0])
        with suppress(asyncio.TimeoutError, Exception):
            await asyncio.wait_for(watch, CLOSING_SECONDS)
        await runner.cleanup()
        platform.close()
        caller.close()
        await kube.close()


async def _act(leading: Leadership, engine: Engine, caller: AWSCaller) -> None:
    # half a second of parsing, for which one that stands by has the time and one that takes over has not
    await asyncio.gather(leading.won(), asyncio.to_thread(caller.clients.model, "sagemaker"))
    await engine.run()


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class SweepClock:
    """When each place was last looked at."""

    def __init__(self) -> None:
        self._last: dict[Place, float] = {}

    def swept(self, place: Place) -> None:
        self._last[place] = time.monotonic()

    def age(self, places: Collection[Place]) -> float | None:
        """Seconds since the oldest last look at these places, or since there was first something to look at; None where
        there is nothing. What is looked at in vain from the start ages too."""
        now = time.monotonic()
        self._last = {place: self._last.get(place, now) for place in places}
        return now - min(self._last.values()) if self._last else None


def _caller_settings(settings: Settings) -> CallerSettings:
    acting = Rate(settings.create_rate, settings.create_burst)
    rates = {
        "create": acting,
        "stop": acting,
        "list": Rate(settings.list_rate, 4),
        "describe": Rate(settings.describe_rate, 10),
        "logs": Rate(settings.log_rate, 10),
    }
    return CallerSettings(threads=settings.aws_threads, rates=rates)


def _sagemaker_settings(settings: Settings) -> SageMakerSettings:
    return SageMakerSettings(
        sweep_interval=settings.sweep_interval,
        full_sweep_interval=settings.full_sweep_interval,
        log_interval=settings.log_interval,
        check_processes=settings.check_processes,
    )


def _broke(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None


PROFILES_SECONDS = 30.0
"""Between two reads of all SFTProfiles: there are few, and one that was taken away must not be launched under for long."""


async def _keep_profiles(kube: Kube, profiles: Profiles, interval: float = PROFILES_SECONDS) -> None:
    """A watch that was cut and listed anew tells nothing of what vanished meanwhile."""
    while True:
        await asyncio.sleep(interval)
        try:
            await profiles.reread(kube)
        except KubeError as error:
            if error.status != 404:  # before its CRD is installed readiness says what is missing
                log.warning("the SFTProfiles are read later: %s", error)
        except Exception:
            log.exception("reading the SFTProfiles failed; the next time comes")


async def _resync(kube: Kube, store: Store, queue: KeyedQueue, interval: float) -> None:
    """Reads all SFTJobs anew now and then, for the same reason."""
    while True:
        await asyncio.sleep(interval)
        for scope in kube.scopes:
            try:
                await _reread(kube, store, queue, scope)
            except KubeError as error:
                log.warning("the resync is put off: %s", error)
            except Exception:
                log.exception("the resync failed; the next one comes at its time")


async def _reread(kube: Kube, store: Store, queue: KeyedQueue, scope: str | None) -> None:
    known, listed = {key for key in set(store.keys()) if scope is None or key.startswith(f"{scope}/")}, set()
    async for body in kube.list_all(scope):
        metadata = body["metadata"]
        listed.add(f"{metadata['namespace']}/{metadata['name']}")
        key = store.put(body)
        if key is not None:
            queue.add(key)
    for key in known - listed:
        store.remove(key)
        queue.forget(key)
