"""The union rule with two members, on a kind of its own: the spec has one platform so far."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sft_lab.cluster.lab import NAMESPACE, Lab
from sft_operator.api import rules
from tests.cluster.kubectl import Kubectl

NAMES = ("sageMaker", "hyperPod")
FORK = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "forks.test.sft-operator.dev"},
    "spec": {
        "group": "test.sft-operator.dev",
        "scope": "Namespaced",
        "names": {"kind": "Fork", "plural": "forks", "singular": "fork"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {name: {"type": "object"} for name in NAMES},
                                "x-kubernetes-validations": [rules.OneOf("a platform block", NAMES).rule],
                            }
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def forks(lab: Lab) -> Iterator[Kubectl]:
    kubectl = Kubectl(lab, NAMESPACE)
    kubectl.apply(FORK)
    kubectl.accepted("wait", "--for=condition=Established", "crd/forks.test.sft-operator.dev", "--timeout=20s")
    yield kubectl
    kubectl.accepted("delete", "crd", "forks.test.sft-operator.dev", "--wait=false")


def fork(*names: str) -> dict[str, object]:
    spec: dict[str, object] = {name: {} for name in names}
    return {"apiVersion": "test.sft-operator.dev/v1", "kind": "Fork", "metadata": {"name": "fork"}, "spec": spec}


@pytest.mark.parametrize(("names", "found"), [(NAMES, "sageMaker hyperPod"), ((), "none")])
def test_a_union_of_two_tells_which_of_them_were_found(forks: Kubectl, names: tuple[str, ...], found: str) -> None:
    assert (
        f"a platform block must be given by exactly one of: sageMaker, hyperPod; found: {found}"
        in forks.apply_refused(fork(*names))
    )


@pytest.mark.parametrize("name", NAMES)
def test_either_member_of_a_union_alone_is_taken(forks: Kubectl, name: str) -> None:
    forks.accepted("apply", "--dry-run=server", "-f", "-", manifest=fork(name))
