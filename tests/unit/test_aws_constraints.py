"""Bounds of the service model that botocore's own client lets pass."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sft_operator.aws.constraints import violations
from sft_operator.aws.sessions import Clients

CLIENTS = Clients()
RIGHT: dict[str, Any] = {
    "TrainingJobName": "sft-demo-0123456789-1",
    "RoleArn": "arn:aws:iam::111122223333:role/x",
    "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "image"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out/"},
    "ResourceConfig": {"InstanceType": "ml.p5.48xlarge", "InstanceCount": 4, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "Tags": [{"Key": "tëam", "Value": "a b_c.d:e/f=g+h-i@j"}],
}


def found(path: str, value: Any) -> list[tuple[str, str]]:
    request = copy.deepcopy(RIGHT)
    node: Any = request
    *parents, last = path.split(".")
    for key in parents:
        node = node[int(key)] if key.isdigit() else node[key]
    node[last] = value
    return [(v.field, v.severity) for v in violations(CLIENTS, "sagemaker", "CreateTrainingJob", request)]


def test_a_right_request_has_no_findings() -> None:
    assert violations(CLIENTS, "sagemaker", "CreateTrainingJob", RIGHT) == ()


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("TrainingJobName", "has_underscore", "TrainingJobName"),
        ("TrainingJobName", "ends-with-", "TrainingJobName"),
        ("RoleArn", "arn:aws:iam::1:user/x", "RoleArn"),
        ("OutputDataConfig.S3OutputPath", "bucket/out", "OutputDataConfig.S3OutputPath"),
        ("Tags.0.Value", "no!", "Tags[0].Value"),
        ("ResourceConfig.InstanceCount", -1, "ResourceConfig.InstanceCount"),
        ("ResourceConfig.InstanceCount", "4", "ResourceConfig.InstanceCount"),
        ("StoppingCondition.MaxRuntimeInSeconds", 0, "StoppingCondition.MaxRuntimeInSeconds"),
        ("Environment", {"1BAD": "x"}, "Environment[1BAD]"),
        ("Unknown", 1, "Unknown"),
        ("Tags", {}, "Tags"),
    ],
)
def test_a_value_out_of_bounds_is_an_error_at_its_path(path: str, value: Any, field: str) -> None:
    assert (field, "error") in found(path, value)


def test_an_instance_type_newer_than_the_model_is_only_a_warning() -> None:
    assert found("ResourceConfig.InstanceType", "ml.p99.48xlarge") == [("ResourceConfig.InstanceType", "warning")]


def test_a_name_one_too_long_is_refused_and_the_longest_is_not() -> None:
    assert found("TrainingJobName", "a" * 63) == []
    assert ("TrainingJobName", "error") in found("TrainingJobName", "a" * 64)
