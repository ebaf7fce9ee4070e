"""The "did you mean" part of a message; what is a known name is the caller's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """The known names most like `word`, best first; possibly none."""
    by_folded = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), list(by_folded), n=most, cutoff=0.6)
    return tuple(by_folded[name] for name in found)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean a or b?)`, or nothing when no known name is near."""
    names = nearest(word, known)
    return f" (did you mean {' or '.join(names)}?)" if names else ""
