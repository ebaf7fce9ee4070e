"""From SFTProfiles and SFTJobs to what they may touch on AWS, and as whom. Pure.

A job's scope is what it names; a profile's is all that it allows, for as long as no job of it is given.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..api.findings import Finding
from ..api.place import Access
from ..api.reasons import Reason
from ..api.sftjob import SFTJobSpec
from ..api.sftprofile import SFTProfileSpec
from ..aws.identity import account_of, partition_of
from ..aws.policies import literal
from ..platforms.base import Refusal
from ..platforms.sagemaker.plan import precheck
from ..platforms.sagemaker.scope import Scope
from ..policy.profiles import Profile
from ..policy.settle import NAMESPACE
from ..recipes.catalogue import TRAINING, Catalogue
from .manifest import Manifest
from .ruled import profiles_of, ruled

ANY = "*"
_ACCOUNT = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/")


@dataclass(frozen=True, slots=True)
class Claim:
    """A scope, who acts in it (None: the operator's own identity), and a region of it to ask in."""

    scope: Scope
    access: Access | None
    region: str | None

    @property
    def job_roles(self) -> tuple[str, ...]:
        """Roles of jobs by their whole name."""
        return tuple(arn for arn in self.scope.role_arns if ANY not in arn)


@dataclass(frozen=True, slots=True)
class Claims:
    """`problems` are why some of what was given makes none, `notes` what makes one wider than it may have to be."""

    all: tuple[Claim, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def of_manifests(
    manifests: Sequence[Manifest],
    catalogue: Catalogue,
    *,
    known: Collection[Profile] = (),
    data_keys: tuple[str, ...] = (),
) -> Claims:
    """A job goes by the profiles that are given with it; where none is, by those that are `known`."""
    profiles = profiles_of(manifests)
    claims: list[Claim] = []
    problems = [f"{m.source}: {m.name or '(no name)'}: {finding}" for m in manifests for finding in m.findings]
    spoken_for: set[str] = set()
    for manifest in manifests:
        if not isinstance(manifest.spec, SFTJobSpec):
            continue
        found = _of_job(manifest, manifest.spec, profiles or known, catalogue, data_keys)
        if isinstance(found, tuple):
            claim, profile = found
            claims.append(claim)
            spoken_for |= {profile} if profile is not None else set()
        else:
            problems += [f"{manifest.source}: {manifest.name}: {finding}" for finding in found.findings]
    rest = of_profiles([p for p in profiles if p.name not in spoken_for], catalogue, data_keys=data_keys)
    return Claims((*claims, *rest.all), (*problems, *rest.problems), rest.notes)


def of_profiles(profiles: Collection[Profile], catalogue: Catalogue, *, data_keys: tuple[str, ...] = ()) -> Claims:
    """Everything that the profiles allow."""
    claims: list[Claim] = []
    problems: list[str] = []
    notes: list[str] = []
    for profile in profiles:
        if profile.spec is None:
            problems.append(f"SFTProfile {profile.name} cannot be read by this version: {profile.error}")
            continue
        role = _role_of_account(profile.spec)
        if role is None:
            problems.append(
                f"SFTProfile {profile.name}: in which account its runs are is told by none of access.assumeRoleARN, "
                "defaults.sageMaker.roleARN and allowed.roleARNs: write the account in one of them"
            )
            continue
        claims.append(_of_profile(profile, profile.spec, role, catalogue, data_keys))
        notes += [f"SFTProfile {profile.name}: {note}" for note in _wide(profile.spec)]
    return Claims(tuple(claims), tuple(problems), tuple(notes))


def _of_job(
    manifest: Manifest,
    spec: SFTJobSpec,
    profiles: Collection[Profile],
    catalogue: Catalogue,
    data_keys: tuple[str, ...],
) -> tuple[Claim, str | None] | Refusal:
    found = ruled(manifest, spec, profiles, identity_scope="any")
    if isinstance(found, Refusal):
        return found
    ruling, view = found
    plan = precheck(view, catalogue)
    if isinstance(plan, Refusal):
        return plan
    if plan is None:
        return Refusal(Reason.INVALID_SPEC, (Finding("spec", "cannot be planned without its rows: see sft render"),))
    role = plan.effective.role_arn or ""
    scope = Scope(
        source=f"job {manifest.namespace}/{manifest.name}",
        partition=partition_of(role),
        account=plan.place.account,
        regions=(plan.place.region,),
        role_arns=(role,),
        reads=tuple(_place(entry.uri) for entry in plan.data),
        outputs=(_folder(plan.effective.output_uri or ""),),
        kms_keys=tuple(upload.kms_key_id for upload in plan.uploads if upload.kms_key_id),
        data_keys=data_keys,
        images=(plan.effective.image or "",),
    )
    return Claim(scope, plan.place.access, plan.place.region), ruling.profile.name if ruling.profile else None


def _of_profile(
    profile: Profile,
    spec: SFTProfileSpec,
    role_arn: str,
    catalogue: Catalogue,
    data_keys: tuple[str, ...],
) -> Claim:
    account, partition = account_of(role_arn), partition_of(role_arn)
    given = spec.defaults.sage_maker if spec.defaults is not None else None
    output = spec.defaults.output if spec.defaults is not None else None
    regions = tuple(spec.allowed.regions or (ANY,))
    prefixes = [
        place
        for prefix in spec.allowed.uri_prefixes
        for namespace in _namespaces(spec)
        if (place := _s3(prefix, namespace)) is not None
    ]
    own = [given.role_arn] if given is not None and given.role_arn is not None else []
    images = [
        row.address(region)
        for recipe in catalogue.recipes.values()
        for row in recipe.images
        for region in row.accounts
        if row.platform == TRAINING and any(fnmatch.fnmatchcase(region, glob) for glob in regions)
    ]
    scope = Scope(
        source=f"SFTProfile {profile.name}",
        partition=partition,
        account=account,
        regions=regions,
        role_arns=tuple(_roles((*own, *spec.allowed.role_arns), account, partition)),
        reads=tuple(place for prefix in prefixes for place in _below(prefix)),
        outputs=tuple(f"{prefix.rstrip('/')}/{ANY}" for prefix in prefixes),
        kms_keys=(output.kms_key_id,) if output is not None and output.kms_key_id is not None else (),
        data_keys=data_keys,
        images=(*dict.fromkeys(images), *(spec.allowed.images or ())),
    )
    region = given.region if given is not None else None
    return Claim(scope, profile.access(""), region or next((r for r in regions if ANY not in r), None))


def _role_of_account(spec: SFTProfileSpec) -> str | None:
    """A role in the account of the profile's runs."""
    given = spec.defaults.sage_maker if spec.defaults is not None else None
    roles = (
        spec.access.assume_role_arn if spec.access is not None else None,
        given.role_arn if given is not None else None,
        *spec.allowed.role_arns,
    )
    return next((role for role in roles if role is not None and _ACCOUNT.match(role)), None)


def _roles(globs: Sequence[str], account: str, partition: str) -> Iterator[str]:
    """PassRole never crosses accounts, so a glob is narrowed to the account's roles."""
    for glob in globs:
        if _ACCOUNT.match(glob):
            if account_of(glob) == account:
                yield glob
        else:
            yield f"arn:{partition}:iam::{account}:role/{ANY}"


def _namespaces(spec: SFTProfileSpec) -> tuple[str, ...]:
    """What {namespace} may stand for; a selector may choose any."""
    return (ANY,) if spec.namespaces.selector is not None else tuple(spec.namespaces.names or ())


def _s3(prefix: str, namespace: str) -> str | None:
    """`bucket/key` of an allowed prefix, None where it is none of S3. An allowed prefix without a bucket is all of them."""
    scheme, _, rest = prefix.partition("://")
    if scheme != "s3":
        return None
    return namespace.join(literal(part) for part in rest.split(NAMESPACE)) or ANY


def _below(prefix: str) -> tuple[str, ...]:
    """Objects that an allowed prefix names, which is matched at whole segments."""
    bucket, _, key = prefix.partition("/")
    if not key or key.endswith("/"):
        return (f"{bucket}/{key}{ANY}",)
    return (prefix, f"{prefix}/{ANY}")


def _place(uri: str) -> str:
    return literal(uri.partition("://")[2])


def _folder(uri: str) -> str:
    return f"{_place(uri).rstrip('/')}/"


def _wide(spec: SFTProfileSpec) -> Iterator[str]:
    """What makes the policy of a whole profile wider than most teams need."""
    if spec.allowed.regions is None:
        yield "it has no allowed.regions, so its policy is for every region"
    if any(_s3(prefix, "x") == ANY for prefix in spec.allowed.uri_prefixes):
        yield "allowed.uriPrefixes has s3://, so its policy is for every bucket"
    if any(not _ACCOUNT.match(glob) for glob in spec.allowed.role_arns):
        yield "allowed.roleARNs has an entry without an account, so its policy is for every role of the account"
