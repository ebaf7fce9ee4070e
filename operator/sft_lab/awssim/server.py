"""Running the simulated AWS: in a thread of this process, or as this process until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from sft_lab.awssim.front import Front
from sft_lab.awssim.simulation import DEFAULT_ACCOUNT, Simulation

HOST = "127.0.0.1"  # never reachable from elsewhere: nothing here checks a signature


@dataclass(frozen=True)
class Running:
    """A simulation that answers at `endpoint` (`http://127.0.0.1:PORT`)."""

    endpoint: str
    simulation: Simulation


@contextlib.asynccontextmanager
async def listening(port: int, pace: str, account: str) -> AsyncIterator[Running]:
    """The server for as long as the block lasts. Port 0 takes a free one. Raises OSError for a port in use."""
    simulation = Simulation(pace, account)
    front = Front(simulation)
    runner = web.ServerRunner(web.Server(front, access_log=None), shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        simulation.start()
        taken = runner.addresses[0][1]
        yield Running(f"http://{HOST}:{taken}", simulation)
    finally:
        await runner.cleanup()
        front.close()
        simulation.close()


async def run(port: int, pace: str, account: str, ready: Callable[[Running], None], ended: asyncio.Event) -> None:
    async with listening(port, pace, account) as running:
        ready(running)
        await ended.wait()


@contextlib.contextmanager
def serve(port: int = 0, pace: str = "demo", account: str = DEFAULT_ACCOUNT) -> Iterator[Running]:
    """The simulated AWS in a thread of this process, for tests.

    moto's state is the process's: two servers in one process share buckets and queues, and both are emptied when one
    ends.
    """
    started: threading.Event = threading.Event()
    found: list[Running] = []
    failed: list[BaseException] = []
    ending: list[Callable[[], object]] = []

    def body() -> None:
        async def main() -> None:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()

            def ready(running: Running) -> None:
                found.append(running)
                ending.append(functools.partial(loop.call_soon_threadsafe, ended.set))
                started.set()

            await run(port, pace, account, ready, ended)

        try:
            asyncio.run(main())
        except BaseException as error:
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=body, name="awssim", daemon=True)
    thread.start()
    started.wait()
    if failed:
        raise failed[0]
    try:
        yield found[0]
    finally:
        ending[0]()
        thread.join()
        found[0].simulation.moto.reset()
