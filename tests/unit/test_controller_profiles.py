"""What a process knows of profiles and of namespaces' labels, while lists and events overtake each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import pytest

from sft_operator.controller.kube import Kube, KubeError
from sft_operator.controller.profiles import NamespaceLabels, Profiles


def body(name: str, version: int, runs: int = 1) -> dict[str, Any]:
    spec = {"namespaces": {"names": ["a"]}, "allowed": {"roleARNs": [], "uriPrefixes": []}, "maxConcurrentRuns": runs}
    return {"metadata": {"name": name, "generation": 1, "resourceVersion": str(version)}, "spec": spec}


class Server:
    """Serves a list that was made before `meanwhile` happened, and labels."""

    def __init__(self, *listed: Mapping[str, Any], meanwhile: Callable[[], None] = lambda: None) -> None:
        self.listed, self.meanwhile = listed, meanwhile
        self.labels: Mapping[str, str] | KubeError = {}
        self.asked = 0

    async def list_profiles(self) -> AsyncIterator[Mapping[str, Any]]:
        self.meanwhile()
        for each in self.listed:
            yield each

    async def namespace_labels(self, name: str) -> Mapping[str, str]:
        self.asked += 1
        if isinstance(self.labels, KubeError):
            raise self.labels
        return self.labels


def runs(profiles: Profiles) -> dict[str, int | None]:
    return {each.name: each.spec.max_concurrent_runs if each.spec else None for each in profiles.all}


async def reread(profiles: Profiles, server: Server) -> None:
    await profiles.reread(cast(Kube, server))


async def test_a_list_that_was_on_its_way_does_not_take_back_an_edit_a_deletion_or_a_new_profile() -> None:
    profiles = Profiles()
    await reread(profiles, Server(body("edited", 1), body("deleted", 2)))

    def meanwhile() -> None:
        profiles.put(body("edited", 11, runs=5))
        profiles.remove(body("deleted", 12))
        profiles.put(body("new", 13))

    await reread(profiles, Server(body("edited", 1), body("deleted", 2), meanwhile=meanwhile))
    assert runs(profiles) == {"edited": 5, "new": 1}


async def test_what_a_cut_watch_did_not_tell_is_learned_from_the_list() -> None:
    profiles = Profiles()
    await reread(profiles, Server(body("edited", 1), body("deleted", 2)))
    await reread(profiles, Server(body("edited", 9, runs=7), body("made-again", 8)))
    assert runs(profiles) == {"edited": 7, "made-again": 1}


async def test_a_profile_that_was_made_again_is_taken_though_its_generation_is_lower() -> None:
    profiles = Profiles()
    profiles.put(body("one", 20, runs=3))
    profiles.remove(body("one", 21))
    profiles.put(body("one", 22, runs=1))
    profiles.remove(body("one", 21))
    assert runs(profiles) == {"one": 1}


async def test_only_a_change_is_told() -> None:
    told: list[int] = []
    profiles = Profiles(lambda: told.append(1))
    profiles.put(body("one", 1))
    profiles.put(body("one", 2))  # a label or an annotation
    await reread(profiles, Server(body("one", 2)))
    assert len(told) == 1
    profiles.put(body("one", 3, runs=2))
    profiles.remove(body("one", 4))
    assert len(told) == 3


async def test_labels_are_asked_for_once_in_a_while_and_a_namespace_that_is_gone_has_none() -> None:
    server = Server()
    labels = NamespaceLabels(cast(Kube, server))
    server.labels = {"team": "a"}
    assert [await labels.of("a"), await labels.of("a")] == [{"team": "a"}] * 2
    assert server.asked == 1
    server.labels = KubeError(404, "not found")
    assert await labels.of("gone") == {}
    server.labels = KubeError(403, "forbidden")
    with pytest.raises(KubeError):  # nobody is served by a selector that could not be asked
        await labels.of("secret")
