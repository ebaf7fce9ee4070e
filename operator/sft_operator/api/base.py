"""What every model of the API shares: camelCase names on the wire, no unknown field, no change after parsing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from .rules import OneOf, ValueRule

_ACRONYMS = frozenset({"arn", "id", "uri", "url"})


def camel(name: str) -> str:
    """`role_arn` -> `roleARN`: Kubernetes writes acronyms in capitals except at the start of a name."""
    first, *rest = name.split("_")
    return first + "".join(part.upper() if part in _ACRONYMS else part.capitalize() for part in rest)


@dataclass(frozen=True, slots=True)
class Ruled:
    """In the Annotated type of a field: its values obey the rule, enforced here and by the API server."""

    by: ValueRule

    def _check(self, value: Any) -> Any:
        if not self.by.holds(value):
            raise ValueError(self.by.message)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "x-kubernetes-validations": [self.by.rule]}


class APIModel(BaseModel):
    """A part of a resource. Unknown fields are errors: a setting that would do nothing must not pass silently."""

    model_config = ConfigDict(
        alias_generator=camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=False
    )

    one_of: ClassVar[tuple[OneOf, ...]] = ()
    """Unions of this part: said once, enforced here and by the API server."""

    @model_validator(mode="after")
    def _unions(self) -> Self:
        given = self.model_dump(by_alias=True, exclude_none=True).keys() if self.one_of else ()
        for union in self.one_of:
            found = [name for name in union.names if name in given]
            if len(found) > 1 or (union.required and not found):
                raise ValueError(union.message(found))
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        if cls.one_of:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = [union.rule for union in cls.one_of]
        return schema
