"""The policy statement that a refused call was missing, as a user can paste it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence


def statement(actions: Sequence[str], resource: str) -> str:
    """One IAM statement as JSON on one line."""
    return json.dumps({"Effect": "Allow", "Action": list(actions), "Resource": resource})
