"""What every model of the API shares: camelCase names on the wire, no unknown field, no change after parsing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

_ACRONYMS = frozenset({"arn", "id", "uri", "url"})


def camel(name: str) -> str:
    """`role_arn` -> `roleARN`: Kubernetes writes acronyms in capitals except at the start of a name."""
    first, *rest = name.split("_")
    return first + "".join(part.upper() if part in _ACRONYMS else part.capitalize() for part in rest)


class APIModel(BaseModel):
    """A part of a resource. Unknown fields are errors: a setting that would do nothing must not pass silently."""

    model_config = ConfigDict(
        alias_generator=camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=False
    )
