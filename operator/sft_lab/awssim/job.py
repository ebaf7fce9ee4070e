"""One training job: what was asked for and when; everything else about it is derived."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sft_lab.awssim import lifecycle
from sft_lab.awssim.progress import Plan
from sft_lab.awssim.script import Script

DEFAULT_MAX_RUNTIME = 86400  # seconds; StoppingCondition's documented default


@dataclass(slots=True)
class Job:
    """`request` is the create request in the API's shapes; `hidden` counts describes that do not see the job yet."""

    name: str
    arn: str
    account: str
    region: str
    request: dict[str, Any]
    tags: dict[str, str]
    created: float
    sequence: int
    script: Script
    plan: Plan
    hidden: int = 0
    stopped: float | None = None
    life: tuple[lifecycle.Span, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.life = self._life()

    def _life(self) -> tuple[lifecycle.Span, ...]:
        stopping = self.request.get("StoppingCondition", {})
        return lifecycle.spans(
            self.created,
            self.script,
            max_runtime=stopping.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME),
            max_wait=stopping.get("MaxWaitTimeInSeconds"),
            stopped=self.stopped,
        )

    def stop(self, now: float) -> None:
        """StopTrainingJob was asked for; the first time counts."""
        if self.stopped is None:
            self.stopped = now
            self.life = self._life()

    def span(self, now: float) -> lifecycle.Span:
        return self.life[lifecycle.at(self.life, now)]

    def ended(self, now: float) -> bool:
        return self.life[-1].start <= now

    @property
    def serverless(self) -> bool:
        return "ServerlessJobConfig" in self.request

    @property
    def output_prefix(self) -> str:
        """`<S3OutputPath>/<job name>`, without a slash at the end."""
        return f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}"
