"""How an answer or an error is put on the wire in each protocol; pure."""

from __future__ import annotations

import json
import uuid
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from sft_lab.awssim.errors import AWSError
from sft_lab.awssim.request import Asked


class Answer(NamedTuple):
    """What goes back: HTTP status, headers, body, and the AWS error code if it is an error."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    error: str | None = None


def json_answer(document: dict[str, Any]) -> Answer:
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", str(uuid.uuid4()))]
    return Answer(200, headers, json.dumps(document, separators=(",", ":")).encode())


def error_answer(error: AWSError, asked: Asked, method: str) -> Answer:
    """The error in the protocol of the service that was asked."""
    request_id = str(uuid.uuid4())
    code, message = escape(error.code), escape(error.message)
    if asked.protocol == "s3":
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
            f"<RequestId>{request_id}</RequestId></Error>"
        )
        headers = [("Content-Type", "application/xml"), ("x-amz-request-id", request_id)]
        return Answer(error.status, headers, b"" if method == "HEAD" else body.encode(), error.code)
    if asked.protocol == "query":
        side = "Sender" if error.status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{side}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        headers = [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)]
        return Answer(error.status, headers, body.encode(), error.code)
    document = json.dumps({"__type": error.code, "message": error.message})
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", request_id)]
    return Answer(error.status, headers, document.encode(), error.code)
