"""What an AWS error means, looked up in a table; the rows are in data/errors.yaml."""

from __future__ import annotations

import fnmatch
import functools
import importlib.resources
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..api import yaml12
from ..api.reasons import Reason

log = logging.getLogger(__name__)


class AWSError(Exception):
    """A call that did not do what it was asked. `message` is AWS's own text, `http_status` 0 without an answer."""

    def __init__(
        self,
        service: str,
        operation: str,
        code: str,
        message: str,
        http_status: int = 0,
        *,
        lost: bool = False,
        retried: bool = False,
    ) -> None:
        super().__init__(f"{service} {operation}: {code}: {message}")
        self.service, self.operation, self.code = service, operation, code
        self.message, self.http_status = message, http_status
        self.lost = lost
        """No answer was received: the operation may have been carried out."""
        self.retried = retried
        """An earlier try of the same call was lost or failed on the way: it, too, may have been carried out."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (
            self.service, self.operation, self.code, self.message, self.http_status, self.lost, self.retried,
        )  # fmt: skip

    @property
    def unsure(self) -> bool:
        """Whether the operation may have been carried out in spite of the error."""
        return self.lost or self.retried or self.http_status >= 500


def _rebuild(service: str, operation: str, code: str, message: str, status: int, lost: bool, retried: bool) -> AWSError:
    return AWSError(service, operation, code, message, status, lost=lost, retried=retried)


class ErrorClass(StrEnum):
    """Whose matter an error is."""

    USER = "User"
    QUOTA = "Quota"
    CAPACITY = "Capacity"
    THROTTLE = "Throttle"
    AUTH = "Auth"
    NOT_FOUND = "NotFound"
    IN_USE = "InUse"
    INFRA = "Infra"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of an error. `retry_after` in seconds, None: trying again is useless."""

    error_class: ErrorClass
    reason: Reason
    retry_after: float | None
    hint: str | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `service`, `operation` and `code` are shell patterns, `message` a regular expression that
    must occur in the text, whatever the case."""

    service: str
    operation: str
    code: str
    message: re.Pattern[str] | None
    verdict: Verdict

    def fits(self, service: str, operation: str, code: str, message: str) -> bool:
        return (
            fnmatch.fnmatchcase(service, self.service)
            and fnmatch.fnmatchcase(operation, self.operation)
            and fnmatch.fnmatchcase(code, self.code)
            and (self.message is None or self.message.search(message) is not None)
        )


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in order; the first that fits counts."""

    rows: tuple[Row, ...]
    unknown: Verdict

    def find(self, service: str, operation: str, code: str, message: str) -> Verdict:
        for row in self.rows:
            if row.fits(service, operation, code, message):
                return row.verdict
        return self.unknown


def read_table(text: str, *, source: str) -> Table:
    """A table from its YAML. Raises ValueError naming the row that is wrong."""
    document = yaml12.load(text, source=source)
    pauses: Mapping[str, float | None] = document["retries"]
    rows = [_row(line, pauses, f"{source}, row {number}") for number, line in enumerate(document["rows"], 1)]
    return Table(
        tuple(rows), _row(document["unknown"] | {"code": "*"}, pauses, f"{source}, unknown", known=False).verdict
    )


def _row(line: Mapping[str, Any], pauses: Mapping[str, float | None], where: str, *, known: bool = True) -> Row:
    extra = line.keys() - {"service", "operation", "code", "message", "class", "reason", "retry", "hint"}
    if extra:
        raise ValueError(f"{where}: unknown key {', '.join(sorted(extra))}")
    try:
        verdict = Verdict(
            ErrorClass(line["class"]), Reason(line["reason"]), pauses[line["retry"]], line.get("hint"), known
        )
    except KeyError as missing:
        raise ValueError(f"{where}: {missing} is missing or not among retries") from missing
    except ValueError as wrong:
        raise ValueError(f"{where}: {wrong}") from wrong
    message = re.compile(line["message"], re.IGNORECASE) if "message" in line else None
    return Row(line.get("service", "*"), line.get("operation", "*"), str(line.get("code", "*")), message, verdict)


@functools.cache
def error_table() -> Table:
    """The table that comes with the operator."""
    file = importlib.resources.files(__package__).joinpath("data", "errors.yaml")
    return read_table(file.read_text(encoding="utf-8"), source="errors.yaml")


def classify(error: AWSError, table: Table | None = None) -> Verdict:
    """The meaning of an error. One that no row knows is logged with its raw code, and tried again."""
    if error.lost:
        return Verdict(ErrorClass.INFRA, Reason.SERVICE_UNAVAILABLE, _LOST_PAUSE, _LOST_HINT)
    verdict = (table or error_table()).find(error.service, error.operation, error.code, error.message)
    if not verdict.known:
        log.warning("unknown AWS error", extra={"aws": _fields(error)})
    return verdict


_LOST_PAUSE = 10.0
_LOST_HINT = "no answer from AWS; look at the network between the cluster and the service, and at AWS_ENDPOINT_URL"


def _fields(error: AWSError) -> dict[str, object]:
    names: Sequence[str] = ("service", "operation", "code", "message", "http_status")
    return {name: getattr(error, name) for name in names}
