"""Parts of a resource that have no schema of their own, and how deep they may be nested; what they mean is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

MAX_KEYS = 64
MAX_DEPTH = 32


def deep(content: Any, limit: int = MAX_DEPTH) -> bool:
    """Whether maps and lists are nested deeper than `limit` levels."""
    if not isinstance(content, Mapping | list):
        return False
    if limit == 0:
        return True
    return any(deep(item, limit - 1) for item in (content.values() if isinstance(content, Mapping) else content))


def _shallow(content: dict[str, Any]) -> dict[str, Any]:
    if deep(content):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return content


FreeMap = Annotated[dict[str, Any], Field(max_length=MAX_KEYS), AfterValidator(_shallow)]
"""No rule of the API server can bound the depth of a map without a schema, and what is made of one (a fingerprint, a
merged recipe) is not made of one that is nested deeper than Python can follow."""
