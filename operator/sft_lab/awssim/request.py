"""Who is calling and what: service, region, account, operation and name of a request, from its raw parts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_ACCOUNT_ID = re.compile(r"\d{12}")
_SERVICES = {"monitoring": "cloudwatch"}  # signing names that differ from the service's usual name
DEFAULT_REGION = "us-east-1"

# S3 operations by method, what the path names, and the query key that tells them apart ("" = none).
_S3_BUCKET = {
    ("GET", "list-type"): "ListObjectsV2",
    ("GET", "location"): "GetBucketLocation",
    ("GET", "versioning"): "GetBucketVersioning",
    ("GET", "encryption"): "GetBucketEncryption",
    ("GET", "versions"): "ListObjectVersions",
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", ""): "ListObjects",
    ("HEAD", ""): "HeadBucket",
    ("PUT", "versioning"): "PutBucketVersioning",
    ("PUT", "policy"): "PutBucketPolicy",
    ("PUT", "encryption"): "PutBucketEncryption",
    ("PUT", ""): "CreateBucket",
    ("POST", "delete"): "DeleteObjects",
    ("DELETE", ""): "DeleteBucket",
}
_S3_OBJECT = {
    ("GET", "attributes"): "GetObjectAttributes",
    ("GET", "tagging"): "GetObjectTagging",
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("PUT", "partNumber"): "UploadPart",
    ("PUT", "tagging"): "PutObjectTagging",
    ("PUT", ""): "PutObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("DELETE", ""): "DeleteObject",
}
# Members of a JSON or query request that may be written down, as they hold no secret, no payload.
_SHOWN = frozenset(
    {
        "RoleArn",
        "RoleSessionName",
        "ExternalId",
        "DurationSeconds",
        "QueueUrl",
        "QueueName",
        "Name",
        "Rule",
        "EventPattern",
        "logGroupName",
        "logStreamName",
        "logStreamNamePrefix",
        "logStreamNames",
        "startFromHead",
        "nextToken",
        "limit",
        "startTime",
        "endTime",
        "filterPattern",
        "orderBy",
        "Namespace",
        "MetricName",
        "TopicArn",
        "WaitTimeSeconds",
        "MaxNumberOfMessages",
    }
)


class Asked(NamedTuple):
    """A request's place and meaning. `name` is the thing it is about: a job, `bucket/key`, a log stream."""

    service: str
    operation: str
    name: str
    account: str
    region: str
    access_key: str
    parameters: dict[str, Any]
    protocol: str = "json"  # json | query | s3: the form in which an error is understood


def asked(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    account_of: Callable[[str], str],
) -> Asked:
    """Reads a request as far as routing and the journal need it; never raises for an odd one."""
    path, _, query_text = target.partition("?")
    query = parse_qs(query_text, keep_blank_values=True)
    credential = headers.get("Authorization", "")
    if "X-Amz-Credential" in query:
        credential = f"Credential={query['X-Amz-Credential'][0]},"
    match = _CREDENTIAL.search(credential)
    access_key, region, service = match.groups() if match else ("", DEFAULT_REGION, "")
    service = _SERVICES.get(service, service)
    account = access_key if _ACCOUNT_ID.fullmatch(access_key) else account_of(access_key)
    protocol = "json"
    form_sent = headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    if form_sent and not service:
        service = "sts"  # AssumeRoleWithWebIdentity, the only call of a pod that nobody signs
    rpc_target = headers.get("X-Amz-Target", "")
    if rpc_target.startswith("SageMaker."):
        service = "sagemaker"
    if rpc_target:
        operation, parameters = rpc_target.rpartition(".")[2], _json(body)
        name = _json_name(parameters)
        if service != "sagemaker":
            parameters = {k: v for k, v in parameters.items() if k in _SHOWN}
    elif service in ("s3", ""):
        service = protocol = "s3"
        operation, name, parameters = _s3(method, path, query, headers)
    elif path.startswith("/service/"):  # rpc-v2-cbor: /service/<name>/operation/<operation>
        operation, name, parameters = path.rpartition("/")[2], "", {}
    elif form_sent:
        protocol = "query"
        form = parse_qs(body.decode("utf-8", "replace"))
        operation = form.get("Action", [method])[0]
        parameters = {k: v[0] for k, v in form.items() if k in _SHOWN or k.startswith("Tags.")}
        name = str(parameters.get("RoleArn") or parameters.get("QueueName") or "")
    else:
        operation, name, parameters = f"{method} {path}", "", {}
    # Few values, kept once for each request in the journal.
    account, region, access_key = sys.intern(account), sys.intern(region), sys.intern(access_key)
    return Asked(sys.intern(service), sys.intern(operation), name, account, region, access_key, parameters, protocol)


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _json_name(parameters: dict[str, Any]) -> str:
    for member in ("TrainingJobName", "logStreamName", "logStreamNamePrefix", "QueueUrl", "Name", "NameContains"):
        if isinstance(parameters.get(member), str):
            return str(parameters[member])
    arn = parameters.get("ResourceArn")
    return arn.rpartition("/")[2] if isinstance(arn, str) else ""


def _s3(
    method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str]
) -> tuple[str, str, dict[str, Any]]:
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    parameters: dict[str, Any] = {}
    if bucket:
        parameters["Bucket"] = bucket
    if key:
        parameters["Key"] = key
    for header, member in (("Range", "Range"), ("If-None-Match", "IfNoneMatch"), ("If-Match", "IfMatch")):
        if header in headers:
            parameters[member] = headers[header]
    for header, member in (
        ("x-amz-server-side-encryption", "ServerSideEncryption"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "SSEKMSKeyId"),
    ):
        if header in headers:
            parameters[member] = headers[header]
    for member, name in (("prefix", "Prefix"), ("versionId", "VersionId"), ("partNumber", "PartNumber")):
        if member in query:
            parameters[name] = query[member][0]
    if not bucket:
        return "ListBuckets", "", parameters
    table = _S3_OBJECT if key else _S3_BUCKET
    if key and method == "PUT" and "x-amz-copy-source" in headers:
        return "CopyObject", f"{bucket}/{key}", parameters
    operation = next((op for (m, q), op in table.items() if m == method and q and q in query), None)
    operation = operation or table.get((method, ""), f"{method} {'object' if key else 'bucket'}")
    return operation, f"{bucket}/{key}" if key else bucket, parameters
