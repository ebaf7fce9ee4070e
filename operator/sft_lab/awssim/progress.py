"""Steps, losses and log lines of a training job, as pure functions of its plan and of how long it has trained."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from sft_lab.awssim.rules import Storage, split_uri
from sft_lab.awssim.script import Script

DEFAULT_STEPS = 100
DEFAULT_LEARNING_RATE = 1e-5
RECIPE_CHANNEL = "recipe"
VALIDATION_CHANNEL = "validation"


class Plan(NamedTuple):
    """What the container will do: steps in all, peak learning rate, warm-up steps, batch size, steps between
    validations (0 = none)."""

    steps: int
    learning_rate: float
    warmup: int
    batch: int
    validation_every: int


def plan(request: dict[str, Any], script: Script, storage: Storage | None) -> Plan:
    """From the script, where it says nothing from the uploaded recipe, where that says nothing from defaults."""
    recipe = _training_config(request, storage)
    optimizer, scheduler = _section(recipe, "optim_config"), _section(recipe, "lr_scheduler")
    steps = script.steps or int(_number(recipe.get("max_steps"), DEFAULT_STEPS))
    channels = {channel["ChannelName"] for channel in request.get("InputDataConfig", ())}
    every = 0
    if VALIDATION_CHANNEL in channels:
        every = script.validation_every or int(_number(recipe.get("val_check_interval"), max(1, steps // 10)))
    return Plan(
        steps=max(1, steps),
        learning_rate=_number(optimizer.get("lr"), DEFAULT_LEARNING_RATE),
        warmup=int(_number(scheduler.get("warmup_steps"), 0)),
        batch=int(_number(recipe.get("global_batch_size"), 32)),
        validation_every=every,
    )


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _number(value: Any, default: float) -> float:
    try:
        return float(value)  # YAML 1.1 reads 1e-5 as text
    except (TypeError, ValueError):
        return default


def _training_config(request: dict[str, Any], storage: Storage | None) -> dict[str, Any]:
    """`training_config` of the recipe that was uploaded for channel `recipe`; empty when there is none to read."""
    if storage is None:
        return {}
    for channel in request.get("InputDataConfig", ()):
        source = channel["DataSource"].get("S3DataSource")
        if channel["ChannelName"] != RECIPE_CHANNEL or source is None:
            continue
        bucket, key = split_uri(source["S3Uri"])
        body = storage.read(bucket, key) or storage.read(bucket, key.rstrip("/") + "/recipe.yaml")
        try:
            document = yaml.safe_load(body) if body else None
        except yaml.YAMLError:
            return {}
        return _section(document, "training_config") if isinstance(document, dict) else {}
    return {}


def steps_done(plan: Plan, script: Script, trained: float) -> int:
    """Steps finished after that many seconds of training."""
    if script.training <= 0:
        return plan.steps
    return min(plan.steps, math.floor(plan.steps * trained / script.training + 1e-9))


def seconds_for(plan: Plan, script: Script, step: int) -> float:
    """Seconds of training until that step is done."""
    return script.training * step / plan.steps


def loss(name: str, plan: Plan, script: Script, step: int) -> float:
    """Training loss at a step: exponential decay, with noise that depends on nothing but the job's name."""
    decay = math.exp(-3.0 * step / plan.steps)
    noise = random.Random(f"{name}:{step}").gauss(0.0, script.loss_noise)  # noqa: S311 -- a curve, not a secret
    return script.loss_end + (script.loss_start - script.loss_end) * decay + noise


def validation_loss(name: str, plan: Plan, script: Script, step: int) -> float:
    return loss(f"{name}:validation", plan, script, step) * 1.05


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, then cosine down to a tenth."""
    if step <= plan.warmup:
        return plan.learning_rate * step / max(1, plan.warmup)
    part = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * part)) / 2)


def lines(name: str, plan: Plan, script: Script, first: int, last: int) -> Iterator[tuple[int, str]]:
    """Progress lines of the steps first..last (from 1), each with its step, as Nova's container words them."""
    for step in range(max(1, first), last + 1):
        if step % script.log_every and step != plan.steps:
            continue
        yield (
            step,
            f"Training epoch 0, iteration {step - 1}/{plan.steps - 1} | lr: {learning_rate(plan, step):.4g} | "
            f"global_batch_size: {plan.batch} | global_step: {step} | "
            f"reduced_train_loss: {loss(name, plan, script, step):.4f} | "
            f"train_step_timing in s: {script.training / plan.steps:.3f} | consumed_samples: {step * plan.batch}",
        )
        if plan.validation_every and step % plan.validation_every == 0:
            yield (
                step,
                f"Validation epoch 0, iteration {step - 1}/{plan.steps - 1} | global_step: {step} | "
                f"val_loss: {validation_loss(name, plan, script, step):.4f}",
            )
