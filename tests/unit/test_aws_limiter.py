"""The token bucket, on a clock that only moves when told."""

from __future__ import annotations

import asyncio

import pytest

from sft_operator.aws.limiter import TokenBucket


class Clock:
    """Sleeping moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, 3, clock=clock, sleep=clock.sleep)
    times = []
    for _ in range(7):
        await bucket.take()
        times.append(clock.now)
    assert times == [0, 0, 0, 0.5, 1.0, 1.5, 2.0]


async def test_rest_fills_the_bucket_up_to_its_burst_only() -> None:
    clock = Clock()
    bucket = TokenBucket(1.0, 2, clock=clock, sleep=clock.sleep)
    clock.now = 1000.0
    for _ in range(3):
        await bucket.take()
    assert clock.now == 1001.0


async def test_a_caller_that_gives_up_gives_its_place_back() -> None:
    clock = Clock()
    waits: list[float] = []

    async def forever(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.Event().wait()

    bucket = TokenBucket(1.0, 1, clock=clock, sleep=forever)
    await bucket.take()
    for _ in range(2):
        waiting = asyncio.ensure_future(bucket.take())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert waits == [1.0, 1.0]


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_bucket_that_would_let_nobody_through_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        TokenBucket(rate, burst)
