"""The HTTP front: one handler that journals, applies faults, and asks the simulation or moto."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from sft_lab.awssim import control_routes
from sft_lab.awssim.answer import Answer, error_answer, json_answer
from sft_lab.awssim.errors import AWSError
from sft_lab.awssim.faults import Fault
from sft_lab.awssim.journal import Entry
from sft_lab.awssim.request import Asked, asked
from sft_lab.awssim.simulation import PASSED_ON, Simulation

log = logging.getLogger(__name__)

_MOTO_THREADS = 48  # an SQS long poll holds one for up to 20 s
_BLACK_HOLE = 600.0  # seconds after which a request that is never answered is dropped
_XML_CODE = re.compile(rb"<Code>([^<]+)</Code>")
_JSON_CODE = re.compile(rb'"__type":\s*"(?:[^"#]*#)?([^"]+)"')


# The code of an answer that is a mistake of the simulation: not a 5xx, which clients would retry and so hide.
DEFECT = "SimulationDefect"


class _UnansweredError(Exception):
    """The connection is to be cut without an answer."""


class Front:
    """Handler of aiohttp's low-level server."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._pool = ThreadPoolExecutor(_MOTO_THREADS, thread_name_prefix="awssim-moto")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        if request.headers.get("Expect", "").lower() == "100-continue":
            # Without it botocore holds the body of every PutObject back for a second.
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        body = await request.content.read(-1)
        if target.startswith("/_sim/"):
            return await control_routes.respond(self._simulation, request.method, target, body)
        question = asked(request.method, target, request.headers, body, self._simulation.account_of)
        entry = self._simulation.journal.add(
            time=self._simulation.clock.now(),
            wall=time.time(),
            service=question.service,
            operation=question.operation,
            name=question.name,
            account=question.account,
            region=question.region,
            caller=question.access_key,
            parameters=question.parameters,
        )
        try:
            answer = await self._faulty(request, question, target, body, entry)
        except _UnansweredError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        entry.status, entry.error = answer.status, answer.error
        return _response(answer)

    async def _faulty(
        self, request: web.BaseRequest, question: Asked, target: str, body: bytes, entry: Entry
    ) -> Answer:
        fault = self._simulation.faults.strike(question.service, question.operation, question.name, question.account)
        if fault is None:
            return await self._carried_out(request, question, target, body, entry)
        entry.fault = _describe(fault)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.black_hole:
            await _until_gone(request)
            raise _UnansweredError
        error = fault.error()
        if fault.after_commit:
            await self._carried_out(request, question, target, body, entry)
            if error is None:
                raise _UnansweredError
        if fault.reset_connection:
            raise _UnansweredError
        if error is None:
            return await self._carried_out(request, question, target, body, entry)
        return error_answer(error, question, request.method)

    async def _carried_out(
        self, request: web.BaseRequest, question: Asked, target: str, body: bytes, entry: Entry
    ) -> Answer:
        try:
            answer = await self._answer(request, question, target, body)
        except AWSError as error:
            return error_answer(error, question, request.method)
        except Exception as error:
            log.exception("%s %s", question.service, question.operation)
            text = f"{question.service} {question.operation} failed inside the simulation: {error!r}"
            return error_answer(AWSError(DEFECT, text), question, request.method)
        entry.committed = answer.error is None
        return answer

    async def _answer(self, request: web.BaseRequest, question: Asked, target: str, body: bytes) -> Answer:
        simulation, loop = self._simulation, asyncio.get_running_loop()
        if question.service == "sagemaker":
            if question.operation == "CreateTrainingJob":  # looks into S3, which may have to be loaded first
                perform = functools.partial(simulation.sagemaker, question, body)
                return json_answer(await loop.run_in_executor(self._pool, perform))
            return json_answer(simulation.sagemaker(question, body))
        if question.service not in PASSED_ON:
            raise AWSError("UnknownOperationException", f"service {question.service!r} is not simulated")
        pass_on = functools.partial(self._pass_on, request.method, target, list(request.headers.items()))
        return await loop.run_in_executor(self._pool, pass_on, question, body)

    def _pass_on(
        self, method: str, target: str, headers: list[tuple[str, str]], question: Asked, body: bytes
    ) -> Answer:
        self._simulation.before_passing_on(question, body)
        claimed = next((value for name, value in headers if name.lower() == "content-md5"), None)
        if question.service == "s3" and claimed not in (None, _md5(body)):
            # moto stores such an object
            raise AWSError("BadDigest", "The Content-MD5 you specified did not match what we received.", 400)
        try:
            status, found, content = self._simulation.moto.call(method, target, headers, body, question.account)
        except NotImplementedError as error:
            raise AWSError("UnknownOperationException", f"{question.operation} is not simulated: {error}") from error
        if status >= 500:
            # moto's way of saying that it cannot; AWS's 500 would be retried, and is made with a fault rule.
            raise AWSError("UnknownOperationException", f"{question.service} {question.operation} is not simulated")
        return Answer(status, found, content, _error_code(status, content) if status >= 400 else None)


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _describe(fault: Fault) -> str:
    what = "black hole" if fault.black_hole else "connection reset" if fault.reset_connection else fault.code
    return f"{what or 'delay'}{' after commit' if fault.after_commit else ''}"


def _error_code(status: int, content: bytes) -> str:
    match = _XML_CODE.search(content) or _JSON_CODE.search(content)
    return match[1].decode() if match else str(status)


async def _until_gone(request: web.BaseRequest) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_BLACK_HOLE):
            # aiohttp has no event for a client that leaves.
            while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def _response(answer: Answer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    response.headers.popall("Content-Type", None)
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response
