"""Rules of CreateTrainingJob that the service model does not state: cross-field, role, existence of data."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlparse

from sft_lab.awssim.errors import AWSError, validation

MAX_RUNTIME = 28 * 86400  # seconds, documentation of StoppingCondition
RESERVED_TAG_PREFIX = "aws:"


class Storage(Protocol):
    """What the rules ask S3."""

    def bucket_region(self, bucket: str) -> str | None:
        """None when there is no such bucket."""

    def has_objects(self, bucket: str, prefix: str) -> bool:
        """Whether an object's key starts with the prefix."""

    def read(self, bucket: str, key: str) -> bytes | None:
        """The object, or None when there is none."""


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 URI (`s3://bucket/key`, or an https address with the bucket as first path part)."""
    parsed = urlparse(uri)
    if parsed.scheme == "s3":
        return parsed.netloc, parsed.path.lstrip("/")
    bucket, _, key = parsed.path.lstrip("/").partition("/")
    return bucket, key


def check_request(request: dict[str, Any], account: str) -> None:
    """Cross-field rules. Raises the first that does not hold as ValidationException."""
    if "ServerlessJobConfig" in request:
        _check_serverless(request)
    else:
        _check_instances(request)
    _check_stopping(request)
    _check_channels(request)
    _check_tags(request)
    role = request["RoleArn"].split(":")
    if len(role) > 4 and role[4] != account:
        raise AWSError("ValidationException", f"Cross-account pass role is not allowed: {request['RoleArn']}")


def _check_serverless(request: dict[str, Any]) -> None:
    for member in ("AlgorithmSpecification", "ResourceConfig"):
        if member in request:
            raise validation(f"{member} must not be specified with ServerlessJobConfig")
    config = request["ServerlessJobConfig"]
    if config["JobType"] == "FineTuning" and "ModelPackageConfig" not in request:
        raise validation("ModelPackageConfig is required with ServerlessJobConfig for FineTuning jobs")


def _check_instances(request: dict[str, Any]) -> None:
    for member in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if member not in request:
            raise validation(f"{member} is required unless ServerlessJobConfig is specified")
    algorithm, resources = request["AlgorithmSpecification"], request["ResourceConfig"]
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        raise validation("You must specify exactly one of TrainingImage and AlgorithmName in AlgorithmSpecification")
    kinds = [m for m in ("InstanceType", "InstanceGroups", "InstancePreferences") if resources.get(m)]
    if len(kinds) != 1:
        found = ", ".join(kinds) or "none"
        raise validation(
            "Exactly one of InstanceType, InstanceGroups and InstancePreferences must be specified in ResourceConfig, "
            f"found: {found}"
        )
    if kinds == ["InstanceType"] and resources.get("InstanceCount", 0) < 1:
        raise validation("InstanceCount must be at least 1 when InstanceType is specified in ResourceConfig")
    if request.get("EnableManagedSpotTraining") and kinds == ["InstancePreferences"]:
        raise validation("InstancePreferences cannot be used with managed spot training")


def _check_stopping(request: dict[str, Any]) -> None:
    stopping = request.get("StoppingCondition", {})
    runtime, wait = stopping.get("MaxRuntimeInSeconds", 86400), stopping.get("MaxWaitTimeInSeconds")
    if runtime > MAX_RUNTIME:
        raise validation(f"MaxRuntimeInSeconds {runtime} is greater than the maximum of {MAX_RUNTIME}")
    if request.get("EnableManagedSpotTraining"):
        if wait is None:
            raise validation("MaxWaitTimeInSeconds must be specified when EnableManagedSpotTraining is true")
        if wait < runtime:
            raise validation(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
            )
        if request["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
            raise validation("KeepAlivePeriodInSeconds cannot be used with managed spot training")
    elif wait is not None:
        raise validation("MaxWaitTimeInSeconds is valid only when EnableManagedSpotTraining is true")


def _check_channels(request: dict[str, Any]) -> None:
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", ())]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise validation(f"Duplicate channel names in InputDataConfig: {', '.join(twice)}")
    for channel in request.get("InputDataConfig", ()):
        if "FileSystemDataSource" in channel["DataSource"] and "VpcConfig" not in request:
            raise validation(f"VpcConfig is required for the file system of channel {channel['ChannelName']}")
        if len(channel["DataSource"]) != 1:
            raise validation(f"Exactly one data source must be specified for channel {channel['ChannelName']}")


def _check_tags(request: dict[str, Any]) -> None:
    keys = [tag["Key"] for tag in request.get("Tags", ())]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise validation(f"Duplicate tag keys found: {', '.join(twice)}")
    reserved = [key for key in keys if key.lower().startswith(RESERVED_TAG_PREFIX)]
    if reserved:
        raise validation(f"Tag keys that start with aws: are reserved: {', '.join(reserved)}")


def check_data(request: dict[str, Any], region: str, storage: Storage) -> None:
    """Every S3 channel has an object and the output bucket exists, both in the job's region."""
    for channel in request.get("InputDataConfig", ()):
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            continue
        bucket, prefix = split_uri(source["S3Uri"])
        if storage.bucket_region(bucket) != region or not storage.has_objects(bucket, prefix):
            raise validation(
                f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. Please ensure that '
                f"the bucket exists in the selected region ({region}), that objects exist under that S3 prefix, and "
                f'that the role "{request["RoleArn"]}" has "s3:ListBucket" permissions on bucket "{bucket}".'
            )
    for member, path in (
        ("OutputDataConfig", request["OutputDataConfig"]["S3OutputPath"]),
        ("CheckpointConfig", request.get("CheckpointConfig", {}).get("S3Uri")),
    ):
        if path is None:
            continue
        bucket, _ = split_uri(path)
        found = storage.bucket_region(bucket)
        if found is None:
            raise validation(f"Access denied to {member} S3 bucket: {bucket}. The specified bucket does not exist.")
        if found != region:
            raise validation(f"The {member} S3 bucket {bucket} is in region {found}; it must be in {region}.")
