"""From what botocore raises to AWSError: the one place that knows botocore's exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from botocore import exceptions
from botocore.parsers import ResponseParserError

from ..api.neutral import neutral
from .errors import AWSError
from .operations import CREDENTIALS

T = TypeVar("T")

# No answer, or one that could not be read: the request may have been carried out.
_LOST = (
    exceptions.HTTPClientError,
    exceptions.ConnectionError,  # of the last try only: botocore does not say that an earlier one was sent
    exceptions.IncompleteReadError,
    exceptions.ResponseStreamingError,
    ResponseParserError,
)
_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.MetadataRetrievalError,
    exceptions.NoAuthTokenError,
)


def answered(service: str, operation: str, call: Callable[[], T]) -> T:
    """What `call` returns. Raises AWSError and nothing else that botocore knows."""
    try:
        return call()
    except exceptions.ClientError as error:
        if error.operation_name in CREDENTIALS["sts"]:  # the credentials of a session are asked for by its next call
            service, operation = "sts", error.operation_name
        raise from_answer(service, operation, error.response) from error
    except _LOST as error:
        raise AWSError(service, operation, type(error).__name__, str(error), lost=True) from error
    except _CREDENTIALS as error:
        raise AWSError(service, operation, "NoCredentials", str(error)) from error
    except exceptions.ParamValidationError as error:
        raise AWSError(service, operation, "ParamValidationError", str(error)) from error
    except exceptions.BotoCoreError as error:
        raise AWSError(service, operation, type(error).__name__, str(error)) from error


def from_answer(service: str, operation: str, response: Any) -> AWSError:
    """From the parsed response of a refused call."""
    error, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    return AWSError(
        service,
        operation,
        str(error.get("Code", "Unknown")),
        neutral(str(error.get("Message", ""))),
        int(metadata.get("HTTPStatusCode", 0)),
        retried=bool(metadata.get("RetryAttempts")),
    )
