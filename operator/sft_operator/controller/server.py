"""/healthz, /readyz and /metrics, open to whoever reaches the port: short, bounded, and without a tenant's data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from .access import Access, Verdict
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
            "sftjobs.sft-operator.dev installed (crds/ or the chart)? Where SFT_NAMESPACES is set, has the operator a "
            "Role in one of them (watchNamespaces of the chart)?"
        )


MAX_CONNECTIONS = 64
LONGEST_CONNECTION = 15.0
"""Seconds: an answer takes milliseconds, and the review of a token two calls to the API server."""
_LIMITS: dict[str, Any] = {"max_line_size": 1024, "max_field_size": 8190, "max_headers": 32, "lingering_time": 0.0}


async def serve(
    health: Health, metrics: Metrics, *, host: str, port: int, access: Access | None = None
) -> tuple[web.AppRunner, int]:
    """Starts the server; returns its runner, for the clean-up, and the port it got. With `access` /metrics is for
    bearers of a token that it lets in."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(status=500 if health.failed else 200, text=(health.failed or "ok") + "\n")

    async def readyz(_: web.Request) -> web.Response:
        missing = health.not_ready()
        return web.Response(status=503 if missing else 200, text=(missing or "ok") + "\n")

    async def page(request: web.Request) -> web.Response:
        verdict = await access.verdict(request.headers.get("Authorization", "")) if access else Verdict.ALLOWED
        if verdict is not Verdict.ALLOWED:
            return web.Response(status=verdict.status, text=verdict.text + "\n", headers=verdict.headers)
        return web.Response(body=metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def once(_: web.Request, response: web.StreamResponse) -> None:
        response.force_close()
        response.headers["Connection"] = "close"
        response.headers["Server"] = "sft-operator"  # not the version of what serves

    app = web.Application()
    for path, handler in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", page)):
        app.router.add_get(path, handler, allow_head=False)
    app.on_response_prepare.append(once)
    ports: list[asyncio.Server] = []

    async def close(_: web.Application) -> None:
        for opened in ports:
            opened.close()

    app.on_shutdown.append(close)
    runner = web.AppRunner(app, access_log=None, **_LIMITS)
    await runner.setup()
    ports.append(await asyncio.get_running_loop().create_server(_door(runner), host, port))
    return runner, int(ports[0].sockets[0].getsockname()[1])


class _Full(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _door(runner: web.AppRunner) -> Callable[[], asyncio.BaseProtocol]:
    """aiohttp waits for a request as long as somebody holds the connection, and takes as many of them as there are file
    descriptors, which the calls to AWS need too."""

    def opened() -> asyncio.BaseProtocol:
        server = runner.server
        if server is None or len(server.connections) >= MAX_CONNECTIONS:
            return _Full()
        handler = server()
        asyncio.get_running_loop().call_later(LONGEST_CONNECTION, handler.force_close)
        return handler

    return opened
