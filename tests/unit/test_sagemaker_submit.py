"""Launching at most once: every answer a create can have, on the simulated AWS; its journal is the witness."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from sft_lab.awssim.control import Sim
from sft_operator.api import metadata
from sft_operator.api.place import Place
from sft_operator.api.reasons import Reason
from sft_operator.api.status import DatasetFile, DatasetStatus
from sft_operator.aws.sessions import ClientSettings
from sft_operator.platforms.base import JobView, Plan, PlatformUnavailable, SubmitKind, SubmitOutcome
from sft_operator.platforms.sagemaker.existing import outcome
from sft_operator.platforms.sagemaker.heads import unchanged
from tests.sagemaker_lab import BUCKET, Lab, lab, view

HERE = Place("111122223333", "us-east-1")


@pytest.fixture
def hasty(sim: Sim) -> Iterator[Lab]:
    """boto3 does not try again by itself."""
    with lab(sim, clients=ClientSettings(total_max_attempts=1, read_timeout=2)) as made:
        yield made


async def submit(aws: Lab, job: JobView | None = None, facts: DatasetStatus | None = None) -> SubmitOutcome:
    job = job or view()
    return await aws.platform.submit(aws.plan(job, facts), job, facts)


def facts_of(aws: Lab) -> DatasetStatus:
    etag = aws.s3().head_object(Bucket=BUCKET, Key="train.jsonl")["ETag"].strip('"')
    return DatasetStatus(rows=40, files=[DatasetFile(uri=f"s3://{BUCKET}/train.jsonl", etag=etag)])


def told(outcome: SubmitOutcome) -> tuple[Reason, str]:
    assert outcome.refusal is not None
    return outcome.refusal.reason, outcome.refusal.message


async def test_a_launch_uploads_the_recipe_and_creates_one_job(aws: Lab) -> None:
    job = view()
    plan = aws.plan(job)
    outcome = await aws.platform.submit(plan, job, None)
    assert outcome.kind is SubmitKind.LAUNCHED
    assert outcome.job_arn == aws.sim.job(plan.job_name)["arn"]
    key = plan.uploads[0].uri.removeprefix(f"s3://{BUCKET}/")
    assert aws.s3().get_object(Bucket=BUCKET, Key=key)["Body"].read() == plan.uploads[0].body
    assert aws.sim.job(plan.job_name)["tags"] == dict(plan.tags)


async def test_launching_again_attaches_to_the_job_that_is_there(aws: Lab) -> None:
    await submit(aws)
    assert (await submit(aws)).kind is SubmitKind.ATTACHED
    assert aws.sim.creates() == 1


async def test_a_create_whose_answer_was_lost_is_attached_to_not_repeated(aws: Lab, hasty: Lab) -> None:
    for made in (aws, hasty):
        made.sim.reset("jobs", "journal", "faults")
        made.sim.fail("CreateTrainingJob", after_commit=True)
        assert (await submit(made)).kind is SubmitKind.ATTACHED
        assert made.sim.creates() == 1


async def test_an_internal_error_after_the_create_was_carried_out_is_looked_behind(hasty: Lab) -> None:
    hasty.sim.fail("CreateTrainingJob", after_commit=True, code="InternalFailure", status=500)
    assert (await submit(hasty)).kind is SubmitKind.ATTACHED


async def test_a_lost_create_that_is_not_found_stays_unknown_and_is_safe_to_repeat(hasty: Lab) -> None:
    hasty.sim.fail("CreateTrainingJob", after_commit=True)
    hasty.sim.fail("DescribeTrainingJob", not_found_first=1)
    first = await submit(hasty)
    assert first.kind is SubmitKind.UNKNOWN
    assert first.retry_after
    assert (await submit(hasty)).kind is SubmitKind.ATTACHED
    assert hasty.sim.creates() == 1


async def test_a_throttle_after_a_lost_try_is_not_taken_for_a_refusal(aws: Lab) -> None:
    aws.sim.fail("CreateTrainingJob", after_commit=True)
    aws.sim.fail("CreateTrainingJob", code="ThrottlingException", times=2)
    assert (await submit(aws)).kind is SubmitKind.ATTACHED


async def test_a_job_of_that_name_that_is_not_ours_is_a_conflict_that_names_its_owner(aws: Lab) -> None:
    job = view()
    await submit(aws, job)
    name = aws.plan(job).job_name
    arn = aws.sim.job(name)["arn"]
    client = aws.caller.clients.get("sagemaker", "us-east-1")
    client.add_tags(ResourceArn=arn, Tags=[{"Key": metadata.TAG_SCOPE, "Value": "prod-eu"}])
    reason, message = told(await submit(aws, job))
    assert reason is Reason.NAME_CONFLICT
    assert "ml-team/demo of the environment prod-eu" in message
    client.delete_tags(ResourceArn=arn, TagKeys=list(aws.sim.job(name)["tags"]))
    reason, message = told(await submit(aws, job))
    assert reason is Reason.NAME_CONFLICT
    assert "no tags of this operator" in message


async def test_a_resource_that_came_back_finds_its_run_running(aws: Lab) -> None:
    await submit(aws, view(uid="before"))
    assert (await submit(aws, view(uid="after"))).kind is SubmitKind.ATTACHED


async def test_a_resource_that_came_back_takes_over_the_finished_result(aws: Lab) -> None:
    await submit(aws, view(uid="before"))
    aws.sim.advance(3600)
    assert (await submit(aws, view(uid="after"))).kind is SubmitKind.ADOPTED_FINISHED
    assert aws.sim.creates() == 1


@pytest.mark.parametrize("cause", ["Delete", "Suspend"])
async def test_a_run_stopped_by_a_delete_or_a_suspension_makes_way_for_the_next_attempt(aws: Lab, cause: str) -> None:
    before = view(uid="before")
    await submit(aws, before)
    ref = aws.plan(before).ref
    await aws.platform.stop(ref, cause=cause)
    assert (await submit(aws, view(uid="after"))).kind is SubmitKind.ENDING
    aws.sim.advance(3600)
    assert (await submit(aws, view(uid="after"))).kind is SubmitKind.NEXT_ATTEMPT
    assert (await submit(aws, view(uid="after", attempt=2))).kind is SubmitKind.LAUNCHED


@pytest.mark.parametrize(
    ("script", "stopped_by"), [({"end": "Failed"}, None), ({"end": "Stopped"}, "Stop"), ({}, "NewRun")]
)
async def test_any_other_end_is_taken_over_and_nothing_is_launched(
    aws: Lab, script: dict[str, Any], stopped_by: str | None
) -> None:
    aws.sim.script(**script)
    before = view(uid="before")
    await submit(aws, before)
    if stopped_by:
        plan = aws.plan(before)
        await aws.platform.stop(plan.ref, cause=stopped_by)
    aws.sim.advance(3600)
    assert (await submit(aws, view(uid="after"))).kind is SubmitKind.ATTACHED
    assert aws.sim.creates() == 1


@pytest.mark.parametrize(
    ("code", "message", "reason", "words"),
    [
        ("ResourceLimitExceeded", "The account-level service limit ... is 0", Reason.QUOTA_EXCEEDED, "Service Quotas"),
        ("ValidationException", "Could not assume role x.", Reason.ROLE_NOT_USABLE, "trust sagemaker.amazonaws.com"),
        ("AccessDeniedException", "not authorized to perform: iam:PassRole", Reason.ROLE_NOT_USABLE, "iam:PassRole"),
        ("ThrottlingException", "Rate exceeded", Reason.THROTTLED, "Rate exceeded"),
    ],
)
async def test_a_refusal_that_may_pass_waits_with_its_reason(
    hasty: Lab, code: str, message: str, reason: Reason, words: str
) -> None:
    hasty.sim.fail("CreateTrainingJob", code=code, message=message)
    outcome = await submit(hasty)
    assert outcome.kind is SubmitKind.REFUSED
    assert outcome.retry_after
    found, text = told(outcome)
    assert found is reason
    assert words in text


async def test_a_request_that_aws_finds_wrong_is_refused_with_its_words(hasty: Lab) -> None:
    hasty.sim.fail("CreateTrainingJob", code="ValidationException", message="The value of X is not right")
    outcome = await submit(hasty)
    reason, message = told(outcome)
    assert (outcome.kind, reason) == (SubmitKind.REFUSED, Reason.INVALID_SPEC)
    assert "The value of X is not right" in message


async def test_a_role_of_another_account_is_refused_before_anything_is_written(aws: Lab) -> None:
    outcome = await submit(aws, view({"sageMaker.roleARN": "arn:aws:iam::999988887777:role/x"}))
    reason, message = told(outcome)
    assert reason is Reason.ROLE_NOT_USABLE
    assert "999988887777" in message
    assert "111122223333" in message
    assert aws.sim.calls("PutObject") == []


async def test_data_replaced_since_the_check_is_noticed_and_nothing_is_launched(aws: Lab) -> None:
    facts = facts_of(aws)
    assert await unchanged(aws.caller, HERE, facts)
    aws.put("train.jsonl", b"something else")
    assert not await unchanged(aws.caller, HERE, facts)
    assert (await submit(aws, facts=facts)).kind is SubmitKind.DATA_CHANGED
    aws.s3().delete_object(Bucket=BUCKET, Key="train.jsonl")
    assert (await submit(aws, facts=facts)).kind is SubmitKind.DATA_CHANGED
    assert aws.sim.creates() == 0


async def test_data_that_is_as_checked_is_launched_with_its_digest(aws: Lab) -> None:
    facts, job = facts_of(aws), view()
    assert (await submit(aws, job, facts)).kind is SubmitKind.LAUNCHED
    assert aws.plan(job, facts).inputs_digest != aws.plan(job).inputs_digest


async def test_an_output_that_may_not_be_written_names_the_missing_statement(aws: Lab) -> None:
    aws.sim.fail("PutObject", code="AccessDenied", message="Access Denied")
    reason, message = told(await submit(aws))
    assert reason is Reason.ACCESS_DENIED
    assert "spec.output.uri" in message
    assert '{"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "arn:aws:s3:::acme-ml-team/sft/*"}' in message
    assert aws.sim.creates() == 0


async def test_an_output_bucket_that_does_not_exist_is_named(aws: Lab) -> None:
    _, message = told(await submit(aws, view({"output.uri": "s3://no-such-bucket-here/x/"})))
    assert "spec.output.uri: the bucket no-such-bucket-here does not exist" in message


async def test_the_recipe_is_encrypted_with_the_outputs_key(aws: Lab) -> None:
    await submit(aws, view({"output.kmsKeyID": "alias/ml-team"}))
    put = next(call for call in aws.sim.calls("PutObject", service="s3") if call.status == 200)
    answer = aws.s3().head_object(Bucket=BUCKET, Key=put.name.removeprefix(f"{BUCKET}/"))
    assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"]) == ("aws:kms", "alias/ml-team")


async def test_a_request_out_of_the_models_bounds_is_refused_before_any_call(aws: Lab) -> None:
    job = view(scope="what?!")
    reason, message = told(await submit(aws, job))
    assert reason is Reason.INVALID_SPEC
    assert message.startswith("spec.tags: CreateTrainingJob's Tags[")
    assert aws.sim.calls() == []


async def test_an_outage_before_the_create_is_told_as_unavailable(hasty: Lab) -> None:
    hasty.sim.fail("GetCallerIdentity", reset_connection=True)
    with pytest.raises(PlatformUnavailable) as raised:
        await submit(hasty)
    assert raised.value.retry_after
    assert hasty.sim.creates() == 0


def test_a_job_tagged_by_delete_that_had_completed_is_still_a_result() -> None:
    plan, job = _bare_plan()
    tags = dict(plan.tags) | {metadata.TAG_UID: "other", metadata.TAG_STOPPED_BY: "Delete"}
    described = {"TrainingJobStatus": "Completed", "SecondaryStatus": "Completed", "TrainingJobArn": "arn"}
    assert outcome(plan.ref, job, described, tags).kind is SubmitKind.ADOPTED_FINISHED
    timed_out = described | {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}
    assert outcome(plan.ref, job, timed_out, tags).kind is SubmitKind.ATTACHED


def test_a_job_of_another_resource_of_this_environment_is_a_conflict() -> None:
    plan, job = _bare_plan()
    other = dataclasses.replace(job, name="other")
    described = {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training", "TrainingJobArn": "arn"}
    assert outcome(plan.ref, other, described, plan.tags).kind is SubmitKind.REFUSED


def _bare_plan() -> tuple[Plan, JobView]:
    from sft_operator.platforms.sagemaker.plan import make_plan
    from sft_operator.recipes.catalogue import default_catalogue

    job = view()
    plan = make_plan(job, None, default_catalogue())
    assert isinstance(plan, Plan)
    return plan, job
