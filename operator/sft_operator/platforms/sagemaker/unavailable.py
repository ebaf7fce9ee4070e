"""From an AWS error to what the controller is told: the platform's words for the table's verdict."""

from __future__ import annotations

from ...api.findings import Finding
from ...aws.errors import AWSError, classify
from ..base import PlatformUnavailable, Refusal


def sentence(error: AWSError) -> str:
    """The error in one sentence: what was asked, what AWS said, what to do."""
    said = error.message or error.code
    text = f"{error.service} {error.operation}: {error.code}: {said}" if error.code not in said else (
        f"{error.service} {error.operation}: {said}"
    )  # fmt: skip
    hint = classify(error).hint
    return f"{text} ({hint})" if hint else text


def unavailable(error: AWSError) -> PlatformUnavailable:
    verdict = classify(error)
    return PlatformUnavailable(verdict.reason, sentence(error), verdict.retry_after)


def refusal(error: AWSError, field: str) -> Refusal:
    """`field` is the part of the SFTJob that the call was about."""
    verdict = classify(error)
    said = f"{error.service} {error.operation} answers {error.code}: {error.message}".rstrip(": ")
    text = f"{said}; {verdict.hint}" if verdict.hint else said
    return Refusal(verdict.reason, (Finding(field, text),), verdict.hint)
