"""A process whose watch or engine ended by itself says so to its kubelet, and ends with a code that gets it started anew."""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from sft_operator.controller import app
from sft_operator.controller.settings import Settings


class Kube:
    """An API server that serves SFTJobs and holds none."""

    scopes: tuple[None, ...] = (None,)
    configuration = None

    async def served(self) -> bool:
        return True

    async def close(self) -> None:
        pass


class Part:
    """A watch or an engine: lives until the process ends, or breaks at once."""

    open = True

    def __init__(self, *, broken: bool) -> None:
        self._broken = broken

    async def run(self, stop: asyncio.Event | None = None) -> None:
        if self._broken:
            raise RuntimeError("the watch ended: 403 for tenant-a/secret-job")
        await (stop or asyncio.Event()).wait()


async def _process(monkeypatch: pytest.MonkeyPatch, broken: str) -> tuple[int, dict[str, tuple[int, str]]]:
    """Exit code, and what the probes answered while the process was ending."""
    answers: dict[str, tuple[int, str]] = {}
    ports: list[int] = []
    serve = app.serve

    async def served(*given: Any, **options: Any) -> Any:
        runner, port = await serve(*given, **options)
        ports.append(port)
        return runner, port

    class Leading:
        leads, trouble = True, ""

        def may_send(self, seconds: float) -> bool:
            return True

        async def won(self) -> None:
            pass

        async def run(self) -> None:
            await asyncio.Event().wait()

        async def resign(self, settled: Any) -> None:
            async with aiohttp.ClientSession() as session:
                for path in ("/healthz", "/readyz"):
                    async with session.get(f"http://127.0.0.1:{ports[0]}{path}") as answer:
                        answers[path] = (answer.status, await answer.text())

    async def connect(**_: Any) -> Kube:
        return Kube()

    monkeypatch.setattr(app, "serve", served)
    monkeypatch.setattr(app, "Kube", SimpleNamespace(connect=connect))
    monkeypatch.setattr(app, "leadership", lambda *_: Leading())
    monkeypatch.setattr(app, "Watching", lambda *_: Part(broken=broken == "watch"))
    monkeypatch.setattr(app, "Engine", lambda **_: Part(broken=broken == "engine"))
    monkeypatch.setattr(app, "read_any_depth", lambda: None)  # it is for the rest of a process's life
    settings = Settings(identity_scope="test", http_host="127.0.0.1", http_port=0)
    async with asyncio.timeout(20):
        return await app.run(settings), answers


@pytest.mark.parametrize("part", ["watch", "engine"])
async def test_a_part_that_ended_by_itself_fails_the_probes_and_the_process(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    code, answers = await _process(monkeypatch, part)
    assert code == 1
    assert answers["/healthz"] == (500, f"{part} ended\n"), "no word of a tenant"
    assert answers["/readyz"] == (503, f"{part} ended\n")


async def test_a_process_that_is_asked_to_end_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.get_running_loop().call_later(0.5, os.kill, os.getpid(), signal.SIGTERM)
    code, answers = await _process(monkeypatch, "nothing")
    assert code == 0
    assert answers["/healthz"] == (200, "ok\n")
