"""The Kubernetes API as the engine needs it: patches, listing, Events. Decides nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from ..api.conditions import timestamp
from ..api.crd import GROUP, KIND, PLURAL, PROFILE_PLURAL, VERSION
from ..api.metadata import FINALIZER
from .reconcile.events import Event

MERGE_PATCH = "application/merge-patch+json"
PAGE = 500


class StartError(Exception):
    """The process cannot start; the text says what is missing."""


class KubeError(Exception):
    """The API server refused or did not answer. `status` is the HTTP code, 0 without an answer."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"Kubernetes API: {status or 'no answer'}: {message}")
        self.status = status
        self.retry_after = retry_after


class Kube:
    """One API server, one connection pool. Every call is bounded in time."""

    def __init__(
        self, configuration: client.Configuration, *, call_timeout: float, namespaces: Sequence[str] = ()
    ) -> None:
        configuration.connection_pool_maxsize = 32
        configuration.retries = None
        # Amazon EKS's certificates have no key identifiers, and since 3.13 Python's strict flag refuses such.
        configuration.disable_strict_ssl_verification = True
        self._configuration = configuration
        self._api = client.ApiClient(configuration)
        self._objects = client.CustomObjectsApi(self._api)
        self._core = client.CoreV1Api(self._api)
        self._timeout = call_timeout
        self._namespaces = tuple(namespaces)

    @classmethod
    async def connect(cls, *, call_timeout: float, namespaces: Sequence[str] = ()) -> Kube:
        """In a pod by its ServiceAccount, elsewhere by KUBECONFIG. Raises StartError without either. With `namespaces`
        nothing is asked of the cluster as a whole."""
        configuration = client.Configuration()
        try:
            if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise StartError(
                f"no Kubernetes cluster to talk to: {error}; set KUBECONFIG, or run in a pod with a ServiceAccount"
            ) from error
        return cls(configuration, call_timeout=call_timeout, namespaces=namespaces)

    async def close(self) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]

    @property
    def configuration(self) -> client.Configuration:
        """For clients with connections of their own."""
        return self._configuration

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """What is listed one by one: namespaces, or None for the whole cluster."""
        return self._namespaces or (None,)

    async def served(self) -> bool:
        """Whether the API server serves SFTJobs and SFTProfiles. Raises KubeError when it cannot say."""
        try:
            async for _ in self.list_profiles():
                break
        except KubeError as error:
            if error.status == 404:
                return False
            raise
        refused: KubeError | None = None
        for scope in self.scopes:
            try:
                await self._page(scope, limit=1)
            except KubeError as error:
                if error.status == 404:
                    return False
                refused = error
            else:
                return True
        raise refused or KubeError(0, "nothing to list")

    async def admitted(self) -> tuple[str, ...]:
        """Those of our namespaces that we may read: a namespace that is deleted takes our Role in it with it. Raises
        KubeError when the API server cannot say."""
        found = []
        for namespace in self._namespaces:
            try:
                await self._page(namespace, limit=1)
            except KubeError as error:
                if error.status == 403:
                    continue
                if error.status != 404:
                    raise
            found.append(namespace)
        return tuple(found)

    async def list_all(self, scope: str | None = None) -> AsyncIterator[Mapping[str, Any]]:
        """The SFTJobs of one of our scopes."""
        token: str | None = None
        while True:
            page = await self._page(scope, limit=PAGE, _continue=token)
            for item in page["items"]:
                yield item
            token = page["metadata"].get("continue")
            if not token:
                return

    async def list_profiles(self) -> AsyncIterator[Mapping[str, Any]]:
        """All SFTProfiles; there are few."""
        page = await self._call(
            self._objects.list_cluster_custom_object(GROUP, VERSION, PROFILE_PLURAL, _request_timeout=self._timeout)
        )
        for item in page["items"]:
            yield item

    async def namespace_labels(self, name: str) -> Mapping[str, str]:
        namespace = await self._call(self._core.read_namespace(name, _request_timeout=self._timeout))
        return namespace.metadata.labels or {}

    async def _page(self, namespace: str | None, **options: Any) -> Mapping[str, Any]:
        options["_request_timeout"] = self._timeout
        page: Mapping[str, Any] = await self._call(
            self._objects.list_cluster_custom_object(GROUP, VERSION, PLURAL, **options)
            if namespace is None
            else self._objects.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, **options)
        )
        return page

    async def patch_status(self, metadata: Mapping[str, Any], patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge-patches the status of the resource with this name and UID; returns it as it is then. A resource that
        was deleted and made again meanwhile is a conflict, not a namesake to write to."""
        body = {"metadata": {"uid": metadata["uid"]}, "status": patch}
        return await self._patched(
            self._objects.patch_namespaced_custom_object_status(
                GROUP, VERSION, metadata["namespace"], PLURAL, metadata["name"], body,
                _content_type=MERGE_PATCH, _request_timeout=self._timeout,
            )
        )  # fmt: skip

    async def set_finalizer(self, body: Mapping[str, Any], *, present: bool) -> Mapping[str, Any]:
        """Adds or removes our finalizer, and nobody else's: the version must be the one that was read."""
        metadata = body["metadata"]
        others = [name for name in metadata.get("finalizers", ()) if name != FINALIZER]
        patch = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": [*others, FINALIZER] if present else others or None,
            }
        }
        return await self._patched(
            self._objects.patch_namespaced_custom_object(
                GROUP, VERSION, metadata["namespace"], PLURAL, metadata["name"], patch,
                _content_type=MERGE_PATCH, _request_timeout=self._timeout,
            )
        )  # fmt: skip

    async def tell(self, body: Mapping[str, Any], event: Event) -> None:
        """Posts one Event about a resource."""
        metadata = body["metadata"]
        now = timestamp(datetime.now(UTC))
        document: Any = {
            "metadata": {"generateName": f"{metadata['name'][:200]}-", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message[:1024],
            "source": {"component": "sft-operator"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._call(
            self._core.create_namespaced_event(metadata["namespace"], document, _request_timeout=self._timeout)
        )

    async def may_get(self, token: str, path: str) -> bool:
        """Whether the API server knows this bearer token, and lets its user get this path of any server."""
        document: Any = {"spec": {"token": token}}
        review = await self._call(
            client.AuthenticationV1Api(self._api).create_token_review(document, _request_timeout=self._timeout)
        )
        user = review.status.user if review.status and review.status.authenticated else None
        if user is None:
            return False
        who = {"user": user.username, "uid": user.uid, "groups": user.groups, "extra": user.extra}
        document = {"spec": {**who, "nonResourceAttributes": {"path": path, "verb": "get"}}}
        asked = await self._call(
            client.AuthorizationV1Api(self._api).create_subject_access_review(document, _request_timeout=self._timeout)
        )
        return bool(asked.status and asked.status.allowed)

    async def _patched(self, request: Awaitable[Any]) -> Mapping[str, Any]:
        body: Mapping[str, Any] = await self._call(request)
        return body

    async def _call(self, request: Awaitable[Any]) -> Any:
        try:
            return await request
        except ApiException as error:
            header = (error.headers or {}).get("Retry-After", "")
            raise KubeError(
                error.status or 0, _reason(error), float(header) if str(header).isdigit() else 0.0
            ) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise KubeError(0, f"{type(error).__name__}: {error}") from error


def _reason(error: ApiException) -> str:
    body = error.body
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or error.reason)
    return text[:1000]


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch from one document to another: keys that vanish are null, lists are replaced whole."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before:
            patch[key] = value
        elif isinstance(value, Mapping) and isinstance(before[key], Mapping):
            inner = merge_patch(before[key], value)
            if inner:
                patch[key] = inner
        elif value != before[key]:
            patch[key] = value
    return patch
