"""Whether a recipe fits the job it is for: model, method, instance type and count; its settings are not looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sft_operator.api.findings import Finding
from sft_operator.recipes.catalogue import Catalogue, Recipe, method_of, wrong_instance_type
from sft_operator.recipes.limits import show_value
from sft_operator.recipes.merge import get, parse
from sft_operator.recipes.tables import Family, Situation


def fitness_findings(
    catalogue: Catalogue,
    family: Family,
    content: Mapping[Any, Any],
    situation: Situation,
    *,
    model: str | None,
    count: int,
    recipe: Recipe | None,
    where: str,
) -> list[Finding]:
    """Problems of `content` for this job. `model` is spec.model.name where the user wrote it; a recipe that is not
    the catalogue's (`recipe` None) is measured by the catalogue's recipes for the same model and method. `where` is the field of the recipe.
    """
    findings = _model(catalogue, family, content, model) + _method(family, content, situation.method, where)
    if findings:
        return findings
    peers = [recipe] if recipe else _peers(catalogue, situation)
    if situation.instance_type is not None and peers:
        running = [peer for peer in peers if situation.instance_type in peer.instance_types]
        if not running:
            what = recipe.file_name if recipe else f"{situation.model} with method {situation.method}"
            return [wrong_instance_type(situation.instance_type, what, peers, situation.platform)]
        peers = running
    return _count(family, situation, count, peers)


def _model(catalogue: Catalogue, family: Family, content: Mapping[Any, Any], model: str | None) -> list[Finding]:
    if model is None:
        return []
    unknown = catalogue.unknown_model(model)
    if unknown:
        return [unknown]
    trained = catalogue.model_of(content)
    if trained == model:
        return []
    model_type = get(content, parse(family.paths.model_type))
    says = f"{trained} ({model_type})" if trained else str(model_type)
    return [
        Finding("spec.model.name", f"{model} is not what the recipe trains, which is {says}; change one of the two")
    ]


def _method(family: Family, content: Mapping[Any, Any], method: str, where: str) -> list[Finding]:
    says = method_of(family, content)
    if says == method:
        return []
    value = get(content, parse(family.method.path))
    if says is None:
        known = ", ".join(show_value(item) for item in (*family.method.lora, *family.method.full))
        text = f"the recipe's {family.method.path} is {show_value(value)}; known are {known}"
        return [Finding(where, text)]
    text = f"{method} does not fit the recipe, whose {family.method.path} is {show_value(value)}; set spec.method to {says} or take another recipe"
    return [Finding("spec.method", text)]


def _peers(catalogue: Catalogue, situation: Situation) -> list[Recipe]:
    return [
        recipe
        for recipe in catalogue.recipes.values()
        if recipe.model == situation.model and recipe.method == situation.method
    ]


def _count(family: Family, situation: Situation, count: int, peers: list[Recipe]) -> list[Finding]:
    """Allowed are the counts of recipe file, parameter table and platform documentation together."""
    where = f"spec.{situation.platform}.instanceCount"
    table = {number for peer in peers for number in peer.replicas.table}
    allowed = table | {number for peer in peers for number in peer.replicas.recipe}
    allowed |= {number for row in family.replicas.rows if row.fits(situation) for number in row.counts}
    what = f"{situation.model or family.title} {situation.method}" + (
        f" on {situation.instance_type}" if situation.instance_type else ""
    )
    if not allowed:
        return [Finding(where, f"no allowed counts are known for {what}; {count} is sent as it is", "warning")]
    if count not in allowed:
        text = f"{count} instances are not allowed for {what}; allowed are {_list(allowed)}"
        source = f"AWS recipe file and table; {family.replicas.source}"
        return [Finding(where, f"{text} ({source})")]
    if table and count not in table:
        text = f"{count} instances are outside AWS's parameter table for {what}, which has {_list(table)}"
        return [Finding(where, text, "warning")]
    return []


def _list(counts: set[int]) -> str:
    return ", ".join(str(number) for number in sorted(counts))
