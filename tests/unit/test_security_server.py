"""The one port of the operator: what it tells of tenants (nothing), whom it tells, and what a hostile peer can hold up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from sft_operator.controller import server
from sft_operator.controller.access import KEPT_SECONDS, REVIEWS, Access, Verdict
from sft_operator.controller.kube import KubeError
from sft_operator.controller.metrics import Metrics
from sft_operator.controller.server import Health, serve
from sft_operator.controller.store import Store
from tests.manifests import nova_lite_2_lora


def body(name: str, namespace: str, phase: str) -> dict[str, Any]:
    manifest = nova_lite_2_lora(name=name)
    manifest["metadata"] |= {
        "namespace": namespace,
        "uid": name,
        "creationTimestamp": "2026-11-22T12:00:00Z",
        "resourceVersion": "1",
    }
    manifest["status"] = {"phase": phase}
    return manifest


def metrics(**options: Any) -> Metrics:
    store = Store()
    for name, namespace, phase in (
        ("a", "tenant-a", "Running"),
        ("b", "tenant-b", "Running"),
        ("c", "tenant-b", "Failed"),
    ):
        store.put(body(name, namespace, phase))
    made = Metrics(store, lambda: 0, lambda: 1.0, **options)
    made.aws_call("s3", "GetObject", "AccessDenied", 0.1)
    return made


@dataclass
class Port:
    number: int
    health: Health

    async def ask(self, request: str) -> tuple[int, str]:
        """The status and the whole answer to one raw request; 0 when the connection was closed without one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        try:
            writer.write(request.encode())
            await writer.drain()
            answer = (await asyncio.wait_for(reader.read(), 10)).decode()
        except ConnectionError:
            return 0, ""
        finally:
            writer.close()
        return (int(answer.split(" ", 2)[1]) if answer else 0), answer

    async def get(self, path: str, *headers: str) -> tuple[int, str]:
        return await self.ask("\r\n".join((f"GET {path} HTTP/1.1", "Host: x", *headers)) + "\r\n\r\n")


@asynccontextmanager
async def port(access: Access | None = None, **options: Any) -> AsyncIterator[Port]:
    health = Health(lambda: True)
    runner, number = await serve(health, metrics(**options), host="127.0.0.1", port=0, access=access)
    try:
        yield Port(number, health)
    finally:
        await runner.cleanup()


async def test_no_answer_names_a_tenant() -> None:
    async with port() as at:
        page = (await at.get("/metrics"))[1]
        assert 'sft_jobs{phase="Running"} 2.0' in page
        at.health.failed = "watch ended"
        answers = [await at.get(path) for path in ("/healthz", "/readyz", "/metrics", "/nowhere")]
    assert [status for status, _ in answers] == [500, 503, 200, 404]
    assert not any("tenant" in answer for _, answer in answers)


async def test_namespaces_are_in_the_metrics_where_that_is_asked_for() -> None:
    async with port(namespaces=True) as at:
        _, page = await at.get("/metrics")
    assert 'sft_jobs{namespace="tenant-b",phase="Running"} 1.0' in page


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE"])
async def test_nothing_but_get_is_answered(method: str) -> None:
    async with port() as at:
        status, _ = await at.ask(f"{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert status == 405


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + "a" * 20_000 + "\r\n\r\n",
        "GET /metrics HTTP/1.1\r\n" + "".join(f"X{i}: a\r\n" for i in range(200)) + "\r\n",
        "GET /" + "a" * 20_000 + " HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00 this is TLS\r\n\r\n",
    ],
    ids=["a long header", "many headers", "a long line", "no HTTP"],
)
async def test_a_request_out_of_bounds_is_refused(request_text: str) -> None:
    async with port() as at:
        status, _ = await at.ask(request_text)
    assert status in (0, 400, 431)


async def test_a_connection_ends_with_its_answer() -> None:
    async with port() as at:
        two = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n" * 2
        _, answer = await at.ask(two)
    assert answer.count("HTTP/1.1 200") == 1
    assert "Connection: close" in answer
    assert "aiohttp" not in answer


async def test_connections_that_ask_for_nothing_neither_last_nor_lock_others_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 5)
    monkeypatch.setattr(server, "LONGEST_CONNECTION", 0.5)
    async with port() as at:
        idle = [await asyncio.open_connection("127.0.0.1", at.number) for _ in range(20)]
        async with asyncio.timeout(10):
            while (await at.get("/healthz"))[0] != 200:
                pass
            for reader, _ in idle:
                assert await reader.read() == b""
        for _, writer in idle:
            writer.close()


@dataclass
class Reviews:
    """The API server: knows one good token."""

    asked: list[str] = field(default_factory=list)
    down: bool = False

    async def __call__(self, token: str) -> bool:
        if self.down:
            raise KubeError(0, "no answer")
        self.asked.append(token)
        return token == "good"


async def test_with_token_review_metrics_are_for_those_whom_the_api_server_lets_and_probes_for_all() -> None:
    reviews = Reviews()
    async with port(Access(reviews)) as at:
        assert [(await at.get(path))[0] for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 401]
        status, page = await at.get("/metrics", "Authorization: Bearer good")
        assert (status, "sft_jobs" in page) == (200, True)
        for header in ("Bearer bad", "Basic good", "Bearer", "bearer  ", "good"):
            status, page = await at.get("/metrics", f"Authorization: {header}")
            assert status in (401, 403)
            assert "sft_jobs" not in page
        reviews.down = True
        status, page = await at.get("/metrics", "Authorization: Bearer other")
        assert (status, "sft_jobs" in page) == (503, False)
    assert reviews.asked == ["good", "bad"]


async def test_a_verdict_is_kept_for_a_minute_and_no_longer() -> None:
    now, reviews = 1000.0, Reviews()
    access = Access(reviews, monotonic=lambda: now)
    for _ in range(10):
        assert await access.verdict("Bearer good") is Verdict.ALLOWED
    assert len(reviews.asked) == 1
    now += KEPT_SECONDS + 1
    assert await access.verdict("Bearer good") is Verdict.ALLOWED
    assert len(reviews.asked) == 2


async def test_invented_tokens_do_not_use_up_the_api_server_nor_lock_a_known_one_out() -> None:
    reviews = Reviews()
    ask: Callable[[str], Awaitable[Verdict]] = Access(reviews, monotonic=lambda: 0.0).verdict
    assert await ask("Bearer good") is Verdict.ALLOWED
    verdicts = [await ask(f"Bearer invented-{i}") for i in range(500)]
    assert verdicts[-1] is Verdict.BUSY
    assert len(reviews.asked) == REVIEWS
    assert await ask("Bearer good") is Verdict.ALLOWED
