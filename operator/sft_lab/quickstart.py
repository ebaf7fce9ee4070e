"""`make quickstart`: one job from apply to result, one refused, one failed, all on this machine, with every command
that a user would type shown before it runs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.live import Live
from rich.table import Table

from sft_lab.awssim.control import Sim
from sft_lab.cluster.lab import Lab, LabError
from sft_lab.cluster.startup import start_lab
from sft_lab.installation import ROOT, install_chart, start_operator

BUCKET = "acme-ml-team"
EXAMPLES = Path(os.path.relpath(ROOT / "examples"))
DATA = ROOT / "examples" / "data"
FAILURE = "AlgorithmError: ExecuteUserScriptError: CUDA out of memory. Tried to allocate 9.50 GiB"


def upload_data(lab: Lab) -> None:
    """The examples' bucket with the data set of this project in it."""
    try:
        s3 = boto3.client(
            "s3",
            endpoint_url=lab.aws_endpoint,
            region_name="us-east-1",
            aws_access_key_id=lab.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=lab.env["AWS_SECRET_ACCESS_KEY"],
        )
        s3.create_bucket(Bucket=BUCKET)
        for file in sorted(DATA.glob("*.jsonl")):
            s3.put_object(Bucket=BUCKET, Key=file.name, Body=file.read_bytes())
    except (BotoCoreError, ClientError) as error:
        raise LabError(
            f"the examples' data cannot be put into the simulated AWS at {lab.aws_endpoint}: {error}; its log is "
            f"in {lab.layout.logs}"
        ) from error


def prepare(lab: Lab) -> None:
    """Chart, profile, data, and the failing end of examples/fails.yaml."""
    if lab.aws_endpoint is None:
        raise LabError("this lab was started without the simulated AWS: start it without --without-aws")
    install_chart(lab)
    lab.kubectl("apply", "-f", str(EXAMPLES / "profiles" / "ml-team.yaml"))
    upload_data(lab)
    Sim(lab.aws_endpoint).script(
        "sft-fails-*",
        end="Failed",
        fail_at=0.3,
        training=6.0,
        failure_reason=FAILURE,
        error_lines=["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 9.50 GiB.", "rank 3: exit code 1"],
    )


class Tour:
    def __init__(self, lab: Lab, console: Console) -> None:
        self._lab, self._console = lab, console

    def say(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]", highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def kubectl(self, *arguments: str) -> str:
        """Shows the command, runs it, shows what it prints."""
        shown = " ".join(f"'{word}'" if " " in word else word for word in arguments)
        self._console.print(f"$ kubectl {shown}", style="cyan", markup=False, highlight=False, soft_wrap=True)
        text = self._lab.kubectl(*arguments).stdout.rstrip()
        self.line(text)
        return text

    def job(self, name: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self._lab.kubectl("get", "sft", name, "-o", "json").stdout)
        return body

    def launched(self, name: str) -> int:
        """Training jobs that the simulated AWS has made for the job of this name."""
        return Sim(self._lab.env["AWS_ENDPOINT_URL"]).creates(f"sft-{name}-")

    def follow(self, name: str, seconds: float = 90) -> dict[str, Any]:
        """Shows the job's life until it has finished: live in a terminal, a line a change elsewhere."""
        began, last = time.monotonic(), ""
        live = Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None
        if live is not None:
            live.start()
        try:
            while True:
                body = self.job(name)
                status = body.get("status") or {}
                if live is not None:
                    live.update(_picture(name, status))
                line = _line(status)
                if live is None and line != last:
                    self.line(f"{time.monotonic() - began:5.1f}s  {line}")
                    last = line
                if any(c["type"] == "Finished" and c["status"] == "True" for c in status.get("conditions", ())):
                    return body
                if time.monotonic() - began > seconds:
                    raise TimeoutError(f"{name} has not finished after {seconds:.0f} s: {line}")
                time.sleep(0.25)
        finally:
            if live is not None:
                live.stop()


def _line(status: dict[str, Any]) -> str:
    progress, metrics = status.get("progress") or {}, status.get("metrics") or {}
    parts = [f"{status.get('phase') or 'Pending':<11}", progress.get("display") or ""]
    if metrics.get("display"):
        parts.append(f"loss {metrics['display']}")
    if progress.get("eta"):
        parts.append(f"ETA {progress['eta']}")
    return "  ".join(part for part in parts if part)


def _picture(name: str, status: dict[str, Any]) -> Table:
    progress, metrics = status.get("progress") or {}, status.get("metrics") or {}
    percent = progress.get("percent") or 0
    table = Table.grid(padding=(0, 2))
    table.add_row("job", name)
    table.add_row("phase", status.get("phase") or "Pending")
    table.add_row("run", status.get("jobName") or "")
    table.add_row("progress", f"{'█' * (percent // 4):░<25} {progress.get('display') or ''}")
    table.add_row("loss", metrics.get("display") or "")
    table.add_row("ETA", progress.get("eta") or "")
    return table


def run(directory: Path | None = None) -> int:
    """The whole tour in a lab of its own, which is taken down at the end."""
    console = Console(file=sys.stdout)
    with tempfile.TemporaryDirectory(prefix="sft-quickstart-") as scratch:
        console.print("A control plane, a simulated AWS and the operator are being started on this machine.")
        lab = start_lab(directory or Path(scratch))
        try:
            prepare(lab)
            start_operator(lab).wait_ready()
            _tour(Tour(lab, console))
        finally:
            lab.stop()
    console.print(
        "\nEverything that was started has ended. `make lab` starts it again and leaves it running.", soft_wrap=True
    )
    return 0


def _tour(tour: Tour) -> None:
    tour.say("1. A job that succeeds: LoRA on Nova Lite 2 with 600 support dialogues")
    tour.kubectl("apply", "-f", str(EXAMPLES / "nova-lite-2-lora.yaml"))
    status = tour.follow("nova-lite-2-lora")["status"]
    tour.kubectl("get", "sft")
    artifacts = status.get("artifacts") or {}
    tour.say(f"checkpoint: {artifacts.get('checkpoint')}\noutput:     {artifacts.get('output')}")
    _expect(
        "nova-lite-2-lora",
        status,
        {
            "phase Succeeded": status.get("phase") == "Succeeded",
            "a checkpoint": artifacts.get("checkpoint"),
            "one launch on AWS": tour.launched("nova-lite-2-lora") == 1,
        },
    )

    tour.say("2. A job that is refused: the data is read line by line before any money is spent")
    tour.kubectl("apply", "-f", str(EXAMPLES / "bad-row.yaml"))
    status = tour.follow("bad-row")["status"]
    tour.kubectl("get", "sft", "bad-row", "-o", "jsonpath={.status.reason}: {.status.message}")
    _expect(
        "bad-row",
        status,
        {
            "phase Failed": status.get("phase") == "Failed",
            "reason DatasetInvalid": status.get("reason") == "DatasetInvalid",
            "a message that names line 17": " line 17: " in status.get("message", ""),
            "nothing launched on AWS": tour.launched("bad-row") == 0,
        },
    )

    tour.say("3. A job that fails: why, the end of its log, and what to do")
    tour.kubectl("apply", "-f", str(EXAMPLES / "fails.yaml"))
    status = tour.follow("fails")["status"]
    failure = status.get("failure") or {}
    tour.say(f"{failure.get('reason')}: {failure.get('message')}")
    for line in (failure.get("logTail") or [])[-5:]:
        tour.line(f"  | {line}")
    tour.say(f"hint: {failure.get('hint')}")
    _expect(
        "fails",
        status,
        {
            "phase Failed": status.get("phase") == "Failed",
            "failure reason OutOfMemory": failure.get("reason") == "OutOfMemory",
            "the end of its log": failure.get("logTail"),
            "a hint": failure.get("hint"),
        },
    )
    tour.kubectl("get", "sft")
    tour.kubectl("delete", "sft", "--all")


def _expect(name: str, status: dict[str, Any], wanted: Mapping[str, object]) -> None:
    """`wanted`: what was to be shown → whether it was. Raises LabError naming what was not."""
    missing = [what for what, shown in wanted.items() if not shown]
    if missing:
        raise LabError(
            f"the job {name} did not show {', '.join(missing)}; its status says phase {status.get('phase')}, "
            f"reason {status.get('reason')}: {status.get('message')}. "
            "With an unchanged checkout that is a defect of the project: please report it"
        )
