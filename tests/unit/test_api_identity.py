"""Which run a spec means: what moves the fingerprint, what does not, and names that never move between releases."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sft_operator.api.identity import canonical, fingerprint, job_name, run_identity
from sft_operator.api.sftjob import SFTJobSpec
from tests.manifests import ABSENT, edited, nova_lite_2_lora

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden" / "identities.yaml").read_text())

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


def spec(edits: dict[str, Any] | None = None) -> SFTJobSpec:
    return SFTJobSpec.model_validate(nova_lite_2_lora(edits)["spec"])


BASE = fingerprint(spec())


@pytest.mark.parametrize("stored", GOLDEN["identities"], ids=lambda stored: stored["title"])
def test_the_identity_of_a_stored_spec_never_moves_between_releases(stored: dict[str, Any]) -> None:
    parsed = SFTJobSpec.model_validate(stored["spec"])
    assert parsed.sage_maker is not None
    where = {key: stored[key] for key in ("scope", "account", "namespace", "name")}
    identity = run_identity(
        **where, region=parsed.sage_maker.region, run_id=parsed.run_id, fingerprint=fingerprint(parsed)
    )
    assert fingerprint(parsed) == stored["fingerprint"]
    assert job_name(name=stored["name"], identity=identity, attempt=1) == stored["jobName"]


def test_defaults_written_out_and_left_out_mean_the_same_run() -> None:
    written = spec(
        {
            "method": "LoRA",
            "dataset.check": "Enforce",
            "dataset.train.format": "Auto",
            "dataset.validation.0": {"uri": "s3://acme-ml-team/val.jsonl", "format": "Auto", "name": "validation"},
            "runID": "1",
            "recipe": {"overrides": {}},
        }
    )
    left_out = spec({"method": ABSENT, "runPolicy": ABSENT})
    assert fingerprint(written) == fingerprint(left_out) == BASE


@pytest.mark.parametrize(
    "edits",
    [
        {"runPolicy": {"suspend": True, "maxRuntime": "1h", "deletionPolicy": "Orphan", "stop": True}},
        {"runPolicy": ABSENT},
        {"tags": {"team": "support"}},
        {"dataset.check": "Skip"},
    ],
    ids=lambda edits: " ".join(edits),
)
def test_how_a_run_is_handled_is_no_part_of_it(edits: dict[str, Any]) -> None:
    assert fingerprint(spec(edits)) == BASE


@pytest.mark.parametrize(
    "edits",
    [
        {"model.name": "nova-lite"},
        {"model": {"id": "amazon.nova-2-lite-v1:0:256k"}},
        {"method": "Full"},
        {"dataset.train.uri": "s3://acme-ml-team/other.jsonl"},
        {"dataset.train.format": "Converse"},
        {"dataset.validation": ABSENT},
        {"dataset.validation.0.uri": "s3://acme-ml-team/other.jsonl"},
        {"dataset.validation.0.name": "held-out"},
        {"hyperparameters": ABSENT},
        {"hyperparameters.maxSteps": 201},
        {"hyperparameters.maxSteps": ABSENT, "hyperparameters.epochs": 2},
        {"hyperparameters.validationEverySteps": 21},
        {"hyperparameters.learningRate": 1.0000001e-5},
        {"hyperparameters.minLearningRate": 1e-7},
        {"hyperparameters.globalBatchSize": 64},
        {"hyperparameters.maxLength": 8192},
        {"hyperparameters.warmupSteps": 16},
        {"hyperparameters.weightDecay": 0.1},
        {"hyperparameters.reasoningEnabled": False},
        {"hyperparameters.lora.alpha": 32},
        {"hyperparameters.lora.plusRatio": 8},
        {"hyperparameters.lora.dropout": 0},
        {"recipe": {"name": "fine-tuning/nova/nova_2_0/nova_lite/SFT/nova_lite_2_0_p5_gpu_lora_sft"}},
        {"recipe": {"inline": {"run": {"name": "x"}}}},
        {"recipe": {"overrides": {"training_config": {"save_steps": 50}}}},
        {"output.uri": "s3://acme-ml-team/elsewhere/"},
        {"output.kmsKeyID": "alias/ml-team"},
        {"sageMaker.region": "us-west-2"},
        {"sageMaker.roleARN": "arn:aws:iam::111122223333:role/other"},
        {"sageMaker.training.instanceType": "ml.p5en.48xlarge"},
        {"sageMaker.training.instanceCount": 8},
        {"sageMaker.training.image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/x:1"},
    ],
    ids=lambda edits: " ".join(edits),
)
def test_every_run_defining_field_moves_the_fingerprint(edits: dict[str, Any]) -> None:
    assert fingerprint(spec(edits)) != BASE


def test_the_run_id_is_in_the_identity_and_not_in_the_fingerprint() -> None:
    assert fingerprint(spec({"runID": "2"})) == BASE
    where = {"scope": "s", "account": "1", "region": "r", "namespace": "n", "name": "j", "fingerprint": BASE}
    assert run_identity(run_id="1", **where) != run_identity(run_id="2", **where)


@pytest.mark.parametrize("part", ["scope", "account", "region", "namespace", "name", "run_id", "fingerprint"])
def test_each_part_of_the_identity_tells_runs_apart(part: str) -> None:
    where = dict.fromkeys(["scope", "account", "region", "namespace", "name", "run_id", "fingerprint"], "a")
    assert run_identity(**where) != run_identity(**{**where, part: "b"})


def test_parts_of_the_identity_do_not_run_into_each_other() -> None:
    where = dict.fromkeys(["scope", "account", "region", "run_id", "fingerprint"], "a")
    assert run_identity(namespace="ab", name="c", **where) != run_identity(namespace="a", name="bc", **where)


def test_the_order_of_keys_and_of_validation_sets_does_not_matter() -> None:
    sets = [
        {"uri": "s3://acme/a.jsonl", "name": "a"},
        {"uri": "s3://acme/v.jsonl"},
        {"uri": "s3://acme/z", "name": "z"},
    ]
    overrides = {"training_config": {"save_steps": 50, "max_steps": 3}, "run": {"a": 1}}
    turned = {"run": {"a": 1}, "training_config": {"max_steps": 3, "save_steps": 50}}
    assert fingerprint(spec({"dataset.validation": sets, "recipe.overrides": overrides})) == fingerprint(
        spec({"dataset.validation": sets[::-1], "recipe.overrides": turned})
    )


def test_the_order_of_a_list_in_an_override_matters() -> None:
    one, other = ({"recipe.overrides": {"run": {"list": values}}} for values in ([1, 2], [2, 1]))
    assert fingerprint(spec(one)) != fingerprint(spec(other))


json_values = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=8,
)


def as_stored(value: Any) -> Any:
    """The API server keeps a whole number without its point."""
    if isinstance(value, dict):
        return {key: as_stored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_stored(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@given(st.dictionaries(st.text(min_size=1, max_size=5), json_values, max_size=4))
def test_a_file_and_what_the_api_server_stores_of_it_mean_the_same_run(overrides: dict[str, Any]) -> None:
    written, stored = spec({"recipe.overrides": overrides}), spec({"recipe.overrides": as_stored(overrides)})
    assert fingerprint(written) == fingerprint(stored)


@given(st.dictionaries(st.text(min_size=1, max_size=5), json_values, max_size=4))
def test_the_canonical_form_parses_to_the_same_run(overrides: dict[str, Any]) -> None:
    first = spec({"recipe.overrides": overrides})
    assert fingerprint(SFTJobSpec.model_validate(canonical(first))) == fingerprint(first)


@given(
    name=st.text(max_size=80) | names, identity=digests, attempt=st.integers(1, 10**6), limit=st.sampled_from([40, 63])
)
def test_a_job_name_is_one_aws_takes_and_keeps_hash_and_attempt(
    name: str, identity: str, attempt: int, limit: int
) -> None:
    result = job_name(name=name, identity=identity, attempt=attempt, limit=limit)
    assert len(result) <= limit
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", result)  # SageMaker's TrainingJobName
    assert result.startswith("sft-")
    assert result.endswith(f"-{identity[:10]}-{attempt}")


def test_a_short_name_is_readable_in_the_job_name() -> None:
    assert job_name(name="support-tone", identity="0123456789abcdef", attempt=2) == "sft-support-tone-0123456789-2"


def test_only_the_readable_part_of_a_long_name_is_cut() -> None:
    assert job_name(name="a" * 63, identity="0123456789abcdef", attempt=1) == "sft-" + "a" * 46 + "-0123456789-1"


def test_the_builder_of_tests_edits_a_copy() -> None:
    manifest = nova_lite_2_lora()
    edited(manifest, {"model.name": "x"})
    assert manifest["spec"]["model"]["name"] == "nova-lite-2"
