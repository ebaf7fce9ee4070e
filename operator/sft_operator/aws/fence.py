"""The fence in front of AWS: each try of each request asks whether it may still be sent. Who leads is decided elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import AWSError

MaySend = Callable[[float], bool]
"""Asked with the seconds that AWS may be busy with the request: 0 for one that changes nothing. Called in any thread."""

NOT_LEADING = "NotLeading"
"""Error code of a request that was not sent."""

_READING = ("Get", "List", "Describe", "Head")


def changes(operation: str) -> bool:
    """Whether an operation may change something; one that nobody has thought of does."""
    return not operation.startswith(_READING)


def put_fence(client: Any, may_send: MaySend, seconds: float) -> None:
    """Every request of the client passes `may_send` from now on; a try takes at most `seconds`."""
    service = client.meta.service_model.service_name

    def ask(request: Any, operation_name: str, **_: Any) -> None:
        if may_send(seconds if changes(operation_name) else 0.0):
            return
        retried = request.context.get("retries", {}).get("attempt", 1) > 1
        message = "not sent: this replica of the operator does not lead, or its lease may end before AWS has answered"
        raise AWSError(service, operation_name, NOT_LEADING, message, retried=retried)

    # after the signature, for which credentials may have had to be waited for; before each try, not only the first
    client.meta.events.register_last("request-created", ask)
