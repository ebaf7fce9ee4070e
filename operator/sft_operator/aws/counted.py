"""A client whose calls are written down, for a process that has no metrics of its own; plain values that can be sent."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError


@dataclass(slots=True)
class Calls:
    """Number and seconds of the calls by service, operation and error code ("" for success)."""

    made: dict[tuple[str, str, str], tuple[int, float]] = field(default_factory=dict)

    def add(self, service: str, operation: str, code: str, seconds: float) -> None:
        number, total = self.made.get((service, operation, code), (0, 0.0))
        self.made[service, operation, code] = (number + 1, total + seconds)


class CountedClient:
    """Stands in for a boto3 client. A body that is read after its call was answered is not part of the call's time."""

    def __init__(self, client: Any, calls: Calls) -> None:
        self._client, self._calls = client, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        operation = self._client.meta.method_to_api_mapping.get(name)
        if operation is None:
            return found
        service = self._client.meta.service_model.service_name

        def call(**parameters: Any) -> Any:
            began, said = time.perf_counter(), (service, operation, "")
            try:
                return found(**parameters)
            except ClientError as error:
                assumed = error.operation_name == "AssumeRole"  # asked for by the session, on its way to this call
                code = str(error.response.get("Error", {}).get("Code", "Unknown"))
                said = ("sts", "AssumeRole", code) if assumed else (service, operation, code)
                raise
            except Exception as error:
                said = (service, operation, type(error).__name__)
                raise
            finally:
                self._calls.add(*said, time.perf_counter() - began)

        return call
