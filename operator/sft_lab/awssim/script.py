"""What will happen to a training job: durations, end, loss curve; as data, with the two standard paces."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field, fields, replace
from typing import Any

ENDS = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded")
STAGES = ("Pending", "Starting", "Downloading", "Training", "Uploading")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One course of events. Durations are seconds of simulated time.

    A script fits a job when `name` (a glob), `tag` (`Key=glob`) and `channel` (a channel name), as far as they are
    given, all fit. The newest fitting script is taken; `times` limits how many creates it is good for.
    """

    name: str = "*"
    tag: str | None = None
    channel: str | None = None
    times: int | None = None

    pending: float = 1.0
    starting: float = 2.0
    downloading: float = 2.0
    training: float = 11.0
    uploading: float = 2.5
    stop_grace: float = 2.0  # what the container takes of SageMaker's 120 s after SIGTERM

    end: str = "Completed"
    fail_in: str = "Training"  # the stage in which end takes hold, when it is not Completed
    fail_at: float = 0.5  # and which part of that stage passes first, 0..1
    failure_reason: str = "AlgorithmError: ExecuteUserScriptError: ExitCode 1"
    create_error: str | None = None  # a code (ResourceLimitExceeded, ...): the create is refused
    create_error_message: str | None = None
    interruptions: tuple[tuple[float, float], ...] = ()  # (seconds of training before it, seconds it lasts)
    spot_saving: float = 0.7  # of the training time, with managed spot training
    not_found_first: int = 0  # this many describes after the create answer "Requested resource not found."
    model_artifacts: bool = True  # False: Describe leaves ModelArtifacts out, as seen for Nova on instances

    steps: int | None = None  # None: training_config.max_steps of the uploaded recipe, else 100
    log_every: int = 1  # steps from one progress line to the next
    loss_start: float = 2.4
    loss_end: float = 0.7
    loss_noise: float = 0.03
    validation_every: int | None = None  # None: the recipe's val_check_interval, else a tenth of the steps
    log_lines: tuple[str, ...] = ()  # written when the container starts
    error_lines: tuple[str, ...] = ()  # written when the job fails, before the reason
    logs: bool = True

    artifacts: bool = True  # False: nothing is written to S3 at the end
    checkpoint: bool = True  # False: output.tar.gz has no manifest.json
    event_copies: int = 1  # 0 loses all state-change events, 2 doubles them
    lose_events: tuple[str, ...] = field(default=())  # secondary statuses whose event is lost

    def __post_init__(self) -> None:
        if self.end not in ENDS:
            raise ValueError(f"end: {self.end!r} is not one of {', '.join(ENDS)}")
        if self.fail_in not in STAGES:
            raise ValueError(f"fail_in: {self.fail_in!r} is not one of {', '.join(STAGES)}")
        if not 0 <= self.fail_at <= 1:
            raise ValueError(f"fail_at: {self.fail_at} is outside 0..1")
        if not 0 <= self.stop_grace <= 120:
            raise ValueError(f"stop_grace: {self.stop_grace} is outside 0..120, SageMaker's grace")
        for stage in STAGES:
            if getattr(self, stage.lower()) < 0:
                raise ValueError(f"{stage.lower()}: {getattr(self, stage.lower())} is negative")

    def fits(self, name: str, tags: dict[str, str], channels: list[str]) -> bool:
        if not fnmatch.fnmatchcase(name, self.name):
            return False
        if self.tag is not None:
            key, _, value = self.tag.partition("=")
            if key not in tags or not fnmatch.fnmatchcase(tags[key], value or "*"):
                return False
        return self.channel is None or self.channel in channels


_FIELDS = {f.name for f in fields(Script)}

# A whole job in 18.5 s, or in about 14 minutes.
PACES: dict[str, Script] = {
    "demo": Script(),
    "real": Script(pending=20, starting=90, downloading=60, training=600, uploading=45, stop_grace=20),
}


def from_json(document: dict[str, Any], base: Script) -> Script:
    """A script from a JSON object: what it does not name is as in `base`. Raises ValueError for an unknown field."""
    unknown = sorted(document.keys() - _FIELDS)
    if unknown:
        raise ValueError(f"unknown field {', '.join(unknown)}; a script knows {', '.join(sorted(_FIELDS))}")
    values = dict(document)
    for name in ("interruptions", "log_lines", "error_lines", "lose_events"):
        if name in values:
            values[name] = tuple(tuple(v) if isinstance(v, list) else v for v in values[name])
    return replace(base, **values)


class Scripts:
    """The scripts in force, newest first, over the pace that holds when none fits."""

    def __init__(self, pace: str = "demo") -> None:
        self.pace = PACES[pace]
        self._entries: list[tuple[Script, list[int]]] = []

    def add(self, document: dict[str, Any]) -> Script:
        script = from_json(document, self.pace)
        self._entries.insert(0, (script, [0]))
        return script

    def clear(self) -> None:
        self._entries.clear()

    def all(self) -> list[Script]:
        return [script for script, _ in self._entries]

    def take(self, name: str, tags: dict[str, str], channels: list[str]) -> Script:
        """The script for a job that is being created; counts as one of its `times`."""
        for script, used in self._entries:
            if script.fits(name, tags, channels) and (script.times is None or used[0] < script.times):
                used[0] += 1
                return script
        return self.pace
