"""What this process knows of SFTProfiles and of the namespaces that they choose by label; what they mean is in policy/."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..policy.profiles import Profile, parse
from .kube import Kube, KubeError
from .store import newer

LABELS_SECONDS = 30.0
"""How long a namespace's labels are believed."""


class Profiles:
    """SFTProfiles as last served. `changed` is called when one of them is no longer what it was."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._known: dict[str, Profile] = {}
        self._versions: dict[str, str] = {}
        """Of the last news of each name, also that it is gone: a list that was on its way meanwhile is no news."""
        self._changed = changed

    @property
    def all(self) -> tuple[Profile, ...]:
        return tuple(self._known.values())

    def put(self, body: Mapping[str, Any]) -> None:
        if not self._is_news(body["metadata"]):
            return
        profile = parse(body)
        if self._known.get(profile.name) != profile:
            self._known[profile.name] = profile
            self._changed()

    def remove(self, body: Mapping[str, Any]) -> None:
        if self._is_news(body["metadata"]):
            self._drop(body["metadata"]["name"])

    async def reread(self, kube: Kube) -> None:
        """Takes a whole list: what was known before and is not in it is gone. Raises KubeError."""
        before = set(self._known)
        listed = [body async for body in kube.list_profiles()]
        for name in before - {body["metadata"]["name"] for body in listed}:
            self._drop(name)
        for body in listed:
            self.put(body)

    def _drop(self, name: str) -> None:
        if self._known.pop(name, None) is not None:
            self._changed()

    def _is_news(self, metadata: Mapping[str, Any]) -> bool:
        name, version = metadata["name"], metadata.get("resourceVersion", "")
        if not newer(version, self._versions.get(name, "")):
            return False
        self._versions[name] = version
        return True


class NamespaceLabels:
    """Labels of namespaces, read when a profile chooses by label."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._known: dict[str, tuple[float, Mapping[str, str]]] = {}

    async def of(self, namespace: str) -> Mapping[str, str]:
        """No labels for a namespace that is gone. Raises KubeError when the API server does not tell."""
        known = self._known.get(namespace)
        if known is not None and time.monotonic() - known[0] < LABELS_SECONDS:
            return known[1]
        try:
            labels = await self._kube.namespace_labels(namespace)
        except KubeError as error:
            if error.status != 404:
                raise
            labels = {}
        self._known[namespace] = (time.monotonic(), labels)
        return labels
