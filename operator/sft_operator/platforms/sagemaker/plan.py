"""From an SFTJob to everything its launch will do, or to every reason why not. Pure: no clock, no network, no botocore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...api import durations, identity, metadata
from ...api.findings import Finding, errors
from ...api.place import Access, Place
from ...api.reasons import Reason
from ...api.sftjob import DeletionPolicy, Output, SageMaker, SageMakerTraining, SFTJobSpec
from ...api.status import DatasetStatus, Effective, EffectiveAccess, EffectiveRecipe
from ...aws.identity import account_of, partition
from ...recipes.catalogue import Catalogue, Recipe
from ...recipes.resolve import RecipeRequest, ResolvedRecipe, resolve
from ..base import DataObject, JobView, Plan, Refusal, Upload
from .request import RecipeJob, create_request

PLATFORM = "SageMaker"
TAG_LIMIT = 50
_ASSUMED_ROWS = (10_000, 1_000_000, 1_000)
"""Rows that a plan made before the data was read assumes: a refusal that one of them does not meet may be for the rows."""


def make_plan(job: JobView, facts: DatasetStatus | None, catalogue: Catalogue) -> Plan | Refusal:
    """`facts` are those of the data check; None: it was skipped, and what depends on the rows is refused."""
    rows = facts.rows if facts else None
    return _plan(job, rows, _objects_read(facts), catalogue)


def precheck(job: JobView, catalogue: Catalogue) -> Plan | Refusal | None:
    """What can be refused before any data is read; else a plan with as many rows as make one possible, if any do."""
    common: Refusal | None = None
    for rows in _ASSUMED_ROWS:
        planned = _plan(job, rows, {}, catalogue)
        if isinstance(planned, Plan):
            return planned
        if common is None:
            common = planned
        said = {finding.field for finding in planned.findings}
        common = replace(common, findings=tuple(finding for finding in common.findings if finding.field in said))
    return common if common is not None and common.findings else None


def data_objects(spec: SFTJobSpec) -> tuple[DataObject, ...]:
    """The data that a job reads. One validation set is channel `validation` whatever its name."""
    train = DataObject("train", spec.dataset.train.uri, "spec.dataset.train.uri")
    return (
        train,
        *(
            DataObject("validation", entry.uri, f"spec.dataset.validation[{index}].uri")
            for index, entry in enumerate(spec.dataset.validation or ())
        ),
    )


def _plan(job: JobView, rows: int | None, objects: Mapping[str, str], catalogue: Catalogue) -> Plan | Refusal:
    spec = job.spec
    sage_maker = spec.sage_maker
    training = sage_maker.training if sage_maker else None
    if sage_maker is None or training is None:
        return _refused(Finding("spec.sageMaker.training", "is missing: say on which instances the job runs"))
    region, role, output = sage_maker.region, sage_maker.role_arn, spec.output or Output()
    if region is None or role is None or output.uri is None:
        return _refused(*_missing(sage_maker, output))
    account = account_of(role)
    name = identity.job_name(
        name=job.name,
        attempt=job.attempt,
        identity=identity.run_identity(
            scope=job.identity_scope,
            account=account,
            region=region,
            namespace=job.namespace,
            name=job.name,
            run_id=spec.run_id,
            fingerprint=job.fingerprint,
        ),
    )
    findings = [*_spec_findings(spec, role, region)]
    recipe = _recipe(spec, training, name, rows, catalogue)
    if not isinstance(recipe, tuple):
        findings += recipe.warnings
    else:
        return _refused(*findings, *recipe)
    image = _image(recipe, training, region, catalogue)
    if isinstance(image, Finding):
        findings.append(image)
        image = ""
    runtime = (
        durations.seconds(spec.run_policy.max_runtime or durations.DEFAULT_MAX_RUNTIME) - job.prior_runtime_seconds
    )
    if errors(findings):
        return _refused(*findings)
    if runtime < 1:
        used = durations.display(job.prior_runtime_seconds)
        text = f"earlier attempts have used {used}, which is all of it; set a longer one"
        return Refusal(Reason.DEADLINE_EXCEEDED, (Finding("spec.runPolicy.maxRuntime", text),))

    body = recipe.yaml.encode()
    recipe_uri = f"{output.uri.rstrip('/')}/{name}/recipe/{recipe.digest[:16]}/recipe.yaml"
    inputs = identity.digest({"recipe": _content_digest(recipe), "data": dict(objects)})
    tags = _tags(job, inputs, recipe.model_name_or_path)
    if len(tags) > TAG_LIMIT:
        return _refused(Finding("spec.tags", f"{len(tags)} tags with the operator's own; AWS allows {TAG_LIMIT}"))
    data = data_objects(spec)
    request = create_request(
        RecipeJob(
            job_name=name,
            role_arn=role,
            image=image,
            model_type=recipe.model_type,
            base_model=recipe.model_name_or_path,
            channels=[(entry.channel, entry.uri) for entry in data],
            recipe_uri=recipe_uri,
            output_uri=output.uri,
            kms_key_id=output.kms_key_id,
            instance_type=training.instance_type,
            instance_count=training.instance_count,
            max_runtime_seconds=runtime,
            tags=tags,
        )
    )
    return Plan(
        platform=PLATFORM,
        job_name=name,
        attempt=job.attempt,
        place=Place(account, region, job.access),
        fingerprint=job.fingerprint,
        request=request,
        request_digest=identity.digest(request),
        inputs_digest=inputs,
        uploads=(Upload(recipe_uri, body, output.kms_key_id),),
        data=data,
        tags=tags,
        effective=Effective(
            account=account,
            region=region,
            role_arn=role,
            access=_access(job.access),
            image=image,
            instance_type=training.instance_type,
            instance_count=training.instance_count,
            output_uri=output.uri,
            recipe=EffectiveRecipe(name=recipe.name, digest=recipe.digest, uri=recipe_uri),
            hyperparameters={key: _text(value) for key, value in sorted(recipe.effective.items())},
            tags=dict(job.profile.tags) or None if job.profile is not None else None,
            total_steps=recipe.total_steps,
            max_runtime=durations.display(runtime),
            deletion_policy=str(spec.run_policy.deletion_policy or DeletionPolicy.STOP),
        ),
        max_instance_hours=round(training.instance_count * runtime / 3600, 2),
        warnings=tuple(findings),
    )


def _missing(sage_maker: SageMaker, output: Output) -> list[Finding]:
    """What neither the job nor its profile says."""
    given = {
        "sageMaker.region": sage_maker.region,
        "sageMaker.roleARN": sage_maker.role_arn,
        "output.uri": output.uri,
    }
    return [
        Finding(f"spec.{field}", f"is missing: write it, or take an SFTProfile that gives it (defaults.{field})")
        for field, value in given.items()
        if value is None
    ]


def _access(access: Access | None) -> EffectiveAccess | None:
    if access is None:
        return None
    return EffectiveAccess(assume_role_arn=access.role_arn, external_id=access.external_id, profile=access.profile)


def _spec_findings(spec: SFTJobSpec, role: str, region: str) -> list[Finding]:
    """What is wrong whatever the recipe."""
    found: list[Finding] = []
    sets = spec.dataset.validation or []
    if len(sets) > 1:
        names = ", ".join(entry.name for entry in sets)
        text = f"{len(sets)} sets ({names}), a SageMaker training job of this model takes one; join them or remove some"
        found.append(Finding("spec.dataset.validation", text))
    parts = role.split(":")
    if parts[1] != partition(region):
        text = f"{role} is of partition {parts[1]}, the region {region} of {partition(region)}"
        found.append(Finding("spec.sageMaker.roleARN", text))
    return found


def _recipe(
    spec: SFTJobSpec, training: SageMakerTraining, job_name: str, rows: int | None, catalogue: Catalogue
) -> ResolvedRecipe | tuple[Finding, ...]:
    model = _model(spec, catalogue)
    if isinstance(model, Finding):
        return (model,)
    wanted = spec.recipe
    recipe: Recipe | None = None
    if wanted is not None and wanted.name is not None:
        named = catalogue.recipe(wanted.name)
        if isinstance(named, Finding):
            return (named,)
        recipe = named
    elif wanted is None or wanted.inline is None:
        if model is None:  # _model lets an unknown id pass only for an inline recipe
            return (Finding("spec.model", "is missing"),)
        chosen = catalogue.choose(model, spec.method.value, training.instance_type)
        if isinstance(chosen, tuple):
            return _as_id(spec, chosen)
        recipe = chosen
    resolved = resolve(
        RecipeRequest(
            recipe=recipe,
            content=None if recipe else (wanted.inline if wanted else None),
            job_name=job_name,
            instance_count=training.instance_count,
            method=spec.method.value,
            model=model,
            typed=_typed(spec),
            overrides=(wanted.overrides if wanted else None) or {},
            rows=rows,
            has_validation=bool(spec.dataset.validation),
            instance_type=training.instance_type,
        ),
        catalogue,
    )
    if isinstance(resolved, tuple):
        return _as_id(spec, resolved)
    if model is None and spec.model.id not in (resolved.model_type, resolved.model_name_or_path):
        trains = f"{resolved.model_type} ({resolved.model_name_or_path})"
        return (Finding("spec.model.id", f"{spec.model.id} is not what the recipe trains, which is {trains}"),)
    return resolved


def _model(spec: SFTJobSpec, catalogue: Catalogue) -> str | Finding | None:
    """The catalogue's name of the job's model; None for an id that only an inline recipe knows."""
    if spec.model.name is not None:
        return catalogue.unknown_model(spec.model.name) or spec.model.name
    ids: dict[str, str] = {}
    for recipe in catalogue.recipes.values():
        if recipe.model is not None:
            base = recipe.content.get("run", {}).get("model_name_or_path")
            ids |= {recipe.model_type: recipe.model, str(base): recipe.model}
    asked = spec.model.id or ""
    if asked in ids:
        return ids[asked]
    if spec.recipe is not None and spec.recipe.inline is not None:
        return None
    return Finding("spec.model.id", f"{asked!r} is not in the catalogue; known are {', '.join(sorted(ids))}")


def _as_id(spec: SFTJobSpec, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Findings about the model, told of the field that the user wrote."""
    if spec.model.id is None:
        return findings
    return tuple(
        Finding("spec.model.id", f.message, f.severity) if f.field == "spec.model.name" else f for f in findings
    )


def _image(recipe: ResolvedRecipe, training: SageMakerTraining, region: str, catalogue: Catalogue) -> str | Finding:
    if training.image is not None:
        return training.image
    known = catalogue.recipes.get(recipe.name)
    return catalogue.image(known if known is not None else recipe.family, region)


def _typed(spec: SFTJobSpec) -> dict[str, object]:
    """spec.hyperparameters as the user wrote it, nested fields dotted."""
    written = spec.hyperparameters.model_dump(by_alias=True, exclude_none=True) if spec.hyperparameters else {}
    lora: dict[str, Any] = written.pop("lora", {})
    return written | {f"lora.{name}": value for name, value in lora.items()}


def _tags(job: JobView, inputs: str, base_model: str) -> dict[str, str]:
    own = {
        metadata.TAG_MODEL: base_model[:256],
        metadata.TAG_SCOPE: job.identity_scope,
        metadata.TAG_NAMESPACE: job.namespace,
        metadata.TAG_NAME: job.name,
        metadata.TAG_RUN_ID: job.spec.run_id,
        metadata.TAG_UID: job.uid,
        metadata.TAG_ATTEMPT: str(job.attempt),
        metadata.TAG_FINGERPRINT: job.fingerprint,
        metadata.TAG_INPUTS: inputs,
    }
    return own | {key: value for key, value in (job.spec.tags or {}).items() if key not in own}


def _objects_read(facts: DatasetStatus | None) -> dict[str, str]:
    return (
        {file.uri: f"{file.etag or ''} {file.version or ''}".strip() for file in (facts.files or ())} if facts else {}
    )


def _content_digest(recipe: ResolvedRecipe) -> str:
    """Of the recipe without the job's name, which changes with every attempt."""
    content = dict(recipe.content)
    run = content.get("run")
    if isinstance(run, Mapping):
        content["run"] = {key: value for key, value in run.items() if key != "name"}
    return identity.digest(content)


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def _refused(*findings: Finding) -> Refusal:
    return Refusal(Reason.INVALID_SPEC, errors(list(findings)) or tuple(findings))
