"""Durations in text: what is read, what is refused, how they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_operator.api.durations import display, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120h", 432000),
        ("90m", 5400),
        ("1h30m", 5400),
        ("45s", 45),
        ("0.5h", 1800),
        ("432000s", 432000),
        ("1m0.4s", 60),
    ],
)
def test_a_go_duration_is_read_in_seconds(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "120", "5 h", "1d", "-1h", "h", "1h30", "1H", "99999999999h", "1h1h1h1h", "1h\n"])
def test_what_is_no_duration_is_refused_with_the_text_and_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write .* like 120h, 90m or 1h30m") as refused:
        seconds(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("total", "text"),
    [(0, "0s"), (9, "9s"), (80, "1m20s"), (3600, "1h"), (5025, "1h23m"), (432000, "120h"), (-5, "0s")],
)
def test_a_duration_is_shown_in_at_most_two_units(total: int, text: str) -> None:
    assert display(total) == text


@given(st.integers(0, 9999 * 3600))
def test_what_is_shown_can_be_read_again_to_the_minute(total: int) -> None:
    assert abs(seconds(display(total)) - total) < (60 if total >= 3600 else 1)
