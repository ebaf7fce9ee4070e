"""The words in which operator tests are told: apply a job, wait until it is somewhere, ask the witness."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from sft_lab.awssim.control import Call, Sim
from sft_lab.cluster.lab import Lab
from sft_lab.installation import Operator, start_operator
from tests.manifests import Manifest, nova_lite_2_lora

PATIENCE = 45.0
"""Seconds after which something that was to happen counts as not happening; far above what it takes."""

PACE = {"pending": 0.3, "starting": 0.3, "downloading": 0.3, "training": 2.0, "uploading": 0.3, "stop_grace": 0.5}
"""A simulated job of about three seconds."""

BRIEF = {"pending": 0.1, "starting": 0.1, "downloading": 0.1, "training": 0.3, "uploading": 0.1}
"""A simulated job that is over before anyone looks twice."""

SETTINGS = {
    "SFT_SWEEP_INTERVAL": "0.4",
    "SFT_LOG_INTERVAL": "0.4",
    "SFT_PROGRESS_INTERVAL": "0.2",
    "SFT_LIST_RATE": "50",
    "SFT_DESCRIBE_RATE": "100",
    "SFT_CREATE_RATE": "50",
    "SFT_LOG_RATE": "50",
    "SFT_REQUIRE_PROFILE": "false",
}

OPEN_PROFILE: Manifest = {
    "apiVersion": "sft-operator.dev/v1alpha1",
    "kind": "SFTProfile",
    "metadata": {"name": "open"},
    "spec": {
        "namespaces": {"selector": {}},
        "allowed": {"roleARNs": ["*"], "uriPrefixes": ["s3://"], "images": ["*"]},
    },
}
"""Under which most stories play: it gives nothing and allows everything."""


def unchecked(edits: Mapping[str, Any] | None = None, /, *, name: str = "nova-lite-2-lora") -> Manifest:
    """The seed's job without the reading of its data, for stories in which the data plays no part."""
    return nova_lite_2_lora({"dataset.check": "Skip", **(edits or {})}, name=name)


def wait_for(
    what: str, condition: Callable[[], Any], *, seconds: float = PATIENCE, told: Callable[[], str] = str
) -> Any:
    """The first true answer of `condition`. AssertionError with what was last seen otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s; last seen: {told()}")
        time.sleep(0.1)


@dataclass
class World:
    """A lab with the operator in it, and a namespace of the test's own."""

    lab: Lab
    aws: Sim
    operator: Operator
    namespace: str
    settings: Mapping[str, str] = field(default_factory=lambda: SETTINGS)

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        done = self.lab.kubectl("--namespace", self.namespace, *arguments, input=text, check=check)
        return done.stdout + ("" if check else done.stderr)

    def apply(self, manifest: Mapping[str, Any]) -> Job:
        self.kubectl("apply", "-f", "-", text=json.dumps(manifest))
        return Job(self, manifest["metadata"]["name"])

    def course(self, **fields: Any) -> None:
        """What happens to the training jobs that are created from now on; fields of awssim's scripts."""
        self.aws.script("*", **{**PACE, **fields})

    @property
    def sagemaker(self) -> Any:
        """SageMaker as somebody beside the operator would use it."""
        return self.client("sagemaker")

    def client(self, service: str) -> Any:
        """A service of the simulated AWS as somebody beside the operator would use it."""
        return boto3.client(
            service,
            endpoint_url=self.lab.aws_endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.lab.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.lab.env["AWS_SECRET_ACCESS_KEY"],
        )

    def log_lines(self) -> list[dict[str, Any]]:
        """What the operator has logged since it was last started; every line must be JSON."""
        return [json.loads(line) for line in self.operator.program.log.read_text().splitlines()]

    def restart_operator(self) -> None:
        """Starts the operator anew after it was killed; returns when it is ready."""
        self.operator = start_operator(self.lab, settings=self.settings)
        self.operator.wait_ready()

    def kill_operator(self) -> None:
        self.lab.kill("operator")


@dataclass
class Job:
    """An SFTJob by name."""

    world: World
    name: str

    @property
    def body(self) -> dict[str, Any] | None:
        """As the API server serves it; None when there is none."""
        done = self.world.lab.kubectl(
            "--namespace", self.world.namespace, "get", "sft", self.name, "-o", "json", check=False
        )
        if "NotFound" in done.stderr:
            return None
        body: dict[str, Any] = json.loads(done.stdout)
        return body

    @property
    def status(self) -> dict[str, Any]:
        return (self.body or {}).get("status") or {}

    def condition(self, kind: str) -> dict[str, Any]:
        return next((c for c in self.status.get("conditions", ()) if c["type"] == kind), {})

    def until(self, phase: str | None = None, *, seconds: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """Waits until the status has this phase and these fields; returns it."""
        wanted = {**({"phase": phase} if phase else {}), **fields}
        seen: dict[str, Any] = {}

        def reached() -> bool:
            nonlocal seen
            seen = self.status
            return all(seen.get(name) == value for name, value in wanted.items())

        wait_for(f"{self.name} {wanted}", reached, seconds=seconds, told=lambda: json.dumps(seen)[:3000])
        return seen

    def until_finished(self, *, seconds: float = PATIENCE) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def finished() -> bool:
            nonlocal seen
            seen = self.status
            return any(c["type"] == "Finished" and c["status"] == "True" for c in seen.get("conditions", ()))

        wait_for(f"{self.name} finished", finished, seconds=seconds, told=lambda: json.dumps(seen)[:3000])
        return seen

    def wait(self, *conditions: str, seconds: float = PATIENCE) -> None:
        """As a script does: `kubectl wait --for=condition=...`, one after the other."""
        for condition in conditions:
            self.world.kubectl("wait", f"sft/{self.name}", f"--for=condition={condition}", f"--timeout={seconds:.0f}s")

    @contextmanager
    def watched(self) -> Iterator[list[dict[str, Any]]]:
        """Every version of the resource that `kubectl get --watch` shows from now on; the list is complete after the
        block."""
        seen: list[dict[str, Any]] = []
        command = [
            str(self.world.lab.layout.bin / "kubectl"), "--namespace", self.world.namespace,
            "get", "sft", "--field-selector", f"metadata.name={self.name}", "--watch", "--output=json",
        ]  # fmt: skip
        with tempfile.NamedTemporaryFile() as printed:
            watch = subprocess.Popen(command, env=self.world.lab.env, stdout=printed)
            try:
                yield seen
                version = (self.body or {}).get("metadata", {}).get("resourceVersion")

                def complete() -> bool:
                    seen[:] = _documents(Path(printed.name).read_text())
                    return bool(seen) and version in (None, seen[-1]["metadata"]["resourceVersion"])

                wait_for(f"the watch of {self.name} shows version {version}", complete)
            finally:
                watch.terminate()
                watch.wait()

    def until_gone(self, *, seconds: float = PATIENCE) -> None:
        wait_for(
            f"{self.name} gone", lambda: self.body is None, seconds=seconds, told=lambda: json.dumps(self.body)[:3000]
        )

    def patch(self, **spec: Any) -> None:
        """Merge-patches spec."""
        self.world.kubectl("patch", "sft", self.name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def delete(self) -> None:
        self.world.kubectl("delete", "sft", self.name, "--wait=false")

    @property
    def run(self) -> dict[str, Any]:
        """Its training job as AWS knows it; fields of awssim's /_sim/jobs."""
        return self.world.aws.job(self.job_name)

    @property
    def job_name(self) -> str:
        """Of its run on AWS; waits for the intent."""
        name: str = wait_for(f"{self.name} has a run", lambda: self.status.get("jobName"))
        return name

    def events(self) -> list[tuple[str, str]]:
        """(reason, message) of the Events about it, oldest first."""
        listed = json.loads(
            self.world.kubectl("get", "events", "--field-selector", f"involvedObject.name={self.name}", "-o", "json")
        )
        ordered = sorted(listed["items"], key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [(event["reason"], event["message"]) for event in ordered]

    def calls(self, operation: str) -> list[Call]:
        """Requests of this operation about its runs that reached AWS. Names hold the namespace's identity, so the runs
        of other tests with the same job name are not among them."""
        names = {call.name for call in self.world.aws.calls("CreateTrainingJob") if self._ours(call)}
        return [call for call in self.world.aws.calls(operation) if call.name in names]

    def creates(self) -> int:
        """Training jobs that were really made for it."""
        return sum(call.committed for call in self.world.aws.calls("CreateTrainingJob") if self._ours(call))

    def _ours(self, call: Call) -> bool:
        tags = {tag["Key"]: tag["Value"] for tag in call.parameters.get("Tags", ())}
        return (
            tags.get("sft-operator.dev/namespace") == self.world.namespace
            and tags.get("sft-operator.dev/name") == self.name
        )


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """JSON documents one after another, as kubectl prints them while it watches; one that was cut off is left out."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return
        yield document
        while at < len(text) and text[at].isspace():
            at += 1
