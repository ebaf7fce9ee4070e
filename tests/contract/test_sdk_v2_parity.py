"""A Nova recipe job as we send it and as SageMaker Python SDK v2 sends it: the same but for the differences listed here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sft_operator.api import yaml12
from sft_operator.api.sftjob import SFTJobSpec
from sft_operator.platforms.base import JobView, Plan
from sft_operator.platforms.sagemaker.plan import make_plan
from sft_operator.recipes.catalogue import Recipe, default_catalogue
from tests.contract.oracle import environment
from tests.contract.oracle.comparison import Accepted, unexplained
from tests.manifests import ABSENT, nova_lite_2_lora

ROLE = "arn:aws:iam::111122223333:role/ml-team-sft"
OUTPUT = "s3://acme-ml-team/sft/"
TRAIN = "s3://acme-ml-team/train.jsonl"
VALIDATION = "s3://acme-ml-team/val.jsonl"

# What a user of the SDK looks up and passes: model_name_or_path and image_uri (AWS recipes at 2631995, us-east-1).
MODEL_PATHS = {
    "nova-micro": "nova-micro/prod",
    "nova-lite": "nova-lite/prod",
    "nova-pro": "nova-pro/prod",
    "nova-lite-2": "nova-lite-2/prod",
}
IMAGES = {
    "nova-1": "708977205387.dkr.ecr.us-east-1.amazonaws.com/nova-fine-tune-repo:SM-TJ-SFT-latest",
    "nova-2": "708977205387.dkr.ecr.us-east-1.amazonaws.com/nova-fine-tune-repo:SM-TJ-SFT-V2-latest",
}


@dataclass(frozen=True)
class Settings:
    """The same wishes twice: as spec.hyperparameters and spec.recipe.overrides, and as the SDK's recipe_overrides."""

    typed: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    sdk: Mapping[str, Any] = field(default_factory=dict)


NOVA_1 = Settings(
    typed={
        "epochs": 3,
        "learningRate": 2e-5,
        "minLearningRate": 2e-6,
        "globalBatchSize": 32,
        "maxLength": 4096,
        "warmupSteps": 12,
        "weightDecay": 0.01,
    },
    overrides={"training_config": {"model": {"hidden_dropout": 0.1}}},
    sdk={
        "training_config": {
            "max_length": 4096,
            "global_batch_size": 32,
            "trainer": {"max_epochs": 3},
            "model": {
                "hidden_dropout": 0.1,
                "optim": {"lr": 2e-5, "weight_decay": 0.01, "sched": {"warmup_steps": 12, "min_lr": 2e-6}},
            },
        }
    },
)
NOVA_2 = Settings(
    typed={
        "maxSteps": 200,
        "validationEverySteps": 20,
        "learningRate": 2e-5,
        "minLearningRate": 2e-6,
        "globalBatchSize": 64,
        "maxLength": 16384,
        "warmupSteps": 30,
        "weightDecay": 0.01,
        "reasoningEnabled": False,
    },
    overrides={"training_config": {"save_steps": 50}},
    sdk={
        "training_config": {
            "max_steps": 200,
            "save_steps": 50,
            "val_check_interval": 20,
            "max_length": 16384,
            "global_batch_size": 64,
            "reasoning_enabled": False,
            "optim_config": {"lr": 2e-5, "weight_decay": 0.01},
            "lr_scheduler": {"warmup_steps": 30, "min_lr": 2e-6},
        }
    },
)
ADAPTER_1 = Settings(
    typed={"lora": {"alpha": 64, "plusRatio": 8.0, "dropout": 0.05}},
    sdk={
        "training_config": {
            "model": {"peft": {"lora_tuning": {"alpha": 64, "loraplus_lr_ratio": 8.0, "adapter_dropout": 0.05}}}
        }
    },
)
ADAPTER_2 = Settings(
    typed={"lora": {"alpha": 96, "plusRatio": 32.0}},
    sdk={"training_config": {"peft": {"lora_tuning": {"alpha": 96, "lora_plus_lr_ratio": 32.0}}}},
)
OF_FAMILY = {"nova-1": (NOVA_1, ADAPTER_1), "nova-2": (NOVA_2, ADAPTER_2)}


@dataclass(frozen=True)
class Case:
    """One job, for both sides."""

    name: str
    recipe: Recipe
    settings: tuple[Settings, ...]

    @property
    def instance_count(self) -> int:
        """The largest the recipe allows: seldom its own, so that it is seen who changes run.replicas."""
        return max(self.recipe.replicas.recipe)

    @property
    def recounted(self) -> bool:
        return self.instance_count != self.recipe.content["run"]["replicas"]

    @property
    def job_name(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.name)

    def of_ours(self) -> JobView:
        assert self.recipe.model is not None
        typed: dict[str, Any] = {}
        overrides: dict[str, Any] = {}
        for settings in self.settings:
            typed |= settings.typed
            overrides |= settings.overrides
        manifest = nova_lite_2_lora(
            {
                "model.name": self.recipe.model,
                "method": self.recipe.method,
                "dataset.train.uri": TRAIN,
                "dataset.validation.0.uri": VALIDATION,
                "hyperparameters": typed,
                "recipe": {"overrides": overrides},
                "output.uri": OUTPUT,
                "sageMaker.roleARN": ROLE,
                "sageMaker.training.instanceType": self.recipe.instance_types[0],
                "sageMaker.training.instanceCount": self.instance_count,
                "runPolicy": ABSENT,
            }
        )
        spec = SFTJobSpec.model_validate(manifest["spec"])
        return JobView(
            namespace="ml-team",
            name=self.job_name,
            uid="0a1b",
            spec=spec,
            identity_scope="parity",
            fingerprint="f1:parity",
        )

    def of_the_sdk(self) -> dict[str, Any]:
        assert self.recipe.model is not None
        recipe_overrides: dict[str, Any] = {}
        for settings in self.settings:
            recipe_overrides = laid_over(recipe_overrides, settings.sdk)
        return {
            "case": self.name,
            "recipe_name": self.recipe.file_name,
            "recipe": yaml12.dump(dict(self.recipe.content)),
            "output_path": OUTPUT,
            "sm_training_job_name": self.job_name,
            "role": ROLE,
            "instance_count": self.instance_count,
            "instance_type": self.recipe.instance_types[0],
            "recipe_overrides": recipe_overrides,
            "image_uri": IMAGES[self.recipe.family],
            "model_name_or_path": MODEL_PATHS[self.recipe.model],
            "train_dataset_s3_path": TRAIN,
            "val_dataset_s3_path": VALIDATION,
        }


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        merged[key] = laid_over(merged.get(key, {}), value) if isinstance(value, Mapping) else value
    return merged


def cases() -> list[Case]:
    """Every Nova recipe of the catalogue with everything set that can be, and each untouched."""
    found = []
    for recipe in default_catalogue().recipes.values():
        base, adapter = OF_FAMILY[recipe.family]
        found.append(Case(recipe.file_name, recipe, (base, adapter) if recipe.method == "LoRA" else (base,)))
        found.append(Case(f"{recipe.file_name}, untouched", recipe, ()))
    return found


def is_nova_2(case: Case) -> bool:
    return case.recipe.family == "nova-2"


REQUEST = [
    Accepted(
        "TrainingJobName",
        sdk=r'".*-\d{4}(-\d\d){5}-\d{3}"',
        ours=r'"sft-.*-[0-9a-f]{10}-1"',
        why="ours is made from the run's identity, so that a second create finds the first; the SDK's holds the time",
    ),
    Accepted(
        r"HyperParameters\.sagemaker_recipe_local_path",
        sdk=r'"/opt/ml/input/data/recipe/\w+_\w{8}\.yaml"',
        ours='"/opt/ml/input/data/recipe/recipe.yaml"',
        why="the SDK's is the name of a temporary file; ours is fixed, so that the request is the same each time",
    ),
    Accepted(
        r"InputDataConfig\[recipe\]\.DataSource\.S3DataSource\.S3Uri",
        sdk=r'"s3://sagemaker-us-east-1-111122223333/recipes/\d{4}-\d\d-\d\d_\w+_\w{8}"',
        ours=r'"s3://acme-ml-team/sft/sft-[a-z0-9-]+/recipe/[0-9a-f]{16}/recipe\.yaml"',
        why="ours lies with the job's output, where its role may read and its key encrypts; the SDK makes a bucket",
    ),
    Accepted(
        r"Tags\[sft-operator\.dev/(scope|namespace|name|run-id|uid|attempt|fingerprint|inputs)\]\.Value",
        sdk="absent",
        ours=r'".+"',
        why="a run found under our name is known as ours by them",
    ),
]
RECIPE = [
    Accepted(
        r"run\.name",
        sdk=r'"my-[a-z-]+-run"',
        ours=r'"sft-[a-z0-9-]+-1"',
        why="the recipe's own is a stock name, the same for every job",
    ),
    Accepted(
        r"run\.replicas",
        sdk=r"\d+",
        ours=r"\d+",
        why="the SDK lets the instance count win in the request and leaves the recipe's number; we keep both equal",
        when=lambda case: case.recounted,
    ),
    Accepted(
        r"run\.(data|output)_s3_path",
        sdk=r'"s3://my-bucket-name/.*"',
        ours='""',
        why="places of AWS's example; a training job reads and writes channels, as the empty paths of Nova 1.0 say",
        when=is_nova_2,
    ),
    Accepted(
        r"training_config\.val_check_interval",
        sdk="2500",
        ours="10",
        why="100 steps would never reach 2500, so the validation set would be sent and never used; a tenth is our default",
        when=lambda case: is_nova_2(case) and not case.settings,
    ),
]


@pytest.fixture(scope="session")
def answer() -> dict[str, Any]:
    """The SDK run once, for all cases."""
    return environment.ask(environment.interpreter(environment.cache_folder()), [case.of_the_sdk() for case in cases()])


def planned(case: Case) -> Plan:
    plan = make_plan(case.of_ours(), None, default_catalogue())
    assert isinstance(plan, Plan), plan.message
    return plan


every_case = pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)


@every_case
def test_the_request_is_the_sdks_but_for_the_listed_differences(case: Case, answer: dict[str, Any]) -> None:
    sent = answer["jobs"][case.name]["request"]
    accepted = [row for row in REQUEST if row.when(case)]
    assert unexplained(sent, planned(case).request, accepted) == []


@every_case
def test_the_recipe_is_the_sdks_but_for_the_listed_differences(case: Case, answer: dict[str, Any]) -> None:
    sent = yaml12.load(answer["jobs"][case.name]["recipe"], source="the SDK's upload")
    (upload,) = planned(case).uploads
    accepted = [row for row in RECIPE if row.when(case)]
    assert unexplained(sent, yaml12.load(upload.body.decode(), source=upload.uri), accepted) == []


@every_case
def test_both_name_the_uploaded_object_as_the_container_will_see_it(case: Case, answer: dict[str, Any]) -> None:
    theirs, plan = answer["jobs"][case.name], planned(case)
    (upload,) = plan.uploads
    for uri, request in ((theirs["recipe_uri"], theirs["request"]), (upload.uri, plan.request)):
        (channel,) = [entry for entry in request["InputDataConfig"] if entry["ChannelName"] == "recipe"]
        prefix = channel["DataSource"]["S3DataSource"]["S3Uri"]
        assert uri.startswith(prefix)
        assert Path(request["HyperParameters"]["sagemaker_recipe_local_path"]).name == Path(uri).name


@pytest.mark.parametrize("row", REQUEST + RECIPE, ids=lambda row: row.path)
def test_every_listed_difference_is_there_in_some_case(row: Accepted) -> None:
    assert any(row.when(case) for case in cases())


def test_the_sdk_reaches_nothing_outside_its_process(answer: dict[str, Any]) -> None:
    assert answer["refused"] == []
    assert answer["sdk"].startswith("2.")


def test_a_venv_that_cannot_be_made_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    lock = tmp_path / "none.lock"
    lock.write_text(f"no-such-package-of-ours==1 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(environment.VenvUnavailable, match=r"(?s)no-such-package-of-ours.*must reach a package index"):
        environment.interpreter(tmp_path, lock)
    assert not list(tmp_path.glob("*/complete"))


def test_a_difference_that_is_not_listed_is_found_and_one_that_is_gone_too() -> None:
    row = Accepted("a", sdk="1", ours="2", why="a reason")
    assert unexplained({"a": 1, "b": {}}, {"a": 2, "b": {}}, [row]) == []
    assert unexplained({"a": 1, "b": 1}, {"a": 2, "b": 1.0}, [row]) == ["b: the SDK sends 1, we send 1.0"]
    assert unexplained({"a": 1}, {"a": 3}, [row])[0] == "a: the SDK sends 1, we send 3"
    assert unexplained({"a": 1}, {"a": 1}, [row]) == [
        "a: listed as different (a reason), and is not: take the row away"
    ]
