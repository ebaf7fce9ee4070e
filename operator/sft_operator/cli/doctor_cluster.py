"""What the operator needs of the API server, asked by access reviews; and the SFTProfiles that are there."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from ..api.crd import GROUP, PLURAL, PROFILE_PLURAL, VERSION
from ..api.neutral import neutral
from .doctor_row import Row, Verdict

PART = "API server"
TIMEOUT = 15.0
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ClusterError(Exception):
    """There is no API server to ask; the text says why."""


class Where(Enum):
    CLUSTER = auto()
    JOBS = auto()
    """Wherever SFTJobs are served: the whole cluster, or each namespace of SFT_NAMESPACES."""
    RELEASE = auto()
    """The operator's own namespace."""


@dataclass(frozen=True, slots=True)
class Right:
    """A rule of the chart. `named`: for the Lease only."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    where: Where
    subresource: str = ""
    named: bool = False
    metrics: bool = False
    """Only with SFT_METRICS_AUTH=TokenReview."""

    @property
    def kind(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


RIGHTS = (
    Right(GROUP, PROFILE_PLURAL, ("get", "list", "watch"), Where.CLUSTER),
    Right("apiextensions.k8s.io", "customresourcedefinitions", ("list", "watch"), Where.CLUSTER),
    Right("", "namespaces", ("get",), Where.JOBS),
    Right(GROUP, PLURAL, ("get", "list", "watch", "patch"), Where.JOBS),
    Right(GROUP, PLURAL, ("patch",), Where.JOBS, "status"),
    Right(GROUP, PLURAL, ("update",), Where.JOBS, "finalizers"),
    Right("", "events", ("create",), Where.JOBS),
    Right("coordination.k8s.io", "leases", ("create",), Where.RELEASE),
    Right("coordination.k8s.io", "leases", ("get", "update"), Where.RELEASE, named=True),
    Right("authentication.k8s.io", "tokenreviews", ("create",), Where.CLUSTER, metrics=True),
    Right("authorization.k8s.io", "subjectaccessreviews", ("create",), Where.CLUSTER, metrics=True),
)


@dataclass(frozen=True, slots=True)
class Installation:
    """Which operator is asked about. `service_account` (namespace, name): that one, else whoever asks."""

    namespaces: tuple[str, ...]
    leases: bool
    """Whether a Lease says who leads."""
    lease_name: str
    lease_namespace: str | None
    metrics_auth: bool
    service_account: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    rows: tuple[Row, ...]
    profiles: tuple[Mapping[str, Any], ...]


def examine(installation: Installation) -> Found:
    """Raises ClusterError without an API server that answers."""
    return asyncio.run(_examine(installation))


async def _examine(installation: Installation) -> Found:
    configuration = client.Configuration()
    # Amazon EKS's certificates have no key identifiers, and since 3.13 Python's strict flag refuses such.
    configuration.disable_strict_ssl_verification = True
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise ClusterError(f"{error}; set KUBECONFIG, or run in the operator's pod") from error
    api = client.ApiClient(configuration)
    try:
        async with asyncio.timeout(4 * TIMEOUT):
            return Found(tuple(await _rights(api, installation)), tuple(await _profiles(api)))
    except ApiException as error:
        raise ClusterError(neutral(f"{error.status}: {error.reason}")) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ClusterError(neutral(f"no answer: {error or type(error).__name__}")) from error
    finally:
        await api.close()  # type: ignore[no-untyped-call]


async def _profiles(api: client.ApiClient) -> list[Mapping[str, Any]]:
    """Empty where they may not be listed or are not served; the rights say so."""
    objects = client.CustomObjectsApi(api)
    page: Any = None
    while page is None:  # the caller bounds the time
        try:
            page = await objects.list_cluster_custom_object(GROUP, VERSION, PROFILE_PLURAL, _request_timeout=TIMEOUT)
        except ApiException as error:
            if error.status in (403, 404):
                return []
            if error.status != 429:  # a CRD that was just created is answered so until its storage is there
                raise
            await asyncio.sleep(1)
    return list(page["items"])


async def _rights(api: client.ApiClient, installation: Installation) -> list[Row]:
    reviews = client.AuthorizationV1Api(api)
    who = await _who(api, installation)
    return [
        await _row(reviews, right, namespace, installation, who)
        for right in RIGHTS
        if (installation.metrics_auth or not right.metrics) and (installation.leases or right.resource != "leases")
        for namespace in _namespaces(right.where, installation)
    ]


async def _who(api: client.ApiClient, installation: Installation) -> str:
    if installation.service_account is not None:
        return _user(installation.service_account)
    review: Any = await client.AuthenticationV1Api(api).create_self_subject_review(
        client.V1SelfSubjectReview(), _request_timeout=TIMEOUT
    )
    return str(review.status.user_info.username)


def _namespaces(where: Where, installation: Installation) -> Sequence[str]:
    """Empty text: all of them, or a resource that has none."""
    match where:
        case Where.CLUSTER:
            return ("",)
        case Where.JOBS:
            return installation.namespaces or ("",)
        case Where.RELEASE:
            return (installation.lease_namespace or _own_namespace(),)


def _own_namespace() -> str:
    """As the operator finds it: of its ServiceAccount, else of the kubeconfig's context."""
    if not os.environ.get("KUBECONFIG") and _POD_NAMESPACE.is_file():
        return _POD_NAMESPACE.read_text().strip()
    _, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    return str(active["context"].get("namespace") or "default")


async def _row(
    reviews: client.AuthorizationV1Api, right: Right, namespace: str, installation: Installation, who: str
) -> Row:
    name = installation.lease_name if right.named else ""
    refused = [verb for verb in right.verbs if not await _allowed(reviews, right, verb, namespace, name, installation)]
    where = f" in namespace {namespace}" if namespace else ""
    group = f".{right.group}" if right.group else ""
    below = f"/{right.subresource}" if right.subresource else ""
    return Row(
        part=f"{PART}, as {who}",
        verdict=Verdict.DENIED if refused else Verdict.WORKS,
        permission=", ".join(right.verbs),
        on=f"{right.resource}{group}{below}{f' {name}' if name else ''}{where}",
        note=f"not {', '.join(refused)}" if refused and len(refused) < len(right.verbs) else "",
        missing=_rule(right, refused, name) if refused else "",
    )


def _rule(right: Right, verbs: Sequence[str], name: str) -> str:
    """The rule of a Role or ClusterRole that is not there."""
    return json.dumps(
        {
            "apiGroups": [right.group],
            "resources": [right.kind],
            **({"resourceNames": [name]} if name else {}),
            "verbs": list(verbs),
        }
    )


async def _allowed(
    reviews: client.AuthorizationV1Api,
    right: Right,
    verb: str,
    namespace: str,
    name: str,
    installation: Installation,
) -> bool:
    review: Any
    asked = client.V1ResourceAttributes(
        group=right.group,
        resource=right.resource,
        subresource=right.subresource or None,
        verb=verb,
        namespace=namespace or None,
        name=name or None,
    )
    if installation.service_account is None:
        review = await reviews.create_self_subject_access_review(
            client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked)),
            _request_timeout=TIMEOUT,
        )
    else:
        space = installation.service_account[0]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{space}", "system:authenticated"]
        user = _user(installation.service_account)
        spec = client.V1SubjectAccessReviewSpec(resource_attributes=asked, user=user, groups=groups)
        review = await reviews.create_subject_access_review(
            client.V1SubjectAccessReview(spec=spec), _request_timeout=TIMEOUT
        )
    return bool(review.status.allowed)


def _user(service_account: tuple[str, str]) -> str:
    return f"system:serviceaccount:{service_account[0]}:{service_account[1]}"


def unanswered(why: ClusterError) -> Iterator[Row]:
    yield Row(part=PART, verdict=Verdict.UNKNOWN, permission="all rights", on="", note=str(why))
