"""Launches that AWS makes difficult, all at once: each job still ends right, and awssim's journal shows one create."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.cluster.story import PACE, Job, World, unchecked, wait_for
from tests.manifests import nova_lite_2_lora

CREATE, DESCRIBE = "CreateTrainingJob", "DescribeTrainingJob"
BUCKET = "acme-ml-team"

FAULTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "answer-lost": [{"operation": CREATE, "after_commit": True}],
    "answer-lost-and-unreachable": [
        {"operation": CREATE, "after_commit": True},
        {"operation": CREATE, "reset_connection": True, "times": 4},
    ],
    "answer-lost-and-not-known-yet": [
        {"operation": CREATE, "after_commit": True},
        {"operation": DESCRIBE, "not_found_first": 2},
    ],
    "answer-lost-and-tags-unreadable": [
        {"operation": CREATE, "after_commit": True},
        {"operation": "ListTags", "status": 500, "times": 4},
    ],
    "error-after-commit": [{"operation": CREATE, "after_commit": True, "code": "InternalFailure", "status": 500}],
    "connection-reset": [{"operation": CREATE, "reset_connection": True}],
    "connection-reset-again": [{"operation": CREATE, "reset_connection": True, "times": 4}],
    "black-hole": [{"operation": CREATE, "black_hole": True}],
    "errors": [{"operation": CREATE, "status": 500, "times": 4}],
    "throttled": [{"operation": CREATE, "code": "ThrottlingException", "status": 400, "times": 4}],
    "not-known-yet": [{"operation": DESCRIBE, "not_found_first": 4}],
    "describe-errors": [{"operation": DESCRIBE, "status": 503, "times": 6}],
    "upload-errors": [{"operation": "PutObject", "status": 503, "times": 4}],
    "upload-reset": [{"operation": "PutObject", "reset_connection": True, "times": 2}],
}
"""Name of the job → what goes wrong with the requests about it."""

ATTACHED = {
    "answer-lost",
    "answer-lost-and-unreachable",
    "answer-lost-and-not-known-yet",
    "answer-lost-and-tags-unreadable",
    "error-after-commit",
}
TOLD = {
    "throttled": ("Throttled", "ThrottlingException"),
    "upload-errors": ("InternalServiceError", "PutObject"),
    "answer-lost-and-not-known-yet": ("", "is not known yet"),
}
"""Who waits for longer than an instant says why: reason (or any) and words of the Event."""


@dataclass
class Storm:
    world: World
    logged_before: int

    def job(self, name: str) -> Job:
        return Job(self.world, name)


@pytest.fixture(scope="module")
def storm(operated: World) -> Iterator[Storm]:
    world = replace(operated, namespace=f"storm-{uuid.uuid4().hex[:10]}")
    world.kubectl("create", "namespace", world.namespace)
    before = len(world.log_lines())
    world.aws.script("*", **PACE)
    for name, rules in FAULTS.items():
        for rule in rules:
            world.aws.fail(rule["operation"], name=f"*sft-{name}-??????????-*", **_without(rule, "operation"))
    items = [unchecked(name=name) for name in FAULTS]
    world.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    yield Storm(world, before)
    world.aws.reset("faults", "scripts")
    world.kubectl("delete", "namespace", world.namespace, "--wait=false")


def _without(rule: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in rule.items() if name != key}


@pytest.mark.parametrize("name", FAULTS)
def test_it_ends_right_with_one_create(storm: Storm, name: str) -> None:
    job = storm.job(name)
    status = job.until_finished(seconds=60)
    assert (status["phase"], job.creates()) == ("Succeeded", 1)
    assert status["artifacts"]["checkpoint"]
    struck = [call for call in storm.world.aws.calls(name=f"*{status['jobName']}*") if call.fault]
    assert struck, "the fault was met"
    told = [reason for reason, _ in job.events() if reason in ("Launched", "Adopted")]
    assert told == (["Adopted"] if name in ATTACHED else ["Launched"])


@pytest.mark.parametrize("name", TOLD)
def test_a_launch_that_has_to_wait_says_why_and_until_when(storm: Storm, name: str) -> None:
    storm.job(name).until_finished(seconds=60)
    reason, words = TOLD[name]
    waits = [message for told, message in storm.job(name).events() if " next at " in message and reason in ("", told)]
    assert waits
    assert words in waits[0]


def test_no_fault_of_aws_is_an_unexpected_error(storm: Storm) -> None:
    lines = storm.world.log_lines()[storm.logged_before :]
    assert [line for line in lines if line["level"] == "error" or "error" in line] == []
    assert "sft_reconcile_errors_total 0.0" in storm.world.operator.get("/metrics")[1].splitlines()


def test_a_create_that_is_denied_waits_and_goes_on_when_it_is_allowed(world: World) -> None:
    said = "User: arn:aws:sts::111122223333:assumed-role/sft-operator is not authorized to perform: sagemaker:CreateTrainingJob"
    world.aws.fail(CREATE, code="AccessDeniedException", message=said, status=400, times=None)
    job = world.apply(unchecked())
    status = job.until("Queued", reason="AccessDenied")
    assert said in status["message"]
    assert "give the operator the permission that the message names" in status["message"]
    assert " next at " in status["message"]
    submitted = job.condition("Submitted")
    assert (submitted["status"], submitted["reason"]) == ("False", "AccessDenied")
    world.aws.heal()
    job.patch(runPolicy={"pendingDeadline": "23h"})
    assert job.until_finished()["phase"] == "Succeeded"
    assert job.creates() == 1
    assert job.condition("Submitted")["status"] == "True"


def test_a_role_that_may_not_be_passed_is_named(world: World) -> None:
    said = "User is not authorized to perform: iam:PassRole on resource: arn:aws:iam::111122223333:role/ml-team-sft"
    world.aws.fail(CREATE, code="AccessDeniedException", message=said, status=400, times=None)
    status = world.apply(unchecked()).until("Queued", reason="RoleNotUsable")
    assert "spec.sageMaker.roleARN" in status["message"]
    assert "give the operator iam:PassRole" in status["message"]


def test_data_replaced_between_check_and_launch_is_checked_again(world: World) -> None:
    job = _checked_and_waiting(world)
    assert job.status["dataset"]["rows"] == 600
    planned = job.status["inputsDigest"]
    _put(world, _rows(world)[:300])
    world.aws.heal()
    job.patch(runPolicy={"pendingDeadline": "23h"})
    status = job.until_finished()
    assert (status["phase"], status["dataset"]["rows"]) == ("Succeeded", 300)
    assert job.creates() == 1
    assert status["inputsDigest"] != planned
    [create] = [call for call in job.calls(CREATE) if call.committed]
    assert {"Key": "sft-operator.dev/inputs", "Value": status["inputsDigest"]} in create.parameters["Tags"]


def test_wrong_data_put_in_place_after_the_check_is_refused(world: World) -> None:
    job = _checked_and_waiting(world)
    _put(world, [*_rows(world)[:7], "{}"])
    world.aws.heal()
    job.patch(runPolicy={"pendingDeadline": "23h"})
    status = job.until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", "DatasetInvalid")
    assert "replaced.jsonl line 8: " in status["message"]
    assert job.creates() == 0


def _checked_and_waiting(world: World) -> Job:
    """A job whose data was read and whose create is refused for now."""
    _put(world, _rows(world))
    world.aws.fail(CREATE, code="ResourceLimitExceeded", times=None)
    job = world.apply(nova_lite_2_lora({"dataset.train.uri": f"s3://{BUCKET}/replaced.jsonl"}))
    job.until("Queued", reason="QuotaExceeded")
    return job


def _rows(world: World) -> list[str]:
    body: bytes = world.client("s3").get_object(Bucket=BUCKET, Key="train.jsonl")["Body"].read()
    return body.decode().splitlines()


def _put(world: World, rows: Sequence[str]) -> None:
    world.client("s3").put_object(Bucket=BUCKET, Key="replaced.jsonl", Body="\n".join(rows).encode())


def test_a_job_applied_while_aws_does_not_answer_is_launched_when_it_does(world: World) -> None:
    world.lab.pause("awssim")
    try:
        job = world.apply(unchecked())
        job.until("Submitting")
        wait_for("the operator is well meanwhile", lambda: world.operator.get("/healthz")[0] == 200)
    finally:
        world.lab.resume("awssim")
    assert job.until_finished()["phase"] == "Succeeded"
    assert job.creates() == 1
