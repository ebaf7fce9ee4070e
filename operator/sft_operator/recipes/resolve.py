"""From a recipe and a user's settings to the resolved recipe that is sent, or to every reason why not.

Precedence: recipe file < platform wiring < typed fields < overrides. Reads nothing and calls nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sft_operator.api import yaml12
from sft_operator.api.findings import Finding, errors, warnings
from sft_operator.api.free import MAX_DEPTH, deep
from sft_operator.recipes import interpolation, limits, schedule
from sft_operator.recipes.catalogue import TRAINING, Catalogue, Recipe
from sft_operator.recipes.fitness import fitness_findings
from sft_operator.recipes.limits import show_number as show
from sft_operator.recipes.merge import Path, dotted, get, has, lay_over, merge, parse, set_at, values
from sft_operator.recipes.tables import Family, Relation, Situation

TYPED = "spec.hyperparameters"
OVERRIDES = "spec.recipe.overrides"
TOTAL_STEPS = "totalSteps"
MAX_VALUES = 5000


@dataclass(frozen=True)
class RecipeRequest:
    """What a job says about its recipe.

    `typed` is spec.hyperparameters as the user wrote it, absent fields left out, nested ones dotted (`lora.alpha`).
    `rows` is the number of training rows once the data check has counted them. `platform` is the block of the spec
    that runs the job, as it stands below `spec.`.
    """

    recipe: Recipe | None
    content: Mapping[Any, Any] | None
    job_name: str
    instance_count: int
    method: str
    model: str | None
    typed: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[Any, Any] = field(default_factory=dict)
    rows: int | None = None
    has_validation: bool = False
    instance_type: str | None = None
    platform: str = TRAINING

    @property
    def field(self) -> str:
        """Where the job says which recipe it is, or writes it."""
        return "spec.recipe" if self.content is None else "spec.recipe.inline"


@dataclass(frozen=True)
class ResolvedRecipe:
    """The recipe as it is sent: `yaml` is the same text for the same request, `digest` its SHA-256 in hex.

    `name` is the catalogue name or "inline"; `effective` the value in force of each typed field the family knows;
    `total_steps` None where it takes the row count and that is not known yet.
    """

    name: str
    content: dict[Any, Any]
    yaml: str
    digest: str
    model_type: str
    model_name_or_path: str
    family: str
    total_steps: int | None
    epochs: int | float | None
    replicas: int
    effective: Mapping[str, object]
    warnings: tuple[Finding, ...]


def resolve(request: RecipeRequest, catalogue: Catalogue) -> ResolvedRecipe | tuple[Finding, ...]:
    """The resolved recipe, or every error (and warning) found."""
    base = request.recipe.content if request.recipe else request.content
    if base is None:
        return (Finding("spec.recipe", "no recipe was chosen or given"),)
    for part, where in ((base, request.field), (request.overrides, OVERRIDES)):
        if deep(part):
            return (Finding(where, f"nested deeper than {MAX_DEPTH} levels"),)
        if values(part) > MAX_VALUES:
            return (Finding(where, f"{values(part)} values, more than the {MAX_VALUES} a recipe may have"),)
    family = catalogue.family_of(base)
    if isinstance(family, Finding):
        return (replace(family, field=request.field),)
    if not isinstance(get(base, parse(family.paths.model)), str):
        return (
            Finding(request.field, f"the recipe has no {family.paths.model}, which every {family.title} recipe has"),
        )
    return _Resolution(request, catalogue, family, base).run()


class _Resolution:
    """One pass over one request; collects findings so that a user sees all of them at once."""

    def __init__(self, request: RecipeRequest, catalogue: Catalogue, family: Family, base: Mapping[Any, Any]) -> None:
        self.request = request
        self.catalogue = catalogue
        self.family = family
        self.base = base
        self.content: dict[Any, Any] = merge(base, {})
        self.findings: list[Finding] = []
        self.said: dict[Path, str] = {}
        """Every path the user set, and the field of the job that set it."""
        model = request.model or catalogue.model_of(base)
        self.situation = Situation(request.platform, model, request.method, request.instance_type)
        self.label = request.recipe.file_name if request.recipe else "the given recipe"

    def run(self) -> ResolvedRecipe | tuple[Finding, ...]:
        self.findings += fitness_findings(
            self.catalogue,
            self.family,
            self.base,
            self.situation,
            model=self.request.model,
            count=self.request.instance_count,
            recipe=self.request.recipe,
            where=self.request.field,
        )
        self._wire()
        self._lay_typed()
        self._lay_overrides()
        resolved = self._interpolated()
        if resolved is None:
            return tuple(self.findings)
        self._check_said(resolved)
        total, epochs = self._length(resolved)
        self._validation(total)
        final = self._interpolated()
        if final is None:
            return tuple(self.findings)
        self._relations(final, total)
        self._unconfirmed()
        if errors(self.findings):
            return tuple(self.findings)
        return self._finished(final, total, epochs)

    def _wire(self) -> None:
        paths = self.family.paths
        wiring: dict[str, object] = {
            path: value
            for path, value in self.family.wiring.get(self.request.platform, {}).items()
            if has(self.base, parse(path))
        }
        wiring[paths.name] = self.request.job_name
        wiring[paths.replicas] = self.request.instance_count
        instead = {row.path: row.instead for row in self.family.locked if row.instead}
        for path, value in wiring.items():
            own = get(self.base, parse(path))
            if self.request.recipe is None and path != paths.name and own not in (None, "", value):
                use = instead.get(path, "the job's own field").format(platform=self.request.platform)
                text = f"the recipe's {path} {limits.show_value(own)} is replaced by {limits.show_value(value)}; {use} decides"
                self.findings.append(Finding(self.request.field, text, "warning"))
            set_at(self.content, parse(path), value)

    def _lay_typed(self) -> None:
        if "epochs" in self.request.typed and "maxSteps" in self.request.typed:
            self._error(schedule.EPOCHS, "spec.hyperparameters.maxSteps is set too; keep one of the two")
        for name, value in self.request.typed.items():
            where = f"{TYPED}.{name}"
            path = self.family.fields.get(name)
            if name == "epochs" and path is None and "maxSteps" in self.family.fields:
                self.said.setdefault(parse(self.family.fields["maxSteps"]), where)
            elif path is None:
                why = self.family.absent.get(name, f"{self.family.title} recipes have no such setting; remove it")
                self._error(where, why)
            elif not has(self.base, parse(path)):
                full = name.startswith("lora.") and self.request.method == "Full"
                way = (
                    "remove it or set spec.method to LoRA" if full else "add the key to the recipe or remove this field"
                )
                self._error(where, f"{self.label} has no {path}; {way}")
            else:
                self._set(parse(path), value, where)

    def _lay_overrides(self) -> None:
        laid = lay_over(self.base, self.request.overrides, field=OVERRIDES)
        self.findings += laid.findings
        for path in laid.paths:
            where = f"{OVERRIDES}.{dotted(path)}"
            locked = self._locked(path)
            if locked:
                self._error(where, locked)
            elif path in self.said:
                self._error(where, f"{self.said[path]} sets the same value; keep one of the two")
            else:
                self._set(path, get(laid.content, path), where)

    def _locked(self, path: Path) -> str | None:
        """Why an override may not touch `path`; None when it may."""
        for row in self.family.locked:
            owned = parse(row.path)
            if path[: len(owned)] == owned and (not row.platforms or self.request.platform in row.platforms):
                if row.instead is None:
                    return row.because or "the operator sets it"
                return f"the operator sets it; use {row.instead.format(platform=self.request.platform)}"
        return None

    def _set(self, path: Path, value: Any, where: str) -> None:
        limit = self.catalogue.limit(self.family, dotted(path), self.situation)
        kind = limit.type if limit and limit.type else limits.kind_of(get(self.base, path))
        set_at(self.content, path, value if interpolation.is_reference(value) else limits.coerce(value, kind))
        self.said[path] = where

    def _interpolated(self) -> dict[Any, Any] | None:
        try:
            return interpolation.resolve(self.content)
        except interpolation.InterpolationError as error:
            place = f"at {dotted(error.path)}: " if error.path else ""
            self._error(self.said.get(error.path, self.request.field), f"{place}{error.problem}")
            return None

    def _check_said(self, resolved: Mapping[Any, Any]) -> None:
        what = self.situation.model or self.family.title
        for path, where in self.said.items():
            if where == schedule.EPOCHS and "epochs" not in self.family.fields:
                continue
            limit = self.catalogue.limit(self.family, dotted(path), self.situation)
            own = get(self.base, path)
            own = None if interpolation.is_reference(own) else own
            self.findings += limits.check(get(resolved, path), limit, own, field=where, what=what)

    def _length(self, resolved: Mapping[Any, Any]) -> tuple[int | None, int | float | None]:
        """Total steps and epochs, as far as they can be told; sets the steps where epochs are converted."""
        batch = get(resolved, parse(self.family.paths.batch))
        rows = self.request.rows
        if not schedule.positive(batch):
            self._recipe_error(self.family.paths.batch, batch)
        elif rows is not None and rows < batch:
            text = f"{rows} rows are less than one global batch of {batch}; add rows or lower {TYPED}.globalBatchSize"
            self._error("spec.dataset.train", text)
        if "maxSteps" in self.family.fields:
            return self._steps(resolved, batch)
        path = self.family.fields["epochs"]
        epochs = get(resolved, parse(path))
        if not schedule.positive(epochs):
            self._recipe_error(path, epochs)
            return None, None
        known = rows is not None and schedule.positive(batch)
        return (schedule.steps(rows, epochs, batch) if known and rows is not None else None), epochs

    def _steps(self, resolved: Mapping[Any, Any], batch: Any) -> tuple[int | None, int | float | None]:
        path = self.family.fields["maxSteps"]
        if "epochs" not in self.request.typed:
            total = get(resolved, parse(path))
            if not schedule.positive(total):
                self._recipe_error(path, total)
                return None, None
            return int(total), None
        epochs: Any = self.request.typed["epochs"]
        limit = self.catalogue.limit(self.family, path, self.situation)
        minimum = int(limit.minimum) if limit and limit.minimum else 1
        total, findings = schedule.steps_for_epochs(epochs, self.request.rows, batch, minimum)
        self.findings += findings
        if total is None:
            return None, None
        if limit and limit.maximum is not None and total > limit.maximum:
            text = f"{epochs} epochs are {total} steps, more than {limit.maximum:.0f} ({limit.source}); set fewer"
            self._error(schedule.EPOCHS, text)
        set_at(self.content, parse(path), total)
        return total, epochs

    def _recipe_error(self, path: str, value: object) -> None:
        """A value the operator must count with is unusable; not said again when the user's own was refused already."""
        if parse(path) not in self.said:
            shown = limits.show_value(value)
            self._error(
                self.request.field, f"{self.label} has {shown} at {path} where a whole number above 0 is needed"
            )

    def _validation(self, total: int | None) -> None:
        keys = self.family.validation
        if keys is None:
            return
        path = parse(keys.interval)
        where = self.said.get(path)
        if not self._validates():
            if where:
                self._error(
                    where, "there is no validation set, so it would never take effect; set spec.dataset.validation"
                )
            return
        batches = parse(keys.batches) if keys.batches else ()
        if batches and get(self.content, batches) == 0:
            text = f"{dotted(batches)} 0 switches validation off, so spec.dataset.validation would never be used"
            self._error(self.said.get(batches, self.request.field), text)
        if not has(self.base, path):
            text = f"{self.label} has no {keys.interval}, so the set would never be used; add the key or remove the set"
            self._error("spec.dataset.validation", text)
        elif total is not None and where:
            interval = get(self._interpolated() or {}, path)
            if not any(found.field == where for found in self.findings):
                self.findings += schedule.interval_findings(interval, total, where)
        elif total is not None and not self._own_interval_works(path, total):
            set_at(self.content, path, schedule.default_interval(total))

    def _validates(self) -> bool:
        """Whether there is a set to evaluate on: the job's, or sets named in the recipe itself."""
        keys = self.family.validation
        named = get(self.content, parse(keys.named_sets)) if keys and keys.named_sets else None
        return self.request.has_validation or bool(named)

    def _own_interval_works(self, path: Path, total: int) -> bool:
        """A given recipe's own interval stands when it fits the run; the catalogue's stock values never do."""
        own = get(self.content, path)
        return self.request.recipe is None and schedule.positive(own) and own <= total

    def _relations(self, final: Mapping[Any, Any], total: int | None) -> None:
        for row in self.family.relations:
            lower = get(final, parse(row.lower))
            upper = total if row.upper == TOTAL_STEPS else get(final, parse(row.upper))
            if not isinstance(lower, int | float) or not isinstance(upper, int | float):
                continue
            if lower > upper or (row.strict and lower == upper):
                self._relation_broken(row, lower, upper)

    def _relation_broken(self, row: Relation, lower: float, upper: float) -> None:
        length = self.family.fields.get("maxSteps") or self.family.fields.get("epochs", "")
        above = parse(length if row.upper == TOTAL_STEPS else row.upper)
        own = self.said.get(parse(row.lower))
        where = own or self.said.get(above) or self.request.field
        if any(found.field == where and found.severity == "error" for found in self.findings):
            return
        name = "the run's steps" if row.upper == TOTAL_STEPS else row.upper
        passes = "is not below" if row.strict else "is above"
        typed = {path: f"{TYPED}.{name}" for name, path in self.family.fields.items()}
        fix = typed.get(row.lower, f"{OVERRIDES}.{row.lower}")
        text = f"{row.lower} {show(lower)} {passes} {name} {show(upper)} ({row.source}); set {fix}"
        self.findings.append(Finding(where, text, "error" if own else row.unless_set))

    def _unconfirmed(self) -> None:
        for row in self.family.unconfirmed:
            if self.request.platform not in row.platforms:
                continue
            path = parse(row.path)
            where = next((name for said, name in self.said.items() if said[: len(path)] == path), None)
            interval = self.family.validation is not None and self.family.validation.interval == row.path
            if interval:
                where = (where or "spec.dataset.validation") if self.request.has_validation else None
            if where:
                self.findings.append(Finding(where, row.text, "warning"))

    def _finished(self, final: dict[Any, Any], total: int | None, epochs: int | float | None) -> ResolvedRecipe:
        text = yaml12.dump(final)
        effective: dict[str, object] = {
            name: get(final, parse(path)) for name, path in self.family.fields.items() if has(final, parse(path))
        }
        if epochs is not None:
            effective["epochs"] = epochs
        if not self._validates():
            effective.pop("validationEverySteps", None)
        return ResolvedRecipe(
            name=self.request.recipe.name if self.request.recipe else "inline",
            content=final,
            yaml=text,
            digest=hashlib.sha256(text.encode()).hexdigest(),
            model_type=str(get(final, parse(self.family.paths.model_type))),
            model_name_or_path=str(get(final, parse(self.family.paths.model))),
            family=self.family.name,
            total_steps=total,
            epochs=epochs,
            replicas=self.request.instance_count,
            effective=effective,
            warnings=warnings(self.findings),
        )

    def _error(self, where: str, text: str) -> None:
        self.findings.append(Finding(where, text))
