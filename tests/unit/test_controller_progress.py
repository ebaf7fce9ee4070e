"""Percent, time to go and what `kubectl get` shows of a training."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sft_operator.api.status import Metrics, Progress
from sft_operator.controller.reconcile.progress import figures, present, stage_only
from sft_operator.platforms.base import RawProgress


@pytest.mark.parametrize(
    ("step", "total", "percent", "display"),
    [
        (0, 200, 0, "0/200 (0%)"),
        (60, 200, 30, "60/200 (30%)"),
        (199, 200, 99, "199/200 (99%)"),
        (200, 200, 100, "200/200 (100%)"),
        (210, 200, 100, "210/200 (100%)"),
        (7, None, None, "7"),
    ],
)
def test_steps_are_shown_with_their_share(step: int, total: int | None, percent: int | None, display: str) -> None:
    shown = present(RawProgress(step=step, total_steps=total), planned_steps=None, stage="Training")
    assert (shown.percent, shown.display) == (percent, display)


def test_the_planned_steps_stand_in_for_a_total_that_the_log_does_not_name() -> None:
    shown = present(RawProgress(step=50), planned_steps=200, stage="Training")
    assert shown.display == "50/200 (25%)"
    shown = present(RawProgress(step=50, total_steps=100), planned_steps=200, stage="Training")
    assert shown.display == "50/100 (50%)"


def test_the_stage_is_shown_until_there_are_steps() -> None:
    assert present(RawProgress(epoch=0.1), planned_steps=200, stage="Downloading").display == "Downloading"
    assert stage_only(None, "Pending").display == "Pending"


def test_a_look_without_figures_keeps_the_last_step_and_drops_the_estimate() -> None:
    before = Progress(step=50, total_steps=200, percent=25, eta="10m", eta_seconds=600, display="50/200 (25%)")
    shown = stage_only(before, "Uploading")
    assert (shown.step, shown.display, shown.eta, shown.eta_seconds) == (50, "50/200 (25%)", None, None)


def test_the_time_to_go_comes_from_the_speed() -> None:
    shown = present(RawProgress(step=100, total_steps=200, steps_per_second=0.5), planned_steps=None, stage="")
    assert (shown.eta_seconds, shown.eta) == (200, "3m20s")


@pytest.mark.parametrize("speed", [None, 0.0, -1.0, 1e-12, float("nan")])
def test_a_speed_that_tells_nothing_gives_no_estimate(speed: float | None) -> None:
    shown = present(RawProgress(step=100, total_steps=200, steps_per_second=speed), planned_steps=None, stage="")
    assert (shown.eta_seconds, shown.eta) == (None, None)


def test_nothing_is_to_go_after_the_last_step() -> None:
    shown = present(RawProgress(step=200, total_steps=200, steps_per_second=1.0), planned_steps=None, stage="")
    assert shown.eta is None


def test_steps_may_go_backwards_after_a_restart_of_the_training() -> None:
    shown = present(RawProgress(step=20, total_steps=200), planned_steps=None, stage="")
    assert shown.percent == 10


def test_the_report_carries_its_time_and_source() -> None:
    raw = RawProgress(step=1, source="CloudWatch Logs", reported_at=datetime(2026, 11, 22, 12, tzinfo=UTC))
    shown = present(raw, planned_steps=None, stage="")
    assert (shown.source, shown.last_report_time) == ("CloudWatch Logs", "2026-11-22T12:00:00Z")


def test_first_and_best_loss_are_remembered() -> None:
    metrics = figures(RawProgress(train_loss=3.0), None)
    metrics = figures(RawProgress(train_loss=1.0, validation_loss=1.2), metrics)
    metrics = figures(RawProgress(train_loss=1.5, learning_rate=1e-5), metrics)
    assert (metrics.first_train_loss, metrics.best_train_loss, metrics.train_loss) == (3.0, 1.0, 1.5)
    assert (metrics.validation_loss, metrics.learning_rate) == (1.2, 1e-5)
    assert metrics.display == "1.5"


def test_a_look_without_a_loss_keeps_the_last_one() -> None:
    metrics = figures(RawProgress(step=3), Metrics(train_loss=1.5, display="1.5"))
    assert (metrics.train_loss, metrics.display) == (1.5, "1.5")


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_diverged_is_shown_and_never_stored_as_a_number(loss: float) -> None:
    metrics = figures(RawProgress(train_loss=loss, best_train_loss=loss), Metrics(train_loss=2.0, best_train_loss=1.9))
    assert metrics.train_loss is None
    assert metrics.best_train_loss == 1.9
    assert metrics.display == str(loss)
