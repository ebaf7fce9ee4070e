"""The time that the simulation lives by: the machine's, moved forward or run faster on request."""

from __future__ import annotations

import threading
import time


class Clock:
    """Seconds since the epoch. Never goes back; `advance` and `set_speed` may be called from any thread."""

    def __init__(self, start: float | None = None) -> None:
        self._lock = threading.Lock()
        self._base = time.time() if start is None else start
        self._since = time.monotonic()
        self._speed = 1.0

    def now(self) -> float:
        with self._lock:
            return self._now()

    def _now(self) -> float:
        return self._base + (time.monotonic() - self._since) * self._speed

    @property
    def speed(self) -> float:
        return self._speed

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"advance: {seconds} is negative, and the clock never goes back")
        with self._lock:
            self._base += seconds

    def set_speed(self, factor: float) -> None:
        """0 stops the clock, so that only `advance` moves it."""
        if factor < 0:
            raise ValueError(f"speed: {factor} is negative, and the clock never goes back")
        with self._lock:
            self._base, self._since, self._speed = self._now(), time.monotonic(), factor

    def reset(self) -> None:
        with self._lock:
            self._base, self._since, self._speed = time.time(), time.monotonic(), 1.0
