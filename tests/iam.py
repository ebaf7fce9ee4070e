"""A small IAM for tests: whether a policy allows a request, and which requests a call of awssim's journal stands for.

It knows what the printed policies use (Allow, wildcards, four kinds of condition) and fails at anything else. What an
operation asks of IAM is written down here a second time, from AWS's service authorization reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sft_lab.awssim.control import Call

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What one call asks of IAM."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)
    principal: str = ""
    """Who asks, for trust policies: `AWS:<arn>`, `Service:<name>`, `Federated:<arn>`."""


@dataclass(frozen=True)
class Grant:
    """The part of a policy that let a request through."""

    sid: str
    action: str
    resource: str


def allowed(policy: Document, request: Request) -> Grant | None:
    """The first grant, None where nothing allows it."""
    return next(grants(policy, request), None)


def grants(policy: Document, request: Request) -> Iterator[Grant]:
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition", "Principal"}, statement
        assert statement["Effect"] == "Allow"
        if not _meets(statement.get("Condition", {}), request.context):
            continue
        if request.principal and f"{request.principal}" not in _principals(statement["Principal"]):
            continue
        for action in statement["Action"]:
            if not _matches(action, request.action):
                continue
            for resource in statement.get("Resource", ["*"] if request.principal else []):
                if _matches(resource, request.resource):
                    yield Grant(statement["Sid"], action, resource)


def every_grant(policy: Document) -> set[Grant]:
    """One for each action on each resource: what a policy without anything unused has been asked for."""
    return {
        Grant(statement["Sid"], action, resource)
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement.get("Resource", ["*"])
    }


def _principals(principal: Mapping[str, str]) -> set[str]:
    return {f"{kind}:{name}" for kind, name in principal.items()}


def _matches(pattern: str, value: str) -> bool:
    parts = re.split(r"(\$\{.\}|\*|\?)", pattern)
    wild = {"*": ".*", "?": "."}
    return (
        re.fullmatch("".join(wild.get(p) or re.escape(p[2] if p.startswith("${") else p) for p in parts), value)
        is not None
    )


def _meets(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    return all(
        key in context and any(_compare(how, wanted, context[key]) for wanted in _list(values))
        for how, tests in conditions.items()
        for key, values in tests.items()
    )


def _compare(how: str, wanted: str, found: str) -> bool:
    match how:
        case "StringEquals" | "ForAnyValue:StringEquals":
            return wanted == found
        case "StringLike":
            return _matches(wanted, found)
    raise AssertionError(f"this evaluator does not know {how}")


def _list(values: str | Sequence[str]) -> Sequence[str]:
    return [values] if isinstance(values, str) else values


LOG_GROUP = "/aws/sagemaker/TrainingJobs"
UNCONTROLLED = {("sts", "GetCallerIdentity")}
"""Operations that need no permission."""


def requests(call: Call, *, aliases: Mapping[str, str] | None = None) -> list[Request]:
    """What the call asked of IAM. `aliases` are KMS aliases with the ARN of their key. Fails for an operation that
    nobody has thought about."""
    name, region, parameters = call.name, call.region, call.parameters
    job = f"arn:aws:sagemaker:{region}:{call.account}:training-job/{name}"
    logs = f"arn:aws:logs:{region}:{call.account}:log-group:{LOG_GROUP}:log-stream:"
    here = {"aws:RequestedRegion": region}
    match call.service, call.operation:
        case "sagemaker", "CreateTrainingJob":
            passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
            tagged = [Request("sagemaker:AddTags", job, here)] if parameters.get("Tags") else []
            return [
                Request("sagemaker:CreateTrainingJob", job, here),
                Request("iam:PassRole", parameters["RoleArn"], passed),
                *tagged,
            ]
        case "sagemaker", "DescribeTrainingJob" | "StopTrainingJob" | "ListTags" | "AddTags":
            return [Request(f"sagemaker:{call.operation}", job, here)]
        case "sagemaker", "ListTrainingJobs":
            return [Request("sagemaker:ListTrainingJobs", "*", here)]
        case "s3", "HeadBucket":
            return [Request("s3:ListBucket", f"arn:aws:s3:::{name}", here)]
        case "s3", "HeadObject" | "GetObject":
            return [Request("s3:GetObject", f"arn:aws:s3:::{name}", here)]
        case "s3", "PutObject":
            key = parameters.get("SSEKMSKeyId")
            return [Request("s3:PutObject", f"arn:aws:s3:::{name}", here), *_key(call, key, aliases or {})]
        case "sts", "AssumeRole":
            return [Request(action, parameters["RoleArn"], here) for action in ("sts:AssumeRole", "sts:TagSession")]
        case "logs", "DescribeLogStreams":
            return [Request("logs:DescribeLogStreams", logs, here)]
        case "logs", "GetLogEvents":
            return [Request("logs:GetLogEvents", f"{logs}{parameters['logStreamName']}", here)]
        case known if known in UNCONTROLLED:
            return []
    raise AssertionError(f"what does {call.service} {call.operation} ask of IAM? Write it here")


def _key(call: Call, key: str | None, aliases: Mapping[str, str]) -> list[Request]:
    """S3 asks KMS for whoever writes and, with multipart or later, reads."""
    if key is None:
        return []
    context = {"kms:ViaService": f"s3.{call.region}.amazonaws.com"}
    if key in aliases:
        context["kms:ResourceAliases"] = key
    arn = aliases.get(key, key if key.startswith("arn:") else f"arn:aws:kms:{call.region}:{call.account}:key/{key}")
    return [Request(action, arn, context) for action in ("kms:GenerateDataKey", "kms:Decrypt")]


NO_RESOURCE = {"sagemaker:ListTrainingJobs", "cloudwatch:PutMetricData", "ecr:GetAuthorizationToken"}
"""Actions for which IAM knows no resource (service authorization reference)."""


def wide(policy: Document, needed: Iterable[str]) -> list[str]:
    """Wildcards that are none of the `needed` endings: actions, and resources beyond what IAM makes one write."""
    found = []
    for statement in policy["Statement"]:
        found += [action for action in statement["Action"] if "*" in action or "?" in action]
        for resource in statement.get("Resource", []):
            if resource == "*":
                found += [] if set(statement["Action"]) <= NO_RESOURCE else [f"{statement['Sid']}: *"]
                continue
            rest = resource
            for ending in needed:
                rest = rest.removesuffix(ending)
            found += [f"{statement['Sid']}: {resource}"] if "*" in rest or "?" in rest else []
    return found
