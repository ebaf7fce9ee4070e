"""The work queue: who gets a key, when, and what a failure costs."""

from __future__ import annotations

import asyncio

import pytest

from sft_operator.controller.queue import BACKOFF_LIMIT, KeyedQueue, backoff
from tests.unit.world import VirtualLoop


class Bench:
    """A queue under a virtual clock."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.queue = KeyedQueue()

    def pass_time(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def take(self) -> str:
        return self.loop.run_until_complete(asyncio.wait_for(self.queue.take(), 1e6))

    def later(self, key: str, seconds: float) -> None:
        async def ask() -> None:
            self.queue.add_after(key, seconds)

        self.loop.run_until_complete(ask())

    def fail(self, key: str) -> float:
        async def ask() -> float:
            return self.queue.failed(key)

        return self.loop.run_until_complete(ask())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_key_that_is_asked_for_twice_is_taken_once(bench: Bench) -> None:
    bench.queue.add("a")
    bench.queue.add("a")
    assert bench.take() == "a"
    assert len(bench.queue) == 0


def test_a_key_in_hand_is_given_to_nobody_else_and_a_change_meanwhile_means_one_more_pass(bench: Bench) -> None:
    bench.queue.add("a")
    bench.take()
    bench.queue.add("a")
    bench.queue.add("a")
    assert len(bench.queue) == 0
    bench.queue.done("a")
    assert bench.take() == "a"
    bench.queue.done("a")
    assert len(bench.queue) == 0


def test_keys_come_in_the_order_in_which_they_were_asked_for(bench: Bench) -> None:
    for key in "cab":
        bench.queue.add(key)
    assert [bench.take() for _ in range(3)] == ["c", "a", "b"]


def test_a_later_pass_comes_at_its_time(bench: Bench) -> None:
    bench.later("a", 30.0)
    bench.pass_time(29.0)
    assert len(bench.queue) == 0
    assert bench.take() == "a"
    assert bench.loop.time() == pytest.approx(30.0)


@pytest.mark.parametrize("order", [(5.0, 60.0), (60.0, 5.0)])
def test_of_two_later_passes_the_earlier_wins(bench: Bench, order: tuple[float, float]) -> None:
    for seconds in order:
        bench.later("a", seconds)
    bench.take()
    assert bench.loop.time() == pytest.approx(5.0)
    bench.queue.done("a")
    bench.pass_time(100.0)
    assert len(bench.queue) == 0


def test_a_pass_now_makes_the_later_one_needless(bench: Bench) -> None:
    bench.later("a", 5.0)
    bench.queue.add("a")
    bench.take()
    bench.queue.done("a")
    bench.pass_time(10.0)
    assert len(bench.queue) == 0


def test_a_later_pass_that_falls_due_while_the_key_is_in_hand_comes_after(bench: Bench) -> None:
    bench.queue.add("a")
    bench.take()
    bench.later("a", 1.0)
    bench.pass_time(2.0)
    assert len(bench.queue) == 0
    bench.queue.done("a")
    assert bench.take() == "a"


def test_failures_wait_longer_each_time_and_success_forgets_them(bench: Bench) -> None:
    pauses = []
    for _ in range(6):
        bench.queue.add("a")
        bench.take()
        pauses.append(bench.fail("a"))
        bench.queue.done("a")
    assert pauses == sorted(pauses)
    assert pauses[0] <= 0.5
    assert pauses[5] >= 12.0
    bench.queue.succeeded("a")
    assert bench.fail("a") <= 0.5


def test_a_key_that_is_forgotten_does_not_come_back(bench: Bench) -> None:
    bench.later("a", 5.0)
    bench.queue.forget("a")
    bench.pass_time(10.0)
    assert len(bench.queue) == 0


def test_the_pause_is_bounded_however_often_it_fails() -> None:
    for failures in (1, 10, 100, 1025, 10**6):
        assert 0 < backoff(failures) <= BACKOFF_LIMIT
