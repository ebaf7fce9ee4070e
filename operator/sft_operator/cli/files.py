"""The files that a command is given, read whole or not at all; what is in them is the command's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from ..api import yaml12
from .manifest import Manifest, read
from .terminal import say

EXIT_UNUSABLE = 2


def load(paths: Sequence[str], namespace: str) -> list[Manifest]:
    """Every SFTJob and SFTProfile of the files. Ends the process for a file that cannot be read or has none."""
    manifests: list[Manifest] = []
    try:
        for path in paths:
            found = list(read(path, namespace=namespace))
            if not found:
                give_up(f"{path}: no SFTJob in it, and no SFTProfile")
            manifests += found
    except (OSError, yaml12.YAMLError) as error:
        give_up(str(error))
    return manifests


def give_up(why: str) -> NoReturn:
    """Ends the process: the command is wrong, or cannot do its work."""
    say(f"sft: {why}", err=True)
    sys.exit(EXIT_UNUSABLE)
