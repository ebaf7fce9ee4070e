"""kopf's part: it lists, watches and reconnects, and hands every event to the store. It keeps no state of ours."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Any, TypeAlias

import kopf

# Not exported by kopf, but a documented parameter of kopf.operator; the version is pinned.
from kopf._cogs.structs.references import Insights
from kopf._core.engines.peering import Identity

from ..api.crd import GROUP, PLURAL, PROFILE_KIND, PROFILE_PLURAL, VERSION
from .kube import KubeError
from .profiles import Profiles
from .queue import KeyedQueue
from .store import Store

log = logging.getLogger("sft_operator.watching")

Feed: TypeAlias = Callable[[str | None, Mapping[str, Any]], None]

BLIND_LOOKS = 3
ADMITTED_SECONDS = 15.0
"""Between two looks at which of our namespaces may be watched; well below the minute after which kopf gives up."""
CLOSING_SECONDS = 3.0
NOT_FOUND = 404
"""kopf gives up its watch with it when a CRD goes between two of its looks at what is served."""
LOGIN_PAUSE = 1.0
"""Seconds between repeated logins: without it kopf logs in hundreds of times a second while the answer is 401."""


class Watching:
    """kopf in a thread of its own, with a loop of its own: it can be started anew, and a busy loop on either side does
    not hold up the other. `feed` is called in the loop of `run` with (event type, resource)."""

    def __init__(
        self,
        feed: Feed,
        served: Callable[[], Awaitable[bool]],
        admitted: Callable[[], Awaitable[Sequence[str]]] | None = None,
    ) -> None:
        """`admitted` names the namespaces that may be watched; None watches the whole cluster."""
        self._feed, self._served, self._admitted = feed, served, admitted
        self._namespaces: Sequence[str] = ()
        self._told = ""
        self._insights = Insights()
        self._logins = 0

    @property
    def open(self) -> bool:
        """Whether SFTJobs and SFTProfiles are being watched at this moment."""
        return {PLURAL, PROFILE_PLURAL} <= {resource.plural for resource in self._insights.watched_resources.copy()}

    async def run(self, stop: asyncio.Event) -> None:
        """Watches until `stop`. Raises RuntimeError when kopf gives up: the API server refuses us for good, and the
        process must end and be started anew."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            self._insights = Insights()
            if self._admitted is not None and not await self._admit(self._admitted):
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOGIN_PAUSE)
                continue
            end = threading.Event()
            ended: asyncio.Future[None] = loop.create_future()
            thread = threading.Thread(target=self._thread, args=(loop, end, ended), name="kopf", daemon=True)
            thread.start()
            stopping = asyncio.create_task(stop.wait())
            blind = asyncio.create_task(self._blind())
            moved = asyncio.create_task(self._moved())
            first: set[asyncio.Future[Any]] = {ended, stopping, blind, moved}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            why = "SFTJobs are served but were not being watched" if blind.done() else "other namespaces may be watched"
            for task in (stopping, blind, moved):
                task.cancel()
            if ended.done() and not stop.is_set():
                error = ended.exception()
                if getattr(error, "status", None) != NOT_FOUND:
                    raise RuntimeError(f"the watch ended: {error or 'without an error'}")
                why = "the CRD was deleted while it was watched"
                await asyncio.sleep(LOGIN_PAUSE)
            end.set()
            with suppress(asyncio.TimeoutError, Exception):
                await asyncio.wait_for(ended, CLOSING_SECONDS)
            if not stop.is_set():
                log.warning("%s: the watch is opened anew", why)

    async def _admit(self, admitted: Callable[[], Awaitable[Sequence[str]]]) -> Sequence[str]:
        """Takes the namespaces that may be watched at this moment; returns them, none when nobody can say."""
        try:
            self._namespaces = await admitted()
        except KubeError as error:
            self._namespaces, told = (), f"not known: {error}"
        else:
            told = ", ".join(self._namespaces) or "none: they do not exist, or hold no Role for this operator"
        if told != self._told:
            self._told = told
            log.log(logging.INFO if self._namespaces else logging.WARNING, "namespaces that are watched: %s", told)
        return self._namespaces

    async def _moved(self) -> None:
        """Returns when other namespaces may be watched than are: one that was deleted would end kopf after a minute, and
        with it the service of all others."""
        while True:
            await asyncio.sleep(ADMITTED_SECONDS)
            if self._admitted is None:
                continue
            with suppress(KubeError):
                if tuple(await self._admitted()) != tuple(self._namespaces):
                    return

    async def _blind(self) -> None:
        """Returns when SFTJobs have been served for a while and kopf does not watch them: it asked for the kinds of the
        group in the instant between a CRD's creation and its discovery, and nothing makes it ask again."""
        missed = 0
        open_before: bool | None = None
        while missed < BLIND_LOOKS:
            await asyncio.sleep(1.0)
            if self.open is not open_before:
                open_before = self.open
                log.info("SFTJobs are being watched" if open_before else "waiting for the API server to serve SFTJobs")
            try:
                missed = missed + 1 if not self.open and await self._served() else 0
            except KubeError:
                missed = 0

    def _thread(self, loop: asyncio.AbstractEventLoop, end: threading.Event, ended: asyncio.Future[None]) -> None:
        failure: BaseException | None = None

        async def watch() -> None:
            try:
                await kopf.operator(
                    registry=self._handlers(loop),
                    insights=self._insights,
                    clusterwide=not self._namespaces,
                    namespaces=self._namespaces,
                    standalone=True,
                    stop_flag=end,
                    # else kopf asks for the user's name, and a container's user is a number without one
                    identity=Identity("sft-operator"),
                )
            finally:
                end.set()  # kopf waits for it in a thread, without whose end this loop never closes

        try:
            asyncio.run(watch())
        except BaseException as error:
            failure = error

        def tell() -> None:
            if not ended.done():
                ended.set_exception(failure) if isinstance(failure, Exception) else ended.set_result(None)

        with suppress(RuntimeError):  # the main loop may be gone already
            loop.call_soon_threadsafe(tell)

    def _handlers(self, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        """The only handlers there are: login, settings, and one for events that hands over and never waits."""
        handlers = kopf.OperatorRegistry()

        async def login(**kwargs: Any) -> Any:
            if self._logins:
                await asyncio.sleep(LOGIN_PAUSE)
            self._logins += 1
            found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
            return found and _Connection(**{part.name: getattr(found, part.name) for part in fields(found)})

        async def seen(event: Any, **_: Any) -> None:
            loop.call_soon_threadsafe(self._feed, event["type"], event["object"])

        kopf.on.startup(registry=handlers)(_configure)
        kopf.on.login(registry=handlers)(login)
        for plural in (PLURAL, PROFILE_PLURAL):
            kopf.on.event(GROUP, VERSION, plural, registry=handlers)(seen)
        return handlers


def feeder(store: Store, profiles: Profiles, queue: KeyedQueue) -> Feed:
    """Takes events into the store and offers their keys."""

    def feed(kind: str | None, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        if body.get("kind") == PROFILE_KIND:
            profiles.remove(body) if kind == "DELETED" else profiles.put(body)
            return
        key = f"{metadata['namespace']}/{metadata['name']}"
        if kind != "DELETED":
            if store.put(body) is not None:
                queue.add(key)
            return
        entry = store.get(key)
        if entry is not None and entry.uid == metadata["uid"]:
            store.remove(key)
            queue.forget(key)

    return feed


def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.queueing.idle_timeout = 1.0
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.process.ultimate_exiting_timeout = None


class _Connection(kopf.ConnectionInfo):
    """Checks the API server's certificate as Python did before 3.13, chain, host and dates: the strict flag that came
    then refuses certificates without key identifiers, such as Amazon EKS's."""

    def as_ssl_context(self) -> ssl.SSLContext:
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


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
