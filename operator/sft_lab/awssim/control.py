"""Control client of a running simulation: the witness of tests and the stage hand of demonstrations."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

# A machine's proxy must not stand between two processes on it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached the simulation; see journal.Entry for the members."""

    seq: int
    time: float
    wall: float
    service: str
    operation: str
    name: str
    account: str
    region: str
    caller: str
    parameters: dict[str, Any]
    status: int | None
    error: str | None
    committed: bool
    fault: str | None


class Sim:
    """Talks to `/_sim/` of the simulation at `endpoint`. Raises ValueError in the words of its refusal."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint.rstrip("/")

    def _ask(self, method: str, path: str, document: dict[str, Any] | None = None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.endpoint}/_sim/{path}", data=body, method=method)  # noqa: S310
        try:
            with _OPENER.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ValueError(f"{method} /_sim/{path}: {json.load(error).get('error')}") from error

    def healthy(self) -> bool:
        try:
            return bool(self._ask("GET", "health")["status"] == "ok")
        except OSError:
            return False

    def calls(
        self,
        operation: str | None = None,
        name: str | None = None,
        service: str | None = None,
        caller: str | None = None,
        since: int = 0,
    ) -> list[Call]:
        """Requests in order of arrival, later than sequence number `since`; `name` is a glob or a part of the name."""
        filters = {"operation": operation, "name": name, "service": service, "caller": caller, "since": since or None}
        query = urllib.parse.urlencode({key: value for key, value in filters.items() if value is not None})
        return [Call(**entry) for entry in self._ask("GET", f"calls?{query}")]

    def creates(self, name_contains: str = "") -> int:
        """How many training jobs were really made with such a name: refused creates do not count, creates whose
        answer was lost do."""
        calls = self.calls("CreateTrainingJob", name=name_contains or None)
        return sum(call.committed and name_contains in call.name for call in calls)

    def script(self, name: str = "*", **fields: Any) -> dict[str, Any]:
        """Sets what happens to jobs whose name fits the glob; fields of script.Script."""
        return dict(self._ask("POST", "scripts", {"name": name, **fields}))

    def fail(
        self,
        operation: str,
        *,
        code: str | None = None,
        message: str | None = None,
        status: int | None = None,
        times: int | None = 1,
        name: str | None = None,
        after_commit: bool = False,
        delay: float | None = None,
        reset_connection: bool = False,
        black_hole: bool = False,
        not_found_first: int | None = None,
        service: str = "*",
        probability: float = 1.0,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Makes requests go wrong; see faults.Fault. `times` None means from now on, until `heal`."""
        return dict(
            self._ask(
                "POST",
                "faults",
                {
                    "service": service,
                    "operation": operation,
                    "name": name,
                    "times": times,
                    "code": code,
                    "message": message,
                    "status": status,
                    "after_commit": after_commit,
                    "delay": delay,
                    "reset_connection": reset_connection,
                    "black_hole": black_hole,
                    "not_found_first": not_found_first,
                    "probability": probability,
                    "seed": seed,
                },
            )
        )

    def limit(self, operation: str, rate: float, burst: float = 1.0, service: str = "*") -> dict[str, Any]:
        """Throttles an operation beyond `rate` requests per second for each account, as a token bucket."""
        rule = {"service": service, "operation": operation, "rate": rate, "burst": burst, "times": None}
        return dict(self._ask("POST", "faults", rule))

    def heal(self) -> None:
        """Takes all faults back."""
        self._ask("DELETE", "faults")

    def quotas(self, limits: dict[str, int]) -> None:
        """Instances in use at most, by instance type."""
        self._ask("POST", "quotas", dict(limits))

    def advance(self, seconds: float) -> float:
        """Moves the clock forward; returns the simulated time."""
        return float(self._ask("POST", "clock", {"advance": seconds})["now"])

    def speed(self, factor: float) -> None:
        """Simulated seconds per second; 0 stops the clock."""
        self._ask("POST", "clock", {"speed": factor})

    def now(self) -> float:
        return float(self._ask("GET", "clock")["now"])

    def reset(self, *parts: str) -> None:
        """Forgets everything, or only these parts: jobs, journal, scripts, faults, clock, moto."""
        self._ask("POST", "reset", {"parts": list(parts)} if parts else {})

    def jobs(self) -> list[dict[str, Any]]:
        """Every job with its state now."""
        return list(self._ask("GET", "jobs"))

    def job(self, name: str) -> dict[str, Any]:
        """The job of that name. Raises KeyError when there is none."""
        for job in self.jobs():
            if job["name"] == name:
                return dict(job)
        raise KeyError(name)
