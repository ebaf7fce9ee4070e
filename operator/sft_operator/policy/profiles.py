"""Which SFTProfile a job goes by: reading profiles, and choosing one for a namespace. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..api.findings import Finding
from ..api.place import Access
from ..api.problems import sentences
from ..api.sftprofile import LabelSelector, ProfileNamespaces, SelectorOperator, SelectorRequirement, SFTProfileSpec


@dataclass(frozen=True, slots=True)
class Profile:
    """An SFTProfile as served. `spec` is None when this version cannot read it; `error` then says why."""

    name: str
    generation: int
    spec: SFTProfileSpec | None
    namespaces: ProfileNamespaces
    """Whom it serves, as far as that can be read: rails that cannot be read must not vanish for them."""
    error: str = ""

    @property
    def selects_by_label(self) -> bool:
        return self.namespaces.selector not in (None, LabelSelector())

    def access(self, namespace: str) -> Access | None:
        access = self.spec.access if self.spec is not None else None
        if access is None:
            return None
        return Access(access.assume_role_arn, access.external_id, self.name, namespace)


def parse(body: Mapping[str, Any]) -> Profile:
    """Reads a profile. One that does not fit is kept as an error: jobs that it serves are told."""
    name, generation = body["metadata"]["name"], body["metadata"].get("generation", 0)
    document = body.get("spec") or {}
    try:
        spec = SFTProfileSpec.model_validate(document)
    except ValidationError as error:
        return Profile(name, generation, None, _namespaces(document), sentences(error))
    return Profile(name, generation, spec, spec.namespaces)


def _namespaces(document: Mapping[str, Any]) -> ProfileNamespaces:
    """Every namespace where even that cannot be read."""
    try:
        return ProfileNamespaces.model_validate(document.get("namespaces"))
    except ValidationError:
        return ProfileNamespaces(selector=LabelSelector())


def choose(
    profiles: Collection[Profile],
    *,
    named: str | None,
    namespace: str,
    labels: Mapping[str, str],
    required: bool,
) -> Profile | Finding | None:
    """The profile of a job, or why there is none. None: no profile fits and none is required.

    `labels` are those of the namespace. A named profile must serve the namespace like any other.
    """
    fitting = sorted((p for p in profiles if serves(p, namespace, labels)), key=lambda p: p.name)
    if named is not None:
        known = next((profile for profile in fitting if profile.name == named), None)
        if known is None:
            usable = ", ".join(profile.name for profile in fitting) or "none"
            return Finding(
                "spec.profile", f"{named} is no SFTProfile that namespace {namespace} may use; it may use: {usable}"
            )
        return _readable(known)
    if len(fitting) > 1:
        names = ", ".join(profile.name for profile in fitting)
        return Finding("spec.profile", f"namespace {namespace} may use several SFTProfiles: name one of {names}")
    if fitting:
        return _readable(fitting[0])
    if not required:
        return None
    return Finding(
        "spec.profile",
        f"no SFTProfile serves namespace {namespace}; a platform administrator adds the namespace to one "
        "(spec.namespaces), see docs/profiles.md",
    )


def _readable(profile: Profile) -> Profile | Finding:
    if profile.spec is not None:
        return profile
    return Finding("spec.profile", f"SFTProfile {profile.name} cannot be read by this operator: {profile.error}")


def serves(profile: Profile, namespace: str, labels: Mapping[str, str]) -> bool:
    chosen = profile.namespaces
    return namespace in (chosen.names or ()) or (chosen.selector is not None and _selects(chosen.selector, labels))


def _selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in (selector.match_labels or {}).items()) and all(
        _meets(requirement, labels) for requirement in selector.match_expressions or ()
    )


def _meets(wanted: SelectorRequirement, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(wanted.key), wanted.values or ()
    match wanted.operator:
        case SelectorOperator.IN:
            return value in values
        case SelectorOperator.NOT_IN:
            return value not in values
        case SelectorOperator.EXISTS:
            return value is not None
        case SelectorOperator.DOES_NOT_EXIST:
            return value is None
