"""The Lease on the API server: one is read, created and replaced. What follows from it is in election.py."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from .election import CALL_SECONDS, Record

GROUP, VERSION, PLURAL = "coordination.k8s.io", "v1", "leases"
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Body = Mapping[str, Any]


class LeaseError(Exception):
    """The API server refused (`status`) or did not answer in time (0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Lease:
    """Connections of its own: a renewal must not wait behind the engine's writes.

    Documents go in and come out as they are: what others wrote into the Lease stays, and its times need no reading.
    """

    def __init__(self, configuration: client.Configuration, *, namespace: str, name: str) -> None:
        self.namespace, self.name = namespace, name
        self._api = client.ApiClient(configuration)
        self._objects = client.CustomObjectsApi(self._api)

    async def close(self) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]

    async def read(self) -> Body | None:
        """None where there is none. Raises LeaseError."""
        try:
            return await self._asked(
                self._objects.get_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, PLURAL, self.name, _request_timeout=CALL_SECONDS
                )
            )
        except LeaseError as error:
            if error.status == 404:
                return None
            raise

    async def write(self, known: Body | None, holder: str, seconds: float) -> Body:
        """Names `holder` (empty releases it), provided that the Lease is still as `known`. Raises LeaseError, status
        409 when somebody else was faster."""
        body = written(known, holder, seconds, datetime.now(UTC))
        if known is None:
            body = {**body, "metadata": {"name": self.name, "namespace": self.namespace}}
            request = self._objects.create_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, body, _request_timeout=CALL_SECONDS
            )
        else:
            request = self._objects.replace_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, self.name, body, _request_timeout=CALL_SECONDS
            )
        return await self._asked(request)

    async def _asked(self, request: Awaitable[Any]) -> Body:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                body: Body = await request
                return body
        except ApiException as error:
            raise LeaseError(error.status or 0, f"HTTP {error.status}: {error.reason}") from None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise LeaseError(0, f"no answer of the API server: {type(error).__name__} {error}".rstrip()) from error


def record(body: Body) -> Record:
    """What the document says, its times as opaque text."""
    spec = body.get("spec") or {}
    stamp = [spec.get(name) for name in ("acquireTime", "renewTime", "leaseTransitions")]
    return Record(spec.get("holderIdentity") or "", spec.get("leaseDurationSeconds"), repr(stamp))


def written(known: Body | None, holder: str, seconds: float, now: datetime) -> dict[str, Any]:
    """The document that follows `known`. Its version goes with it, so that the API server refuses it once the Lease has
    changed; times are written for people and other programs."""
    before = dict((known or {}).get("spec") or {})
    instant = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # MicroTime wants six digits, also where they are zeros
    spec = {**before, "holderIdentity": holder, "leaseDurationSeconds": int(seconds), "renewTime": instant}
    if holder and holder != before.get("holderIdentity"):
        spec["acquireTime"] = instant
        spec["leaseTransitions"] = int(before.get("leaseTransitions") or 0) + (1 if known else 0)
    metadata = (known or {}).get("metadata", {})
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Lease", "metadata": metadata, "spec": spec}


def own_namespace() -> str:
    """Of the ServiceAccount in a pod, else of the kubeconfig's context."""
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    _, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    return str(active["context"].get("namespace") or "default")
