"""Guard rails: every way in which a job could name what its profile does not allow, tried without any network."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_operator.api import identity
from sft_operator.api.reasons import Reason
from sft_operator.api.sftjob import SFTJobSpec
from sft_operator.platforms.base import JobView, Plan, Refusal
from sft_operator.platforms.sagemaker.plan import precheck
from sft_operator.policy import mentions
from sft_operator.policy.mentions import Prefix
from sft_operator.policy.profiles import Profile, parse
from sft_operator.policy.ruling import Policy, rule
from sft_operator.recipes.catalogue import Recipe, default_catalogue
from tests.manifests import ABSENT, nova_lite_2_lora

CATALOGUE = default_catalogue()
NAME = "fine-tuning/nova/nova_2_0/nova_lite/SFT/nova_lite_2_0_p5_gpu_lora_sft"
OWN_ROLE, FOREIGN_ROLE = (f"arn:aws:iam::111122223333:role/{name}" for name in ("team-a-sft", "team-b-sft"))
IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/team-a/train:1"


def team_a(**allowed: Any) -> Profile:
    bounds = {
        "roleARNs": ["arn:aws:iam::111122223333:role/team-a-*"],
        "uriPrefixes": ["s3://acme/{namespace}/", "s3://acme-team-a"],
        "regions": ["us-*-1"],
        "instanceTypes": ["ml.p5.48xlarge"],
        "images": ["111122223333.dkr.ecr.*.amazonaws.com/team-a/*"],
        "maxInstanceCount": 4,
        "maxInstanceHours": 96,
        "maxRuntime": "48h",
        **allowed,
    }
    spec = {"namespaces": {"names": ["team-a"]}, "allowed": bounds}
    found = parse({"metadata": {"name": "team-a", "generation": 1}, "spec": spec})
    assert found.spec is not None, found.error
    return found


RIGHT = {
    "dataset": {"train": {"uri": "s3://acme-team-a/train.jsonl"}, "check": "Skip"},
    "hyperparameters.validationEverySteps": ABSENT,
    "output": {"uri": "s3://acme/team-a/sft/"},
    "sageMaker": {
        "region": "us-east-1",
        "roleARN": OWN_ROLE,
        "training": {"instanceType": "ml.p5.48xlarge", "instanceCount": 4},
    },
    "runPolicy": {"maxRuntime": "24h"},
}


def verdict(edits: dict[str, Any], profile: Profile | None = None) -> str | None:
    """Why the job is denied before anything is read or asked of AWS; None when it is allowed."""
    spec = SFTJobSpec.model_validate(nova_lite_2_lora({**RIGHT, **edits})["spec"])
    ruling = rule(spec, "team-a", Policy([profile or team_a()], required=True))
    if isinstance(ruling, Refusal):
        refusal: Refusal | None = ruling
    else:
        view = JobView("team-a", "tone", "uid-1", ruling.spec, "test", identity.fingerprint(spec), ruling.use)
        planned = precheck(view, CATALOGUE)
        assert isinstance(planned, Plan), planned
        refusal = ruling.refuses(planned)
    assert refusal is None or refusal.reason is Reason.POLICY_DENIED
    return refusal.message if refusal is not None else None


def inline(**edits: Any) -> dict[str, Any]:
    """The catalogue's recipe written into the job, with values set by path (`run__data`)."""
    named = CATALOGUE.recipe(NAME)
    assert isinstance(named, Recipe)
    content: dict[str, Any] = copy.deepcopy(dict(named.content))
    for path, value in edits.items():
        *parents, last = path.split("__")
        node = content
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    content["run"] = {**content["run"], "data_s3_path": "", "output_s3_path": ""}
    return {"recipe.inline": content}


def overrides(**values: Any) -> dict[str, Any]:
    return {"recipe.overrides": {"run": values}}


B = "s3://acme/team-b/secret.jsonl"

DENIED: dict[str, tuple[dict[str, Any], str]] = {
    # typed fields
    "another team's role": ({"sageMaker.roleARN": FOREIGN_ROLE}, "allowed.roleARNs"),
    "a role of another account": ({"sageMaker.roleARN": OWN_ROLE.replace("1111", "9999")}, "allowed.roleARNs"),
    "a role of another partition": ({"sageMaker.roleARN": OWN_ROLE.replace("aws", "aws-cn")}, "allowed.roleARNs"),
    "training data": ({"dataset.train.uri": B}, "spec.dataset.train.uri"),
    "training data of a bucket that begins alike": (
        {"dataset.train.uri": "s3://acme-team-ab/x"},
        "allowed.uriPrefixes",
    ),
    "training data of a prefix that begins alike": ({"dataset.train.uri": "s3://acme/team-ab/x"}, "uriPrefixes"),
    "training data of a prefix that goes on with a blank sort of character": (
        {"dataset.train.uri": "s3://acme/team-a<b/x"},
        "uriPrefixes",
    ),
    "training data above the prefix": ({"dataset.train.uri": "s3://acme/x"}, "uriPrefixes"),
    "dots in training data": ({"dataset.train.uri": "s3://acme/team-a/../team-b/x"}, "segment of dots"),
    "encoded dots": ({"dataset.train.uri": "s3://acme/team-a/%2e%2E/team-b/x"}, "segment of dots"),
    "dots and a backslash": ({"dataset.train.uri": "s3://acme/team-a/..\\team-b/x"}, "segment of dots"),
    "the namespace's placeholder": ({"dataset.train.uri": "s3://acme/{namespace}/x"}, "uriPrefixes"),
    "validation data": (
        {"dataset.validation": [{"uri": B}], "hyperparameters.validationEverySteps": 20},
        "spec.dataset.validation[0].uri",
    ),
    "output": ({"output.uri": "s3://acme/team-b/"}, "spec.output.uri"),
    "instance type": ({"sageMaker.training.instanceType": "ml.p4d.24xlarge"}, "allowed.instanceTypes"),
    "instance count": ({"sageMaker.training.instanceCount": 8}, "at most 4 are allowed"),
    "runtime": ({"runPolicy.maxRuntime": "49h"}, "at most 48h is allowed"),
    "instance-hours": ({"runPolicy.maxRuntime": "25h"}, "4 instances x 25h are 100 instance-hours, at most 96"),
    "region": ({"sageMaker.region": "us-west-2"}, "allowed.regions"),
    "image": ({"sageMaker.training.image": "444455556666.dkr.ecr.us-east-1.amazonaws.com/x:1"}, "allowed.images"),
    "image that begins alike": ({"sageMaker.training.image": IMAGE.replace("team-a/", "team-ab/")}, "allowed.images"),
    "model id": ({"model": {"id": B}}, "spec.model.id"),
    # the recipe's texts
    "override": (overrides(mlflow_tracking_uri=B), "spec.recipe.overrides.run.mlflow_tracking_uri"),
    "https": (overrides(mlflow_tracking_uri="https://acme-team-b.s3.amazonaws.com/x"), "uriPrefixes"),
    "https path style": (overrides(mlflow_tracking_uri="https://s3.amazonaws.com/acme/team-b/x"), "uriPrefixes"),
    "s3a": (overrides(mlflow_tracking_uri=B.replace("s3:", "s3a:")), "uriPrefixes"),
    "upper-case scheme": (overrides(mlflow_tracking_uri=B.replace("s3:", "S3:")), "uriPrefixes"),
    "unknown scheme": (overrides(mlflow_tracking_uri="hf://org/data"), "uriPrefixes"),
    "behind an allowed URI": (overrides(mlflow_tracking_uri=f"s3://acme/team-a/x,{B}"), "team-b"),
    "inside an allowed URI": (overrides(mlflow_tracking_uri=f"s3://acme/team-a/{B}"), "team-b"),
    "inside a sentence": (overrides(mlflow_run_name=f"reads '{B}' and more"), "team-b"),
    "inside JSON": (overrides(mlflow_run_name=f'{{"data":"{B}"}}'), "team-b"),
    "encoded scheme": (overrides(mlflow_tracking_uri=B.replace("://", "%3A%2F%2F")), "uriPrefixes"),
    "full-width scheme": (overrides(mlflow_tracking_uri=B.replace("://", "：／／")), "uriPrefixes"),
    "line end in the scheme": (overrides(mlflow_tracking_uri=B.replace("://", ":\n//")), "uriPrefixes"),
    "zero-width character in the scheme": (
        overrides(mlflow_tracking_uri=B.replace("://", ":\u200b//")),
        "uriPrefixes",
    ),
    "backslashes": (overrides(mlflow_tracking_uri=B.replace("/", "\\")), "uriPrefixes"),
    "bucket by ARN": (overrides(mlflow_run_name="arn:aws:s3:::acme/team-b/x"), "uriPrefixes"),
    "access point by ARN": (
        overrides(mlflow_run_name="arn:aws:s3:us-east-1:111122223333:accesspoint/team-b"),
        "uriPrefixes",
    ),
    "role in an override": (overrides(mlflow_run_name=FOREIGN_ROLE), "allowed.roleARNs"),
    "role behind an allowed one": (overrides(mlflow_run_name=f"{OWN_ROLE},{FOREIGN_ROLE}"), "allowed.roleARNs"),
    "allowed role behind another": (overrides(mlflow_run_name=f"{FOREIGN_ROLE} {OWN_ROLE}"), "allowed.roleARNs"),
    "role in upper case": (overrides(mlflow_run_name=FOREIGN_ROLE.upper()), "allowed.roleARNs"),
    "inline recipe": (inline(extra__source=B), "spec.recipe.inline.extra.source"),
    "a list in an inline recipe": (inline(extra__sources=[{"x": ["ok", B]}]), "sources[0].x[1]"),
    "a key of a map": (inline(extra__sources={B: 1}), "spec.recipe.inline.extra.sources"),
    "below a key called tags": (inline(extra__tags=B), "spec.recipe.inline.extra.tags"),
    "below a key called profile": (inline(profile=B), "spec.recipe.inline.profile"),
    "below a key called runID": (inline(extra__runID={"x": B}), "spec.recipe.inline.extra.runID.x"),
    "the model's path in an inline recipe": (inline(run__model_name_or_path=B, run__model_type=B), "run.model"),
    # put together by the recipe
    "composed of two values": (
        inline(extra__a="s3:/", extra__b="/acme/team-b", extra__c="${extra.a}${extra.b}/x"),
        "the resolved recipe.extra.c",
    ),
    "composed of parts around a reference": (inline(extra__a=":", extra__c="s3${.a}//acme/team-b/x"), "extra.c"),
    "composed by a default": (inline(extra__c="${oc.select:no.where,s3:}//acme/team-b/x"), "extra.c"),
    "composed of an allowed prefix and more": (inline(extra__a="b/x", extra__c="s3://acme/team-a${.a}"), "extra.c"),
    "composed role": (inline(extra__a="111122223333", extra__c="arn:aws:iam::${.a}:role/team-b"), "roleARNs"),
    "composed role of parts": (inline(extra__a="arn:aws", extra__c="${.a}:iam::111122223333:role/b"), "roleARNs"),
    "composed dots": (inline(extra__a="..", extra__c="s3://acme/team-a/${.a}/team-b/x"), "segment of dots"),
    "composed by an override": (
        {"recipe.overrides": {"run": {"mlflow_run_name": "s3:/", "mlflow_tracking_uri": "${.mlflow_run_name}/acme/b"}}},
        "the resolved recipe.run.mlflow_tracking_uri",
    ),
}


@pytest.mark.parametrize("way", DENIED)
def test_what_a_profile_does_not_allow_is_denied_before_any_call(way: str) -> None:
    edits, words = DENIED[way]
    said = verdict(edits)
    assert said is not None, "it was allowed"
    assert words in said
    assert "SFTProfile team-a" in said


ALLOWED: dict[str, dict[str, Any]] = {
    "the job as it is": {},
    "both sorts of prefix": {"dataset.train.uri": "s3://acme/team-a/deep/er/train.jsonl"},
    "an allowed image": {"sageMaker.training.image": IMAGE},
    "an allowed URI in an override": overrides(mlflow_tracking_uri="s3://acme/team-a/mlflow"),
    "two allowed URIs in a text": overrides(mlflow_run_name="s3://acme/team-a/x,s3a://acme-team-a/y and more"),
    "an allowed role in an override": overrides(mlflow_run_name=OWN_ROLE),
    "an inline recipe": inline(extra__source="s3://acme-team-a/x", extra__parts=[1, None, 2.5, True]),
    "a composed URI that is allowed": inline(extra__a="deep", extra__c="s3://acme/team-a/${.a}/x"),
    "tags that look like places": {"tags": {"seen": "s3:/no/place", "url": "https://wiki.acme.dev/x"}},
    "words with dots": overrides(mlflow_run_name="run ../.. of 3.. ?"),
    "the longest runtime": {"runPolicy.maxRuntime": "24h"},
}


@pytest.mark.parametrize("way", ALLOWED)
def test_what_a_profile_allows_is_not_denied(way: str) -> None:
    assert verdict(ALLOWED[way]) is None


def test_an_empty_list_allows_none_and_an_absent_one_all_but_images() -> None:
    assert "allowed (none)" in str(verdict({}, team_a(roleARNs=[])))
    assert "allowed prefix (none)" in str(verdict({}, team_a(uriPrefixes=[])))
    without = team_a(images=None, regions=None, instanceTypes=None, maxInstanceCount=None, maxInstanceHours=None)
    assert verdict({"sageMaker.training.instanceCount": 16}, without) is None
    assert "allowed.images" in str(verdict({"sageMaker.training.image": IMAGE}, without))


def test_a_bare_scheme_allows_every_place_of_it() -> None:
    assert verdict({"dataset.train.uri": B}, team_a(uriPrefixes=["s3://"])) is None
    assert "team-b" in str(verdict(overrides(mlflow_tracking_uri="https://team-b"), team_a(uriPrefixes=["s3://"])))


def test_the_defaults_of_a_profile_must_be_allowed_too() -> None:
    spec = {
        "namespaces": {"names": ["team-a"]},
        "defaults": {"sageMaker": {"roleARN": FOREIGN_ROLE}},
        "allowed": {"roleARNs": [OWN_ROLE], "uriPrefixes": ["s3://"]},
    }
    profile = parse({"metadata": {"name": "team-a"}, "spec": spec})
    assert FOREIGN_ROLE in str(verdict({"sageMaker.roleARN": ABSENT}, profile))


def test_every_recipe_of_the_catalogue_passes_a_profile_that_allows_the_jobs_own_places() -> None:
    for recipe in CATALOGUE.recipes.values():
        for text in _texts(recipe.content):
            wired = text.startswith("s3://my-bucket-name/")  # replaced by the job's own on SageMaker
            assert wired or not list(mentions.locations(text)), f"{recipe.name}: {text}"


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return (
        [text for item in value for text in _texts(item)]
        if isinstance(value, list)
        else [value] * isinstance(value, str)
    )


_LONG = 200_000


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "://",
        "a://",
        "/",
        "%2e",
        "arn:",
        "arn:aws:iam::",
        "arn:aws:s3:::",
        "é",
        "s3://acme-team-a/",
        f"{OWN_ROLE},",
    ],
)
def test_no_text_of_a_tenant_holds_up_the_operator(text: str) -> None:
    began = time.process_time()
    for reading in mentions.readings(text * (_LONG // len(text))):
        list(mentions.locations(reading))
        list(mentions.roles(reading))
        mentions.leads_out(reading)
    assert time.process_time() - began < 5.0


SEGMENT = st.text("ab-", min_size=1, max_size=4)
KEYS = st.lists(SEGMENT, min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(KEYS, KEYS, st.text(max_size=8), st.text(max_size=8))
def test_a_place_is_seen_wherever_it_stands_and_is_below_a_prefix_exactly_by_its_segments(
    prefix: list[str], place: list[str], before: str, after: str
) -> None:
    text = f"{before} s3://{'/'.join(place)}/{after}"
    found = [each for each in mentions.locations(text) if each.at == len(before) + len(" s3://")]
    assert len(found) == 1
    below = [*place, *after.split("/")][: len(prefix)] == prefix
    assert found[0].below(Prefix.parse(f"s3://{'/'.join(prefix)}/")) is below


@settings(max_examples=300, deadline=None)
@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_a_star_stands_for_any_characters(glob: str, value: str) -> None:
    def slow(rest: str, left: str) -> bool:
        if not rest:
            return not left
        if rest[0] == "*":
            return any(slow(rest[1:], left[at:]) for at in range(len(left) + 1))
        return bool(left) and rest[0] == left[0] and slow(rest[1:], left[1:])

    assert mentions.matches(glob, value) is slow(glob, value)
