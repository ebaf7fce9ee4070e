"""Requests are checked by everything that botocore's service model says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sft_lab.awssim import codec
from sft_lab.awssim.errors import AWSError
from sft_lab.awssim.simulation import SAGEMAKER

MINIMAL: dict[str, Any] = {
    "TrainingJobName": "sft-demo-1",
    "RoleArn": "arn:aws:iam::111122223333:role/Trainer",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out/"},
}


def parse(**changes: Any) -> dict[str, Any]:
    request = {key: value for key, value in (MINIMAL | changes).items() if value is not ...}
    model = codec.operation("sagemaker", "CreateTrainingJob")
    assert model is not None
    return codec.parse_json(model.input_shape, json.dumps(request).encode())


def test_a_good_request_comes_through_unchanged():
    assert parse() == MINIMAL


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"RoleArn": ...}, "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
        (
            {"TrainingJobName": "bad_name!!"},
            "'bad_name!!' at 'trainingJobName' failed to satisfy constraint: Member must",
        ),
        ({"TrainingJobName": "ends-"}, "regular expression pattern"),
        ({"TrainingJobName": "a" * 64}, "have length less than or equal to 63"),
        ({"RoleArn": "nonsense"}, "have length greater than or equal to 20"),
        ({"OutputDataConfig": {"S3OutputPath": "ftp://bucket"}}, "at 'outputDataConfig.s3OutputPath'"),
        ({"ResourceConfig": {"InstanceType": "ml.zz.9"}}, "satisfy enum value set"),
        ({"ResourceConfig": {"InstanceCount": -1}}, "have value greater than or equal to 0"),
        ({"RetryStrategy": {"MaximumRetryAttempts": 99}}, "have value less than or equal to 30"),
        ({"InputDataConfig": []}, "have length greater than or equal to 1"),
        ({"VpcConfig": {"Subnets": ["subnet-1"]}}, "'vpcConfig.securityGroupIds' failed to satisfy"),
        ({"HyperParameters": {f"k{n}": "v" for n in range(101)}}, "have length less than or equal to 100"),
        ({"Tags": [{"Key": "a!", "Value": "x"}]}, "'tags.1.member.key'"),
    ],
)
def test_a_broken_constraint_is_a_validation_exception_that_names_the_member(changes, told):
    with pytest.raises(AWSError) as refused:
        parse(**changes)
    assert refused.value.code == "ValidationException"
    assert told in refused.value.message


def test_all_broken_constraints_are_told_at_once():
    with pytest.raises(AWSError, match="2 validation errors detected"):
        parse(RoleArn=..., TrainingJobName="-")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"EnableManagedSpotTraining": "yes"}, "expected true or false"),
        ({"HyperParameters": {"epochs": 2}}, "expected a string"),
        ({"ResourceConfig": {"InstanceCount": "4"}}, "expected an integer"),
        ({"InputDataConfig": {}}, "expected a list"),
        ({"TrainingJobNamme": "typo"}, "unknown member TrainingJobNamme"),
    ],
)
def test_a_wrong_type_or_an_unknown_member_is_a_serialization_exception(changes, told):
    with pytest.raises(AWSError, match=told) as refused:
        parse(**changes)
    assert refused.value.code == "SerializationException"


def test_letters_of_every_alphabet_are_allowed_in_tags():
    assert parse(Tags=[{"Key": "équipe/ключ", "Value": "サポート_1"}])["Tags"]


def test_every_pattern_of_the_simulated_operations_can_be_checked():
    seen: set[str] = set()

    def walk(shape: Any) -> None:
        if shape is None or shape.name in seen:
            return
        seen.add(shape.name)
        if shape.metadata.get("pattern"):
            codec._compiled(shape.metadata["pattern"])
        if shape.type_name == "structure":
            for member in shape.members.values():
                walk(member)
        elif shape.type_name == "list":
            walk(shape.member)
        elif shape.type_name == "map":
            walk(shape.key)
            walk(shape.value)

    for name in SAGEMAKER:
        model = codec.operation("sagemaker", name)
        assert model is not None
        walk(model.input_shape)
    assert len(seen) > 100
