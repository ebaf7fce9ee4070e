"""/healthz, /readyz and /metrics. Nothing here carries a tenant's data beyond namespace names."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from .kube import KubeError
from .metrics import Metrics

READY_CACHE_SECONDS = 2.0


class Health:
    """What the probes answer. `served` asks the API server whether SFTJobs exist there."""

    def __init__(self, served: Callable[[], Awaitable[bool]]) -> None:
        self._served = served
        self.watching = False
        self.failed: str | None = None
        self._answer: tuple[float, str] = (-READY_CACHE_SECONDS, "")

    async def not_ready(self) -> str:
        """Why the operator does no work for users at this moment; empty when it does."""
        if not self.watching:
            return "starting: the watch is not open yet"
        asked, answer = self._answer
        if time.monotonic() - asked < READY_CACHE_SECONDS:
            return answer
        try:
            answer = "" if await self._served() else (
                "waiting for the CustomResourceDefinition sftjobs.sft-operator.dev: apply crds/ or the chart"
            )  # fmt: skip
        except KubeError as error:
            answer = f"the API server cannot be asked: {error}"
        self._answer = (time.monotonic(), answer)
        return answer


async def serve(health: Health, metrics: Metrics, *, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Starts the server; returns its runner, for the clean-up, and the port it got."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(status=500 if health.failed else 200, text=(health.failed or "ok") + "\n")

    async def readyz(_: web.Request) -> web.Response:
        missing = await health.not_ready()
        return web.Response(status=503 if missing else 200, text=(missing or "ok") + "\n")

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", page)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    addresses = runner.addresses
    return runner, int(addresses[0][1]) if addresses else port
