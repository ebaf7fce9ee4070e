"""`make bench`: what the operator costs, as counts and ratios of one run; prints them and writes build/bench.json.

Nothing here is asserted: a shared machine's seconds prove nothing. The targets stand beside the figures.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sft_lab.awssim.control import Sim
from sft_lab.cluster.api import Administrator
from sft_lab.cluster.lab import Lab
from sft_lab.cluster.startup import start_lab
from sft_lab.installation import ROOT, Operator, start_operator
from sft_lab.quickstart import prepare
from tests.cluster.story import wait_for
from tests.manifests import nova_lite_2_lora

JOBS = 200
SPEED = 20
"""Simulated seconds per second in the count of calls; the operator's intervals are divided by the same."""
IDLE_SECONDS = 20
LIFTED = {"SFT_LIST_RATE": "1000", "SFT_CREATE_RATE": "1000", "SFT_CREATE_BURST": "1000", "SFT_DESCRIBE_RATE": "1000"}
AT_30_SECONDS = {
    "SFT_SWEEP_INTERVAL": str(30 / SPEED),
    "SFT_FULL_SWEEP_INTERVAL": str(600 / SPEED),
    "SFT_LOG_INTERVAL": str(60 / SPEED),
    "SFT_PROGRESS_INTERVAL": str(30 / SPEED),
}
TEN_MINUTES = {"pending": 20, "starting": 60, "downloading": 60, "training": 420, "uploading": 40}
PATH = "/apis/sft-operator.dev/v1alpha1/namespaces/ml-team/sftjobs"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="sft-bench-") as scratch, start_lab(Path(scratch) / "lab") as lab:
        prepare(lab)
        assert lab.aws_endpoint
        aws = Sim(lab.aws_endpoint)
        figures: dict[str, Any] = {
            "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
            "idle": idle(lab, aws),
            "calls": calls(lab, aws),
            "launch": launch(lab, aws),  # last: its jobs never end
        }
    figures["awssim"] = awssim()
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
    return 0


def awssim() -> dict[str, Any]:
    """The simulated AWS alone, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.awssim_bench"]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {
        **json.loads(told),
        "describes_per_cpu_second_target": ">= 1000",
        "memory_mb_target": "< 60",
    }


def idle(lab: Lab, aws: Sim) -> dict[str, Any]:
    """An operator without an unfinished job."""
    began = time.monotonic()
    operator = start_operator(lab, settings={})
    operator.wait_ready()
    ready = time.monotonic() - began
    pid = operator.program.pid()
    assert pid is not None
    seen = len(aws.calls())
    cpu = _cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)
    figures = {
        "ready_seconds": round(ready, 2),
        "ready_target": "< 4",
        "rss_megabytes": round(_rss_megabytes(pid), 1),
        "rss_target": "< 150",
        "cpu_percent": round(100 * (_cpu_seconds(pid) - cpu) / IDLE_SECONDS, 2),
        "cpu_target": "< 1",
        "aws_calls": len(aws.calls()) - seen,
        "aws_calls_target": 0,
    }
    lab.kill("operator")
    return figures


def launch(lab: Lab, aws: Sim) -> dict[str, Any]:
    """From the API server's answer to the create to CreateTrainingJob in the journal, one job after another."""
    settings = {**LIFTED, "SFT_SWEEP_INTERVAL": "30"}
    operator = start_operator(lab, settings=settings)
    operator.wait_ready()
    server = Administrator(lab.layout.tls)
    aws.script("sft-bench-*", pending=3600)  # none ends meanwhile: reading results from the simulation is not launching
    taken: list[float] = []
    for number in range(JOBS + 1):
        name = f"bench-{number:04}"
        manifest = nova_lite_2_lora({"dataset.check": "Skip"}, name=name)
        status, body = server.call(lab.ports["kube-apiserver"], "POST", PATH, manifest)
        answered = time.time()
        assert status == 201, body
        call = wait_for(name, lambda name=name: aws.calls("CreateTrainingJob", f"sft-{name}-*"))[0]  # type: ignore[misc]
        if number:  # the first one also builds clients and loads the simulation's S3
            taken.append(1000 * (call.wall - answered))
    lab.kill("operator")
    taken.sort()
    return {
        "jobs": JOBS,
        "settings": settings,
        "p50_milliseconds": round(statistics.median(taken), 1),
        "p50_target": "< 150",
        "p99_milliseconds": round(taken[int(0.99 * len(taken)) - 1], 1),
        "p99_target": "< 500",
        "duplicate_creates": aws.creates("sft-bench-") - JOBS - 1,
    }


def calls(lab: Lab, aws: Sim) -> dict[str, Any]:
    """What one healthy job of ten simulated minutes asks of SageMaker and of the API server, alone."""
    aws.script("*", **TEN_MINUTES)
    operator = start_operator(lab, settings=AT_30_SECONDS)
    operator.wait_ready()
    aws.speed(SPEED)
    name = "ten-minutes"
    lab.kubectl("apply", "-f", "-", input=json.dumps(nova_lite_2_lora(name=name)))
    lab.kubectl("wait", f"sft/{name}", "--for=condition=Finished", "--timeout=120s")
    told = _sagemaker(aws)
    writes = _writes(operator)
    time.sleep(5 * 30 / SPEED)
    after = sum(_sagemaker(aws).values()) - sum(told.values())
    lab.kubectl("delete", "sft", name)
    writes_after = _writes(operator)
    aws.speed(1)
    lab.kill("operator")
    return {
        "sweep": "30 simulated seconds",
        "speed": SPEED,
        "settings": AT_30_SECONDS,
        "course_in_simulated_seconds": TEN_MINUTES,
        "sagemaker_calls": told,
        "sagemaker_calls_sum": sum(told.values()),
        "sagemaker_calls_target": "<= 30",
        "sagemaker_calls_after_the_end": after,
        "log_reads": len(aws.calls("GetLogEvents")),
        "kubernetes_writes": writes_after,
        "kubernetes_writes_besides_progress_and_events": writes_after["state"] + writes_after["finalizer"],
        "kubernetes_writes_target": "<= 6",
        "of_these_at_the_end_of_the_run": writes,
    }


def _sagemaker(aws: Sim) -> dict[str, int]:
    counted: dict[str, int] = {}
    for call in aws.calls(service="sagemaker"):
        counted[call.operation] = counted.get(call.operation, 0) + 1
    return counted


def _writes(operator: Operator) -> Mapping[str, int]:
    counted = {"state": 0, "progress": 0, "finalizer": 0, "event": 0}
    for line in operator.get("/metrics")[1].splitlines():
        if line.startswith("sft_kubernetes_writes_total{"):
            counted[line.split('"')[1]] = int(float(line.rsplit(" ", 1)[1]))
    return counted


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
