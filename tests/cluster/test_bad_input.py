"""What users get wrong, all in one namespace at once: each job says what is wrong, none is launched, and a right one
beside them runs as if they were not there."""

from __future__ import annotations

import gzip
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.cluster.story import PACE, Job, World, wait_for
from tests.manifests import ABSENT, nova_lite_2_lora

BUCKET = "acme-ml-team"
ROW = {
    "schemaVersion": "bedrock-conversation-2024",
    "messages": [
        {"role": "user", "content": [{"text": "a question"}]},
        {"role": "assistant", "content": [{"text": "an answer"}]},
    ],
}
GOOD = json.dumps(ROW).encode() + b"\n"
WRONG_ROW = json.dumps({**ROW, "messages": ROW["messages"][:1]}).encode() + b"\n"

NOVA_2 = {"model_type": "amazon.nova-2-lite-v1:0:256k", "model_name_or_path": "nova-lite-2/prod", "replicas": 4}
ONLY_STEPS = {"maxSteps": 200}

SPECS: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "recipe-without-model": (
        {"recipe.inline": {"hello": "world"}, "hyperparameters": ABSENT},
        ("spec.recipe.inline: the recipe has no run.model_type", "amazon.nova-2-*"),
    ),
    "recipe-malformed": (
        {"recipe.inline": {"run": NOVA_2, "training_config": "fast"}, "hyperparameters": ABSENT},
        ("spec.recipe.inline", "training_config.max_steps where a whole number above 0 is needed"),
    ),
    "override-unknown": (
        {"recipe.overrides": {"training_config": {"save_stepz": 50}}},
        (
            "spec.recipe.overrides.training_config.save_stepz: the recipe has no such path",
            "did you mean training_config.save_steps?",
        ),
    ),
    "override-locked": (
        {"recipe.overrides": {"run": {"replicas": 8}}},
        ("spec.recipe.overrides.run.replicas: the operator sets it", "use spec.sageMaker.training.instanceCount"),
    ),
    "override-of-data": (
        {"recipe.overrides": {"run": {"data_s3_path": "s3://elsewhere/train.jsonl"}}},
        ("spec.recipe.overrides.run.data_s3_path: ", "use spec.dataset"),
    ),
    "said-twice": (
        {"recipe.overrides": {"training_config": {"max_steps": 300}}},
        (
            "spec.recipe.overrides.training_config.max_steps",
            "spec.hyperparameters.maxSteps sets the same value; keep one of the two",
        ),
    ),
    "unknown-model": (
        {"model.name": "nova-lite-3"},
        ("spec.model.name: nova-lite-3 is not in the catalogue", "did you mean nova-lite-2"),
    ),
    "unknown-recipe": (
        {"recipe.name": "nova_lite_2_0_p5_gpu_lora_sftt"},
        (
            "spec.recipe.name: the catalogue has no recipe nova_lite_2_0_p5_gpu_lora_sftt",
            "did you mean nova_lite_2_0_p5_gpu_lora_sft ",
        ),
    ),
    "instance-type": (
        {"sageMaker.training.instanceType": "ml.g5.12xlarge"},
        (
            "spec.sageMaker.training.instanceType: ml.g5.12xlarge does not run nova-lite-2 with method LoRA",
            "allowed are ml.p4d.24xlarge, ml.p5.48xlarge, ml.p5en.48xlarge (AWS recipe metadata, 2026-06-23)",
        ),
    ),
    "instance-count": (
        {"sageMaker.training.instanceCount": 5},
        ("spec.sageMaker.training.instanceCount: 5 instances are not allowed", "allowed are 1, 4, 8, 16, 32 (AWS "),
    ),
    "out-of-range": (
        {"hyperparameters.warmupSteps": 150},
        ("spec.hyperparameters.warmupSteps: 150 is outside 0..100 for nova-lite-2 (AWS recipe table, 2026-06-23)",),
    ),
    "steps-on-nova-1": (
        {"model.name": "nova-micro", "hyperparameters": ONLY_STEPS},
        ("spec.hyperparameters.maxSteps: Nova 1.0 recipes count epochs only; set epochs",),
    ),
    "interval-on-nova-1": (
        {"model.name": "nova-micro", "hyperparameters": {"epochs": 1, "validationEverySteps": 5}},
        ("spec.hyperparameters.validationEverySteps: Nova 1.0 recipes have no validation interval; remove it",),
    ),
    "no-validation-set": (
        {"dataset.validation": ABSENT},
        ("spec.hyperparameters.validationEverySteps: there is no validation set", "set spec.dataset.validation"),
    ),
    "two-validation-sets": (
        {
            "dataset.validation": [
                {"name": "first", "uri": f"s3://{BUCKET}/val.jsonl"},
                {"name": "second", "uri": f"s3://{BUCKET}/val-2.jsonl"},
            ]
        },
        ("spec.dataset.validation: 2 sets (first, second)", "takes one; join them or remove some"),
    ),
    "region-without-image": (
        {"sageMaker.region": "ap-southeast-1"},
        (
            "spec.sageMaker.region: the catalogue has no image",
            "only in ap-northeast-1, us-east-1, us-west-2",
            "spec.sageMaker.training.image",
        ),
    ),
    "role-of-another-partition": (
        {"sageMaker.roleARN": "arn:aws-cn:iam::111122223333:role/ml-team-sft"},
        ("spec.sageMaker.roleARN: ", "is of partition aws-cn, the region us-east-1 of aws"),
    ),
}
"""Name → edits that make the seed's job wrong, and what its user must read. All end the job with InvalidSpec."""

FILES: Mapping[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("is empty: it holds no row", "one Converse row a line")),
    "huge-line": (GOOD + b'{"a":"' + b"x" * (10 * 1024 * 1024) + b'"}\n', (" line 2: ", "longer than 10485760 bytes")),
    "not-utf8": (GOOD + GOOD.replace(b"a question", b"caf\xe9"), (" line 2: is not UTF-8 at byte ",)),
    "cut-gzip": (gzip.compress(GOOD * 500)[:-20], ("is a gzip file cut short after ", "upload the whole file again")),
    "wrong-row": (GOOD * 11 + WRONG_ROW + GOOD, (" line 12: ", "assistant")),
    "not-json": (GOOD * 2 + b'{"schemaVersion": \n', (" line 3: is not JSON",)),
    "another-format": (b'{"prompt": "a", "completion": "b"}\n', (" line 1: looks like ", "convert it")),
    "parquet": (b"PAR1\x15\x04\x15", ("looks like a Parquet file", "this model takes JSON Lines")),
}
"""Name → content of the training file, and what its user must read. All end the job with DatasetInvalid."""

UNREADABLE: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "missing-object": (
        {"dataset.train.uri": f"s3://{BUCKET}/nowhere.jsonl"},
        (
            f"spec.dataset.train.uri: s3://{BUCKET}/nowhere.jsonl cannot be read",
            "upload the object, or correct the URI",
        ),
    ),
    "missing-bucket": (
        {"dataset.validation.0.uri": "s3://acme-no-such-bucket/val.jsonl"},
        ("spec.dataset.validation[0].uri: the bucket acme-no-such-bucket ", "does not exist; create it in us-east-1"),
    ),
    "denied": (
        {"dataset.train.uri": f"s3://{BUCKET}/secret.jsonl"},
        (
            f"spec.dataset.train.uri: s3://{BUCKET}/secret.jsonl may not be read by the operator",
            'give the operator\'s identity {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": '
            f'"arn:aws:s3:::{BUCKET}/secret.jsonl"}}',
        ),
    ),
}
"""Name → edits, and what its user must read. These wait: what is in the way may be taken away."""


@dataclass
class Crowd:
    """The jobs after each said what is wrong with it."""

    world: World
    statuses: Mapping[str, dict[str, Any]]
    logged_before: int
    """Lines of the operator's log that are older than these jobs."""

    def job(self, name: str) -> Job:
        return Job(self.world, name)


@pytest.fixture(scope="module")
def crowd(operated: World) -> Iterator[Crowd]:
    world = replace(operated, namespace=f"bad-{uuid.uuid4().hex[:10]}")
    before = len(world.log_lines())
    world.kubectl("create", "namespace", world.namespace)
    world.aws.script("*", **PACE)
    s3 = world.client("s3")
    s3.put_object(Bucket=BUCKET, Key="secret.jsonl", Body=GOOD)
    for operation in ("HeadObject", "GetObject"):
        world.aws.fail(operation, name="secret.jsonl", code="AccessDenied", status=403, times=None)
    manifests = [nova_lite_2_lora(edits, name=name) for name, (edits, _) in {**SPECS, **UNREADABLE}.items()]
    for name, (content, _) in FILES.items():
        s3.put_object(Bucket=BUCKET, Key=f"bad/{name}.jsonl", Body=content)
        manifests.append(nova_lite_2_lora({"dataset.train.uri": f"s3://{BUCKET}/bad/{name}.jsonl"}, name=name))
    world.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))
    seen: dict[str, dict[str, Any]] = {}

    def all_answered() -> bool:
        listed = json.loads(world.kubectl("get", "sft", "-o", "json"))["items"]
        seen.update({item["metadata"]["name"]: item.get("status") or {} for item in listed})
        return not unanswered()

    def unanswered() -> list[str]:
        return [name for name, status in seen.items() if status.get("phase") not in ("Failed", "Queued")]

    wait_for("every wrong job says so", all_answered, told=lambda: str(unanswered()))
    yield Crowd(world, seen, before)
    world.aws.reset("faults", "scripts")
    world.kubectl("delete", "namespace", world.namespace, "--wait=false")


def _refused(status: dict[str, Any], reason: str, pieces: tuple[str, ...]) -> None:
    said = {condition["type"]: condition for condition in status["conditions"]}
    assert (status["phase"], status["reason"]) == ("Failed", reason)
    for piece in pieces:
        assert piece in status["message"]
        assert piece in status["failure"]["message"]
        assert piece in said["Validated"]["message"]
    assert (said["Validated"]["status"], said["Validated"]["reason"]) == ("False", reason)
    assert said["Submitted"]["status"] == "False"
    assert said["Failed"]["status"] == said["Finished"]["status"] == said["Stalled"]["status"] == "True"
    assert "jobName" not in status


@pytest.mark.parametrize("name", SPECS)
def test_a_wrong_spec_is_refused_with_field_value_and_what_is_allowed(crowd: Crowd, name: str) -> None:
    _refused(crowd.statuses[name], "InvalidSpec", SPECS[name][1])


@pytest.mark.parametrize("name", FILES)
def test_wrong_data_is_refused_with_file_and_line(crowd: Crowd, name: str) -> None:
    status = crowd.statuses[name]
    _refused(status, "DatasetInvalid", (f"s3://{BUCKET}/bad/{name}.jsonl", *FILES[name][1]))
    assert status["message"].startswith("spec.dataset.train.uri: ")
    assert "new runID" in status["failure"]["hint"]


@pytest.mark.parametrize("name", UNREADABLE)
def test_data_that_cannot_be_read_waits_and_says_what_is_missing(crowd: Crowd, name: str) -> None:
    status = crowd.statuses[name]
    said = {condition["type"]: condition for condition in status["conditions"]}
    assert (status["phase"], status["reason"]) == ("Queued", "DatasetUnreadable")
    for piece in UNREADABLE[name][1]:
        assert piece in status["message"]
        assert piece in said["Validated"]["message"]
    assert re.search(r"tried (once|\d+ times) since \S+Z, next at \S+Z$", status["message"])
    assert said["Finished"]["status"] == "False"
    assert "jobName" not in status


def test_a_refusal_is_told_once_by_an_event(crowd: Crowd) -> None:
    for name in ("override-unknown", "wrong-row"):
        [(reason, message)] = crowd.job(name).events()
        assert reason == "Refused"
        assert message.startswith(f"{crowd.statuses[name]['reason']}: spec.")


def test_a_wrong_spec_is_told_before_its_data_is_read(crowd: Crowd) -> None:
    read = {call.name for call in crowd.world.aws.calls("GetObject")}
    assert f"{BUCKET}/bad/wrong-row.jsonl" in read
    assert f"{BUCKET}/val-2.jsonl" not in read


def test_a_job_whose_data_appears_is_launched(crowd: Crowd) -> None:
    crowd.world.client("s3").put_object(Bucket=BUCKET, Key="nowhere.jsonl", Body=GOOD * 40)
    status = crowd.job("missing-object").until_finished()
    assert status["phase"] == "Succeeded"
    assert status["dataset"]["rows"] == 40


def test_a_job_whose_access_was_given_is_launched(crowd: Crowd) -> None:
    crowd.world.client("s3").put_object(Bucket=BUCKET, Key="secret.jsonl", Body=GOOD * 40)
    crowd.world.aws.reset("faults")
    assert crowd.job("denied").until_finished()["phase"] == "Succeeded"


def test_corrected_rows_and_a_new_run_id_train(crowd: Crowd) -> None:
    crowd.world.client("s3").put_object(Bucket=BUCKET, Key="bad/wrong-row.jsonl", Body=GOOD * 40)
    job = crowd.job("wrong-row")
    job.patch(runID="2")
    status = job.until("Succeeded", runID="2")
    assert status["history"][0]["reason"] == "DatasetInvalid"
    assert "failure" not in status


def test_a_right_job_among_them_runs_and_nothing_wrong_was_launched(crowd: Crowd) -> None:
    job = crowd.world.apply(nova_lite_2_lora(name="right"))
    assert job.until_finished()["phase"] == "Succeeded"
    wrong = [*SPECS, *FILES, *UNREADABLE]
    launched = {
        tags["sft-operator.dev/name"]
        for call in crowd.world.aws.calls("CreateTrainingJob")
        for tags in [{tag["Key"]: tag["Value"] for tag in call.parameters["Tags"]}]
        if tags["sft-operator.dev/namespace"] == crowd.world.namespace
    }
    assert launched & set(wrong) == {"missing-object", "denied", "wrong-row"}, "only those that were put right"


def test_no_pass_over_wrong_input_ended_in_an_error(crowd: Crowd) -> None:
    assert "sft_reconcile_errors_total 0.0" in crowd.world.operator.get("/metrics")[1].splitlines()
    lines = crowd.world.log_lines()[crowd.logged_before :]
    assert [line for line in lines if line["level"] == "error" or "error" in line] == []
