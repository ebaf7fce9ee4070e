"""Leading and standing by: the loop that wins and keeps the Lease, and the thread that ends a leader that cannot.

The rules are in election.py. A replica that led and may no longer lead ends its process and never pauses: only so is
nothing of it left in hand when another begins.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from kubernetes.aio import client

from .election import MARGIN, RENEW_EVERY, RETRY_AFTER, Candidate
from .lease import Body, Lease, LeaseError, own_namespace, record
from .settings import Settings

log = logging.getLogger("sft_operator.leadership")

EXIT_LOST = 3
"""Exit code of a process that has lost the Lease."""
SETTLE_SECONDS = 10.0
"""For calls in flight to end before the Lease is released; longer than one try of a call that acts may take."""
_TICK = 0.2
_LAST_WORDS = 0.5
_RELEASE_TRIES = 3

Settled = Callable[[float], Awaitable[bool]]
"""Takes no more acting calls; tells whether those in flight have ended within so many seconds."""


def since_boot() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Leadership(Protocol):
    """What the process asks before it acts."""

    trouble: str
    """Why this replica could not lead if it had to; empty when it could."""

    @property
    def leads(self) -> bool: ...

    def may_send(self, seconds: float) -> bool:
        """Whether a request that AWS may be busy with for so long may be sent now; for any thread."""
        ...

    async def run(self) -> None:
        """Takes part until it is cancelled."""
        ...

    async def won(self) -> None:
        """Returns once this replica leads."""
        ...

    async def resign(self, settled: Settled) -> None:
        """The engine has ended: lets another lead as soon as nothing of it is in flight."""
        ...


class Fixed:
    """No election: the only process there is, or one that never acts."""

    trouble = ""

    def __init__(self, *, leads: bool) -> None:
        self.leads = leads

    def may_send(self, seconds: float) -> bool:
        return self.leads

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def won(self) -> None:
        if not self.leads:
            await asyncio.Event().wait()

    async def resign(self, settled: Settled) -> None:
        pass


def patrol(check: Callable[[], None], over: threading.Event) -> None:
    """Checks now and then until it is over, in a thread: a loop that is blocked renews nothing and would outlive its
    Lease."""

    def turn() -> None:
        while not over.wait(_TICK):
            check()

    threading.Thread(target=turn, name="lease", daemon=True).start()


class Elected:
    """One of several replicas. `end` must end the process at once, from whatever thread."""

    def __init__(
        self,
        lease: Lease,
        candidate: Candidate,
        *,
        clock: Callable[[], float] = since_boot,
        end: Callable[[str], None] | None = None,
        watch: Callable[[Callable[[], None], threading.Event], None] = patrol,
    ) -> None:
        self.trouble = ""
        self._lease, self._candidate, self._clock = lease, candidate, clock
        self._end, self._watch = end or _end, watch
        self._body: Body | None = None
        self._stale = False  # the Lease has changed since it was read: the next look tells how
        self._told = ""
        self._won, self._over = asyncio.Event(), threading.Event()
        self._renewing: asyncio.Task[None] | None = None

    @property
    def leads(self) -> bool:
        return self._candidate.left(self._clock()) > 0

    def may_send(self, seconds: float) -> bool:
        return self._candidate.left(self._clock()) > seconds

    async def won(self) -> None:
        await self._won.wait()

    async def run(self) -> None:
        self._renewing = asyncio.current_task()
        await self._stand_by()
        self._watch(self._check, self._over)
        log.info("leading as %s (Lease %s/%s)", self._candidate.identity, self._lease.namespace, self._lease.name)
        self._won.set()
        pause = RENEW_EVERY
        while True:
            await asyncio.sleep(pause)
            pause = RENEW_EVERY if await self._renewed() else RETRY_AFTER

    async def resign(self, settled: Settled) -> None:
        self._candidate.resigns()
        if not self._won.is_set() or await settled(SETTLE_SECONDS):
            await self._stop_renewing()
            await self._release()
            self._over.set()
        else:
            log.warning("calls are still in flight: the Lease is left to run out")
            await self._stop_renewing()
        await self._lease.close()

    async def _stop_renewing(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    async def _release(self) -> None:
        """Also of a replica that stood by: a write of its name may have been cut off on the way."""
        for _ in range(_RELEASE_TRIES):
            try:
                body = await self._lease.read()
                if body is None or record(body).holder != self._candidate.identity:
                    return
                await self._lease.write(body, "", 1)
            except LeaseError as error:
                if error.status == 409:
                    continue
                log.warning("the Lease was not released and runs out by itself: %s", error)
                return
            log.info("the Lease is released")
            return

    async def _stand_by(self) -> None:
        """Returns when the Lease is ours."""
        told: str | None = None
        while True:
            if await self._looked():
                if not self._candidate.may_take(self._clock()):
                    self.trouble = self._told = ""
                elif await self._written():
                    return
                if told != self._candidate.leader:
                    told = self._candidate.leader
                    log.info("standing by: %s leads", told or "nobody")
            await asyncio.sleep(self._candidate.look_after(self._clock()) or RETRY_AFTER)

    async def _renewed(self) -> bool:
        """One try to renew. Ends the process when somebody else holds the Lease."""
        if await self._written():
            return True
        if not self._stale or not await self._looked():
            return False
        if not self._candidate.may_take(self._clock()):
            self._end(f"{self._candidate.leader} holds the Lease {self._lease.namespace}/{self._lease.name}")
            return False
        return await self._written()

    async def _looked(self) -> bool:
        try:
            self._body = await self._lease.read()
        except LeaseError as error:
            self._failed("read", error)
            return False
        self._candidate.saw(record(self._body) if self._body else None, self._clock())
        return True

    async def _written(self) -> bool:
        """One try to write our name, on the Lease as it was last seen."""
        began = self._clock()
        try:
            self._body = await self._lease.write(self._body, self._candidate.identity, self._candidate.duration)
        except LeaseError as error:
            self._failed("written", error)
            return False
        self.trouble = self._told = ""
        self._candidate.saw(record(self._body), self._clock())
        self._candidate.holds(began)
        return True

    def _failed(self, what: str, error: LeaseError) -> None:
        self._stale = error.status in (404, 409)
        if self._stale:
            return
        text = f"the Lease {self._lease.namespace}/{self._lease.name} could not be {what}: {error}"
        if error.status in (401, 403):
            text += "; the operator needs get, create and update on leases there (the chart's Role)"
        self.trouble = text if error.status else ""
        if text != self._told:
            log.warning("%s", text)
        self._told = text

    def _check(self) -> None:
        if self._candidate.overdue(self._clock()):
            self._end(f"the Lease could not be renewed; another may lead in {MARGIN:.0f} s")


def _end(why: str) -> None:
    """At once, whatever is in hand. The last words have a thread of their own: who is blocked may hold the log."""
    teller = threading.Thread(target=log.critical, args=("leadership is lost, the process ends: %s", why), daemon=True)
    teller.start()
    teller.join(_LAST_WORDS)
    os._exit(EXIT_LOST)


def leadership(settings: Settings, configuration: client.Configuration) -> Leadership:
    """By the settings; needs a running event loop."""
    if settings.leadership != "Lease":
        if settings.leadership == "Never":
            log.warning("leadership is Never: this process watches and does nothing")
        return Fixed(leads=settings.leadership == "Alone")
    lease = Lease(configuration, namespace=settings.lease_namespace or own_namespace(), name=settings.lease_name)
    identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"  # a container that is started anew is another one
    return Elected(lease, Candidate(identity, settings.lease_duration))
