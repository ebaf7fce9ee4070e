"""Every AWS call of the operator's process: boto3 in bounded threads, kept to its rate, counted, errors translated."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..api.place import Place
from .answers import answered
from .errors import AWSError
from .limiter import TokenBucket
from .sessions import Clients, Purpose

T = TypeVar("T")

Observer = Callable[[str, str, str, float], None]
"""Told of each call: service, operation, error code ("" for success), seconds."""

# Which calls share one bucket of an (account, region). What is not named here is not limited by us.
_CLASSES: Mapping[tuple[str, str], str] = {
    ("sagemaker", "CreateTrainingJob"): "create",
    ("sagemaker", "StopTrainingJob"): "stop",
    ("sagemaker", "AddTags"): "stop",
    ("sagemaker", "ListTrainingJobs"): "list",
    ("sagemaker", "DescribeTrainingJob"): "describe",
    ("sagemaker", "ListTags"): "stop",
    ("logs", "DescribeLogStreams"): "logs",
    ("logs", "GetLogEvents"): "logs",
}
_POLLING = frozenset({"list", "describe", "logs"})


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second in the long run, and how many may go at once."""

    per_second: float
    burst: float = 1.0


def _default_rates() -> Mapping[str, Rate]:
    # AWS publishes no table. List: 2/s for the whole account are reported, not adjustable; create: 5 at once are.
    return {
        "create": Rate(1.0, 20.0),
        "stop": Rate(1.0, 20.0),
        "list": Rate(0.5, 4.0),
        "describe": Rate(2.0, 10.0),
        "logs": Rate(5.0, 10.0),
    }


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """`threads` acting, `poll_threads` polling and as many reading logs and results: an AWS that does not answer holds a
    thread for a minute, and a stop must not wait for a poll's thread."""

    threads: int = 8
    poll_threads: int = 4
    rates: Mapping[str, Rate] = field(default_factory=_default_rates)


class AWSCaller:
    """Lives in one event loop. Cancelling a call does not take it back: its thread goes on to the end."""

    def __init__(
        self,
        clients: Clients | None = None,
        settings: CallerSettings | None = None,
        *,
        observe: Observer | None = None,
    ) -> None:
        self.clients = clients or Clients()
        self._settings = settings or CallerSettings()
        self.observe = observe or (lambda *_: None)
        self._pools = {
            Purpose.ACT: ThreadPoolExecutor(self._settings.threads, thread_name_prefix="aws"),
            Purpose.POLL: ThreadPoolExecutor(self._settings.poll_threads, thread_name_prefix="aws-poll"),
        }
        # logs and results: a service of them that does not answer must not hold up the looks at runs
        self._reading = ThreadPoolExecutor(self._settings.poll_threads, thread_name_prefix="aws-read")
        self._buckets: dict[tuple[str, str, str], TokenBucket] = {}

    async def call(self, service: str, operation: str, place: Place, *, kind: str | None = None, **params: Any) -> Any:
        """One operation, its parameters in AWS's own names; the parsed answer. Raises AWSError.

        `kind` takes another bucket than the operation's own: a look that a launch waits for is no polling.
        """
        kind = _CLASSES.get((service, operation), "") if kind is None else kind
        purpose = Purpose.POLL if kind in _POLLING else Purpose.ACT
        await self._go(place, kind)
        method = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation).lower()

        def work() -> Any:
            return self._counted(
                service,
                operation,
                lambda: getattr(self.clients.get(service, place.region, purpose, place.access), method)(**params),
            )

        pool = self._reading if kind == "logs" else self._pools[purpose]
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def run(self, service: str, place: Place, what: str, work: Callable[[Any], T]) -> T:
        """`work(client)` in a reading thread: several calls on one client, such as reading an object bit by bit."""

        def body() -> T:
            return self._counted(service, what, lambda: work(self._reader(service, place)))

        return await asyncio.get_running_loop().run_in_executor(self._reading, body)

    async def settled(self, seconds: float) -> bool:
        """Takes no more acting calls; tells whether those in flight have ended within so many seconds."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def wait() -> None:
            self._pools[Purpose.ACT].shutdown(wait=True, cancel_futures=True)
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=wait, name="aws-settle", daemon=True).start()
        try:
            await asyncio.wait_for(ended.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Takes no more calls; those in flight end by themselves."""
        for pool in (*self._pools.values(), self._reading):
            pool.shutdown(wait=False, cancel_futures=True)

    def _reader(self, service: str, place: Place) -> Any:
        return self.clients.get(service, place.region, Purpose.POLL, place.access)

    async def _go(self, place: Place, kind: str) -> None:
        rate = self._settings.rates.get(kind)
        if rate is None:
            return
        key = (place.account, place.region, kind)
        if key not in self._buckets:
            self._buckets[key] = TokenBucket(rate.per_second, rate.burst)
        await self._buckets[key].take()

    def _counted(self, service: str, operation: str, call: Callable[[], T]) -> T:
        began, code = time.perf_counter(), ""
        try:
            return answered(service, operation, call)
        except AWSError as error:
            code = error.code
            raise
        finally:
            self.observe(service, operation, code, time.perf_counter() - began)
