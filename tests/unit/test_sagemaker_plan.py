"""From an SFTJob to a launch, or to the refusal that a user reads. No network, no clock."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from sft_operator.api import metadata, yaml12
from sft_operator.api.reasons import Reason
from sft_operator.api.status import DatasetFile, DatasetStatus
from sft_operator.platforms.base import Plan, Refusal
from sft_operator.platforms.sagemaker.plan import make_plan, precheck
from sft_operator.recipes.catalogue import default_catalogue
from tests.manifests import ABSENT
from tests.sagemaker_lab import view

CATALOGUE = default_catalogue()
FACTS = DatasetStatus(rows=1000, files=[DatasetFile(uri="s3://acme-ml-team/train.jsonl", etag="e1", version="v1")])


def plan(edits: dict[str, Any] | None = None, facts: DatasetStatus | None = FACTS, **more: Any) -> Plan:
    planned = make_plan(view(edits, **more), facts, CATALOGUE)
    assert isinstance(planned, Plan), planned
    return planned


def refused(edits: dict[str, Any], facts: DatasetStatus | None = FACTS, **more: Any) -> str:
    planned = make_plan(view(edits, **more), facts, CATALOGUE)
    assert isinstance(planned, Refusal), planned
    assert planned.reason is Reason.INVALID_SPEC
    return planned.message


def recipe(planned: Plan) -> Any:
    return yaml12.load(planned.uploads[0].body.decode(), source="recipe.yaml")


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"sageMaker.training.instanceType": "ml.g5.48xlarge"}, ["spec.sageMaker.training.instanceType", "ml.p5"]),
        ({"sageMaker.training.instanceCount": 3}, ["spec.sageMaker.training.instanceCount", "3", "4, 8"]),
        ({"sageMaker.region": "eu-west-1"}, ["spec.sageMaker.region", "eu-west-1", "us-east-1", "us-west-2"]),
        ({"model.name": "nova-lite-3"}, ["spec.model.name", "nova-lite-3", "nova-lite-2"]),
        (
            {"model.name": ABSENT, "model.id": "amazon.titan-v1"},
            ["spec.model.id", "amazon.titan-v1", "nova-lite-2/prod"],
        ),
        ({"recipe.name": "nova_lite_2_0_p5_gpu_lora"}, ["spec.recipe.name", "nova_lite_2_0_p5_gpu_lora_sft"]),
        ({"recipe.inline": {"run": {}}}, ["spec.recipe.inline"]),
        ({"recipe.overrides": {"training_config": {"save_stepz": 5}}}, ["save_stepz", "save_steps"]),
        ({"recipe.overrides": {"run": {"replicas": 8}}}, ["run.replicas", "spec.sageMaker.training.instanceCount"]),
        ({"recipe.overrides": {"training_config": {"max_steps": 5}}}, ["spec.hyperparameters.maxSteps"]),
        ({"method": "Full"}, ["lora.alpha", "spec.method to LoRA"]),
        ({"hyperparameters.learningRate": 0.9, "hyperparameters.warmupSteps": 900}, ["warmupSteps", "0..100"]),
        (
            {"dataset.validation": [{"uri": "s3://b-1/x"}, {"uri": "s3://b-1/y", "name": "second"}]},
            ["spec.dataset.validation", "validation, second", "takes one"],
        ),
        (
            {"sageMaker.roleARN": "arn:aws-cn:iam::111122223333:role/x"},
            ["spec.sageMaker.roleARN", "aws-cn", "us-east-1"],
        ),
    ],
)
def test_a_refusal_names_field_value_and_what_is_allowed(edits: dict[str, Any], words: list[str]) -> None:
    message = refused(edits)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "ap-northeast-1"])
def test_the_image_is_that_of_model_and_region(region: str) -> None:
    image = plan({"sageMaker.region": region}).request["AlgorithmSpecification"]["TrainingImage"]
    assert image.endswith(f".dkr.ecr.{region}.amazonaws.com/nova-fine-tune-repo:SM-TJ-SFT-V2-latest")


def test_an_image_of_ones_own_serves_in_any_region() -> None:
    edits = {"sageMaker.region": "eu-west-1", "sageMaker.training.image": "registry.example/nova:1"}
    planned = plan(edits)
    assert planned.request["AlgorithmSpecification"]["TrainingImage"] == "registry.example/nova:1"
    assert planned.effective.image == "registry.example/nova:1"


def test_the_recipe_lies_below_the_output_under_its_own_digest_with_its_key() -> None:
    planned = plan({"output.uri": "s3://acme-ml-team/sft", "output.kmsKeyID": "alias/ml"})
    upload = planned.uploads[0]
    assert planned.effective.recipe is not None
    digest = planned.effective.recipe.digest
    assert upload.uri == f"s3://acme-ml-team/sft/{planned.job_name}/recipe/{digest[:16]}/recipe.yaml"
    assert upload.kms_key_id == "alias/ml"
    assert planned.request["OutputDataConfig"] == {"S3OutputPath": "s3://acme-ml-team/sft", "KmsKeyId": "alias/ml"}
    channel = planned.request["InputDataConfig"][-1]
    assert channel["ChannelName"] == "recipe"
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == upload.uri
    assert recipe(planned)["run"]["name"] == planned.job_name


def test_instance_count_and_replicas_are_the_same_number() -> None:
    planned = plan({"sageMaker.training.instanceCount": 8})
    assert recipe(planned)["run"]["replicas"] == planned.request["ResourceConfig"]["InstanceCount"] == 8


def test_one_validation_set_is_channel_validation_whatever_its_name() -> None:
    planned = plan({"dataset.validation": [{"uri": "s3://b-1/x", "name": "held-out"}]})
    assert [channel["ChannelName"] for channel in planned.request["InputDataConfig"]] == [
        "train",
        "validation",
        "recipe",
    ]
    alone = plan({"dataset.validation": ABSENT, "hyperparameters.validationEverySteps": ABSENT})
    assert [channel["ChannelName"] for channel in alone.request["InputDataConfig"]] == ["train", "recipe"]


@pytest.mark.parametrize(
    ("max_runtime", "used", "sent"), [(ABSENT, 0, 432_000), ("120h", 0, 432_000), ("2h", 0, 7200), ("2h", 7000, 200)]
)
def test_the_longest_runtime_is_always_sent_less_what_was_used(max_runtime: Any, used: int, sent: int) -> None:
    planned = plan({"runPolicy.maxRuntime": max_runtime}, prior_runtime_seconds=used)
    assert planned.request["StoppingCondition"] == {"MaxRuntimeInSeconds": sent}
    assert planned.max_instance_hours == round(4 * sent / 3600, 2)


def test_a_runtime_that_is_used_up_refuses_a_further_attempt() -> None:
    planned = make_plan(view({"runPolicy.maxRuntime": "1h"}, prior_runtime_seconds=3600), FACTS, CATALOGUE)
    assert isinstance(planned, Refusal)
    assert planned.reason is Reason.DEADLINE_EXCEEDED
    assert "spec.runPolicy.maxRuntime" in planned.message


def test_epochs_become_steps_once_the_rows_are_counted() -> None:
    epochs = {"hyperparameters.maxSteps": ABSENT, "hyperparameters.epochs": 2}
    assert plan(epochs).effective.total_steps == 63  # 1000 rows x 2 / 32
    assert "spec.dataset.check" in refused(epochs, facts=None)
    for number in (0.01, 2, 100):
        assert isinstance(precheck(view(epochs | {"hyperparameters.epochs": number}), CATALOGUE), Plan)
    wrong = precheck(view(epochs | {"sageMaker.training.instanceCount": 3}), CATALOGUE)
    assert isinstance(wrong, Refusal)
    assert [finding.field for finding in wrong.findings] == ["spec.sageMaker.training.instanceCount"]


def test_what_does_not_depend_on_the_data_is_refused_before_it_is_read() -> None:
    assert isinstance(precheck(view(), CATALOGUE), Plan)
    early = precheck(view({"sageMaker.training.instanceCount": 3}), CATALOGUE)
    assert isinstance(early, Refusal)
    assert early.reason is Reason.INVALID_SPEC


def test_tags_tell_whose_run_it_is_and_a_users_tag_never_hides_them() -> None:
    planned = plan({"tags": {"team": "support", "cost-center": "4711"}}, attempt=2)
    sent = {tag["Key"]: tag["Value"] for tag in planned.request["Tags"]}
    assert sent == dict(planned.tags)
    assert len(sent) == 11
    assert (sent["team"], sent["model_name_or_path"]) == ("support", "nova-lite-2/prod")
    assert (sent[metadata.TAG_SCOPE], sent[metadata.TAG_NAMESPACE], sent[metadata.TAG_NAME]) == (
        "lab",
        "ml-team",
        "demo",
    )
    assert (sent[metadata.TAG_UID], sent[metadata.TAG_ATTEMPT], sent[metadata.TAG_RUN_ID]) == ("uid-1", "2", "1")
    assert sent[metadata.TAG_FINGERPRINT] == planned.fingerprint


def test_the_name_is_the_identitys_and_the_uid_is_no_part_of_it() -> None:
    first = plan()
    assert plan(uid="another").job_name == first.job_name
    assert plan(attempt=2).job_name == first.job_name.removesuffix("-1") + "-2"
    others = [plan(scope="prod"), plan({"runID": "2"}), plan(name="other"), plan({"hyperparameters.maxSteps": 300})]
    assert len({first.job_name, *(other.job_name for other in others)}) == 5
    assert len(plan(name="n" * 63).job_name) <= 63


def test_the_inputs_digest_follows_the_data_and_the_recipe_and_not_the_attempt() -> None:
    replaced = DatasetStatus(rows=1000, files=[DatasetFile(uri="s3://acme-ml-team/train.jsonl", etag="e2")])
    assert plan(attempt=2).inputs_digest == plan().inputs_digest
    assert plan(facts=replaced).inputs_digest != plan().inputs_digest


def test_a_plan_is_the_same_every_time_and_reads_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan()

    def no_file(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"opened {args}")

    monkeypatch.setattr(builtins, "open", no_file)
    assert plan() == first


@pytest.mark.parametrize("model_id", ["amazon.nova-2-lite-v1:0:256k", "nova-lite-2/prod"])
def test_a_providers_own_id_means_the_same_model_as_its_name(model_id: str) -> None:
    planned = plan({"model.name": ABSENT, "model.id": model_id})
    assert planned.request["HyperParameters"] == plan().request["HyperParameters"]


def test_an_inline_recipe_is_sent_as_it_is_written() -> None:
    content = recipe(plan())
    content["training_config"]["save_steps"] = 7
    planned = plan({"recipe.inline": content})
    assert recipe(planned)["training_config"]["save_steps"] == 7
    assert planned.effective.recipe is not None
    assert planned.effective.recipe.name == "inline"


def test_an_id_that_is_not_what_the_inline_recipe_trains_is_refused() -> None:
    message = refused({"recipe.inline": recipe(plan()), "model.name": ABSENT, "model.id": "something-else"})
    assert "spec.model.id: something-else" in message
    assert "amazon.nova-2-lite-v1:0:256k" in message


def test_effective_says_what_was_really_used() -> None:
    effective = plan({"hyperparameters.learningRate": ABSENT, "method": "LoRA"}).effective
    assert (effective.account, effective.region) == ("111122223333", "us-east-1")
    assert effective.hyperparameters is not None
    assert effective.hyperparameters["learningRate"] == "1e-05"
    assert effective.hyperparameters["maxSteps"] == "200"
    assert (effective.max_runtime, effective.deletion_policy) == ("120h", "Stop")
