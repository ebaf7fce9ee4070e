"""A job of a file under the profiles that are given with it, as far as a shell can say."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..api.identity import fingerprint
from ..api.sftjob import SFTJobSpec
from ..api.sftprofile import SFTProfileSpec
from ..platforms.base import JobView, Refusal
from ..policy.profiles import Profile
from ..policy.ruling import Policy, Ruling, rule
from .manifest import Manifest


def profiles_of(manifests: Sequence[Manifest]) -> list[Profile]:
    """The SFTProfiles among the manifests."""
    return [Profile(m.name, 0, m.spec, m.spec.namespaces) for m in manifests if isinstance(m.spec, SFTProfileSpec)]


def ruled(
    manifest: Manifest, spec: SFTJobSpec, profiles: Collection[Profile], *, identity_scope: str
) -> tuple[Ruling, JobView] | Refusal:
    """What the profiles say of the job, and the job with their defaults in it. Where none is given none is required."""
    # of a namespace's labels a shell knows only the one that every namespace has
    labels = {"kubernetes.io/metadata.name": manifest.namespace}
    ruling = rule(spec, manifest.namespace, Policy(profiles, labels, required=bool(profiles)))
    if isinstance(ruling, Refusal):
        return ruling
    return ruling, JobView(
        namespace=manifest.namespace,
        name=manifest.name,
        uid=manifest.uid,
        spec=ruling.spec,
        identity_scope=identity_scope,
        fingerprint=fingerprint(spec),
        profile=ruling.use,
    )
