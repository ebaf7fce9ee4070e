"""Replicas that share one Lease under a virtual clock, with an API server that fails them in every way there is: never
do two lead, and as soon as one can, one does."""

from __future__ import annotations

import asyncio
import copy
import random
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_operator.controller.election import CALL_SECONDS, Candidate
from sft_operator.controller.leadership import Elected
from sft_operator.controller.lease import Lease, LeaseError, written
from tests.unit.world import VirtualLoop

DURATION = 14.0
BOUND = 17.0
WATCH_EVERY = 0.05
LINKS = ["ok", "slow", "refused", "hung", "lost", "denied"]


@dataclass
class Server:
    """One Lease with versions, as the API server keeps it."""

    stored: dict[str, Any] | None = None
    version: int = 0

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        known = body["metadata"].get("resourceVersion")
        if (self.stored is None) != (known is None):
            raise LeaseError(409 if self.stored else 404, "conflict")
        if self.stored is not None and known != self.stored["metadata"]["resourceVersion"]:
            raise LeaseError(409, "conflict")
        self.version += 1
        self.stored = {**body, "metadata": {"name": "x", "resourceVersion": str(self.version)}}
        return copy.deepcopy(self.stored)


@dataclass
class Link:
    """A replica's way to the server; stands in for controller.lease.Lease."""

    server: Server
    clock_error: timedelta = timedelta()
    state: str = "ok"
    rng: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311
    namespace: str = "sft-system"
    name: str = "sft-operator"

    async def read(self) -> Any:
        return await self._go(lambda: copy.deepcopy(self.server.stored))

    async def write(self, known: Any, holder: str, seconds: float) -> Any:
        now = datetime.fromtimestamp(asyncio.get_running_loop().time(), UTC) + self.clock_error
        return await self._go(lambda: self.server.put(written(known, holder, seconds, now)))

    async def close(self) -> None:
        pass

    async def _go(self, work: Callable[[], Any]) -> Any:
        state = self.state
        if state == "refused":
            raise LeaseError(0, "connection refused")
        if state == "denied":
            raise LeaseError(403, "forbidden")
        if state == "slow":
            await asyncio.sleep(self.rng.uniform(0, CALL_SECONDS / 2))
        if state != "hung":
            answer = work()
        if state == "slow":
            await asyncio.sleep(self.rng.uniform(0, CALL_SECONDS / 2))
        if state in ("hung", "lost"):
            await asyncio.sleep(CALL_SECONDS)
            raise LeaseError(0, "timeout")
        return answer


class Replica:
    def __init__(self, group: Group, name: str, clock_error: timedelta) -> None:
        self.name, self.link = name, Link(group.server, clock_error)
        self.ended = ""
        self.check: Callable[[], None] = lambda: None
        self.elected = Elected(
            cast(Lease, self.link), Candidate(name, DURATION), clock=group.loop.time, end=self.die, watch=self._watch
        )
        self.task = group.loop.create_task(self.elected.run())

    def _watch(self, check: Callable[[], None], over: threading.Event) -> None:
        self.check = lambda: None if over.is_set() else check()

    def die(self, why: str) -> None:
        self.ended = why
        self.task.cancel()

    @property
    def acts(self) -> bool:
        return not self.ended and self.elected.may_send(0.0)


class Group:
    """The replicas, and a witness that looks twenty times a second."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop, self.server = loop, Server()
        self.replicas: list[Replica] = []
        self.wrong: list[str] = []
        self.without = 0.0
        """Seconds since somebody led."""
        self.terms: list[str] = []

    def start(self, name: str = "", clock_error: timedelta = timedelta()) -> Replica:
        replica = Replica(self, name or f"r{len(self.replicas)}", clock_error)
        self.replicas.append(replica)
        return replica

    @property
    def acting(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.acts]

    async def watch(self, seconds: float) -> None:
        until = self.loop.time() + seconds
        while self.loop.time() < until:
            await asyncio.sleep(WATCH_EVERY)
            for replica in self.replicas:
                if not replica.ended:
                    replica.check()
            names = [replica.name for replica in self.acting]
            if len(names) > 1:
                self.wrong.append(f"{self.loop.time():.2f}: {names}")
            self.without = 0.0 if names else self.without + WATCH_EVERY
            if names and (not self.terms or self.terms[-1] != names[0]):
                self.terms.append(names[0])

    async def until_led(self, seconds: float = BOUND) -> Replica:
        await self.watch(WATCH_EVERY)
        began = self.loop.time()
        while not self.acting:
            assert self.loop.time() - began < seconds, "nobody leads"
            await self.watch(WATCH_EVERY)
        return self.acting[0]

    async def until_ended(self, replica: Replica, seconds: float = DURATION) -> str:
        began = self.loop.time()
        while not replica.ended:
            assert self.loop.time() - began < seconds, f"{replica.name} goes on"
            await self.watch(WATCH_EVERY)
        return replica.ended


def play(story: Callable[[Group], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    group = Group(loop)

    async def told() -> None:
        await story(group)
        for replica in group.replicas:
            replica.task.cancel()
        await asyncio.gather(*(replica.task for replica in group.replicas), return_exceptions=True)

    try:
        loop.run_until_complete(told())
    finally:
        loop.close()
    assert group.wrong == []


async def settled(_: float) -> bool:
    return True


def test_of_two_that_start_together_one_leads_for_as_long_as_it_renews() -> None:
    async def story(group: Group) -> None:
        group.start(), group.start()
        await group.until_led(1.0)
        await group.watch(3600)
        assert len(group.terms) == 1
        assert not any(replica.ended for replica in group.replicas)

    play(story)


def test_a_crash_is_taken_over_in_time() -> None:
    async def story(group: Group) -> None:
        first = group.start()
        await group.until_led(1.0)
        group.start()
        await group.watch(30)
        first.die("killed")
        await group.until_led(BOUND)

    play(story)


def test_a_leader_that_resigns_is_followed_within_two_seconds() -> None:
    async def story(group: Group) -> None:
        first, _ = group.start(), group.start()
        assert await group.until_led(1.0) is first
        await group.watch(10)
        resigning = group.loop.create_task(first.elected.resign(settled))
        await group.until_led(2.0)
        await resigning
        assert group.terms == ["r0", "r1"]

    play(story)


def test_a_leader_with_calls_in_flight_releases_nothing() -> None:
    async def still_busy(_: float) -> bool:
        return False

    async def story(group: Group) -> None:
        first, _ = group.start(), group.start()
        await group.until_led(1.0)
        await group.watch(10)
        await first.elected.resign(still_busy)
        assert not first.acts
        await group.watch(10)
        assert group.acting == []
        await group.until_led(BOUND - 10)

    play(story)


@pytest.mark.parametrize("state", ["refused", "hung", "denied"])
def test_a_leader_that_cannot_renew_ends_before_another_leads(state: str) -> None:
    async def story(group: Group) -> None:
        first, _ = group.start(), group.start()
        await group.until_led(1.0)
        await group.watch(10)
        first.link.state = state
        assert "could not be renewed" in await group.until_ended(first)
        await group.until_led(BOUND - 9)
        assert group.terms == ["r0", "r1"]

    play(story)


def test_an_api_server_that_is_away_for_four_seconds_costs_nobody_the_leadership() -> None:
    async def story(group: Group) -> None:
        group.start(), group.start()
        await group.until_led(1.0)
        await group.watch(10)
        for state in ("refused", "hung", "lost"):
            for replica in group.replicas:
                replica.link.state = state
            await group.watch(4)
            for replica in group.replicas:
                replica.link.state = "ok"
            await group.watch(20)
        assert group.terms == ["r0"]

    play(story)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_by_an_hour_changes_nothing(hours: int) -> None:
    async def story(group: Group) -> None:
        first = group.start(clock_error=timedelta(hours=hours))
        await group.until_led(1.0)
        second = group.start()
        await group.watch(60)
        assert group.acting == [first]
        first.die("killed")
        assert await group.until_led(BOUND) is second
        group.start(clock_error=timedelta(hours=-hours))
        await group.watch(60)
        assert group.acting == [second]

    play(story)


def test_a_lease_taken_by_hand_ends_the_leader_and_one_deleted_by_hand_does_not() -> None:
    async def story(group: Group) -> None:
        first, _ = group.start(), group.start()
        await group.until_led(1.0)
        await group.watch(10)
        group.server.stored = None
        await group.watch(30)
        assert group.acting == [first]
        stored = cast(dict[str, Any], group.server.stored)
        group.server.put({**stored, "spec": {**stored["spec"], "holderIdentity": "somebody"}})
        assert "somebody holds the Lease" in await group.until_ended(first, 3)

    play(story)


def test_what_the_api_server_refuses_is_told_until_it_allows_it() -> None:
    async def story(group: Group) -> None:
        replica = group.start()
        replica.link.state = "denied"
        await group.watch(3)
        assert "the Lease sft-system/sft-operator could not be read" in replica.elected.trouble
        assert "get, create and update on leases" in replica.elected.trouble
        replica.link.state = "ok"
        await group.until_led(2)
        assert replica.elected.trouble == ""

    play(story)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(
        st.tuples(st.sampled_from([*LINKS, "kill", "resign", "delete"]), st.integers(0, 2), st.integers(1, 90)),
        max_size=25,
    ),
)
def test_whatever_happens_never_two_lead_and_afterwards_one_does(seed: int, events: list[tuple[str, int, int]]) -> None:
    async def story(group: Group) -> None:
        rng = random.Random(seed)  # noqa: S311
        slots = [group.start(clock_error=timedelta(hours=rng.randint(-2, 2))) for _ in range(3)]
        for what, which, halves in events:
            replica = slots[which]
            if what == "kill":
                replica.die("killed")
            elif what == "resign" and not replica.ended:
                await replica.elected.resign(settled)
                replica.die("resigned")
            elif what == "delete":
                group.server.stored = None
            elif what in LINKS:
                replica.link.state = what
            for place, ended in enumerate(slots):
                if ended.ended:
                    slots[place] = group.start(clock_error=timedelta(hours=rng.randint(-2, 2)))
                    slots[place].link.state = ended.link.state
            await group.watch(halves / 2)
        for replica in group.replicas:
            replica.link.state = "ok"
        await group.until_led(2 * BOUND)

    play(story)
