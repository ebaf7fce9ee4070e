"""Lines of a training log, as containers write them and as they should not."""

from __future__ import annotations

import pytest

from sft_operator.platforms.sagemaker.progress import Line, parse


def step(number: int, loss: object, *, at: float, more: str = "") -> Line:
    return Line(
        at,
        f"Training epoch 0, iteration {number - 1}/99 | lr: 1e-05 | global_batch_size: 32 | global_step: {number} | "
        f"reduced_train_loss: {loss}{more}",
    )


def test_step_total_losses_rate_and_speed_are_read() -> None:
    found = parse(
        [
            Line(0, "SageMaker training job sft-x: container started"),
            step(10, 2.5, at=100),
            step(20, 1.25, at=110),
            Line(111, "Validation epoch 0, iteration 19/99 | global_step: 20 | val_loss: 1.5"),
            step(30, 1.3, at=120),
        ]
    )
    assert found is not None
    assert (found.step, found.total_steps, found.epoch) == (30, 100, 0.0)
    assert (found.train_loss, found.best_train_loss, found.validation_loss) == (1.3, 1.25, 1.5)
    assert found.learning_rate == pytest.approx(1e-5)
    assert found.steps_per_second == pytest.approx(1.0)
    assert found.reported_at is not None
    assert found.reported_at.timestamp() == 120


def test_after_a_restart_the_speed_is_that_of_the_new_steps() -> None:
    found = parse([step(80, 1, at=0), step(90, 1, at=1), step(10, 2, at=1000), step(20, 2, at=1010)])
    assert found is not None
    assert (found.step, found.steps_per_second) == (20, 1.0)


@pytest.mark.parametrize("loss", ["-0.25", "2.5e-3", "1E2", ".5", "3."])
def test_a_loss_may_be_negative_or_have_an_exponent(loss: str) -> None:
    found = parse([step(1, loss, at=0)])
    assert found is not None
    assert found.train_loss == float(loss)


def test_equals_signs_serve_as_well_as_colons() -> None:
    found = parse([Line(0, "global_step=7 reduced_train_loss=0.5 lr=2e-6")])
    assert found is not None
    assert (found.step, found.train_loss, found.learning_rate) == (7, 0.5, 2e-6)


@pytest.mark.parametrize(
    "text",
    ["", "nothing of note", "global_step: 5", "reduced_train_loss: 1.0", "global_step: x | reduced_train_loss: nan",
     "global_step: 5 | reduced_train_loss: nan", "x" * 100_000, "\x00\x1b[31m"],
)  # fmt: skip
def test_lines_that_are_not_about_progress_give_nothing(text: str) -> None:
    assert parse([Line(0, text)]) is None


def test_one_report_has_no_speed() -> None:
    found = parse([step(5, 1, at=0)])
    assert found is not None
    assert found.steps_per_second is None
