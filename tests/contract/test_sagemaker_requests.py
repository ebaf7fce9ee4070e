"""Every request that is built, against botocore's whole model of it and against stored plans that people can read.

`SFT_WRITE_GOLDEN=1 python -m pytest tests/contract/test_sagemaker_requests.py` writes the stored plans anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_operator.aws.constraints import violations
from sft_operator.aws.sessions import Clients
from sft_operator.platforms.base import Plan
from sft_operator.platforms.sagemaker.plan import make_plan
from sft_operator.recipes.catalogue import Recipe, default_catalogue
from tests.manifests import ABSENT
from tests.sagemaker_lab import view

GOLDEN = Path(__file__).parent / "golden"
CATALOGUE = default_catalogue()
CLIENTS = Clients()
PLAIN = dict.fromkeys(("hyperparameters", "dataset.validation"), ABSENT)

STORED: dict[str, dict[str, Any]] = {
    "nova-lite-2-lora": {},
    "nova-micro-lora": {
        "model.name": "nova-micro",
        "hyperparameters": {"epochs": 2, "learningRate": 2e-5},
        "sageMaker.training": {"instanceType": "ml.g5.48xlarge", "instanceCount": 1},
        "output.kmsKeyID": "alias/ml-team",
        "tags": {"team": "support"},
    },
}


def planned(edits: dict[str, Any]) -> Plan:
    made = make_plan(view(edits), None, CATALOGUE)
    assert isinstance(made, Plan), made
    return made


def jobs() -> list[Any]:
    return [
        pytest.param(recipe, instance, id=f"{recipe.file_name}-{instance}")
        for recipe in CATALOGUE.recipes.values()
        for instance in recipe.instance_types
    ]


def test_there_are_thirteen_nova_recipes() -> None:
    assert len(CATALOGUE.recipes) == 13


@pytest.mark.parametrize(("recipe", "instance"), jobs())
@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "ap-northeast-1"])
def test_the_request_of_every_recipe_on_every_instance_type_fits_the_service_model(
    recipe: Recipe, instance: str, region: str
) -> None:
    count = (recipe.replicas.table or recipe.replicas.recipe)[0]
    plan = planned(
        PLAIN
        | {
            "model.name": recipe.model,
            "method": recipe.method,
            "recipe.name": recipe.name,
            "sageMaker.region": region,
            "sageMaker.training": {"instanceType": instance, "instanceCount": count},
        }
    )
    assert violations(CLIENTS, "sagemaker", "CreateTrainingJob", plan.request) == ()
    assert plan.request["HyperParameters"]["model_type"] == recipe.model_type


@pytest.mark.parametrize("name", STORED)
def test_a_stored_plan_never_moves_by_itself(name: str) -> None:
    plan = planned(STORED[name])
    document = {
        "jobName": plan.job_name,
        "fingerprint": plan.fingerprint,
        "maxInstanceHours": plan.max_instance_hours,
        "request": dict(plan.request),
        "upload": {"uri": plan.uploads[0].uri, "body": plan.uploads[0].body.decode()},
        "effective": plan.effective.model_dump(mode="json", by_alias=True, exclude_none=True),
        "warnings": [str(warning) for warning in plan.warnings],
    }
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("SFT_WRITE_GOLDEN"):
        text = yaml.dump(document, Dumper=_Readable, sort_keys=False, width=120, allow_unicode=True)
        file.write_text(f"# A plan as it is sent. Written by the command at the top of {Path(__file__).name}.\n{text}")
    assert document == yaml.safe_load(file.read_text())


class _Readable(yaml.SafeDumper):
    """Text of several lines stands as a block."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Readable.add_representer(str, _text)


def test_the_request_has_the_members_that_the_sdk_sends_for_a_recipe_and_no_others() -> None:
    """Captured from sagemaker 2.257.7, PyTorch(training_recipe=...).fit(): the values that do not depend on the job."""
    request = planned(STORED["nova-micro-lora"] | {"output.kmsKeyID": ABSENT}).request
    assert set(request) == {
        "TrainingJobName", "RoleArn", "AlgorithmSpecification", "HyperParameters", "InputDataConfig", "OutputDataConfig",
        "ResourceConfig", "StoppingCondition", "Tags", "ProfilerConfig", "RemoteDebugConfig",
    }  # fmt: skip
    assert request["HyperParameters"] == {
        "model_type": "amazon.nova-micro-v1:0:128k",
        "base_model": "nova-micro/prod",
        "sagemaker_recipe_local_path": "/opt/ml/input/data/recipe/recipe.yaml",
    }
    assert request["ResourceConfig"] == {"InstanceType": "ml.g5.48xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 432000}
    assert request["ProfilerConfig"] == {"DisableProfiler": True}
    assert request["RemoteDebugConfig"] == {"EnableRemoteDebug": False}
    assert request["OutputDataConfig"] == {"S3OutputPath": "s3://acme-ml-team/sft/"}
    sources = {channel["ChannelName"]: channel for channel in request["InputDataConfig"]}
    for name in ("train", "validation"):
        assert sources[name]["DataSource"]["S3DataSource"]["S3DataType"] == "Converse"
        assert "InputMode" not in sources[name]
    assert sources["recipe"]["DataSource"]["S3DataSource"]["S3DataType"] == "S3Prefix"
    assert sources["recipe"]["InputMode"] == "File"
    for channel in sources.values():
        assert channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] == "FullyReplicated"
    assert {"Key": "model_name_or_path", "Value": "nova-micro/prod"} in request["Tags"]
