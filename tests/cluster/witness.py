"""The journals of every lab of a test session, kept beyond its end for whoever judges the whole of it.

Several processes may run the tests: with SFT_TEST_JOURNALS each leaves what it saw in that folder, for one that comes after.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sft_lab.awssim.control import Call, Sim
from sft_lab.cluster.lab import Lab

OPERATOR_KEY = "AKIAOPERATOR0000001"
"""AWS access key of the session's operators, so that the journal tells them from the tests themselves."""
OPERATORS = (OPERATOR_KEY, "AKIAREPLICA")
ASSUMED = "ASIA"


class Witness:
    """Labs that this process entered; `labs` has the calls of each."""

    def __init__(self) -> None:
        self._live: list[Lab] = []
        self._ended: list[list[Call]] = []

    @property
    def labs(self) -> list[list[Call]]:
        here = [*self._ended, *(found for lab in self._live if (found := _calls(lab)))]
        return [*here, *(labs for file in _left() for labs in _read(file))]

    def leave(self) -> None:
        """Writes down what this process saw, for others; all labs have ended."""
        folder = _folder()
        if folder is not None and self._ended:
            folder.mkdir(parents=True, exist_ok=True)
            told = [[asdict(call) for call in calls] for calls in self._ended]
            (folder / f"{os.getpid()}.json").write_text(json.dumps(told))

    def entered(self, lab: Lab) -> None:
        self._live.append(lab)

    def stopping(self, lab: Lab) -> None:
        if any(known is lab for known in self._live):
            self._ended.append(_calls(lab))
            self._live = [known for known in self._live if known is not lab]


def _folder() -> Path | None:
    named = os.environ.get("SFT_TEST_JOURNALS")
    return Path(named) if named else None


def _left() -> list[Path]:
    folder = _folder()
    return sorted(folder.glob("*.json")) if folder is not None and folder.is_dir() else []


def _read(file: Path) -> list[list[Call]]:
    return [[Call(**call) for call in calls] for calls in json.loads(file.read_text())]


def _calls(lab: Lab) -> list[Call]:
    """None of a lab that has no simulated AWS, or whose simulated AWS a test has ended."""
    program = lab.programs.get("awssim")
    if lab.aws_endpoint is None or program is None or program.pid() is None:
        return []
    return Sim(lab.aws_endpoint).calls()


@contextmanager
def watching() -> Iterator[Witness]:
    """Sees every lab that is entered and stopped by this process; what a test does with `sft-lab` itself is not seen."""
    witness = Witness()
    enter, stop = Lab.__enter__, Lab.stop

    def entered(lab: Lab) -> Lab:
        witness.entered(lab)
        return enter(lab)

    def stopped(lab: Lab, *arguments: Any) -> None:
        witness.stopping(lab)
        stop(lab, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lab, "__enter__", entered)
        patch.setattr(Lab, "stop", stopped)
        yield witness
