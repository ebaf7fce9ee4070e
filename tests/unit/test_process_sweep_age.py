"""The age of the last look, as an alert would read it."""

from __future__ import annotations

import pytest

from sft_operator.api.place import Place
from sft_operator.controller.app import SweepClock


def test_a_region_without_jobs_does_not_age(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 100.0
    monkeypatch.setattr("sft_operator.controller.app.time.monotonic", lambda: moment)
    clock = SweepClock()
    clock.swept(Place("1", "us-east-1"))
    moment = 400.0
    clock.swept(Place("1", "us-west-2"))
    moment = 410.0
    assert clock.age([Place("1", "us-west-2")]) == 10.0
    assert clock.age([Place("1", "us-west-2"), Place("1", "us-east-1")]) == 310.0
    assert clock.age([]) is None
