"""Prints what the simulated AWS costs: describes and lists per second, memory of 10,000 jobs. Nothing is asserted.

Run it as a script: `python tests/bench/awssim_bench.py`. The engine is measured with its codec and without a network,
the whole server with one keep-alive connection.
"""

from __future__ import annotations

import gc
import http.client
import json
import resource
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlparse

from sft_lab.awssim import codec, serve
from sft_lab.awssim.clock import Clock
from sft_lab.awssim.request import Asked
from sft_lab.awssim.script import Scripts
from sft_lab.awssim.simulation import Simulation
from sft_lab.awssim.training import Caller, TrainingJobs

ACCOUNT, REGION = "111122223333", "us-east-1"
JOBS = 10_000


def nova_request(name: str) -> dict[str, Any]:
    """A request of the size that a Nova recipe job has."""

    def channel(channel_name: str, uri: str) -> dict[str, Any]:
        source = {"S3DataType": "Converse", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
        return {"ChannelName": channel_name, "DataSource": {"S3DataSource": source}}

    return {
        "TrainingJobName": name,
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/Trainer",
        "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "nova-fine-tune-repo:SM-TJ-SFT"},
        "HyperParameters": {"base_model": "nova-lite-2/prod", "sagemaker_recipe_local_path": "/opt/ml/input/r.yaml"},
        "InputDataConfig": [
            channel("train", "s3://bench-data/train.jsonl"),
            channel("validation", "s3://bench-data/val.jsonl"),
            channel("recipe", f"s3://bench-data/{name}/recipe.yaml"),
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://bench-data/out/"},
        "ResourceConfig": {"InstanceType": "ml.p5.48xlarge", "InstanceCount": 4, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 432000},
        "ProfilerConfig": {"DisableProfiler": True},
        "RemoteDebugConfig": {"EnableRemoteDebug": False},
        "Tags": [{"Key": f"sft-operator.dev/{key}", "Value": f"{key}-{name}"} for key in ("name", "uid", "scope")],
    }


def rate(what: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        what()
    return times / (time.process_time() - began)


def resident_mb() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def engine_and_codec() -> dict[str, float]:
    """Operations per second of CPU time, and memory, with JOBS jobs in the store."""
    simulation = Simulation()
    jobs = simulation.jobs = TrainingJobs(Clock(), Scripts(), storage=None)
    model = codec.operation("sagemaker", "CreateTrainingJob")
    assert model is not None
    caller = Caller(ACCOUNT, REGION)
    gc.collect()
    before = resident_mb()
    for number in range(JOBS):
        body = json.dumps(nova_request(f"sft-bench-{number:05d}-1")).encode()
        jobs.create(codec.parse_json(model.input_shape, body), caller)
    gc.collect()
    grown = resident_mb() - before

    def ask(operation: str, body: bytes) -> bytes:
        asked = Asked("sagemaker", operation, "", ACCOUNT, REGION, "", {})
        return json.dumps(simulation.sagemaker(asked, body)).encode()

    describe = json.dumps({"TrainingJobName": "sft-bench-05000-1"}).encode()
    page = json.dumps({"MaxResults": 100, "SortOrder": "Descending"}).encode()
    return {
        "jobs": JOBS,
        "memory_mb": round(grown, 1),
        "describes_per_cpu_second": round(rate(lambda: ask("DescribeTrainingJob", describe), 3000)),
        "lists_of_100_per_cpu_second": round(rate(lambda: ask("ListTrainingJobs", page), 100)),
    }


def over_http() -> dict[str, float]:
    """Describes per second of CPU time of the whole process, client included, on one keep-alive connection."""
    with serve() as running:
        model = codec.operation("sagemaker", "CreateTrainingJob")
        assert model is not None
        running.simulation.jobs.storage = None
        request = codec.parse_json(model.input_shape, json.dumps(nova_request("sft-bench-1")).encode())
        running.simulation.jobs.create(request, Caller(ACCOUNT, REGION))
        address = urlparse(running.endpoint)
        assert address.hostname is not None
        connection = http.client.HTTPConnection(address.hostname, address.port)
        body = json.dumps({"TrainingJobName": "sft-bench-1"})
        credential = f"Credential={ACCOUNT}/20260101/{REGION}/sagemaker/aws4_request"
        headers = {
            "X-Amz-Target": "SageMaker.DescribeTrainingJob",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0",
        }

        def describe() -> None:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200

        found = rate(describe, 2000)
        connection.close()
    return {"describes_per_cpu_second_over_http": round(found)}


if __name__ == "__main__":
    print(json.dumps(engine_and_codec() | over_http(), indent=2))
