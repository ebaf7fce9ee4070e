"""What a lab's programs and shells see: the variables that the lab sets and those it takes away, as pure functions."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from .commands import Layout

REGION = "us-east-1"

# Each of these would lead an AWS or Kubernetes client out of the lab, or make it trust or ask something else.
TAKEN_AWAY = (
    "AWS_CA_BUNDLE",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    *(
        f"AWS_ENDPOINT_URL_{service}"
        for service in ("SAGEMAKER", "BEDROCK", "S3", "STS", "IAM", "KMS", "SQS", "EVENTBRIDGE", "CLOUDWATCH")
    ),
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
    "REQUESTS_CA_BUNDLE",
    *(name for proxy in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (proxy, proxy.upper())),
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
)


def lab_variables(lab: Layout, aws_endpoint: str | None, identity_scope: str) -> dict[str, str]:
    """The variables that lead into the lab; PATH is not among them, because a shell keeps its own behind it."""
    variables = {
        "KUBECONFIG": str(lab.kubeconfig),
        # kubectl remembers the kinds of a server by host and port, and a later lab may get the same port.
        "KUBECACHEDIR": str(lab.home / "kube-cache"),
        "HELM_CACHE_HOME": str(lab.home / "helm" / "cache"),
        "HELM_CONFIG_HOME": str(lab.home / "helm" / "config"),
        "HELM_DATA_HOME": str(lab.home / "helm" / "data"),
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SFT_IDENTITY_SCOPE": identity_scope,
    }
    if aws_endpoint:
        variables["AWS_ENDPOINT_URL"] = aws_endpoint
    return variables


def first_on_path(lab: Layout) -> list[str]:
    """The lab's kubectl and helm, then the scripts and the Python that this lab runs under."""
    return [str(lab.bin), str(Path(sys.executable).parent)]


def program_environment(lab: Layout, variables: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a child: nothing of the machine but a standard PATH."""
    path = os.pathsep.join([*first_on_path(lab), "/usr/local/bin", "/usr/bin", "/bin"])
    return {"PATH": path, "HOME": str(lab.home), "LANG": "C.UTF-8", **variables}


def shell_script(lab: Layout, variables: Mapping[str, str]) -> str:
    """Lines for `. DIR/env` in any POSIX shell."""
    lines = ["# The lab in this folder: load with `. " + shlex.quote(str(lab.shell_env)) + "`"]
    lines += [f"unset {name}" for name in TAKEN_AWAY]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines.append(f'export PATH={shlex.quote(os.pathsep.join(first_on_path(lab)))}:"$PATH"')
    return "\n".join(lines) + "\n"
