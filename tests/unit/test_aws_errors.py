"""The error table: every error that AWS's models name for what we call has a meaning, and so have AWS's real texts."""

from __future__ import annotations

import logging
import pickle

import pytest

from sft_operator.api.reasons import TERMINAL_REFUSALS, Reason
from sft_operator.aws.errors import AWSError, ErrorClass, classify, error_table, read_table
from sft_operator.aws.operations import OPERATIONS
from sft_operator.aws.sessions import Clients

# Errors that AWS lists as common to all services.
COMMON = (
    "AccessDeniedException", "AccessDenied", "ExpiredTokenException", "ExpiredToken", "IncompleteSignature",
    "InternalFailure", "InternalError", "InternalServerError", "MissingAuthenticationToken", "NotAuthorized",
    "OptInRequired", "RequestExpired", "ServiceUnavailable", "ServiceUnavailableException", "ThrottlingException",
    "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "UnrecognizedClientException",
    "InvalidClientTokenId", "SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed", "503", "500",
)  # fmt: skip
MODELS = Clients()


def modelled() -> list[tuple[str, str, str]]:
    found = []
    for service, operations in OPERATIONS.items():
        model = MODELS.model(service)
        for operation in operations:
            shapes = model.operation_model(operation).error_shapes
            codes = {str(shape.metadata.get("error", {}).get("code", shape.name)) for shape in shapes}
            found += [(service, operation, code) for code in sorted({*codes, *COMMON})]
    return found


@pytest.mark.parametrize(("service", "operation", "code"), modelled())
def test_every_error_that_a_model_names_is_in_the_table(service: str, operation: str, code: str) -> None:
    verdict = error_table().find(service, operation, code, "any text")
    assert verdict.known, f"no row fits {service} {operation} {code}"


@pytest.mark.parametrize(
    ("operation", "code", "message", "error_class", "reason"),
    [
        (
            "CreateTrainingJob", "ResourceInUse",
            "Training job names must be unique within an AWS account and region, and a training job with this name "
            "already exists (arn:aws:sagemaker:us-east-1:111122223333:training-job/x)",
            ErrorClass.IN_USE, Reason.NAME_CONFLICT,
        ),
        (
            "CreateTrainingJob", "ResourceLimitExceeded",
            "The account-level service limit 'ml.p5.48xlarge for training job usage' is 0 Instances",
            ErrorClass.QUOTA, Reason.QUOTA_EXCEEDED,
        ),
        (
            "CreateTrainingJob", "ValidationException",
            "Could not assume role arn:aws:iam::111122223333:role/x. Please ensure that the role exists and allows "
            "principal 'sagemaker.amazonaws.com' to assume the role.",
            ErrorClass.AUTH, Reason.ROLE_NOT_USABLE,
        ),
        (
            "CreateTrainingJob", "ValidationException", "Unauthorized to List objects under S3 URL: s3://b/k.",
            ErrorClass.AUTH, Reason.ACCESS_DENIED,
        ),
        (
            "CreateTrainingJob", "ValidationException", "Access denied to OutputDataConfig S3 bucket",
            ErrorClass.AUTH, Reason.ACCESS_DENIED,
        ),
        (
            "CreateTrainingJob", "ValidationException",
            "because no identity-based policy allows the s3:ListBucket action", ErrorClass.AUTH, Reason.ACCESS_DENIED,
        ),
        (
            "CreateTrainingJob", "ValidationException", "1 validation error detected: Value '0' at 'x' failed",
            ErrorClass.USER, Reason.INVALID_SPEC,
        ),
        (
            "CreateTrainingJob", "AccessDeniedException",
            "User: arn:aws:sts::1:assumed-role/op is not authorized to perform: iam:PassRole on resource: y",
            ErrorClass.AUTH, Reason.ROLE_NOT_USABLE,
        ),
        (
            "DescribeTrainingJob", "ValidationException", "Requested resource not found.",
            ErrorClass.NOT_FOUND, Reason.LOST,
        ),
        (
            "StopTrainingJob", "ValidationException",
            "The request was rejected because the training job is in status Stopped.",
            ErrorClass.NOT_FOUND, Reason.LOST,
        ),
        ("ListTrainingJobs", "ThrottlingException", "Rate exceeded", ErrorClass.THROTTLE, Reason.THROTTLED),
    ],
)  # fmt: skip
def test_the_texts_that_sagemaker_really_sends_have_their_own_meaning(
    operation: str, code: str, message: str, error_class: ErrorClass, reason: Reason
) -> None:
    verdict = classify(AWSError("sagemaker", operation, code, message, 400))
    assert (verdict.error_class, verdict.reason) == (error_class, reason)
    assert (verdict.retry_after is None) <= (reason in TERMINAL_REFUSALS or error_class is ErrorClass.NOT_FOUND)


def test_an_unknown_error_is_tried_again_and_logged_with_its_raw_code(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        verdict = classify(AWSError("sagemaker", "CreateTrainingJob", "BrandNewProblem", "never seen", 418))
    assert (verdict.error_class, verdict.reason) == (ErrorClass.INFRA, Reason.SERVICE_UNAVAILABLE)
    assert verdict.retry_after is not None
    assert caplog.records[0].__dict__["aws"]["code"] == "BrandNewProblem"


def test_no_answer_is_never_a_users_fault() -> None:
    verdict = classify(AWSError("sagemaker", "CreateTrainingJob", "ReadTimeoutError", "", lost=True))
    assert verdict.error_class is ErrorClass.INFRA
    assert verdict.retry_after is not None


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(AWSError("s3", "GetObject", "AccessDenied", "no", 403, retried=True)))  # noqa: S301
    assert (error.code, error.http_status, error.retried, error.lost) == ("AccessDenied", 403, True, False)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{code: X, class: User, reason: Nonsense, retry: never}", "Nonsense"),
        ("{code: X, class: User, reason: InvalidSpec, retry: often}", "often"),
        ("{code: X, class: User, reason: InvalidSpec, retry: never, hnit: x}", "hnit"),
    ],
)
def test_a_wrong_row_is_named(row: str, problem: str) -> None:
    text = "retries: {never: null}\nunknown: {class: Infra, reason: Lost, retry: never}\nrows:\n  - " + row
    with pytest.raises(ValueError, match=f"row 1.*{problem}"):
        read_table(text, source="mine.yaml")
