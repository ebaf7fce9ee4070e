"""A job's spec with its profile's defaults in it. Pure; what the user wrote always wins, and is never changed."""

from __future__ import annotations

from typing import Any

from ..api import durations
from ..api.sftjob import Output, SFTJobSpec
from ..api.sftprofile import Allowed, ProfileDefaults, SFTProfileSpec
from ..api.status import Effective

NAMESPACE = "{namespace}"


def settled(spec: SFTJobSpec, profile: SFTProfileSpec | None, namespace: str) -> SFTJobSpec:
    """Every value that the job leaves to its profile, or to us, is filled in."""
    given = (profile.defaults if profile is not None else None) or ProfileDefaults()
    updates: dict[str, Any] = {
        "output": _output(spec, given, namespace),
        "tags": {**(given.tags or {}), **(spec.tags or {})} or None,
        "run_policy": spec.run_policy.model_copy(
            update={
                "max_runtime": spec.run_policy.max_runtime or _runtime(given, profile.allowed if profile else None),
                "deletion_policy": spec.run_policy.deletion_policy or given.deletion_policy,
            }
        ),
    }
    if spec.sage_maker is not None and given.sage_maker is not None:
        updates["sage_maker"] = spec.sage_maker.model_copy(
            update={
                "region": spec.sage_maker.region or given.sage_maker.region,
                "role_arn": spec.sage_maker.role_arn or given.sage_maker.role_arn,
            }
        )
    return spec.model_copy(update=updates)


def as_launched(spec: SFTJobSpec, effective: Effective) -> SFTJobSpec:
    """The same from what was settled at the launch, whatever the profile says today."""
    updates: dict[str, Any] = {}
    if spec.output is None or spec.output.uri is None:
        updates["output"] = (spec.output or Output()).model_copy(update={"uri": effective.output_uri})
    if spec.sage_maker is not None:
        updates["sage_maker"] = spec.sage_maker.model_copy(
            update={
                "region": spec.sage_maker.region or effective.region,
                "role_arn": spec.sage_maker.role_arn or effective.role_arn,
            }
        )
    return spec.model_copy(update=updates)


def _output(spec: SFTJobSpec, given: ProfileDefaults, namespace: str) -> Output | None:
    if given.output is None:
        return spec.output
    own = spec.output or Output()
    uri = given.output.uri.replace(NAMESPACE, namespace) if given.output.uri is not None else None
    return own.model_copy(
        update={"uri": own.uri or uri, "kms_key_id": own.kms_key_id or given.output.kms_key_id},
    )


def _runtime(given: ProfileDefaults, allowed: Allowed | None) -> str:
    """Nobody chose it for this job, so it gives way to what is allowed."""
    wanted = given.max_runtime or durations.DEFAULT_MAX_RUNTIME
    most = allowed.max_runtime if allowed is not None else None
    return most if most is not None and durations.exact(most) < durations.exact(wanted) else wanted
