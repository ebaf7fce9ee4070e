"""A SageMaker platform against the simulated AWS, for tests: what it starts, what it holds, and how a job is made."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from sft_lab.awssim import serve
from sft_lab.awssim.control import Sim
from sft_operator.api.identity import fingerprint
from sft_operator.api.sftjob import SFTJobSpec
from sft_operator.api.status import DatasetStatus
from sft_operator.aws.caller import AWSCaller, CallerSettings, Observer, Rate
from sft_operator.aws.sessions import Clients, ClientSettings
from sft_operator.platforms.base import JobView, Plan
from sft_operator.platforms.sagemaker.platform import SageMakerPlatform
from sft_operator.platforms.sagemaker.settings import SageMakerSettings
from sft_operator.recipes.catalogue import default_catalogue
from tests.manifests import nova_lite_2_lora

ACCOUNT = "111122223333"
BUCKET = "acme-ml-team"
ROW = json.dumps(
    {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [
            {"role": "user", "content": [{"text": "a question"}]},
            {"role": "assistant", "content": [{"text": "an answer"}]},
        ],
    }
)
ROWS = (ROW + "\n").encode() * 40
NO_LIMITS = CallerSettings(
    rates={name: Rate(10_000, 10_000) for name in ("create", "stop", "list", "describe", "logs")}
)
_FOREIGN = (
    "AWS_CA_BUNDLE",
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
)


def view(
    edits: Mapping[str, Any] | None = None, *, name: str = "demo", uid: str = "uid-1", scope: str = "lab", **more: Any
) -> JobView:
    spec = SFTJobSpec.model_validate(nova_lite_2_lora(edits)["spec"])
    return JobView(
        namespace="ml-team", name=name, uid=uid, spec=spec, identity_scope=scope, fingerprint=fingerprint(spec), **more
    )


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- what is waited for is in another process
            await asyncio.sleep(0.01)


@dataclass
class Lab:
    """`calls` are (service, operation, code) of every call that the platform made."""

    sim: Sim
    caller: AWSCaller
    platform: SageMakerPlatform
    calls: list[tuple[str, str, str]] = field(default_factory=list)

    def plan(self, job: JobView, facts: DatasetStatus | None = None) -> Plan:
        planned = self.platform.plan(job, facts)
        assert isinstance(planned, Plan), planned
        return planned

    def s3(self) -> Any:
        return self.caller.clients.get("s3", "us-east-1")

    def put(self, key: str, body: bytes = ROWS) -> None:
        self.s3().put_object(Bucket=BUCKET, Key=key, Body=body)

    def sagemaker_calls(self) -> list[str]:
        return [call.operation for call in self.sim.calls(service="sagemaker")]


@contextlib.contextmanager
def simulated_aws() -> Iterator[Sim]:
    """One simulated AWS; the environment points at it."""
    with serve() as running, pytest.MonkeyPatch.context() as patch:
        for name in _FOREIGN:
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield Sim(running.endpoint)


@contextlib.contextmanager
def lab(
    sim: Sim,
    settings: SageMakerSettings | None = None,
    clients: ClientSettings | None = None,
    observe: Observer = lambda *_: None,
) -> Iterator[Lab]:
    """A platform with a bucket, two data objects and a role, on a simulation with nothing else in it."""
    sim.reset()
    calls: list[tuple[str, str, str]] = []

    def observed(service: str, operation: str, code: str, seconds: float) -> None:
        calls.append((service, operation, code))
        observe(service, operation, code, seconds)

    caller = AWSCaller(Clients(clients), NO_LIMITS, observe=observed)
    made = Lab(sim, caller, SageMakerPlatform(caller, default_catalogue(), settings, identity_scope="lab"), calls)
    made.s3().create_bucket(Bucket=BUCKET)
    made.put("train.jsonl")
    made.put("val.jsonl")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    caller.clients.get("iam", "us-east-1").create_role(RoleName="ml-team-sft", AssumeRolePolicyDocument=trust)
    sim.reset("journal")
    try:
        yield made
    finally:
        made.platform.close()
        caller.close()
