"""One harmless AWS call for each permission of a scope: nothing is launched, stopped, tagged, written or read.

Names of things that do not exist tell most: AWS looks at the permission first, and only then for the thing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..aws.answers import answered
from ..aws.errors import AWSError
from ..aws.identity import TRAINING_LOG_GROUP, training_job_arn
from ..aws.policies import Statement, assuming, without_covered
from ..aws.sessions import Clients, ClientSettings, default_region
from ..platforms.sagemaker.permissions import operator
from ..platforms.sagemaker.scope import Scope
from .doctor_row import Row, Verdict
from .scopes import ANY, Claim

SETTINGS = ClientSettings(total_max_attempts=2, connect_timeout=3.0, read_timeout=10.0)

_DENIED = ("AccessDenied", "NotAuthorized", "UnauthorizedOperation", "403")
_NOT_THERE = frozenset({"ValidationException", "ResourceNotFound", "ResourceNotFoundException", "404", "NoSuchKey"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A call that shows whether a permission is there. `sid` and `action` say where it stands in the policy; `proof`
    are error codes that AWS gives only to those who have the permission."""

    sid: str
    action: str
    on: str
    service: str
    operation: str
    arguments: Mapping[str, Any]
    proof: frozenset[str] = _NOT_THERE


@dataclass(frozen=True, slots=True)
class Untold:
    """A permission that no harmless call shows."""

    action: str
    on: str
    why: str


def probes(scope: Scope, region: str, nothing: str) -> Iterator[Probe | Untold]:
    """`nothing` is a name that no job, object or log has; it begins with sft-, as the names in the policy do."""
    arn = training_job_arn(scope.account, region, nothing)
    named, one = f"training-job/{nothing} in {region}", {"TrainingJobName": nothing}
    job = partial(Probe, sid="FollowTrainingJobs", on=named, service="sagemaker")
    yield job(action="sagemaker:DescribeTrainingJob", operation="describe_training_job", arguments=one)
    yield job(action="sagemaker:StopTrainingJob", operation="stop_training_job", arguments=one)
    yield job(action="sagemaker:ListTags", operation="list_tags", arguments={"ResourceArn": arn})
    tags = [{"Key": "sft-operator.dev/doctor", "Value": "nothing"}]
    yield job(action="sagemaker:AddTags", operation="add_tags", arguments={"ResourceArn": arn, "Tags": tags})
    yield Untold("sagemaker:CreateTrainingJob", f"training-job/sft-* in {region}", "only a launch tells")
    yield Probe(
        sid="ListTrainingJobs",
        action="sagemaker:ListTrainingJobs",
        on=f"all in {region}",
        service="sagemaker",
        operation="list_training_jobs",
        arguments={"NameContains": nothing, "MaxResults": 1},
    )
    for role in without_covered(scope.role_arns):
        yield Untold("iam:PassRole", role, "only a launch tells")
    yield from _s3(scope, nothing)
    logs = partial(Probe, service="logs", on=f"{TRAINING_LOG_GROUP} in {region}")
    group = {"logGroupName": TRAINING_LOG_GROUP}
    yield logs(
        sid="FindLogs",
        action="logs:DescribeLogStreams",
        operation="describe_log_streams",
        arguments={**group, "logStreamNamePrefix": f"{nothing}/"},
    )
    yield logs(
        sid="ReadLogs",
        action="logs:GetLogEvents",
        operation="get_log_events",
        arguments={**group, "logStreamName": f"{nothing}/algo-1"},
    )


def _s3(scope: Scope, nothing: str) -> Iterator[Probe | Untold]:
    for arn in dict.fromkeys(scope.buckets()):
        bucket = arn.rpartition(":")[2]
        if ANY in bucket:
            yield Untold("s3:ListBucket", arn, "the profile names no bucket")
        else:
            yield Probe(
                sid="FindBuckets",
                action="s3:ListBucket",
                on=arn,
                service="s3",
                operation="head_bucket",
                arguments={"Bucket": bucket},
                proof=frozenset(),
            )
    results = scope.below_output("output/output.tar.gz")
    kinds = (
        ("ReadData", "s3:GetObject", "head_object", scope.data()),
        ("ReadResults", "s3:GetObject", "head_object", without_covered(results, scope.data())),
        ("WriteRecipes", "s3:PutObject", "put_object", scope.below_output("recipe/*")),
    )
    for sid, action, operation, arns in kinds:
        for bucket, key in dict.fromkeys(filter(None, (_example(arn, nothing) for arn in arns))):
            put = operation == "put_object"
            yield Probe(
                sid=sid,
                action=action,
                on=f"s3://{bucket}/{key}",
                service="s3",
                operation=operation,
                arguments={"Bucket": bucket, "Key": key, **(_never_stored(scope) if put else {})},
                proof=frozenset({"BadDigest"}) if put else _NOT_THERE,
            )
    for key in scope.kms_keys:
        for action in ("kms:GenerateDataKey", "kms:Decrypt"):
            yield Untold(action, key, "S3 asks for it with the first recipe and result")
    for key in scope.data_keys:
        yield Untold("kms:Decrypt", key, "S3 asks for it with the first data set")


def _never_stored(scope: Scope) -> dict[str, Any]:
    """An object whose digest is wrong: S3 refuses it, but only to those who may write it."""
    wrong = base64.b64encode(hashlib.md5(b"not what is sent", usedforsecurity=False).digest()).decode()
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": scope.kms_keys[0]} if scope.kms_keys else {}
    return {"Body": b"sft doctor", "ContentMD5": wrong, **encryption}


def _example(arn: str, nothing: str) -> tuple[str, str] | None:
    """Bucket and key of one object that the pattern names; None where it leaves the bucket open."""
    bucket, _, key = arn.partition(":::")[2].partition("/")
    if ANY in bucket:
        return None
    # `${*}` is IAM's way to write a star that stands for itself
    filled = re.sub(r"\$\{(.)\}|\*?sft-\*|\*", lambda found: found[1] or nothing, key)
    return bucket, filled


def examine(claims: Sequence[Claim], *, clients: Clients | None = None) -> Iterator[Row]:
    """Asks, one call after the other; an answer takes up to 20 s where there is no network."""
    clients = clients or Clients(SETTINGS)
    nothing = f"sft-doctor-{secrets.token_hex(5)}"
    for claim in dict.fromkeys(claims):
        yield from _examine(claim, claims, clients, nothing)


def _examine(claim: Claim, claims: Sequence[Claim], clients: Clients, nothing: str) -> Iterator[Row]:
    scope, region = claim.scope, claim.region or default_region()
    part = f"AWS, {scope.source}"
    if region is None:
        text = "give the profile a region (defaults.sageMaker.region), or set AWS_REGION"
        yield Row(part=part, verdict=Verdict.UNKNOWN, permission="everything", on=scope.account, note=text)
        return
    identity = list(_identity(claim, part, region, clients))
    yield from identity
    if any(row.verdict is not Verdict.WORKS for row in identity):
        return
    statements = operator([other.scope for other in claims if other.access == claim.access])
    hidden: set[Any] = set()  # buckets of which S3 does not tell what is in them
    for asked in probes(scope, region, nothing):
        if isinstance(asked, Untold):
            yield Row(
                part=part, verdict=Verdict.UNKNOWN, permission=asked.action, on=asked.on, note=asked.why, by_nature=True
            )
            continue
        client = clients.get(asked.service, region, access=claim.access)
        row = _asked(asked, partial(getattr(client, asked.operation), **asked.arguments), part)
        if row.verdict is Verdict.DENIED:
            row = replace(row, missing=_missing(statements, asked))
            bucket = asked.arguments.get("Bucket")
            if asked.operation == "head_bucket":
                hidden.add(bucket)
            elif asked.operation == "head_object" and bucket in hidden:
                text = "without s3:ListBucket S3 does not tell a forbidden object from a missing one"
                row = replace(row, verdict=Verdict.UNKNOWN, note=text)
        yield row


def _identity(claim: Claim, part: str, region: str, clients: Clients) -> Iterator[Row]:
    """Whether the identity of the claim is there at all, and of the account of its runs."""
    access, account = claim.access, claim.scope.account
    permission = "credentials" if access is None else "sts:AssumeRole, sts:TagSession"
    on = "the shell's or pod's own" if access is None else access.role_arn
    row = Row(part=part, verdict=Verdict.WORKS, permission=permission, on=on)
    try:
        who = answered(
            "sts", "GetCallerIdentity", lambda: clients.get("sts", region, access=access).get_caller_identity()
        )
    except AWSError as error:
        if error.operation == "AssumeRole" and _is_denial(error):
            missing = f"{_document(assuming((on,)))}, and its trust policy must let the operator in (sft setup aws)"
            yield replace(row, verdict=Verdict.DENIED, note=_said(error), missing=missing)
        else:
            yield replace(row, verdict=Verdict.UNKNOWN, note=_said(error))
        return
    if str(who["Account"]) == account:
        yield replace(row, note=f"as {who['Arn']}")
    else:
        text = f"as {who['Arn']}, but the runs are in account {account}"
        missing = f"a profile whose access.assumeRoleARN is a role of account {account}, or credentials of it"
        yield replace(row, verdict=Verdict.DENIED, note=text, missing=missing)


def _asked(probe: Probe, call: Callable[[], Any], part: str) -> Row:
    row = Row(part=part, verdict=Verdict.WORKS, permission=probe.action, on=probe.on)
    try:
        answered(probe.service, probe.operation, call)
    except AWSError as error:
        if _is_denial(error):
            return replace(row, verdict=Verdict.DENIED, note=_said(error))
        if error.code in probe.proof:
            return row
        if probe.operation == "head_bucket" and error.code == "404":
            return replace(row, verdict=Verdict.UNKNOWN, note="the bucket does not exist")
        return replace(row, verdict=Verdict.UNKNOWN, note=_said(error))
    return row


def _is_denial(error: AWSError) -> bool:
    return error.code.startswith(_DENIED)


def _said(error: AWSError) -> str:
    return f"{error.code}: {error.message}" if error.message else error.code


def _missing(statements: Sequence[Statement], probe: Probe) -> str:
    """The statement of the policy that holds the action, with that action alone."""
    fitting = [statement for statement in statements if probe.action in statement.actions]
    found = next((statement for statement in fitting if statement.sid == probe.sid), fitting[0])
    return _document(replace(found, actions=(probe.action,)))


def _document(statement: Statement) -> str:
    return json.dumps(statement.document())
