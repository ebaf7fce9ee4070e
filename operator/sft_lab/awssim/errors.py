"""The error that a simulated operation raises: an AWS code, a message and an HTTP status."""

from __future__ import annotations

# HTTP status by code where it is not 400. Source: botocore's service models and AWS's list of common errors.
STATUS_BY_CODE: dict[str, int] = {
    "AccessDenied": 403,
    "InvalidAccessKeyId": 403,
    "SignatureDoesNotMatch": 403,
    "RequestTimeTooSkewed": 403,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "TooManyRequestsException": 429,
    "InternalFailure": 500,
    "InternalError": 500,
    "InternalServerException": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SlowDown": 503,
}

# What AWS says with a code when a rule names no text of its own.
MESSAGE_BY_CODE: dict[str, str] = {
    "ThrottlingException": "Rate exceeded",
    "Throttling": "Rate exceeded",
    "SlowDown": "Please reduce your request rate.",
    "InternalFailure": "The request processing has failed because of an unknown error, exception or failure.",
    "ServiceUnavailable": "The request has failed due to a temporary failure of the server.",
    "ExpiredTokenException": "The security token included in the request is expired",
    "InvalidSignatureException": "Signature expired",
    "AccessDenied": "Access Denied",
    "AccessDeniedException": "User is not authorized to perform this action",
}


class AWSError(Exception):
    """An answer that is an error.

    `code` is the name that a client sees (`ResourceInUse`), `status` the HTTP status; where it is not given it
    follows from the code.
    """

    def __init__(self, code: str, message: str | None = None, status: int | None = None) -> None:
        self.code = code
        self.message = message if message is not None else MESSAGE_BY_CODE.get(code, code)
        self.status = status or STATUS_BY_CODE.get(code, 400)
        super().__init__(f"{code}: {self.message}")


def validation(message: str) -> AWSError:
    return AWSError("ValidationException", message)


def not_found() -> AWSError:
    """SageMaker's answer for a training job that does not exist: not the modelled ResourceNotFound (aws-sdk#165)."""
    return validation("Requested resource not found.")
