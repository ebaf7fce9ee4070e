"""One SFTJob as the step function sees it: the resource parsed, and what this process has seen of its run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from ...api.conditions import is_true, parse_timestamp
from ...api.metadata import FINALIZER
from ...api.problems import sentences
from ...api.sftjob import SFTJobSpec
from ...api.status import ConditionType, SFTJobStatus
from ...platforms.base import CheckOutcome, Observation, Result, SubmitOutcome


@dataclass(frozen=True, slots=True)
class Job:
    """A parsed resource. `spec` is None when it does not fit the models; `spec_error` then says why."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    deleting_since: datetime | None
    has_finalizer: bool
    annotations: Mapping[str, str]
    spec: SFTJobSpec | None
    spec_error: str
    status: SFTJobStatus
    unknown: tuple[str, ...] = ()
    """Fields that only a CRD newer than this operator can have let in: `spec` is the rest. What runs is followed by it,
    and nothing is launched by it."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def finished(self) -> bool:
        return is_true(self.status.conditions, ConditionType.FINISHED)

    @property
    def submitted(self) -> bool:
        return is_true(self.status.conditions, ConditionType.SUBMITTED)

    @property
    def may_launch(self) -> bool:
        """Whether the next step may come to a launch."""
        policy = self.spec.run_policy if self.spec is not None else None
        held = policy is None or policy.stop or policy.suspend or self.deleting_since is not None
        return not (held or self.submitted or self.finished)


def parse(body: Mapping[str, Any]) -> Job:
    """Reads a resource as the API server serves it. A spec that does not fit is kept as an error, never raised:
    one bad resource must not stop the others."""
    metadata = body["metadata"]
    spec, error, unknown = _spec(body.get("spec") or {})
    deleting = metadata.get("deletionTimestamp")
    return Job(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created=parse_timestamp(metadata["creationTimestamp"]),
        deleting_since=parse_timestamp(deleting) if deleting else None,
        has_finalizer=FINALIZER in metadata.get("finalizers", ()),
        annotations=metadata.get("annotations") or {},
        spec=spec,
        spec_error=error,
        status=_status(body.get("status") or {}),
        unknown=unknown,
    )


def _spec(document: Mapping[str, Any]) -> tuple[SFTJobSpec | None, str, tuple[str, ...]]:
    """The spec, or what is wrong with it; and the fields that are not known."""
    try:
        return SFTJobSpec.model_validate(document), "", ()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        extra = [problem["loc"] for problem in found if problem["type"] == "extra_forbidden"]
        if not extra:
            return None, sentences(error), ()
    known = copy.deepcopy(dict(document))
    for *parents, field in extra:
        part: Any = known
        for step in parents:
            part = part[step]
        del part[field]
    spec, wrong, _ = _spec(known)
    return spec, wrong, tuple(".".join(map(str, ("spec", *path))) for path in extra)


def _status(document: Mapping[str, Any]) -> SFTJobStatus:
    try:
        return SFTJobStatus.model_validate(document, extra="ignore")
    except ValidationError as error:
        # Made by hand, or by a newer operator: what makes sense of it must not be forgotten, above all the run's name.
        kept = dict(document)
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            field, *inside = problem["loc"]
            if field == "conditions" and inside and isinstance(kept.get("conditions"), list):
                wrong = document["conditions"][inside[0]]
                kept["conditions"] = [condition for condition in kept["conditions"] if condition is not wrong]
            else:
                kept.pop(str(field), None)
        return SFTJobStatus.model_validate(kept, extra="ignore")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that did not work, and when it is tried again."""

    reason: str
    message: str
    next_try: datetime
    since: datetime
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """What this process knows beyond the resource. All of it can be lost: a restart looks again."""

    observation: Observation | None = None
    unreachable: Trouble | None = None
    check: CheckOutcome | None = None
    check_began: datetime | None = None
    check_trouble: Trouble | None = None
    submit: SubmitOutcome | None = None
    submit_trouble: Trouble | None = None
    """Also carries a refusal that waits: the outcome stays in `submit`, the time of the next try is here."""
    unsent: str | None = None
    """The job name whose intent this process wrote and has not asked for, or whose only create was refused: nothing
    that we made runs under it."""
    stop_asked: datetime | None = None
    stop_trouble: Trouble | None = None
    result: Result | None = None
    result_trouble: Trouble | None = None
    tagged_generation: int | None = None
    """The generation whose tags are on the run."""
    tags_kept: tuple[str, ...] = ()
    """Keys of tags that the user took out of spec and that stay on the run."""
    inputs_now: str | None = None
    """inputsDigest of a plan made since this process follows the run."""
