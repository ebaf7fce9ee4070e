"""Puts the process together: settings, clients, engine, watch, probes. The only place that knows every part."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress

from . import watching
from .engine import Engine
from .kube import Kube
from .metrics import Metrics
from .queue import KeyedQueue
from .server import Health, serve
from .settings import Settings
from .store import Store

log = logging.getLogger("sft_operator")


async def run(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT. Returns the exit code: 1 when the watch ended by itself."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    kube = await Kube.connect(call_timeout=settings.kubernetes_timeout)
    store, queue = Store(), KeyedQueue()
    platform = _platform(settings)
    metrics = Metrics(store, lambda: len(queue), platform.sweep_age)
    platform.on_call(metrics.aws_call)
    health = Health(kube.served)
    runner, port = await serve(health, metrics, host=settings.http_host, port=settings.http_port)
    log.info("probes and metrics on port %d; identity scope %s", port, settings.identity_scope)
    engine = Engine(
        kube=kube,
        store=store,
        queue=queue,
        platform=platform,
        metrics=metrics,
        identity_scope=settings.identity_scope,
        workers=settings.workers,
        progress_interval=settings.progress_interval,
    )
    # kopf ends every task that was made after it started: ours come first
    tasks = [asyncio.create_task(_resync(kube, store, queue, settings.resync_interval), name="resync")]
    engines = [asyncio.create_task(engine.run(), name="engine")] if settings.leader else []
    if not engines:
        log.warning("leader is off: this process watches and does nothing")
    ready = asyncio.Event()
    tasks.append(asyncio.create_task(_mark_ready(ready, health), name="ready"))
    watch = asyncio.create_task(watching.watch(watching.registry(store, queue), stop=stop, ready=ready), name="watch")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({watch, stopping, *engines}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in (watch, *engines) if task.done() and _broke(task)]
        for task in failed:
            health.failed = f"{task.get_name()} ended"
            log.error("%s ended: %r", task.get_name(), task.exception())
        return 1 if failed else 0
    finally:
        stop.set()
        for task in (*tasks, *engines, stopping):
            task.cancel()
        await asyncio.gather(*tasks, *engines, stopping, return_exceptions=True)
        with suppress(asyncio.TimeoutError, Exception):
            await asyncio.wait_for(watch, 3)
        await runner.cleanup()
        await platform.close()
        await kube.close()


def _broke(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None


async def _mark_ready(ready: asyncio.Event, health: Health) -> None:
    await ready.wait()
    health.watching = True


async def _resync(kube: Kube, store: Store, queue: KeyedQueue, interval: float) -> None:
    """Reads all SFTJobs now and then: a watch that was cut and listed anew tells nothing of what vanished meanwhile."""
    while True:
        await asyncio.sleep(interval)
        known, listed = set(store.keys()), set()
        try:
            async for body in kube.list_all():
                metadata = body["metadata"]
                listed.add(f"{metadata['namespace']}/{metadata['name']}")
                key = store.put(body)
                if key is not None:
                    queue.add(key)
        except KubeError as error:
            log.warning("the resync is put off: %s", error)
            continue
        for key in known - listed:
            store.remove(key)
            queue.forget(key)
