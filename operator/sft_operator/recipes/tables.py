"""The rows of the data files, read and checked; what the rows mean for a job is decided elsewhere."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sft_operator.api import yaml12

Method = Literal["LoRA", "Full"]
Kind = Literal["integer", "float", "boolean", "string"]
Scalar = bool | int | float | str | None

_STRICT = ConfigDict(extra="forbid")


class TableError(ValueError):
    """A data file that cannot be used: which file, where in it, and why."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a row may depend on: of one job, the platform, the model, the method and the instance type."""

    platform: str
    model: str | None
    method: str
    instance_type: str | None


@dataclass(frozen=True)
class When:
    """A condition; an absent part fits every job. Instance types are shell patterns."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    models: tuple[str, ...] = ()
    methods: tuple[Method, ...] = ()
    instance_types: tuple[str, ...] = ()

    def fits(self, situation: Situation) -> bool:
        return (
            (not self.models or situation.model in self.models)
            and (not self.methods or situation.method in self.methods)
            and (not self.instance_types or _matches(situation.instance_type, self.instance_types))
        )


def _matches(name: str | None, patterns: tuple[str, ...]) -> bool:
    return name is not None and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Recommended:
    """A range outside of which a value is legal but worth a warning."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    source: str
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[Scalar, ...] = ()


@dataclass(frozen=True)
class Limit:
    """What may stand at one path of a recipe. Bounds are inclusive; for a list they hold for every item."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    path: str
    source: str
    type: Kind | None = None
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[Scalar, ...] = ()
    multiple_of: int | None = None
    length: int | None = None
    recommended: Recommended | None = None
    when: When = field(default_factory=When)


@dataclass(frozen=True)
class Locked:
    """A path that the operator owns: `instead` is the field to use, `because` the reason where there is none."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    path: str
    instead: str | None = None
    because: str | None = None
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relation:
    """`lower` must not pass `upper` (with `strict`: must stay below it). `totalSteps` is the length of the run.

    `unless_set` is the severity when the lower value is the recipe's own and not the user's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    lower: str
    upper: str
    source: str
    strict: bool = False
    unless_set: Literal["error", "warning"] = "error"


@dataclass(frozen=True)
class Unconfirmed:
    """A setting whose effect has not been seen on a real account: accepted with a warning."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    path: str
    platforms: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Validation:
    """Where a family says how often it evaluates, on how many batches (0 is never), and named sets of its own."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    interval: str
    batches: str | None = None
    named_sets: str | None = None


@dataclass(frozen=True)
class MethodKey:
    """Where a recipe says its method, and the values that mean each one."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    path: str
    lora: tuple[Scalar, ...]
    full: tuple[Scalar, ...]


@dataclass(frozen=True)
class Paths:
    """Where a family keeps what every job has."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    replicas: str
    model_type: str
    model: str
    batch: str


@dataclass(frozen=True)
class CountRow:
    """Instance counts that AWS documents for a platform."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    platform: str
    counts: tuple[int, ...]
    models: tuple[str, ...] = ()
    methods: tuple[Method, ...] = ()
    instance_types: tuple[str, ...] = ()

    def fits(self, situation: Situation) -> bool:
        return self.platform == situation.platform and When(self.models, self.methods, self.instance_types).fits(
            situation
        )


@dataclass(frozen=True)
class Counts:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    source: str
    rows: tuple[CountRow, ...]


@dataclass(frozen=True)
class Family:
    """Recipes with the same keys: how typed fields (`fields`: field -> path) map onto them, and their rules."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    source: Mapping[str, str]
    name: str
    title: str
    model_types: tuple[str, ...]
    tables: Mapping[Method, str]
    paths: Paths
    method: MethodKey
    fields: Mapping[str, str]
    absent: Mapping[str, str]
    wiring: Mapping[str, Mapping[str, Scalar]]
    locked: tuple[Locked, ...]
    limits: tuple[Limit, ...]
    relations: tuple[Relation, ...]
    replicas: Counts
    validation: Validation | None = None
    unconfirmed: tuple[Unconfirmed, ...] = ()

    def matches(self, model_type: str) -> bool:
        return _matches(model_type, self.model_types)


@dataclass(frozen=True)
class Model:
    """A name users write, and the alternatives of (path -> value) by which a recipe is known to train it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    matches: tuple[Mapping[str, Scalar], ...]


@dataclass(frozen=True)
class Models:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    source: Mapping[str, str]
    models: tuple[Model, ...]


@dataclass(frozen=True)
class Replicas:
    """Instance counts that the recipe file itself states, and those of AWS's parameter table."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    recipe: tuple[int, ...]
    table: tuple[int, ...]


@dataclass(frozen=True)
class RecipeRow:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    version: str
    instance_types: tuple[str, ...]
    replicas: Replicas
    content: dict[str, Any]


@dataclass(frozen=True)
class Recipes:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    source: Mapping[str, str]
    recipes: tuple[RecipeRow, ...]


@dataclass(frozen=True)
class Range:
    """A row of AWS's parameter tables."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    type: Kind
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[Scalar, ...] = ()


@dataclass(frozen=True)
class Parameters:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    source: Mapping[str, str]
    tables: Mapping[str, Mapping[str, Range]]


@dataclass(frozen=True)
class ImageRow:
    """An image in the private registries of AWS's accounts (`accounts`: region -> account)."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    platform: str
    repository: str
    tag: str
    accounts: Mapping[str, str]
    recipes: tuple[str, ...]

    def address(self, region: str) -> str:
        return f"{self.accounts[region]}.dkr.ecr.{region}.amazonaws.com/{self.repository}:{self.tag}"


@dataclass(frozen=True)
class Images:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    source: Mapping[str, str]
    images: tuple[ImageRow, ...]


Table = TypeVar("Table")


def parse_table(kind: type[Table], text: str, file: str) -> Table:
    """The rows of one data file. Raises TableError, which names the file and the place."""
    try:
        content = yaml12.load(text, source=file)
        return TypeAdapter(kind).validate_python(_tuples(content))
    except yaml12.YAMLError as error:
        raise TableError(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise TableError(f"{file}: {place}: {first['msg']}") from None


def _tuples(value: Any) -> Any:
    """Lists as tuples, except inside a recipe's content, which stays as it is written."""
    if isinstance(value, dict):
        return {key: item if key == "content" else _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value
