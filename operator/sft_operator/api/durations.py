"""Durations as Kubernetes users write them (`90s`, `1h30m`, `120h`), to seconds and back."""

from __future__ import annotations

import re
from fractions import Fraction

PATTERN = r"^([0-9]{1,4}(\.[0-9]{1,6})?h|[0-9]{1,5}(\.[0-9]{1,6})?m|[0-9]{1,7}(\.[0-9]{1,6})?s){1,3}$"
"""Digits are bounded because the API server's own duration overflows at 292 years."""
DEFAULT_MAX_RUNTIME = "120h"
"""What a run may last where neither the job nor its profile says."""
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|m|s)")
_UNIT_SECONDS = {"h": 3600, "m": 60, "s": 1}


def seconds(text: str) -> int:
    """Whole seconds of a Go-style duration. Raises ValueError with the text when it is not one."""
    return round(exact(text))


def exact(text: str) -> Fraction:
    """Seconds of a Go-style duration, to the last digit. Raises ValueError with the text when it is not one."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text!r} is not a duration: write hours, minutes and seconds like 120h, 90m or 1h30m")
    return sum((Fraction(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text)), Fraction())


def display(total_seconds: float) -> str:
    """`5025` -> `1h23m`, `80` -> `1m20s`, `9` -> `9s`: at most two units, as kubectl's AGE column does."""
    whole = max(0, round(total_seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    if minutes:
        return f"{minutes}m{secs}s" if secs else f"{minutes}m"
    return f"{secs}s"
