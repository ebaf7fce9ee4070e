"""SFT_NAMESPACES as people write it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sft_operator.controller.settings import Settings


@pytest.mark.parametrize(("written", "taken"), [
    ("", ()),
    ("ml-team", ("ml-team",)),
    ("ml-team,research", ("ml-team", "research")),
    (" ml-team, research\n", ("ml-team", "research")),
])  # fmt: skip
def test_namespaces_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, written: str, taken: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SFT_IDENTITY_SCOPE", "test")
    monkeypatch.setenv("SFT_NAMESPACES", written)
    assert Settings().namespaces == taken


@pytest.mark.parametrize("written", ["team-*", "Team", "a,b_c", "-a", "*"])
def test_a_pattern_is_refused_because_it_would_be_taken_for_a_name(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("SFT_IDENTITY_SCOPE", "test")
    monkeypatch.setenv("SFT_NAMESPACES", written)
    with pytest.raises(ValidationError, match="no name of a namespace; patterns are not understood") as refused:
        Settings()
    assert refused.value.errors()[0]["loc"] == ("namespaces",)
