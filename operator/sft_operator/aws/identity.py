"""Where things live in AWS: partition of a region, account of a role, ARN of a training job. Pure."""

from __future__ import annotations

# Prefix of a region's name -> (partition, domain of the console); everything else is the commercial partition.
_PARTITIONS = {
    "cn-": ("aws-cn", "console.amazonaws.cn"),
    "us-gov-": ("aws-us-gov", "console.amazonaws-us-gov.com"),
}
_COMMERCIAL = ("aws", "console.aws.amazon.com")

TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
"""CloudWatch log group of all training jobs of an account and region."""


def partition(region: str) -> str:
    return _of(region)[0]


def console_host(region: str) -> str:
    """Host of the console for a region."""
    name, domain = _of(region)
    return f"{region}.{domain}" if name == "aws" else domain


def account_of(role_arn: str) -> str:
    """The account in an IAM role's ARN. PassRole never crosses accounts, so it is the account of the run."""
    return role_arn.split(":")[4]


def partition_of(arn: str) -> str:
    """The partition that an ARN is of."""
    return arn.split(":")[1]


def training_job_arn(account: str, region: str, name: str) -> str:
    return f"arn:{partition(region)}:sagemaker:{region}:{account}:training-job/{name}"


def object_arn(region: str, bucket: str, key: str) -> str:
    return f"arn:{partition(region)}:s3:::{bucket}/{key}"


def _of(region: str) -> tuple[str, str]:
    return next((found for prefix, found in _PARTITIONS.items() if region.startswith(prefix)), _COMMERCIAL)
