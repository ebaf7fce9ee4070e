"""Launching a plan at most once: account, data, recipe upload, create, and what an unclear answer to it means."""

from __future__ import annotations

import asyncio

from ...api.findings import Finding, errors
from ...api.place import Access, Place
from ...api.reasons import TERMINAL_REFUSALS, Reason
from ...api.status import DatasetStatus
from ...aws import policies
from ...aws.caller import AWSCaller
from ...aws.constraints import violations
from ...aws.errors import AWSError, ErrorClass, classify
from ...aws.identity import object_arn
from ...aws.objects import S3Uri
from ..base import JobView, Plan, PlatformUnavailable, Refusal, RunRef, SubmitKind, SubmitOutcome, Upload
from . import existing, tags
from .heads import unchanged
from .unavailable import refusal, sentence, unavailable

_UNSURE_PAUSE = 5.0
_ROLE = "spec.sageMaker.roleARN"
_OUTPUT = "spec.output.uri"


class Submitter:
    """Remembers nothing but which account each identity belongs to."""

    def __init__(self, caller: AWSCaller) -> None:
        self._caller = caller
        self._accounts: dict[Access | None, str] = {}

    async def submit(self, plan: Plan, job: JobView, facts: DatasetStatus | None) -> SubmitOutcome:
        """Raises PlatformUnavailable where a call before the create did not get through; nothing is launched then."""
        # in a thread: the first use of the service model reads and parses it
        found = await asyncio.to_thread(
            violations, self._caller.clients, "sagemaker", "CreateTrainingJob", plan.request
        )
        wrong = errors(found)
        if wrong:
            return _refused(Refusal(Reason.INVALID_SPEC, tuple(_of_request(finding) for finding in wrong)))
        try:
            foreign = await self._foreign_account(plan.place)
            if foreign is not None:
                return _refused(foreign, 60.0)
            if facts is not None and not await unchanged(self._caller, plan.place, facts):
                return SubmitOutcome(SubmitKind.DATA_CHANGED)
        except AWSError as error:
            raise unavailable(error) from error
        for upload in plan.uploads:
            try:
                await self._upload(plan, upload)
            except AWSError as error:
                return _upload_refused(plan, upload, error)
        return await self._create(plan, job)

    async def find(self, ref: RunRef, job: JobView) -> SubmitOutcome | None:
        """None when there is no job of this name, by credentials of its account. Raises PlatformUnavailable."""
        try:
            foreign = await self._foreign_account(ref.place)
            if foreign is not None:
                raise PlatformUnavailable(foreign.reason, foreign.message)
            return await self._found(ref, job)
        except AWSError as error:
            raise unavailable(error) from error

    async def _foreign_account(self, place: Place) -> Refusal | None:
        account, access = place.account, place.access
        if access not in self._accounts:
            answer = await self._caller.call("sts", "GetCallerIdentity", place)
            self._accounts[access] = str(answer["Account"])
        own = self._accounts[access]
        if own == account:
            return None
        text = (
            f"is in account {account}, {place.identity} is of account {own}, and a role can be passed within its own account only; "
            f"use a role of account {own}, or a profile with access to {account}"
        )
        return Refusal(Reason.ROLE_NOT_USABLE, (Finding(_ROLE, text),))

    async def _upload(self, plan: Plan, upload: Upload) -> None:
        uri = S3Uri.parse(upload.uri)
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": upload.kms_key_id} if upload.kms_key_id else {}
        await self._caller.call(
            "s3", "PutObject", plan.place,
            Bucket=uri.bucket, Key=uri.key, Body=upload.body, ContentType="application/yaml", **encryption,
        )  # fmt: skip

    async def _create(self, plan: Plan, job: JobView) -> SubmitOutcome:
        try:
            answer = await self._caller.call("sagemaker", "CreateTrainingJob", plan.place, **plan.request)
        except AWSError as error:
            # boto3 repeats a lost create by itself and then shows the answer to the repetition: ResourceInUse for our
            # own job, or any refusal. So every error that may hide a launch is looked behind.
            if error.unsure or classify(error).error_class is ErrorClass.IN_USE:
                return await self._look(plan, job, error)
            return _create_refused(error)
        return SubmitOutcome(SubmitKind.LAUNCHED, str(answer["TrainingJobArn"]))

    async def _look(self, plan: Plan, job: JobView, cause: AWSError) -> SubmitOutcome:
        known, pause = cause, _UNSURE_PAUSE
        try:
            found = await self._found(plan.ref, job)
        except AWSError as error:
            found, known, pause = None, error, max(_UNSURE_PAUSE, classify(error).retry_after or 0)
        if found is not None:
            return found
        # The job may exist and not be shown yet, so even a plain refusal stays open: the name makes trying safe.
        verdict = classify(known)
        reason = Reason.SERVICE_UNAVAILABLE if verdict.reason in TERMINAL_REFUSALS else verdict.reason
        text = f"whether {plan.job_name} was created is not known yet: {sentence(known)}"
        refused = Refusal(reason, (Finding("status.jobName", text),))
        return SubmitOutcome(SubmitKind.UNKNOWN, refusal=refused, retry_after=pause)

    async def _found(self, ref: RunRef, job: JobView) -> SubmitOutcome | None:
        """None when there is no such job. Raises AWSError."""
        try:
            described = await self._caller.call(
                "sagemaker", "DescribeTrainingJob", ref.place, kind="create", TrainingJobName=ref.job_name
            )
            return existing.outcome(ref, job, described, await tags.read(self._caller, ref))
        except AWSError as error:
            if classify(error).error_class is ErrorClass.NOT_FOUND:
                return None
            raise


def _create_refused(error: AWSError) -> SubmitOutcome:
    verdict = classify(error)
    field = _FIELDS.get(verdict.reason, "spec.sageMaker.training")
    return _refused(refusal(error, field), verdict.retry_after)


_FIELDS = {
    Reason.ROLE_NOT_USABLE: _ROLE,
    Reason.ACCESS_DENIED: "spec.sageMaker",
    Reason.QUOTA_EXCEEDED: "spec.sageMaker.training.instanceType",
    Reason.CAPACITY_UNAVAILABLE: "spec.sageMaker.training.instanceType",
    Reason.DATASET_UNREADABLE: "spec.dataset",
    Reason.INVALID_SPEC: "spec",
}


def _upload_refused(plan: Plan, upload: Upload, error: AWSError) -> SubmitOutcome:
    verdict = classify(error)
    uri = S3Uri.parse(upload.uri)
    if verdict.error_class is ErrorClass.AUTH and not _credentials(error):
        actions, resource = ["s3:PutObject"], object_arn(plan.place.region, uri.bucket, f"{_prefix(plan)}*")
        if "kms" in f"{error.code} {error.message}".lower():
            key = upload.kms_key_id or "*"
            actions, resource = ["kms:GenerateDataKey", "kms:Decrypt"], key if key.startswith("arn:") else "*"
        text = (
            f"the operator may not write the recipe to {upload.uri} ({error.code}: {error.message}); give "
            f"{plan.place.identity} {policies.missing(actions, resource)}"
        )
        return _refused(Refusal(Reason.ACCESS_DENIED, (Finding(_OUTPUT, text),)), verdict.retry_after)
    if verdict.error_class is ErrorClass.NOT_FOUND:
        text = f"the bucket {uri.bucket} does not exist; create it in {plan.place.region}, or correct the URI"
        return _refused(Refusal(Reason.ACCESS_DENIED, (Finding(_OUTPUT, text),)), verdict.retry_after)
    if verdict.error_class is ErrorClass.USER and verdict.retry_after is not None:
        text = f"{error.code}: {error.message}; the bucket {uri.bucket} must be in {plan.place.region}"
        return _refused(Refusal(Reason.ACCESS_DENIED, (Finding(_OUTPUT, text),)), verdict.retry_after)
    if verdict.error_class is ErrorClass.USER:
        return _refused(refusal(error, _OUTPUT))
    raise unavailable(error) from error


def _credentials(error: AWSError) -> bool:
    """Whether the call was refused for who made it, and not for what it asked."""
    return not error.code.startswith(("AccessDenied", "403", "KMS"))


def _prefix(plan: Plan) -> str:
    output = S3Uri.parse(plan.effective.output_uri or "")
    return f"{output.key.rstrip('/')}/" if output.key.strip("/") else ""


def _of_request(finding: Finding) -> Finding:
    """A bound of the service model, told of the SFTJob's field where the two are the same."""
    fields = {
        "RoleArn": _ROLE,
        "OutputDataConfig.S3OutputPath": _OUTPUT,
        "OutputDataConfig.KmsKeyId": "spec.output.kmsKeyID",
        "AlgorithmSpecification.TrainingImage": "spec.sageMaker.training.image",
        "InputDataConfig[0].DataSource.S3DataSource.S3Uri": "spec.dataset.train.uri",
        "InputDataConfig[1].DataSource.S3DataSource.S3Uri": "spec.dataset.validation[0].uri",
    }
    field = fields.get(finding.field, "spec.tags" if finding.field.startswith("Tags") else "spec")
    return Finding(field, f"CreateTrainingJob's {finding.field} {finding.message} (AWS service model)")


def _refused(why: Refusal, retry_after: float | None = None) -> SubmitOutcome:
    return SubmitOutcome(SubmitKind.REFUSED, refusal=why, retry_after=retry_after)
