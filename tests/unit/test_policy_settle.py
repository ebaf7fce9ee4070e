"""A job with its profile's defaults in it: whose word wins, and that an edit of a profile makes no other run of a job."""

from __future__ import annotations

from typing import Any

import pytest

from sft_operator.api import identity
from sft_operator.api.sftjob import SFTJobSpec
from sft_operator.api.sftprofile import SFTProfileSpec
from sft_operator.platforms.base import JobView, Plan, Refusal
from sft_operator.platforms.sagemaker.plan import make_plan
from sft_operator.policy.profiles import Profile
from sft_operator.policy.ruling import Policy, Ruling, rule
from sft_operator.policy.settle import settled
from sft_operator.recipes.catalogue import default_catalogue
from tests.manifests import ABSENT, nova_lite_2_lora

BARE = {"output": ABSENT, "sageMaker.region": ABSENT, "sageMaker.roleARN": ABSENT, "runPolicy.maxRuntime": ABSENT}
"""All that a profile can give is left to it."""

ROLE = "arn:aws:iam::444455556666:role/shared-sft"


def job(edits: dict[str, Any] | None = None) -> SFTJobSpec:
    return SFTJobSpec.model_validate(nova_lite_2_lora(edits)["spec"])


def profile(**edits: Any) -> SFTProfileSpec:
    document: dict[str, Any] = {
        "namespaces": {"selector": {}},
        "defaults": {
            "output": {"uri": "s3://acme/{namespace}/sft/", "kmsKeyID": "alias/acme"},
            "sageMaker": {"region": "us-west-2", "roleARN": ROLE},
            "tags": {"cost-center": "4711", "team": "of the profile"},
            "maxRuntime": "24h",
            "deletionPolicy": "Orphan",
        },
        "allowed": {"roleARNs": ["*"], "uriPrefixes": ["s3://"]},
    }
    for path, value in edits.items():
        part, field = path.split("__")
        document[part] = {**document[part], field: value}
    return SFTProfileSpec.model_validate(document)


def test_what_the_job_leaves_out_comes_from_the_profile() -> None:
    full = settled(job(BARE), profile(), "team-a")
    assert full.output is not None
    assert full.sage_maker is not None
    assert (full.output.uri, full.output.kms_key_id) == ("s3://acme/team-a/sft/", "alias/acme")
    assert (full.sage_maker.region, full.sage_maker.role_arn) == ("us-west-2", ROLE)
    assert (full.run_policy.max_runtime, str(full.run_policy.deletion_policy)) == ("24h", "Orphan")
    assert full.tags == {"cost-center": "4711", "team": "of the profile"}


def test_what_the_job_says_wins_field_by_field() -> None:
    own = {"runPolicy.maxRuntime": "3h", "runPolicy.deletionPolicy": "Stop", "tags": {"team": "own", "run": "1"}}
    full = settled(job(own), profile(), "team-a")
    assert full.output is not None
    assert full.sage_maker is not None
    assert (full.output.uri, full.output.kms_key_id) == ("s3://acme-ml-team/sft/", "alias/acme")
    assert full.sage_maker.region == "us-east-1"
    assert (full.run_policy.max_runtime, str(full.run_policy.deletion_policy)) == ("3h", "Stop")
    assert full.tags == {"cost-center": "4711", "team": "own", "run": "1"}


def test_without_a_word_of_either_ours_counts() -> None:
    bare = profile(defaults__maxRuntime=None, defaults__deletionPolicy=None)
    assert settled(job(BARE), bare, "team-a").run_policy.max_runtime == "120h"
    assert settled(job(BARE), None, "team-a").run_policy.max_runtime == "120h"
    assert settled(job(BARE), bare, "team-a").run_policy.deletion_policy is None


@pytest.mark.parametrize(
    ("default", "allowed", "runs"), [(None, "48h", "48h"), ("72h", "48h", "48h"), ("24h", "48h", "24h")]
)
def test_a_runtime_that_nobody_chose_gives_way_to_what_is_allowed(default: str | None, allowed: str, runs: str) -> None:
    bounds = profile(defaults__maxRuntime=default, allowed__maxRuntime=allowed)
    assert settled(job(BARE), bounds, "team-a").run_policy.max_runtime == runs


def test_a_runtime_that_the_user_chose_is_never_shortened_but_refused() -> None:
    bounds = profile(allowed__maxRuntime="48h")
    assert settled(job({"runPolicy.maxRuntime": "72h"}), bounds, "team-a").run_policy.max_runtime == "72h"
    refused = rule(job({"runPolicy.maxRuntime": "72h"}), "team-a", policy(bounds))
    assert isinstance(refused, Refusal)
    assert "72h, at most 48h is allowed" in refused.message


def test_the_users_spec_is_never_changed() -> None:
    spec = job(BARE)
    before = spec.model_dump()
    settled(spec, profile(), "team-a")
    assert spec.model_dump() == before


def policy(spec: SFTProfileSpec, generation: int = 1) -> Policy:
    return Policy([Profile("shared", generation, spec, spec.namespaces)], required=True)


def planned(spec: SFTJobSpec, bounds: SFTProfileSpec) -> Plan:
    ruling = rule(spec, "team-a", policy(bounds))
    assert isinstance(ruling, Ruling), ruling
    view = JobView("team-a", "tone", "uid-1", ruling.spec, "test", identity.fingerprint(spec), ruling.use)
    plan = make_plan(view, None, default_catalogue())
    assert isinstance(plan, Plan), plan
    return plan


_UNRELATED = {
    "defaults__tags": {"cost-center": "9999"},
    "defaults__maxRuntime": "12h",
    "defaults__deletionPolicy": "Stop",
    "defaults__output": {"uri": "s3://elsewhere/{namespace}/", "kmsKeyID": "alias/other"},
    "allowed__maxInstanceCount": 8,
    "allowed__dataExcerpts": False,
}


@pytest.mark.parametrize("field", _UNRELATED)
def test_an_edit_of_a_profile_makes_no_other_run_of_a_job(field: str) -> None:
    before, after = planned(job(BARE), profile()), planned(job(BARE), profile(**{field: _UNRELATED[field]}))
    assert (before.job_name, before.fingerprint) == (after.job_name, after.fingerprint)
    assert before.inputs_digest == after.inputs_digest


@pytest.mark.parametrize(
    "value",
    [{"region": "us-east-1", "roleARN": ROLE}, {"region": "us-west-2", "roleARN": ROLE.replace("4444", "7777")}],
)
def test_another_region_or_account_is_another_job_there_with_the_same_fingerprint(value: dict[str, str]) -> None:
    before, after = planned(job(BARE), profile()), planned(job(BARE), profile(defaults__sageMaker=value))
    assert before.fingerprint == after.fingerprint
    assert before.job_name != after.job_name


def test_the_same_said_by_the_user_is_another_fingerprint_than_left_to_the_profile() -> None:
    assert identity.fingerprint(job(BARE)) != identity.fingerprint(job({**BARE, "sageMaker.region": "us-west-2"}))
