"""The whole of a profile's word on one job: which profile, the spec with its defaults, and whether it is allowed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..api.findings import Finding
from ..api.reasons import Reason
from ..api.sftjob import SFTJobSpec
from ..platforms.base import Plan, ProfileUse, Refusal
from .guard import Guard
from .profiles import Profile, choose
from .settle import settled

_HINT = "ask the platform team that owns the SFTProfile, or change the job"


@dataclass(frozen=True, slots=True)
class Policy:
    """What an installation says, as far as one namespace can see it."""

    profiles: Collection[Profile] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the namespace."""
    required: bool = False
    """Without a profile nothing is launched."""
    paused: bool = False
    """Nothing new is launched for anybody."""


NO_POLICY = Policy()


@dataclass(frozen=True, slots=True)
class Ruling:
    """A job that is allowed. `profile` is None where none is required and none fits."""

    spec: SFTJobSpec
    profile: Profile | None
    namespace: str

    @property
    def use(self) -> ProfileUse | None:
        """What the platform has to know of it."""
        if self.profile is None or self.profile.spec is None:
            return None
        return ProfileUse(
            name=self.profile.name,
            generation=self.profile.generation,
            access=self.profile.access(self.namespace),
            data_excerpts=self.profile.spec.allowed.data_excerpts,
            tags=(self.profile.spec.defaults.tags if self.profile.spec.defaults else None) or {},
        )

    @property
    def paused(self) -> bool:
        return self.profile is not None and self.profile.spec is not None and self.profile.spec.pause_launches

    @property
    def limit(self) -> int | None:
        """Most runs at a time of the profile."""
        return self.profile.spec.max_concurrent_runs if self.profile is not None and self.profile.spec else None

    def refuses(self, plan: Plan) -> Refusal | None:
        """What only the plan shows."""
        if self.profile is None or self.profile.spec is None:
            return None
        return _denied(Guard(self.profile.name, self.profile.spec.allowed, self.namespace).plan(plan))


def rule(spec: SFTJobSpec, namespace: str, policy: Policy) -> Ruling | Refusal:
    """The word of the profile that the job goes by, or why it is refused; that may change with the next edit of one."""
    profile = choose(
        policy.profiles, named=spec.profile, namespace=namespace, labels=policy.labels, required=policy.required
    )
    if isinstance(profile, Finding):
        return Refusal(Reason.POLICY_DENIED, (profile,), _HINT)
    bounds = profile.spec if profile is not None else None
    full = settled(spec, bounds, namespace)
    if profile is not None and bounds is not None:
        denied = _denied(Guard(profile.name, bounds.allowed, namespace).spec(full))
        if denied is not None:
            return denied
    return Ruling(full, profile, namespace)


def _denied(findings: list[Finding]) -> Refusal | None:
    unique = tuple(dict.fromkeys(findings))
    return Refusal(Reason.POLICY_DENIED, unique, _HINT) if unique else None
