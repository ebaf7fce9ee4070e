"""Who may do what with SFTJobs and SFTProfiles by Kubernetes' own roles, once the chart has added to them."""

from __future__ import annotations

import pytest

from sft_lab.cluster.lab import Lab
from tests.cluster.story import wait_for

MAY: dict[str, set[str]] = {
    "view": {"get sftjobs", "list sftjobs", "watch sftjobs"},
    "edit": {"create sftjobs", "update sftjobs", "patch sftjobs", "delete sftjobs"},
    "admin": {"deletecollection sftjobs"},
}
"""What each role adds to the one before."""

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
ASKED = [f"{verb} {kind}" for kind in ("sftjobs", "sftprofiles") for verb in VERBS] + ["patch sftjobs/status"]


def may(lab: Lab, user: str, question: str, namespace: str | None = None) -> bool:
    verb, resource = question.split()
    kind, _, subresource = resource.partition("/")
    flags = [f"--subresource={subresource}"] if subresource else []
    # a profile has no namespace: a question with one would be about something that nobody can ask for
    flags += ["-n", namespace] if namespace and kind == "sftjobs" else ["--all-namespaces"]
    answer = lab.kubectl("auth", "can-i", verb, kind, *flags, f"--as={user}", check=False)
    return answer.stdout.strip() == "yes"


@pytest.mark.parametrize("role", MAY)
def test_a_namespaces_own_roles_reach_its_jobs_and_no_profile(lab: Lab, namespace: str, role: str) -> None:
    lab.kubectl("create", "rolebinding", "people", f"--clusterrole={role}", f"--user={role}er", "-n", namespace)
    roles = list(MAY)
    allowed = set[str]().union(*(MAY[name] for name in roles[: roles.index(role) + 1]))
    # the controller that adds our rules to Kubernetes' roles works behind the installation
    wait_for(f"{role} holds our rules", lambda: all(may(lab, f"{role}er", one, namespace) for one in allowed))
    assert {question for question in ASKED if may(lab, f"{role}er", question, namespace)} == allowed
    assert not may(lab, f"{role}er", "get sftjobs", "default")


def test_profiles_are_read_by_who_views_the_whole_cluster_and_written_by_its_administrators_alone(lab: Lab) -> None:
    for role in ("view", "admin", "cluster-admin"):
        lab.kubectl("create", "clusterrolebinding", f"whole-{role}", f"--clusterrole={role}", f"--user=whole-{role}")
    try:
        wait_for("view holds our rules", lambda: may(lab, "whole-view", "get sftprofiles"))
        written = ("create sftprofiles", "update sftprofiles", "patch sftprofiles", "delete sftprofiles")
        for user, writes in (("whole-view", False), ("whole-admin", False), ("whole-cluster-admin", True)):
            assert may(lab, user, "list sftprofiles")
            assert [may(lab, user, question) for question in written] == [writes] * 4
    finally:
        for role in ("view", "admin", "cluster-admin"):
            lab.kubectl("delete", "clusterrolebinding", f"whole-{role}")
