"""The age of the last look, as an alert would read it."""

from __future__ import annotations

import pytest

from sft_operator.api.place import Access, Place
from sft_operator.controller.app import SweepClock


def test_a_region_without_jobs_does_not_age(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 100.0
    monkeypatch.setattr("sft_operator.controller.app.time.monotonic", lambda: moment)
    clock = SweepClock()
    clock.swept(Place("1", "us-east-1"))
    moment = 400.0
    clock.swept(Place("1", "us-west-2"))
    moment = 410.0
    assert clock.age([Place("1", "us-west-2"), Place("1", "us-east-1")]) == 310.0
    assert clock.age([Place("1", "us-west-2")]) == 10.0
    assert clock.age([]) is None


def test_a_place_that_was_never_seen_ages_and_one_that_is_taken_up_again_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moment = 100.0
    monkeypatch.setattr("sft_operator.controller.app.time.monotonic", lambda: moment)
    clock = SweepClock()
    seen, unseen = Place("1", "us-east-1"), Place("1", "us-east-1", Access("arn:aws:iam::1:role/gone", None, "ml"))
    assert clock.age([seen, unseen]) == 0.0
    moment = 500.0
    clock.swept(seen)
    assert clock.age([seen, unseen]) == 400.0
    assert clock.age([]) is None
    moment = 9000.0
    assert clock.age([seen]) == 0.0
