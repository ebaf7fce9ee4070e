"""Reading JSON that is nested deeper than Python can follow; what lies too deep is left out, the rest is read.

The API server takes 10,000 levels in a part of a resource that has no schema. One such resource, of one user, would
end the watch and every list of all of them.
"""

from __future__ import annotations

import json
import re
from typing import Any

KEPT_LEVELS = 100
"""More than any model of ours allows, so that what was cut is refused, and far less than Python can follow."""
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def shallow(text: str, levels: int = KEPT_LEVELS) -> str:
    """JSON with null for every list and object that lies deeper than `levels`."""
    kept: list[str] = []
    depth = start = 0
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "{[":
            depth += 1
            if depth == levels + 1:
                kept += (text[start : token.start()], "null")
        elif sign in "}]":
            if depth == levels + 1:
                start = token.end()
            depth -= 1
    kept.append(text[start:])
    return "".join(kept)


class _Decoder(json.JSONDecoder):
    def decode(self, text: str, *args: Any) -> Any:
        try:
            return super().decode(text, *args)
        except RecursionError:
            return super().decode(shallow(text))


def read_any_depth() -> None:
    """From now on `json.loads` of this process reads any depth. kopf, aiohttp and the Kubernetes client all decode by
    it, and none of them lets another decoder be given."""
    json._default_decoder = _Decoder()  # type: ignore[attr-defined]
