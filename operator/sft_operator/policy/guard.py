"""What a profile allows, asked of everything that a job names: typed fields, and every text of recipe, overrides and
request. Pure, so it is asked before the first call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..api import durations, yaml12
from ..api.findings import Finding
from ..api.sftjob import SFTJobSpec
from ..api.sftprofile import Allowed
from ..platforms.base import Plan
from . import mentions
from .mentions import Prefix
from .settle import NAMESPACE

_LABELS = frozenset({"tags", "profile", "runID"})
"""Fields of a spec that name things; nothing is read or written by them."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The bounds of one profile for one namespace."""

    profile: str
    allowed: Allowed
    namespace: str

    def spec(self, spec: SFTJobSpec) -> list[Finding]:
        """`spec` with the profile's defaults in it. Everything in it that is not allowed."""
        written = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        found = list(self._texts(_texts({key: value for key, value in written.items() if key not in _LABELS}, "spec")))
        training = spec.sage_maker.training if spec.sage_maker is not None else None
        if spec.sage_maker is not None and spec.sage_maker.region is not None:
            found += self._listed("spec.sageMaker.region", spec.sage_maker.region, self.allowed.regions, "regions")
        if training is not None:
            at, allowed = "spec.sageMaker.training", self.allowed
            found += self._listed(f"{at}.instanceType", training.instance_type, allowed.instance_types, "instanceTypes")
            if training.image is not None:
                found += self._listed(f"{at}.image", training.image, allowed.images or [], "images")
            if allowed.max_instance_count is not None and training.instance_count > allowed.max_instance_count:
                most = f"{training.instance_count} instances, at most {allowed.max_instance_count} are allowed"
                found.append(self._finding(f"{at}.instanceCount", most, "maxInstanceCount"))
            found += self._time(spec, training.instance_count)
        return found

    def plan(self, plan: Plan) -> list[Finding]:
        """What the job's own words hide and its plan shows: texts that the recipe puts together. Field by field of the
        request, and of what is uploaded for it."""
        request = {key: value for key, value in plan.request.items() if key != "Tags"}
        found = list(self._texts(_texts(request, f"the launch ({plan.job_name})")))
        for upload in plan.uploads:
            recipe = yaml12.load(upload.body.decode(), source=upload.uri)
            found += self._texts(_texts(recipe, "the resolved recipe"))
        return found

    def _time(self, spec: SFTJobSpec, instances: int) -> Iterator[Finding]:
        field, allowed = "spec.runPolicy.maxRuntime", self.allowed
        runtime = spec.run_policy.max_runtime or durations.DEFAULT_MAX_RUNTIME
        seconds = durations.seconds(runtime)
        if allowed.max_runtime is not None and seconds > durations.seconds(allowed.max_runtime):
            yield self._finding(field, f"{runtime}, at most {allowed.max_runtime} is allowed", "maxRuntime")
        hours = instances * seconds / 3600
        if allowed.max_instance_hours is not None and hours > allowed.max_instance_hours:
            longest = int(allowed.max_instance_hours * 3600 / instances)
            text = (
                f"{instances} instances x {runtime} are {hours:g} instance-hours, at most "
                f"{allowed.max_instance_hours:g} are allowed: {durations.display(longest)} with so many instances"
            )
            yield self._finding(field, text, "maxInstanceHours")

    def _texts(self, texts: Iterator[tuple[str, str]]) -> Iterator[Finding]:
        """At most one finding for each text: a text can name very many things."""
        prefixes = [Prefix.parse(prefix) for prefix in self._prefixes()]
        for field, text in texts:
            readings = mentions.readings(text)
            found = next((found for reading in readings for found in self._text(field, reading, prefixes)), None)
            if found is not None:
                yield found

    def _text(self, field: str, text: str, prefixes: Sequence[Prefix]) -> Iterator[Finding]:
        for place in mentions.locations(text):
            if not any(place.below(prefix) for prefix in prefixes):
                known = ", ".join(self._prefixes()) or "none"
                yield self._finding(field, f"{place} is not below an allowed prefix ({known})", "uriPrefixes")
        if mentions.leads_out(text):
            yield self._finding(field, f"{text[:200]} has a segment of dots, which may lead out", "uriPrefixes")
        for role in mentions.roles(text):
            yield from self._listed(field, role, self.allowed.role_arns, "roleARNs")

    def _listed(self, field: str, value: str, globs: Sequence[str] | None, name: str) -> Iterator[Finding]:
        if globs is not None and not any(mentions.matches(glob, value) for glob in globs):
            yield self._finding(field, f"{value} is not among those allowed ({', '.join(globs) or 'none'})", name)

    def _prefixes(self) -> list[str]:
        return [prefix.replace(NAMESPACE, self.namespace) for prefix in self.allowed.uri_prefixes]

    def _finding(self, field: str, text: str, rule: str) -> Finding:
        return Finding(field, f"{text} (SFTProfile {self.profile}, allowed.{rule})")


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text in a document with its path; keys count as texts too."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield path, str(key)
            yield from _texts(inner, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{index}]")
