"""A keyed work queue with client-go's semantics: a key is in hand at most once, a change during work means one more
pass, and errors back off per key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

BACKOFF_BASE = 0.5
BACKOFF_LIMIT = 300.0


class KeyedQueue:
    """For one event loop."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._in_hand: set[str] = set()
        self._dirty: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}

    def __len__(self) -> int:
        return self._ready.qsize()

    def add(self, key: str) -> None:
        """Asks for a pass as soon as a worker is free."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._in_hand:
            self._dirty.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_all(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.add(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Asks for a pass later; an earlier request that stands already wins."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, seconds)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def take(self) -> str:
        """The next key; the taker must call `done` for it."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._in_hand.add(key)
        return key

    def done(self, key: str) -> None:
        self._in_hand.discard(key)
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)

    def failed(self, key: str, at_least: float = 0.0) -> float:
        """Asks for another pass after the key's back-off. Returns the seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(at_least, backoff(failures))
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()


def backoff(failures: int, *, base: float = BACKOFF_BASE, limit: float = BACKOFF_LIMIT) -> float:
    """Seconds before try `failures` + 1: doubling, with a quarter of jitter, so that many do not come back at once."""
    delay: float = min(limit, base * 2.0 ** min(failures - 1, 64))  # a float overflows after two days of failing
    return delay * random.uniform(0.75, 1.0)  # noqa: S311
