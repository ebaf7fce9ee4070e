"""/healthz, /readyz and /metrics. Nothing here carries a tenant's data beyond namespace names."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from .metrics import Metrics


class Health:
    """What the probes answer. `watching` says whether SFTJobs are being watched at this moment, `unable` why this replica
    could not lead; whether it leads is no matter of the probes."""

    def __init__(self, watching: Callable[[], bool], unable: Callable[[], str] = str) -> None:
        self._watching, self._unable = watching, unable
        self.failed: str | None = None

    def not_ready(self) -> str:
        """Why the operator does no work for users at this moment; empty when it does."""
        if self.failed:
            return self.failed
        if self._watching():
            return self._unable()
        return (
            "waiting for the API server to serve SFTJobs: is the CustomResourceDefinition "
            "sftjobs.sft-operator.dev installed (crds/ or the chart)?"
        )


async def serve(health: Health, metrics: Metrics, *, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Starts the server; returns its runner, for the clean-up, and the port it got."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(status=500 if health.failed else 200, text=(health.failed or "ok") + "\n")

    async def readyz(_: web.Request) -> web.Response:
        missing = health.not_ready()
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
