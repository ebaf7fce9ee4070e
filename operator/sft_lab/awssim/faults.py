"""Rules that make requests go wrong on purpose, as pure decisions; the front carries them out."""

from __future__ import annotations

import fnmatch
import random
import threading
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sft_lab.awssim.errors import AWSError, not_found


@dataclass(slots=True, kw_only=True)
class Fault:
    """One rule: what it fits, how often it strikes, what then happens.

    `operation`, `service` and `name` are globs. `times` None means always. With `after_commit` the operation is
    carried out and only its answer is replaced: by the error, or without a code by a cut connection.
    `not_found_first` answers the first N requests for each name with "Requested resource not found.".
    `rate` and `burst` (requests per second) make the rule a token bucket per account and operation.
    """

    service: str = "*"
    operation: str = "*"
    name: str | None = None
    times: int | None = 1
    probability: float = 1.0
    seed: int = 0
    code: str | None = None
    message: str | None = None
    status: int | None = None
    delay: float | None = None  # seconds of the machine's time
    reset_connection: bool = False
    black_hole: bool = False
    after_commit: bool = False
    not_found_first: int | None = None
    rate: float | None = None
    burst: float = 1.0
    struck: int = 0
    _random: random.Random = field(default_factory=random.Random, repr=False)
    _seen: dict[str, int] = field(default_factory=dict, repr=False)
    _buckets: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 -- repeatable faults, not a secret

    def fits(self, service: str, operation: str, name: str) -> bool:
        return (
            fnmatch.fnmatchcase(service, self.service)
            and fnmatch.fnmatchcase(operation, self.operation)
            and (self.name is None or self.name in name or fnmatch.fnmatchcase(name, self.name))
        )

    def strikes(self, account: str, operation: str, name: str, now: float) -> bool:
        """Whether the rule acts on this request, which it fits. Counts it."""
        if self.rate is not None:
            return self._over_rate((account, operation), now)
        if self.not_found_first is not None:
            self._seen[name] = self._seen.get(name, 0) + 1
            return self._seen[name] <= self.not_found_first
        if self.times is not None and self.struck >= self.times:
            return False
        return not (self.probability < 1.0 and self._random.random() >= self.probability)

    def _over_rate(self, key: tuple[str, str], now: float) -> bool:
        assert self.rate is not None  # noqa: S101 -- the caller asked
        tokens, at = self._buckets.get(key, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.rate)
        over = tokens < 1.0
        self._buckets[key] = (tokens if over else tokens - 1.0, now)
        return over

    def error(self) -> AWSError | None:
        if self.rate is not None:
            return AWSError(self.code or "ThrottlingException", self.message, self.status)
        if self.not_found_first is not None and self.code is None:
            return not_found()
        if self.code is None and self.status is None:
            return None
        return AWSError(self.code or "InternalFailure", self.message, self.status)

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if not key.startswith("_")}


_FIELDS = {f.name for f in fields(Fault) if not f.name.startswith("_")} - {"struck"}


class Faults:
    """The rules in force; the oldest that fits and strikes is taken."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, document: dict[str, Any]) -> Fault:
        """A rule from a JSON object. Raises ValueError for an unknown field or a rule that does nothing."""
        unknown = sorted(document.keys() - _FIELDS)
        if unknown:
            raise ValueError(f"unknown field {', '.join(unknown)}; a fault knows {', '.join(sorted(_FIELDS))}")
        rule = Fault(**document)
        acts = (rule.code, rule.status, rule.delay, rule.rate, rule.not_found_first)
        if all(a is None for a in acts) and not (rule.reset_connection or rule.black_hole or rule.after_commit):
            raise ValueError(
                "the fault does nothing: give code, status, delay, rate, not_found_first, reset_connection, "
                "black_hole or after_commit"
            )
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def all(self) -> list[dict[str, Any]]:
        with self._lock:
            return [rule.as_json() for rule in self._rules]

    def strike(self, service: str, operation: str, name: str, account: str) -> Fault | None:
        with self._lock:
            now = time.monotonic()
            for rule in self._rules:
                if rule.fits(service, operation, name) and rule.strikes(account, operation, name, now):
                    rule.struck += 1
                    return rule
        return None
