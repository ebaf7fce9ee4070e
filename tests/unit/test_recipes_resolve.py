"""From a job's settings to the recipe that is sent: precedence, conversions, defaults and stable bytes."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from typing import Any

import pytest
import yaml

from sft_operator.recipes.catalogue import Catalogue, Recipe, load_catalogue
from sft_operator.recipes.merge import get, leaves, parse
from sft_operator.recipes.resolve import RecipeRequest, ResolvedRecipe, resolve

CATALOGUE: Catalogue = load_catalogue()
UNCONFIRMED = "not confirmed on a real account"


def job(
    model: str = "nova-lite-2", method: str = "LoRA", instance: str = "ml.p5.48xlarge", **say: Any
) -> RecipeRequest:
    recipe = CATALOGUE.choose(model, method, instance)
    assert isinstance(recipe, Recipe)
    say.setdefault("instance_count", 4)
    return RecipeRequest(
        recipe=recipe, content=None, job_name="sft-x", method=method, model=model, instance_type=instance, **say
    )


def given(content: dict[str, Any], **say: Any) -> RecipeRequest:
    say = {"job_name": "sft-x", "instance_count": 4, "method": "LoRA", "model": "nova-lite-2"} | say
    return RecipeRequest(recipe=None, content=content, **say)


def resolved(request: RecipeRequest) -> ResolvedRecipe:
    result = resolve(request, CATALOGUE)
    assert isinstance(result, ResolvedRecipe), [str(finding) for finding in result]
    return result


def at(result: ResolvedRecipe, path: str) -> object:
    return get(result.content, parse(path))


def lite_2() -> dict[str, Any]:
    recipe = CATALOGUE.recipe("nova_lite_2_0_p5_gpu_lora_sft")
    assert isinstance(recipe, Recipe)
    return copy.deepcopy(dict(recipe.content))


@pytest.mark.parametrize(
    ("recipe", "instance_type"),
    [
        pytest.param(recipe, instance_type, id=f"{recipe.file_name}-{instance_type}")
        for recipe in CATALOGUE.recipes.values()
        for instance_type in recipe.instance_types
    ],
)
def test_every_recipe_resolves_with_its_own_values_on_each_of_its_instance_types(
    recipe: Recipe, instance_type: str
) -> None:
    count: int = get(recipe.content, parse("run.replicas"))
    request = RecipeRequest(
        recipe=recipe,
        content=None,
        job_name="sft-x",
        instance_count=count,
        method=recipe.method,
        model=recipe.model,
        instance_type=instance_type,
    )
    result = resolved(request)
    changed = {".".join(map(str, path)) for path, value in leaves(result.content) if get(recipe.content, path) != value}
    assert changed <= {"run.name", "run.data_s3_path", "run.output_s3_path", "training_config.save_steps"}
    assert result.name == recipe.name
    assert result.replicas == at(result, "run.replicas") == count
    assert at(result, "run.data_s3_path") == at(result, "run.output_s3_path") == ""
    assert "${" not in result.yaml
    assert yaml.safe_load(result.yaml) == result.content
    table_only = [finding for finding in result.warnings if "outside AWS's parameter table" in finding.message]
    assert len(table_only) == (1 if recipe.file_name == "nova_lite_2_0_p5_gpu_lora_sft" else 0)


def test_the_typed_fields_land_where_nova_2_keeps_them() -> None:
    typed = {
        "maxSteps": 200, "validationEverySteps": 20, "learningRate": 2e-5, "minLearningRate": 2e-6,
        "globalBatchSize": 64, "maxLength": 16384, "warmupSteps": 30, "weightDecay": 0.1, "reasoningEnabled": False,
        "lora.alpha": 96, "lora.plusRatio": 32,
    }  # fmt: skip
    result = resolved(job(typed=typed, has_validation=True, rows=500))
    assert result.effective == typed
    assert result.content["training_config"] == {
        "max_steps": 200, "save_steps": 200, "save_top_k": 5, "max_length": 16384, "global_batch_size": 64,
        "reasoning_enabled": False, "val_check_interval": 20, "limit_val_batches": 2,
        "lr_scheduler": {"warmup_steps": 30, "min_lr": 2e-6},
        "optim_config": {"lr": 2e-5, "weight_decay": 0.1, "adam_beta1": 0.9, "adam_beta2": 0.95},
        "peft": {"peft_scheme": "lora", "lora_tuning": {"alpha": 96, "lora_plus_lr_ratio": 32.0}},
        "model_importance_score": {"fine_tuned_model": 1.0},
    }  # fmt: skip
    assert (result.total_steps, result.family, result.model_type) == (200, "nova-2", "amazon.nova-2-lite-v1:0:256k")


def test_the_typed_fields_land_where_nova_1_keeps_them() -> None:
    typed = {
        "epochs": 3, "learningRate": 2e-5, "minLearningRate": 2e-6, "globalBatchSize": 32, "maxLength": 9216,
        "warmupSteps": 5, "weightDecay": 0.1, "lora.alpha": 32, "lora.plusRatio": 8.0, "lora.dropout": 0.05,
    }  # fmt: skip
    result = resolved(job("nova-micro", typed=typed, rows=500))
    assert result.effective == typed
    assert at(result, "training_config.trainer.max_epochs") == 3
    assert at(result, "training_config.model.optim.lr") == 2e-5
    assert at(result, "training_config.model.peft.lora_tuning.adapter_dropout") == 0.05
    assert (result.total_steps, result.epochs) == (47, 3)


def test_overrides_come_last_and_save_steps_no_longer_follows() -> None:
    over = {"training_config": {"save_steps": 50, "optim_config": {"adam_beta2": 0.99}}}
    result = resolved(job(typed={"maxSteps": 200}, overrides=over))
    assert at(result, "training_config.save_steps") == 50
    assert at(result, "training_config.optim_config") == {
        "lr": 1e-5, "weight_decay": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.99,
    }  # fmt: skip


def test_an_override_may_refer_to_another_value() -> None:
    over = {"training_config": {"save_steps": "${training_config.lr_scheduler.warmup_steps}"}}
    assert at(resolved(job(overrides=over)), "training_config.save_steps") == 15


def test_the_steps_may_come_from_an_override_and_count_for_everything_that_follows() -> None:
    result = resolved(job(overrides={"training_config": {"max_steps": 300}}, has_validation=True))
    assert (result.total_steps, at(result, "training_config.save_steps")) == (300, 300)
    assert at(result, "training_config.val_check_interval") == 30


@pytest.mark.parametrize(
    ("epochs", "rows", "batch", "steps"),
    [(2, 500, 32, 32), (1, 512, 32, 16), (1, 513, 32, 17), (0.5, 1000, 64, 8), (0.1, 3200, 32, 10), (3.0, 500, 64, 24)],
)
def test_epochs_become_steps_where_the_recipe_counts_steps(epochs: float, rows: int, batch: int, steps: int) -> None:
    result = resolved(job(typed={"epochs": epochs, "globalBatchSize": batch}, rows=rows))
    assert result.total_steps == steps
    assert at(result, "training_config.max_steps") == at(result, "training_config.save_steps") == steps
    assert result.effective["epochs"] == result.epochs == epochs
    assert result.effective["maxSteps"] == steps


def test_a_batch_set_by_an_override_counts_in_the_conversion() -> None:
    over = {"training_config": {"global_batch_size": 64}}
    assert resolved(job(typed={"epochs": 2}, overrides=over, rows=500)).total_steps == 16


def test_fewer_steps_than_the_recipe_allows_are_raised_to_its_minimum_with_a_warning() -> None:
    result = resolved(job(typed={"epochs": 1, "warmupSteps": 0}, rows=40))
    assert result.total_steps == 4
    assert [str(finding) for finding in result.warnings] == [
        "spec.hyperparameters.epochs: 1 epochs of 40 rows in batches of 32 are 2 steps; the recipe's minimum 4 is used"
    ]


@pytest.mark.parametrize(("steps", "interval"), [(200, 20), (105, 10), (9, 1), (4, 1), (5000, 500)])
def test_validation_runs_every_tenth_of_the_steps_unless_said_otherwise(steps: int, interval: int) -> None:
    result = resolved(job(typed={"maxSteps": steps, "warmupSteps": 0}, has_validation=True))
    assert at(result, "training_config.val_check_interval") == interval
    assert result.effective["validationEverySteps"] == interval
    (warning,) = result.warnings
    assert warning.field == "spec.dataset.validation"
    assert "validation_data_s3_path stays empty" in warning.message
    assert UNCONFIRMED in warning.message


def test_without_validation_data_the_interval_stays_as_it_is_and_is_not_shown_as_in_force() -> None:
    result = resolved(job())
    assert at(result, "training_config.val_check_interval") == 2500
    assert "validationEverySteps" not in result.effective
    assert result.warnings == ()


def test_nova_1_takes_a_validation_set_without_any_interval() -> None:
    result = resolved(job("nova-micro", has_validation=True))
    assert result.warnings == ()
    assert result.total_steps is None


def test_named_validation_sets_are_new_keys_below_an_empty_map_and_carry_a_warning() -> None:
    over = {"run": {"validation_data_s3_path_list": {"tone": "s3://b/tone.jsonl"}}}
    result = resolved(job(overrides=over))
    assert at(result, "run.validation_data_s3_path_list") == {"tone": "s3://b/tone.jsonl"}
    assert at(result, "training_config.val_check_interval") == 10
    assert UNCONFIRMED in result.warnings[0].message


@pytest.mark.parametrize(
    ("say", "field", "part"),
    [
        ({"typed": {"maxLength": 65536}}, "maxLength", "65536 is outside the recommended 8192..32768"),
        ({"typed": {"globalBatchSize": 256}}, "globalBatchSize", "256 is outside the recommended 32, 64, 128"),
        ({"typed": {"lora.plusRatio": 90}}, "lora.plusRatio", "90 is outside the recommended 1..70"),
        ({"typed": {"lora.plusRatio": 0.5}}, "lora.plusRatio", "0.5 is outside the recommended 1..70"),
        (
            {"typed": {"learningRate": 0.5}},
            "learningRate",
            "0.5 is outside the recommended 1e-06..1e-04 for nova-lite-2",
        ),
        ({"typed": {"maxSteps": 10}}, "maxSteps", "warmup_steps 15 is above the run's steps 10"),
    ],
)
def test_what_is_legal_but_not_recommended_is_a_warning(say: dict[str, Any], field: str, part: str) -> None:
    (warning,) = resolved(job(**say)).warnings
    assert warning.field == f"spec.hyperparameters.{field}"
    assert part in warning.message


@pytest.mark.parametrize(
    ("model", "instance", "count"),
    [("nova-micro", "ml.p5.48xlarge", 1), ("nova-lite", "ml.p5en.48xlarge", 1), ("nova-pro", "ml.p5.48xlarge", 3),
     ("nova-lite-2", "ml.p5.48xlarge", 1)],
)  # fmt: skip
def test_a_count_that_only_the_documentation_or_the_recipe_file_has_is_a_warning(
    model: str, instance: str, count: int
) -> None:
    (warning,) = resolved(job(model, instance=instance, instance_count=count)).warnings
    assert warning.field == "spec.sageMaker.training.instanceCount"
    assert f"{count} instances are outside AWS's parameter table" in warning.message


def test_the_same_request_gives_the_same_bytes_and_digest() -> None:
    request = job(typed={"learningRate": 1e-5, "maxSteps": 50}, has_validation=True)
    first, second = resolved(request), resolved(copy.deepcopy(request))
    assert first.yaml == second.yaml
    assert first.digest == second.digest == hashlib.sha256(first.yaml.encode()).hexdigest()
    assert resolved(dataclasses.replace(request, job_name="sft-y")).digest != first.digest


def test_the_text_that_is_sent_keeps_numbers_and_words_apart_for_every_reader() -> None:
    text = resolved(job(method="Full")).yaml
    assert "peft_scheme: 'null'\n" in text
    assert "lr: 1.0e-05\n" in text
    assert "peft_scheme: null\n" in resolved(job("nova-micro", "Full")).yaml


def test_resolving_leaves_the_catalogue_as_it_was() -> None:
    before = lite_2()
    resolved(job(typed={"learningRate": 2e-5}, overrides={"training_config": {"save_steps": 5}}, instance_count=8))
    assert lite_2() == before


def test_a_given_recipe_resolves_like_one_of_the_catalogue() -> None:
    own, chosen = resolved(given(lite_2(), instance_type="ml.p5.48xlarge")), resolved(job())
    assert own.name == "inline"
    assert own.yaml == chosen.yaml


def test_a_given_recipes_own_validation_interval_stands_where_it_fits_the_run() -> None:
    content = lite_2()
    content["training_config"]["val_check_interval"] = 25
    assert at(resolved(given(content, has_validation=True)), "training_config.val_check_interval") == 25
    content["training_config"]["val_check_interval"] = 2500
    assert at(resolved(given(content, has_validation=True)), "training_config.val_check_interval") == 10


def test_what_the_job_decides_in_a_given_recipe_is_told() -> None:
    content = lite_2()
    content["run"]["replicas"] = 8
    content["run"]["data_s3_path"] = "s3://mine/x.jsonl"
    assert [str(finding) for finding in resolved(given(content)).warnings] == [
        "spec.recipe.inline: the recipe's run.data_s3_path 's3://mine/x.jsonl' is replaced by ''; spec.dataset.train decides",
        "spec.recipe.inline: the recipe's run.output_s3_path 's3://my-bucket-name/outputs/' is replaced by ''; "
        "spec.output.uri decides",
        "spec.recipe.inline: the recipe's run.replicas 8 is replaced by 4; spec.sageMaker.training.instanceCount decides",
    ]


def test_a_given_recipes_own_values_are_not_measured_against_the_tables() -> None:
    content = lite_2()
    content["training_config"]["global_batch_size"] = 16
    assert at(resolved(given(content)), "training_config.global_batch_size") == 16
