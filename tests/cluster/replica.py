"""A replica of the operator as a process with an AWS identity of its own, and a gate between it and the API server."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sft_lab.cluster.lab import Lab
from sft_lab.installation import NAMESPACE, RELEASE, Operator, start_operator
from tests.cluster.story import SETTINGS

HOOKS = Path(__file__).parent / "replica_hooks"


class Gate:
    """A TCP proxy that forwards, or keeps connections and forwards nothing, or refuses them."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flowing, self._closed = threading.Event(), threading.Event()
        self._flowing.set()
        self._open: list[socket.socket] = []
        self._begin(self._accept)

    def hang(self) -> None:
        self._flowing.clear()

    def close(self) -> None:
        """From now on connections are refused; those that are open are cut. What was held back is thrown away."""
        self._closed.set()
        self._flowing.set()
        for end in (self._listener, *self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
                self._open += [here, there]
                self._begin(lambda a=here, b=there: self._pump(a, b))
                self._begin(lambda a=there, b=here: self._pump(a, b))

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while received := source.recv(1 << 16):
                self._flowing.wait()
                if self._closed.is_set():
                    return
                sink.sendall(received)
            sink.shutdown(socket.SHUT_WR)

    @staticmethod
    def _begin(work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()


class Replica:
    """`key` is its AWS access key, by which the journal names it. `clock_hours`: how far its clock is ahead."""

    def __init__(self, lab: Lab, number: int, clock_hours: int = 0) -> None:
        self.key = f"AKIAREPLICA{number:09d}"
        self.clock_hours = clock_hours
        self.gate = Gate(lab.ports["kube-apiserver"])
        config = lab.kubeconfig_of(NAMESPACE, RELEASE)
        behind = config.with_name(f"kubeconfig-replica-{number}")
        behind.touch(mode=0o600)
        behind.write_text(config.read_text().replace(f":{lab.ports['kube-apiserver']}", f":{self.gate.port}"))
        self.operator: Operator = start_operator(
            lab,
            name=f"replica-{number}",
            settings={
                **SETTINGS,
                "SFT_SWEEP_INTERVAL": "0.5",
                "SFT_LOG_INTERVAL": "60",
                "SFT_LEADERSHIP": "Lease",
                "SFT_REQUIRE_PROFILE": "false",
                "KUBECONFIG": str(behind),
                "AWS_ACCESS_KEY_ID": self.key,
                "PYTHONPATH": str(HOOKS),
                "TEST_CLOCK_SHIFT": str(clock_hours * 3600),
            },
        )

    @property
    def ended(self) -> bool:
        return self.operator.program.pid() is None

    @property
    def leads(self) -> bool | None:
        """By its own /metrics; None without an answer."""
        found = re.search(r"^sft_leader (\d)", self.operator.get("/metrics")[1], re.MULTILINE)
        return None if found is None else found[1] == "1"

    def signal(self, number: signal.Signals) -> None:
        assert self.operator.program.signal(number), "the replica has ended before"

    def said(self, words: str) -> bool:
        """Whether a line of its log holds these words."""
        lines = self.operator.program.log.read_text(errors="replace").splitlines()
        return any(words in json.loads(line)["message"] for line in lines if line.startswith("{"))
