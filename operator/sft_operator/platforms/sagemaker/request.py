"""The CreateTrainingJob request of a Nova recipe job, member by member as the SageMaker Python SDK sends it. Pure.

Deliberate differences from SDK v2's PyTorch(training_recipe=...): a deterministic TrainingJobName; the recipe channel
names the object itself, which lies below the job's own output, at the fixed path recipe.yaml; tags of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RECIPE_PATH = "/opt/ml/input/data/recipe/recipe.yaml"
RECIPE_CHANNEL = "recipe"
VOLUME_GB = 30
"""The SDK's default; instances with NVMe disks (p4d, p5, g5, g6) ignore it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeJob:
    """All that a request is made of."""

    job_name: str
    role_arn: str
    image: str
    model_type: str
    base_model: str
    channels: Sequence[tuple[str, str]]
    """Name and S3 URI of each data channel."""
    recipe_uri: str
    output_uri: str
    kms_key_id: str | None
    instance_type: str
    instance_count: int
    max_runtime_seconds: int
    tags: Mapping[str, str]


def create_request(job: RecipeJob) -> dict[str, Any]:
    """The parameters of CreateTrainingJob."""
    output = {"S3OutputPath": job.output_uri}
    if job.kms_key_id:
        output["KmsKeyId"] = job.kms_key_id
    return {
        "TrainingJobName": job.job_name,
        "RoleArn": job.role_arn,
        "AlgorithmSpecification": {"TrainingImage": job.image, "TrainingInputMode": "File"},
        "HyperParameters": {
            "model_type": job.model_type,
            # a recipe that goes on from a checkpoint names that in place of the model
            "base_model_location" if job.base_model.startswith("s3://") else "base_model": job.base_model,
            "sagemaker_recipe_local_path": RECIPE_PATH,
        },
        "InputDataConfig": [
            *(_channel(name, uri, "Converse") for name, uri in job.channels),
            _channel(RECIPE_CHANNEL, job.recipe_uri, "S3Prefix") | {"InputMode": "File"},
        ],
        "OutputDataConfig": output,
        "ResourceConfig": {
            "InstanceType": job.instance_type,
            "InstanceCount": job.instance_count,
            "VolumeSizeInGB": VOLUME_GB,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime_seconds},
        "Tags": [{"Key": key, "Value": value} for key, value in job.tags.items()],
        "ProfilerConfig": {"DisableProfiler": True},
        "RemoteDebugConfig": {"EnableRemoteDebug": False},
    }


def _channel(name: str, uri: str, data_type: str) -> dict[str, Any]:
    source = {"S3DataType": data_type, "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}
