"""What a recipe refuses, as the message a user reads: what was found, what is allowed, whose rule, what to do."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from sft_operator.api.findings import errors
from sft_operator.recipes.catalogue import Catalogue, Recipe, load_catalogue
from sft_operator.recipes.resolve import RecipeRequest, resolve

CATALOGUE: Catalogue = load_catalogue()
H = "spec.hyperparameters"
O = "spec.recipe.overrides"  # noqa: E741


def job(
    model: str = "nova-lite-2", method: str = "LoRA", instance: str = "ml.p5.48xlarge", **say: Any
) -> RecipeRequest:
    recipe = CATALOGUE.choose(model, method, instance)
    assert isinstance(recipe, Recipe)
    say = {"instance_count": 4, "instance_type": instance, "method": method, "model": model, "recipe": recipe} | say
    return RecipeRequest(content=None, job_name="sft-x", **say)


def refusals(request: RecipeRequest) -> list[str]:
    result = resolve(request, CATALOGUE)
    assert isinstance(result, tuple), "it was not refused"
    return [str(finding) for finding in errors(result)]


def lora() -> dict[str, Any]:
    recipe = CATALOGUE.recipe("nova_lite_2_0_p5_gpu_lora_sft")
    assert isinstance(recipe, Recipe)
    return copy.deepcopy(dict(recipe.content))


def given(content: dict[str, Any], **say: Any) -> RecipeRequest:
    say = {"instance_count": 4, "method": "LoRA", "model": "nova-lite-2"} | say
    return RecipeRequest(recipe=None, content=content, job_name="sft-x", **say)


TABLE = "(AWS recipe table, 2026-06-23)"
FILE = "(AWS recipe file, 2026-06-23)"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"learningRate": 1.5}, f"{H}.learningRate: 1.5 is outside 0..1 for nova-lite-2 {TABLE}; set it in that range"),
        ({"learningRate": "1e-5"}, f"{H}.learningRate: '1e-5' is not a number; write it without quotes"),
        ({"learningRate": True}, f"{H}.learningRate: true is not a number"),
        ({"learningRate": float("nan")}, f"{H}.learningRate: nan is not a finite number"),
        (
            {"minLearningRate": 1e-8},
            f"{H}.minLearningRate: 1e-08 is outside 1e-07..1 for nova-lite-2 {TABLE}; set it in that range",
        ),
        (
            {"minLearningRate": 1e-4},
            f"{H}.minLearningRate: training_config.lr_scheduler.min_lr 1e-04 is above training_config.optim_config.lr "
            f"1e-05 (a schedule falls to its minimum); set {H}.minLearningRate",
        ),
        (
            {"learningRate": 1e-7},
            f"{H}.learningRate: training_config.lr_scheduler.min_lr 1e-06 is above training_config.optim_config.lr "
            f"1e-07 (a schedule falls to its minimum); set {H}.minLearningRate",
        ),
        (
            {"globalBatchSize": 48},
            f"{H}.globalBatchSize: 48 is outside 32, 64, 128, 256 for nova-lite-2 {TABLE}; set it in that range",
        ),
        ({"globalBatchSize": 32.5}, f"{H}.globalBatchSize: 32.5 is not a whole number"),
        (
            {"maxLength": 131072},
            f"{H}.maxLength: 131072 is outside 8192, 16384, 32768, 65536 for nova-lite-2 {FILE}; set it in that range",
        ),
        ({"maxSteps": 3}, f"{H}.maxSteps: 3 is outside 4..100000 for nova-lite-2 {TABLE}; set it in that range"),
        ({"warmupSteps": 101}, f"{H}.warmupSteps: 101 is outside 0..100 for nova-lite-2 {TABLE}; set it in that range"),
        (
            {"maxSteps": 20, "warmupSteps": 21},
            f"{H}.warmupSteps: training_config.lr_scheduler.warmup_steps 21 is above the run's steps 20 (the learning "
            f"rate would never reach its peak; AWS recommends about 15 % of the steps); set {H}.warmupSteps",
        ),
        ({"weightDecay": -0.1}, f"{H}.weightDecay: -0.1 is outside 0..1 for nova-lite-2 {TABLE}; set it in that range"),
        ({"reasoningEnabled": "true"}, f"{H}.reasoningEnabled: 'true' is not true or false; write it without quotes"),
        (
            {"lora.alpha": 48},
            f"{H}.lora.alpha: 48 is outside 32, 64, 96, 128, 160, 192 for nova-lite-2 {TABLE}; set it in that range",
        ),
        (
            {"lora.plusRatio": 101},
            f"{H}.lora.plusRatio: 101 is outside 0..100 for nova-lite-2 (AWS recipe files, 2026-06-23); "
            "set it in that range",
        ),
        ({"lora.dropout": 0.1}, f"{H}.lora.dropout: Nova 2.0 recipes have no adapter dropout; remove it"),
        ({"lora.rank": 8}, f"{H}.lora.rank: Nova 2.0 recipes have no such setting; remove it"),
        (
            {"epochs": 2},
            f"{H}.epochs: this recipe counts steps, and steps can be told from epochs only once the rows are counted; "
            f"set {H}.maxSteps, or let spec.dataset.check read the data (Enforce or Warn)",
        ),
        (
            {"validationEverySteps": 10},
            f"{H}.validationEverySteps: there is no validation set, so it would never take effect; "
            "set spec.dataset.validation",
        ),
    ],
)
def test_a_setting_nova_2_cannot_take_is_refused(typed: dict[str, Any], message: str) -> None:
    assert refusals(job(typed=typed)) == [message]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (job("nova-micro", typed={"maxSteps": 100}), f"{H}.maxSteps: Nova 1.0 recipes count epochs only; set epochs"),
        (
            job("nova-micro", typed={"validationEverySteps": 10}, has_validation=True),
            f"{H}.validationEverySteps: Nova 1.0 recipes have no validation interval; remove it (a validation set is "
            "still sent)",
        ),
        (
            job("nova-micro", typed={"reasoningEnabled": True}),
            f"{H}.reasoningEnabled: Nova 1.0 has no reasoning mode; remove it or use nova-lite-2",
        ),
        (job("nova-micro", typed={"epochs": 1.5}), f"{H}.epochs: 1.5 is not a whole number"),
        (
            job("nova-micro", typed={"epochs": 101}),
            f"{H}.epochs: 101 is outside 1..100 for nova-micro {TABLE}; set it in that range",
        ),
        (
            job("nova-micro", instance="ml.g5.48xlarge", instance_count=1, typed={"maxLength": 16384}),
            f"{H}.maxLength: 16384 is outside 1024..8192 for nova-micro {FILE}; set it in that range",
        ),
        (
            job("nova-micro", "Full", "ml.g6.48xlarge", instance_count=1, typed={"maxLength": 8192}),
            f"{H}.maxLength: 8192 is outside 1024..4096 for nova-micro {FILE}; set it in that range",
        ),
        (
            job("nova-lite", typed={"maxLength": 65536}),
            f"{H}.maxLength: 65536 is outside 1024..32768 for nova-lite (Nova user guide, 2026-06-23); "
            "set it in that range",
        ),
        (
            job("nova-pro", instance_count=6, typed={"maxLength": 2000}),
            f"{H}.maxLength: 2000 is not a multiple of 1024 (Nova user guide, 2026-06-23)",
        ),
        (
            job("nova-micro", typed={"minLearningRate": 1e-5}),
            f"{H}.minLearningRate: training_config.model.optim.sched.min_lr 1e-05 is not below "
            f"training_config.model.optim.lr 1e-05 {FILE}; set {H}.minLearningRate",
        ),
        (
            job("nova-micro", typed={"warmupSteps": 50, "epochs": 1}, rows=640),
            f"{H}.warmupSteps: training_config.model.optim.sched.warmup_steps 50 is above the run's steps 10 (the "
            f"learning rate would never reach its peak); set {H}.warmupSteps",
        ),
        (
            job("nova-micro", "Full", typed={"lora.alpha": 32}),
            f"{H}.lora.alpha: nova_micro_1_0_p5_p4d_gpu_sft has no training_config.model.peft.lora_tuning.alpha; "
            "remove it or set spec.method to LoRA",
        ),
    ],
)
def test_a_setting_nova_1_cannot_take_is_refused(request_: RecipeRequest, message: str) -> None:
    assert refusals(request_) == [message]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"run": {"name": "x"}}, f"{O}.run.name: the operator sets it; use metadata.name"),
        (
            {"run": {"replicas": 8}},
            f"{O}.run.replicas: the operator sets it; use spec.sageMaker.training.instanceCount",
        ),
        ({"run": {"model_type": "x"}}, f"{O}.run.model_type: the operator sets it; use spec.model.name"),
        (
            {"run": {"model_name_or_path": "x"}},
            f"{O}.run.model_name_or_path: the operator sets it; use spec.model.name",
        ),
        ({"run": {"data_s3_path": "x"}}, f"{O}.run.data_s3_path: the operator sets it; use spec.dataset.train"),
        ({"run": {"output_s3_path": "x"}}, f"{O}.run.output_s3_path: the operator sets it; use spec.output.uri"),
        (
            {"run": {"validation_data_s3_path": "s3://b/v.jsonl"}},
            f"{O}.run.validation_data_s3_path: the operator sets it; use spec.dataset.validation",
        ),
        (
            {"training_config": {"peft": {"peft_scheme": "null"}}},
            f"{O}.training_config.peft.peft_scheme: the operator sets it; use spec.method",
        ),
        (
            {"training_config": {"save_top_k": 2}},
            f"{O}.training_config.save_top_k: training jobs ignore it (only HyperPod keeps the best checkpoints); "
            "remove it",
        ),
        (
            {"training_config": {"optim_config": {"lr": 2}}},
            f"{O}.training_config.optim_config.lr: 2 is outside 0..1 for nova-lite-2 {TABLE}; set it in that range",
        ),
        (
            {"training_config": {"optim_config": {"lr": None}}},
            f"{O}.training_config.optim_config.lr: null is not a number",
        ),
        (
            {"training_config": {"optim_config": {"adam_beta1": [0.9]}}},
            f"{O}.training_config.optim_config.adam_beta1: [0.9] is not a number, as the recipe has there",
        ),
        (
            {"training_config": {"savesteps": 5}},
            f"{O}.training_config.savesteps: the recipe has no such path; did you mean training_config.save_steps?",
        ),
        (
            {"training_config": {"save_steps": 101}},
            f"{O}.training_config.save_steps: training_config.save_steps 101 is above training_config.max_steps 100 "
            f"{FILE}; set {O}.training_config.save_steps",
        ),
        (
            {"training_config": {"save_steps": "${training_config.max_step}"}},
            f"{O}.training_config.save_steps: at training_config.save_steps: ${{training_config.max_step}} points at "
            "training_config.max_step, which the recipe does not have",
        ),
        (
            {"training_config": {"save_steps": "${run.name}"}},
            f"{O}.training_config.save_steps: 'sft-x' is not a whole number; write it without quotes",
        ),
        (
            {"training_config": {"val_check_interval": 10}},
            f"{O}.training_config.val_check_interval: there is no validation set, so it would never take effect; "
            "set spec.dataset.validation",
        ),
    ],
)
def test_an_override_that_is_not_the_users_to_set_or_wrong_is_refused(over: dict[str, Any], message: str) -> None:
    assert refusals(job(overrides=over)) == [message]


@pytest.mark.parametrize(
    ("typed", "over"),
    [
        ({"maxSteps": 50}, {"training_config": {"max_steps": 50}}),
        ({"learningRate": 1e-5}, {"training_config": {"optim_config": {"lr": 1e-5}}}),
        ({"lora.alpha": 64}, {"training_config": {"peft": {"lora_tuning": {"alpha": 64}}}}),
    ],
)
def test_a_value_said_twice_is_refused_even_when_both_agree(typed: dict[str, Any], over: dict[str, Any]) -> None:
    (message,) = refusals(job(typed=typed, overrides=over))
    assert message.endswith(f": {H}.{next(iter(typed))} sets the same value; keep one of the two")


def test_epochs_are_steps_said_twice_next_to_an_override_of_the_steps() -> None:
    (message,) = refusals(job(typed={"epochs": 2}, overrides={"training_config": {"max_steps": 50}}, rows=500))
    assert message == f"{O}.training_config.max_steps: {H}.epochs sets the same value; keep one of the two"


def test_epochs_and_steps_together_are_refused() -> None:
    assert f"{H}.epochs: {H}.maxSteps is set too; keep one of the two" in refusals(
        job(typed={"epochs": 2, "maxSteps": 50}, rows=500)
    )


def test_validation_that_would_never_run_is_refused_however_it_is_said() -> None:
    never = "50 is more than the run's 20 steps, so validation would never run; set it to 20 or less"
    typed = {"maxSteps": 20, "validationEverySteps": 50}
    assert refusals(job(typed=typed, has_validation=True)) == [f"{H}.validationEverySteps: {never}"]
    over = {"training_config": {"max_steps": 20, "val_check_interval": 50}}
    assert refusals(job(overrides=over, has_validation=True)) == [f"{O}.training_config.val_check_interval: {never}"]
    over = {"training_config": {"limit_val_batches": 0}}
    assert refusals(job(overrides=over, has_validation=True)) == [
        f"{O}.training_config.limit_val_batches: training_config.limit_val_batches 0 switches validation off, so "
        "spec.dataset.validation would never be used"
    ]


def test_epochs_that_make_too_many_steps_are_refused() -> None:
    assert refusals(job(typed={"epochs": 100}, rows=1_000_000)) == [
        f"{H}.epochs: 100 epochs are 3125000 steps, more than 100000 {TABLE}; set fewer"
    ]


def test_fewer_rows_than_one_global_batch_are_refused() -> None:
    message = f"spec.dataset.train: 12 rows are less than one global batch of 32; add rows or lower {H}.globalBatchSize"
    assert refusals(job(rows=12)) == [message]
    assert refusals(job("nova-pro", instance_count=6, rows=12)) == [message]


def test_a_count_of_instances_that_nobody_documents_is_refused() -> None:
    assert refusals(job(instance_count=5)) == [
        "spec.sageMaker.training.instanceCount: 5 instances are not allowed for nova-lite-2 LoRA on ml.p5.48xlarge; "
        "allowed are 1, 4, 8, 16, 32 (AWS recipe file and table; Nova user guide (nova-fine-tune-1), 2026-06-23)"
    ]
    assert refusals(job("nova-micro", instance="ml.p4d.24xlarge", instance_count=1))[0].startswith(
        "spec.sageMaker.training.instanceCount: 1 instances are not allowed for nova-micro LoRA on ml.p4d.24xlarge; "
        "allowed are 2, 4, 8 "
    )


def test_an_instance_type_the_recipe_does_not_run_on_is_refused() -> None:
    assert refusals(job(instance_type="ml.g5.48xlarge")) == [
        "spec.sageMaker.training.instanceType: ml.g5.48xlarge does not run nova_lite_2_0_p5_gpu_lora_sft; allowed are "
        "ml.p4d.24xlarge, ml.p5.48xlarge, ml.p5en.48xlarge (AWS recipe metadata, 2026-06-23)"
    ]
    assert refusals(given(lora(), instance_type="ml.g5.48xlarge"))[0].startswith(
        "spec.sageMaker.training.instanceType: ml.g5.48xlarge does not run nova-lite-2 with method LoRA"
    )


@pytest.mark.parametrize(
    ("model", "recipe_method", "path", "scheme", "other"),
    [
        ("nova-lite-2", "LoRA", "training_config.peft.peft_scheme", "'lora'", "Full"),
        ("nova-lite-2", "Full", "training_config.peft.peft_scheme", "'null'", "LoRA"),
        ("nova-micro", "Full", "training_config.model.peft.peft_scheme", "null", "LoRA"),
    ],
)
def test_a_method_that_is_not_the_recipes_own_is_refused(
    model: str, recipe_method: str, path: str, scheme: str, other: str
) -> None:
    assert refusals(dataclasses.replace(job(model, recipe_method), method=other)) == [
        f"spec.method: {other} does not fit the recipe, whose {path} is {scheme}; set spec.method to {recipe_method} or "
        "take another recipe"
    ]


def test_a_model_that_is_not_the_recipes_own_is_refused() -> None:
    assert refusals(job(model="nova-lite-2", recipe=CATALOGUE.choose("nova-pro", "LoRA", "ml.p5.48xlarge"))) == [
        "spec.model.name: nova-lite-2 is not what the recipe trains, which is nova-pro (amazon.nova-pro-v1:0:300k); "
        "change one of the two"
    ]


def test_all_faults_of_a_job_are_told_at_once() -> None:
    found = refusals(
        job(
            typed={"learningRate": 7, "lora.alpha": 1, "lora.dropout": 0.1},
            overrides={"run": {"names": "x"}},
            instance_count=3,
            rows=3,
        )
    )
    assert [message.split(": ")[0] for message in found] == [
        "spec.sageMaker.training.instanceCount",
        f"{H}.lora.dropout",
        f"{O}.run.names",
        f"{H}.learningRate",
        f"{H}.lora.alpha",
        "spec.dataset.train",
    ]


NOT_KNOWN = "known are amazon.nova-micro-v1:*, amazon.nova-lite-v1:*, amazon.nova-pro-v1:*, amazon.nova-2-*"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.clear(), f"spec.recipe.inline: the recipe has no run.model_type; {NOT_KNOWN}"),
        (lambda c: c.update(run=5), f"spec.recipe.inline: the recipe has no run.model_type; {NOT_KNOWN}"),
        (
            lambda c: c["run"].update(model_type="verl"),
            f"spec.recipe.inline: the run.model_type 'verl' is unknown; {NOT_KNOWN}",
        ),
        (
            lambda c: c["run"].pop("model_name_or_path"),
            "spec.recipe.inline: the recipe has no run.model_name_or_path, which every Nova 2.0 recipe has",
        ),
        (
            lambda c: c["training_config"]["peft"].update(peft_scheme="dora"),
            "spec.recipe.inline: the recipe's training_config.peft.peft_scheme is 'dora'; known are 'lora', null, 'null'",
        ),
        (
            lambda c: c["training_config"].update(max_steps="many"),
            "spec.recipe.inline: the given recipe has 'many' at training_config.max_steps where a whole number above 0 is needed",
        ),
        (
            lambda c: c["training_config"].pop("global_batch_size"),
            "spec.recipe.inline: the given recipe has null at training_config.global_batch_size where a whole number above 0 "
            "is needed",
        ),
        (
            lambda c: c["training_config"].update(save_steps="${.save_steps}"),
            "spec.recipe.inline: at training_config.save_steps: the reference leads back to itself: training_config.save_steps "
            "-> training_config.save_steps",
        ),
        (
            lambda c: c["training_config"].update(save_steps=500),
            "spec.recipe.inline: training_config.save_steps 500 is above training_config.max_steps 100 "
            f"{FILE}; set {O}.training_config.save_steps",
        ),
    ],
)
def test_a_given_recipe_that_cannot_be_used_is_refused(change: Any, message: str) -> None:
    content = lora()
    change(content)
    assert refusals(given(content)) == [message]


def test_a_validation_set_that_a_given_recipe_would_never_use_is_refused() -> None:
    content = lora()
    del content["training_config"]["val_check_interval"]
    assert refusals(given(content, has_validation=True)) == [
        "spec.dataset.validation: the given recipe has no training_config.val_check_interval, so the set would never be "
        "used; add the key or remove the set"
    ]


def test_a_recipe_of_absurd_depth_or_size_is_refused_and_not_worked_on() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    assert refusals(given(lora() | {"deep": deep})) == ["spec.recipe.inline: nested deeper than 32 levels"]
    assert refusals(job(overrides={"run": deep})) == [f"{O}: nested deeper than 32 levels"]
    assert "more than the 5000" in refusals(given(lora() | {"many": {str(n): n for n in range(9000)}}))[0]


def test_no_recipe_at_all_is_refused() -> None:
    assert refusals(job(recipe=None)) == ["spec.recipe: no recipe was chosen or given"]
