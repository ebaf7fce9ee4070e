"""The record of every request that reached the simulation; assertions are made on it. Holds no secret."""

from __future__ import annotations

import fnmatch
import json
import threading
import zlib
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

KEPT = 500_000  # entries; the oldest go first


@dataclass(slots=True)
class Entry:
    """One request. `time` is simulated, `wall` the machine's; both in seconds since the epoch.

    `status` is the HTTP status of the answer (None: still in hand, or never answered), `error` the AWS code.
    `committed` says that the operation was carried out, even if its answer was lost.
    """

    seq: int
    time: float
    wall: float
    service: str
    operation: str
    name: str
    account: str
    region: str
    caller: str
    parameters: bytes = b""  # JSON, compressed: a tenth of the size that objects have
    status: int | None = None
    error: str | None = None
    committed: bool = False
    fault: str | None = None


class Journal:
    """Entries in the order of arrival."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._seq = 0
        self._lock = threading.Lock()

    def add(self, parameters: dict[str, Any], **members: Any) -> Entry:
        written = zlib.compress(json.dumps(parameters, separators=(",", ":")).encode(), level=1)
        with self._lock:
            self._seq += 1
            entry = Entry(seq=self._seq, parameters=written, **members)
            self._entries.append(entry)
        return entry

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def find(
        self,
        service: str | None = None,
        operation: str | None = None,
        name: str | None = None,
        caller: str | None = None,
        since: int = 0,
    ) -> list[dict[str, Any]]:
        """Entries after sequence number `since`; `name` is a glob, or a text that the name contains."""
        with self._lock:
            entries = list(self._entries)
        return [
            asdict(e) | {"parameters": json.loads(zlib.decompress(e.parameters))}
            for e in entries
            if e.seq > since
            and (service is None or e.service == service)
            and (operation is None or e.operation == operation)
            and (caller is None or e.caller == caller)
            and (name is None or name in e.name or fnmatch.fnmatchcase(e.name, name))
        ]
