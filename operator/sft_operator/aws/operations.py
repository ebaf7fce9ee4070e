"""The AWS operations that the operator's process may call, by service in botocore's names; how they are called is elsewhere.

The image keeps botocore's data of these services only (tools/image/prune_packages.py reads this file by itself, so it
imports nothing of ours), and the error table must know every error of every operation. A test holds the calls in the
source to this list.
"""

from collections.abc import Mapping

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "sagemaker": (
        "AddTags",
        "CreateTrainingJob",
        "DescribeTrainingJob",
        "ListTags",
        "ListTrainingJobs",
        "StopTrainingJob",
    ),
    "s3": ("GetObject", "HeadBucket", "HeadObject", "PutObject"),
    "sts": ("GetCallerIdentity",),
    "logs": ("DescribeLogStreams", "GetLogEvents"),
}

CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "sts": ("AssumeRole", "AssumeRoleWithWebIdentity"),
    "sso": ("GetRoleCredentials",),
    "sso-oidc": ("CreateToken",),
    "signin": ("CreateOAuth2Token",),
}
"""What botocore calls by itself to get credentials: IRSA, a profile with a role, and a person's login with `sft`."""
