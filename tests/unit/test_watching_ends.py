"""A watch that fails inside kopf is told of, whatever kopf leaves behind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import kopf
import pytest

from sft_operator.controller.watching import Watching


class Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"{status}")
        self.status = status


def failing(monkeypatch: pytest.MonkeyPatch, *statuses: int) -> threading.Event:
    """kopf as it fails: one exception for each start, while a thread of its loop goes on waiting for its stop flag.
    Returns what is set when a start goes well."""
    left, well = list(statuses), threading.Event()

    async def operator(*, stop_flag: Any, **_: Any) -> None:
        asyncio.get_running_loop().run_in_executor(None, stop_flag.wait)
        if not left:
            well.set()
            await asyncio.get_running_loop().run_in_executor(None, stop_flag.wait)
            return
        raise Refused(left.pop(0))

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr("sft_operator.controller.watching.LOGIN_PAUSE", 0.0)
    return well


async def _served() -> bool:
    return False


async def test_a_watch_that_is_refused_for_good_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 403)
    watching = Watching(lambda kind, body: None, _served)
    with pytest.raises(RuntimeError, match="the watch ended: 403"):
        await asyncio.wait_for(watching.run(asyncio.Event()), 10)


async def test_a_crd_that_goes_under_the_watch_opens_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    well = failing(monkeypatch, 404, 404)
    stop = asyncio.Event()
    running = asyncio.create_task(Watching(lambda kind, body: None, _served).run(stop))
    assert await asyncio.to_thread(well.wait, 10), "it was not opened a third time"
    stop.set()
    await asyncio.wait_for(running, 10)
