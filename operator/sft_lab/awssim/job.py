"""One training job: what was asked for and when; everything else about it is derived."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sft_lab.awssim import lifecycle
from sft_lab.awssim.progress import Plan
from sft_lab.awssim.script import Script

DEFAULT_MAX_RUNTIME = 86400  # seconds; StoppingCondition's documented default


@dataclass(slots=True)
class Job:
    """`hidden` counts the describes that do not see the job yet, `stopped` is when StopTrainingJob was first called.

    The create request is kept as JSON text, which is a quarter of the size of the objects: `request` reads it anew.
    """

    name: str
    arn: str
    account: str
    region: str
    tags: dict[str, str]
    created: float
    sequence: int
    script: Script
    plan: Plan
    body: bytes
    max_runtime: float
    max_wait: float | None
    instance_type: str | None
    instance_count: int
    serverless: bool
    hidden: int = 0
    stopped: float | None = None
    life: tuple[lifecycle.Span, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.life = self._life()

    def _life(self) -> tuple[lifecycle.Span, ...]:
        return lifecycle.spans(self.created, self.script, self.max_runtime, self.max_wait, self.stopped)

    @property
    def request(self) -> dict[str, Any]:
        """The create request in the API's shapes."""
        return dict(json.loads(self.body))

    def stop(self, now: float) -> None:
        """StopTrainingJob was asked for; the first time counts."""
        if self.stopped is None:
            self.stopped = now
            self.life = self._life()

    def span(self, now: float) -> lifecycle.Span:
        return self.life[lifecycle.at(self.life, now)]

    def status(self, now: float) -> str:
        """TrainingJobStatus."""
        return lifecycle.primary(self.span(now).status)

    def ended(self, now: float) -> bool:
        return self.life[-1].start <= now


def from_request(request: dict[str, Any], account: str, region: str, **members: Any) -> Job:
    """The job that a checked create request asks for."""
    resources, stopping = request.get("ResourceConfig", {}), request.get("StoppingCondition", {})
    return Job(
        name=request["TrainingJobName"],
        arn=arn(request["TrainingJobName"], account, region),
        account=account,
        region=region,
        tags={tag["Key"]: tag["Value"] for tag in request.get("Tags", ())},
        body=json.dumps({k: v for k, v in request.items() if k != "Tags"}, separators=(",", ":")).encode(),
        max_runtime=stopping.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME),
        max_wait=stopping.get("MaxWaitTimeInSeconds"),
        instance_type=resources.get("InstanceType"),
        instance_count=resources.get("InstanceCount", 0),
        serverless="ServerlessJobConfig" in request,
        **members,
    )


def arn(name: str, account: str, region: str) -> str:
    return f"arn:aws:sagemaker:{region}:{account}:training-job/{name}"


def output_prefix(request: dict[str, Any]) -> str:
    """`<S3OutputPath>/<job name>`, without a slash at the end."""
    path: str = request["OutputDataConfig"]["S3OutputPath"]
    return f"{path.rstrip('/')}/{request['TrainingJobName']}"
