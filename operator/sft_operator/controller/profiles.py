"""What this process knows of SFTProfiles and of the namespaces that they choose by label; what they mean is in policy/."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..policy.profiles import Profile, parse
from .kube import Kube, KubeError

LABELS_SECONDS = 30.0
"""How long a namespace's labels are believed."""


class Profiles:
    """SFTProfiles as last served. `changed` is called when one of them is no longer what it was."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._known: dict[str, Profile] = {}
        self._changed = changed

    @property
    def all(self) -> tuple[Profile, ...]:
        return tuple(self._known.values())

    def put(self, body: Mapping[str, Any]) -> None:
        profile = parse(body)
        if self._known.get(profile.name) != profile:
            self._known[profile.name] = profile
            self._changed()

    def remove(self, name: str) -> None:
        if self._known.pop(name, None) is not None:
            self._changed()

    def only(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Takes a whole list: what is not in it is gone."""
        listed = {body["metadata"]["name"]: body for body in bodies}
        for name in self._known.keys() - listed.keys():
            self.remove(name)
        for body in listed.values():
            self.put(body)


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
