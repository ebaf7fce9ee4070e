"""kopf's part: it lists, watches and reconnects, and hands every event to the store. It keeps no state of ours."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import kopf

from ..api.crd import GROUP, PLURAL, VERSION
from .queue import KeyedQueue
from .store import Store

LOGIN_PAUSE = 1.0
"""Seconds between repeated logins: without it kopf logs in hundreds of times a second while the answer is 401."""


def registry(store: Store, queue: KeyedQueue) -> kopf.OperatorRegistry:
    """The only handlers there are: login, settings, and one for events that stores, enqueues and never waits."""
    handlers = kopf.OperatorRegistry()
    logins = 0

    async def login(**kwargs: Any) -> Any:
        nonlocal logins
        if logins:
            await asyncio.sleep(LOGIN_PAUSE)
        logins += 1
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.peering.standalone = True
        settings.posting.enabled = False
        settings.persistence.diffbase_storage = _NoDiffBase()
        settings.persistence.progress_storage = _NoProgress()
        settings.queueing.idle_timeout = 1.0
        settings.watching.chunk_size = 500
        settings.watching.connect_timeout = 10
        settings.networking.request_timeout = 30
        settings.networking.connect_timeout = 10
        settings.process.ultimate_exiting_timeout = 25  # below terminationGracePeriodSeconds

    async def seen(event: Any, **_: Any) -> None:
        body = event["object"]
        metadata = body["metadata"]
        if event["type"] == "DELETED":
            key = f"{metadata['namespace']}/{metadata['name']}"
            entry = store.get(key)
            if entry is not None and entry.uid == metadata["uid"]:
                store.remove(key)
                queue.forget(key)
            return
        key_or_none = store.put(body)
        if key_or_none is not None:
            queue.add(key_or_none)

    kopf.on.startup(registry=handlers)(configure)
    kopf.on.login(registry=handlers)(login)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)(seen)
    return handlers


async def watch(handlers: kopf.OperatorRegistry, *, stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Runs kopf until `stop`. It ends with an error when the API server refuses us for good; the process must then
    end too and be started anew."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    await kopf.operator(registry=handlers, clusterwide=True, standalone=True, stop_flag=stop, ready_flag=ready)


class _NoDiffBase(kopf.DiffBaseStorage):
    """kopf keeps no copy of what it saw: there are no change handlers to compare for."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {}

    def fetch(self, *, body: Any) -> Any:
        return {}

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        pass


class _NoProgress(kopf.ProgressStorage):
    """kopf keeps no progress on objects: there are no handlers that it would retry."""

    def fetch(self, *, key: Any, body: Any) -> Any:
        return None

    def store(self, *, key: Any, record: Any, body: Any, patch: Any) -> None:
        pass

    def purge(self, *, key: Any, body: Any, patch: Any) -> None:
        pass

    def touch(self, *, body: Any, patch: Any, value: Any) -> None:
        pass

    def clear(self, *, essence: Any) -> Any:
        return essence
