"""Which recipes, models and images exist, and which one a job means; values inside a recipe are not judged here."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from sft_operator.api.findings import Finding
from sft_operator.recipes.limits import show_value
from sft_operator.recipes.merge import get, has, parse
from sft_operator.recipes.suggest import did_you_mean
from sft_operator.recipes.tables import (
    Family,
    ImageRow,
    Images,
    Limit,
    Method,
    Model,
    Models,
    Parameters,
    RecipeRow,
    Recipes,
    Replicas,
    Situation,
    TableError,
    parse_table,
)

TRAINING = "sageMaker.training"


@dataclass(frozen=True)
class Recipe:
    """One recipe. `name` is its path in AWS's repository without .yaml; `content` must not be changed."""

    name: str
    model: str | None
    model_type: str
    family: str
    method: Method
    instance_types: tuple[str, ...]
    replicas: Replicas
    content: Mapping[str, Any]
    version: str
    source: str
    images: tuple[ImageRow, ...]

    @property
    def file_name(self) -> str:
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class Catalogue:
    """Every table, read once. `digest` changes with any of the files."""

    recipes: Mapping[str, Recipe]
    families: Mapping[str, Family]
    parameters: Mapping[str, Mapping[str, Limit]]
    model_rows: tuple[Model, ...]
    digest: str

    def models(self) -> tuple[str, ...]:
        """The names that spec.model.name may have."""
        return tuple(row.name for row in self.model_rows)

    def recipe(self, name: str) -> Recipe | Finding:
        """The recipe of that path (without .yaml) or bare file name."""
        asked = name.removesuffix(".yaml")
        for recipe in self.recipes.values():
            if asked in (recipe.name, recipe.file_name):
                return recipe
        bare = {recipe.file_name: recipe.name for recipe in self.recipes.values()}
        near = did_you_mean(asked.rpartition("/")[2], bare)
        return Finding(
            "spec.recipe.name",
            f"the catalogue has no recipe {name}{near}; leave the name out to have the recipe chosen by spec.model",
        )

    def unknown_model(self, name: str) -> Finding | None:
        """Why `name` is not a catalogue model; None when it is one."""
        if name in self.models():
            return None
        near = did_you_mean(name, self.models())
        return Finding("spec.model.name", f"{name} is not in the catalogue{near}; known are {', '.join(self.models())}")

    def choose(
        self, model: str, method: str, instance_type: str, *, platform: str = TRAINING
    ) -> Recipe | tuple[Finding, ...]:
        """The one recipe that trains `model` by `method` on `instance_type`, or why there is none or more."""
        unknown = self.unknown_model(model)
        if unknown:
            return (unknown,)
        fitting = [recipe for recipe in self.recipes.values() if recipe.model == model and recipe.method == method]
        if not fitting:
            methods = sorted({recipe.method for recipe in self.recipes.values() if recipe.model == model})
            allowed = f"use {' or '.join(methods)}" if methods else "name a recipe in spec.recipe"
            return (Finding("spec.method", f"no recipe trains {model} by {method}; {allowed}"),)
        chosen = [recipe for recipe in fitting if instance_type in recipe.instance_types]
        if not chosen:
            return (wrong_instance_type(instance_type, f"{model} with method {method}", fitting, platform),)
        if len(chosen) > 1:
            names = ", ".join(recipe.name for recipe in chosen)
            return (
                Finding(
                    "spec.recipe", f"several recipes train {model} by {method} on {instance_type}; name one: {names}"
                ),
            )
        return chosen[0]

    def family_of(self, content: Mapping[Any, Any]) -> Family | Finding:
        """The family of a recipe by its run.model_type."""
        for family in self.families.values():
            model_type = get(content, parse(family.paths.model_type))
            if isinstance(model_type, str) and family.matches(model_type):
                return family
        patterns = ", ".join(pattern for family in self.families.values() for pattern in family.model_types)
        model_type = get(content, parse("run.model_type"))
        found = (
            "the recipe has no run.model_type"
            if model_type is None
            else f"the run.model_type {show_value(model_type)} is unknown"
        )
        return Finding("spec.recipe", f"{found}; known are {patterns}")

    def model_of(self, content: Mapping[Any, Any]) -> str | None:
        """The catalogue model that a recipe trains, by the values in it."""
        for row in self.model_rows:
            for match in row.matches:
                if all(
                    has(content, parse(path)) and get(content, parse(path)) == value for path, value in match.items()
                ):
                    return row.name
        return None

    def image(self, of: Recipe | str, region: str, *, platform: str = TRAINING) -> str | Finding:
        """The training image in `region` of a recipe, or of a family or model whose recipes share one."""
        recipes = [of] if isinstance(of, Recipe) else [r for r in self.recipes.values() if of in (r.family, r.model)]
        what = of.file_name if isinstance(of, Recipe) else of
        rows = {id(row): row for recipe in recipes for row in recipe.images if row.platform == platform}
        addresses = sorted({row.address(region) for row in rows.values() if region in row.accounts})
        if len(addresses) == 1:
            return addresses[0]
        give = f"give its address in spec.{platform}.image"
        if addresses:
            return Finding(
                f"spec.{platform}.image", f"{what} has several images in {region}: {', '.join(addresses)}; {give}"
            )
        regions = sorted({region for row in rows.values() for region in row.accounts})
        if not regions:
            return Finding(f"spec.{platform}.image", f"the catalogue has no image for {what}; {give}")
        return Finding(
            "spec.sageMaker.region",
            f"the catalogue has no image for {what} in {region}, only in {', '.join(regions)}; use one of these or {give}",
        )

    def limit(self, family: Family, path: str, situation: Situation) -> Limit | None:
        """What may stand at `path`: the family's own last fitting row, else AWS's parameter table."""
        found = self.parameters.get(family.tables.get(_method(situation.method), ""), {}).get(path)
        for row in family.limits:
            if row.path == path and row.when.fits(situation):
                found = row
        return found


def wrong_instance_type(instance_type: str, what: str, recipes: Iterable[Recipe], platform: str) -> Finding:
    allowed = sorted({name for recipe in recipes for name in recipe.instance_types})
    source = next(iter({recipe.source for recipe in recipes}))
    return Finding(
        f"spec.{platform}.instanceType",
        f"{instance_type} does not run {what}; allowed are {', '.join(allowed)} ({source})",
    )


def method_of(family: Family, content: Mapping[Any, Any]) -> Method | None:
    """The method a recipe says it uses; None when it says none that is known."""
    path = parse(family.method.path)
    if not has(content, path):
        return None
    value = get(content, path)
    return "LoRA" if value in family.method.lora else "Full" if value in family.method.full else None


def _method(name: str) -> Method:
    return "LoRA" if name == "LoRA" else "Full"


def load_catalogue(overrides_dir: FilePath | None = None) -> Catalogue:
    """Read the tables. A file in `overrides_dir` takes the place of ours of the same name, or is added to them when
    its name is of a known kind (family-*.yaml, *-recipes.yaml, ...). Raises TableError.
    """
    files = {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in importlib.resources.files(__package__).joinpath("data").iterdir()
        if entry.name.endswith(".yaml")
    }
    if overrides_dir is not None:
        if not overrides_dir.is_dir():
            raise TableError(f"{overrides_dir}: no such folder of tables")
        for file in sorted(overrides_dir.glob("*.yaml")):
            files[file.name] = file.read_text(encoding="utf-8")
    return _assemble(dict(sorted(files.items())))


@functools.cache
def default_catalogue() -> Catalogue:
    """The tables that come with the operator, read once per process."""
    return load_catalogue()


def _assemble(files: Mapping[str, str]) -> Catalogue:
    families: dict[str, Family] = {}
    parameters: dict[str, Mapping[str, Limit]] = {}
    models: tuple[Model, ...] = ()
    rows: list[tuple[str, RecipeRow]] = []
    images: list[ImageRow] = []
    for name, text in files.items():
        if name == "models.yaml":
            models = parse_table(Models, text, name).models
        elif name.startswith("family-"):
            family = parse_table(Family, text, name)
            families[family.name] = family
        elif name.endswith("-recipes.yaml"):
            recipes = parse_table(Recipes, text, name)
            rows += [(f"AWS recipe metadata, {recipes.source['date']}", row) for row in recipes.recipes]
        elif name.endswith("-parameters.yaml"):
            parameters |= _limits(parse_table(Parameters, text, name))
        elif name.endswith("-images.yaml"):
            images += parse_table(Images, text, name).images
        else:
            raise TableError(
                f"{name}: not a table of the catalogue; known are models.yaml, family-*.yaml, *-recipes.yaml, "
                "*-parameters.yaml and *-images.yaml"
            )
    digest = hashlib.sha256("\0".join(part for pair in files.items() for part in pair).encode()).hexdigest()
    bare = Catalogue({}, families, parameters, models, digest)
    found = {row.name: _recipe(bare, row, source, images) for source, row in rows}
    return Catalogue(found, families, parameters, models, digest)


def _limits(parameters: Parameters) -> dict[str, Mapping[str, Limit]]:
    source = f"AWS recipe table, {parameters.source['date']}"
    return {
        name: {
            path: Limit(path, source, row.type, minimum=row.minimum, maximum=row.maximum, allowed=row.allowed)
            for path, row in table.items()
        }
        for name, table in parameters.tables.items()
    }


def _recipe(bare: Catalogue, row: RecipeRow, source: str, images: list[ImageRow]) -> Recipe:
    family = bare.family_of(row.content)
    if isinstance(family, Finding):
        raise TableError(f"{row.name}: {family.message}")
    method = method_of(family, row.content)
    if method is None:
        raise TableError(f"{row.name}: no known method at {family.method.path}")
    file_name = row.name.rpartition("/")[2]
    return Recipe(
        name=row.name,
        model=bare.model_of(row.content),
        model_type=str(get(row.content, parse(family.paths.model_type))),
        family=family.name,
        method=method,
        instance_types=row.instance_types,
        replicas=row.replicas,
        content=row.content,
        version=row.version,
        source=source,
        images=tuple(image for image in images if file_name in image.recipes),
    )
