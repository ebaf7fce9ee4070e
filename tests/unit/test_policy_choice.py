"""Which SFTProfile a job goes by: names, labels, two that fit, none that fits, one that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sft_operator.api.findings import Finding
from sft_operator.policy.profiles import Profile, choose, parse

ALLOWED = {"roleARNs": ["*"], "uriPrefixes": ["s3://"]}


def profile(name: str, **namespaces: Any) -> Profile:
    return parse({"metadata": {"name": name, "generation": 3}, "spec": {"namespaces": namespaces, "allowed": ALLOWED}})


def labelled(*expressions: Mapping[str, Any], **labels: str) -> Profile:
    selector: dict[str, Any] = {"matchLabels": labels} if labels else {}
    if expressions:
        selector["matchExpressions"] = list(expressions)
    return profile("labelled", selector=selector)


def chosen(
    *profiles: Profile, named: str | None = None, labels: Mapping[str, str] | None = None, required: bool = True
) -> str | None:
    """The profile's name, or the refusal's words."""
    found = choose(profiles, named=named, namespace="team-a", labels=labels or {}, required=required)
    return found.name if isinstance(found, Profile) else str(found) if isinstance(found, Finding) else None


def test_the_profile_that_names_the_namespace_is_taken() -> None:
    assert chosen(profile("b", names=["team-b"]), profile("a", names=["team-0", "team-a"])) == "a"


def test_a_namespace_whose_name_only_begins_alike_is_not_served() -> None:
    assert "no SFTProfile serves namespace team-a" in str(chosen(profile("ab", names=["team-ab", "team"])))


@pytest.mark.parametrize(
    ("selector", "labels", "fits"),
    [
        (labelled(team="a"), {"team": "a"}, True),
        (labelled(team="a"), {"team": "b"}, False),
        (labelled(team="a"), {}, False),
        (labelled(team="a", tier="x"), {"team": "a"}, False),
        (labelled({"key": "team", "operator": "In", "values": ["a", "b"]}), {"team": "b"}, True),
        (labelled({"key": "team", "operator": "In", "values": ["a"]}), {}, False),
        (labelled({"key": "team", "operator": "NotIn", "values": ["a"]}), {"team": "b"}, True),
        (labelled({"key": "team", "operator": "NotIn", "values": ["a"]}), {}, True),
        (labelled({"key": "team", "operator": "NotIn", "values": ["a"]}), {"team": "a"}, False),
        (labelled({"key": "team", "operator": "Exists"}), {"team": ""}, True),
        (labelled({"key": "team", "operator": "Exists"}), {}, False),
        (labelled({"key": "team", "operator": "DoesNotExist"}), {}, True),
        (labelled({"key": "team", "operator": "DoesNotExist"}), {"team": "a"}, False),
        (labelled({"key": "tier", "operator": "Exists"}, team="a"), {"team": "a"}, False),
        (labelled({"key": "tier", "operator": "Exists"}, team="a"), {"team": "a", "tier": "1"}, True),
        (profile("labelled", selector={}), {}, True),
        (profile("labelled"), {"team": "a"}, False),
    ],
)
def test_a_selector_chooses_namespaces_as_kubernetes_does(
    selector: Profile, labels: dict[str, str], fits: bool
) -> None:
    assert (chosen(selector, labels=labels) == "labelled") is fits


def test_where_two_fit_one_must_be_named() -> None:
    both = (profile("small", names=["team-a"]), profile("large", selector={}))
    assert chosen(*both) == "spec.profile: namespace team-a may use several SFTProfiles: name one of large, small"
    assert chosen(*both, named="small") == "small"


def test_a_named_profile_that_serves_others_is_refused_with_those_that_may_be_used() -> None:
    others = (profile("a", names=["team-a"]), profile("b", names=["team-b"]))
    said = chosen(*others, named="b")
    assert said == "spec.profile: b is no SFTProfile that namespace team-a may use; it may use: a"
    assert chosen(*others, named="missing") == said.replace(": b is", ": missing is")


def test_where_none_fits_it_depends_on_whether_one_is_required() -> None:
    assert "a platform administrator adds the namespace to one" in str(chosen())
    assert chosen(required=False) is None
    assert "is no SFTProfile" in str(chosen(named="a", required=False))


def unreadable(namespaces: Any) -> Profile:
    return parse({"metadata": {"name": "newer"}, "spec": {"namespaces": namespaces, "allowed": {"planets": ["*"]}}})


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("named", [None, "newer"])
def test_guard_rails_that_cannot_be_read_do_not_vanish_for_those_whom_they_bind(
    required: bool, named: str | None
) -> None:
    newer = unreadable({"names": ["team-a"]})
    assert newer.spec is None
    said = chosen(newer, named=named, required=required)
    assert str(said).startswith("spec.profile: SFTProfile newer cannot be read by this operator: ")
    assert "planets" in str(said)


def test_a_profile_that_cannot_be_read_binds_nobody_else() -> None:
    assert chosen(unreadable({"names": ["team-b"]}), profile("a", names=["team-a"])) == "a"
    assert chosen(unreadable({"names": ["team-b"]}), required=False) is None


def test_where_not_even_the_namespaces_can_be_read_every_namespace_is_told() -> None:
    assert "newer cannot be read" in str(chosen(unreadable({"regions": "all"}), required=False))
    assert "name one of a, newer" in str(chosen(unreadable(None), profile("a", names=["team-a"])))
