"""One look at all unfinished runs of one place (account, region, access), at the price of as few calls as will do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ...api.place import Place
from ...api.reasons import Reason
from ...aws.caller import AWSCaller
from ...aws.errors import AWSError, ErrorClass, classify
from ..base import Observation, PlatformUnavailable, RawProgress, RunRef, RunState
from .settings import SageMakerSettings
from .translate import observation
from .unavailable import sentence

log = logging.getLogger(__name__)

NAME_CONTAINS = "sft-"
PAGE = 100
_MISSING_LOOKS = 2

Item = tuple[RunRef, Observation | PlatformUnavailable]


@dataclass(slots=True)
class Run:
    """What is remembered of one run between two looks."""

    since: float
    """When it was first asked for (monotonic)."""
    last: Observation | None = None
    modified: datetime | None = None
    missing: int = 0
    """Looks in a row that did not find it."""
    due: bool = True
    """The next look describes it, or finds it in the list, whatever else."""
    unreachable: bool = False
    described: str = ""
    """The stage that Describe was last asked about."""

    @property
    def ended(self) -> bool:
        return self.last is not None and self.last.state.ended


class Sweep:
    """The memory of one place. Looks do not overlap: the caller waits for one before the next."""

    def __init__(
        self,
        caller: AWSCaller,
        settings: SageMakerSettings,
        place: Place,
        *,
        monotonic: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._caller, self._settings = caller, settings
        self.place = place
        self._monotonic, self._now = monotonic, now
        self.runs: dict[RunRef, Run] = {}
        self._watermark: datetime | None = None
        """Newest LastModifiedTime seen, by AWS's clock."""
        self._next_full = 0.0

    def keep(self, refs: Collection[RunRef]) -> bool:
        """Takes over which runs are unfinished; says whether one of them is new."""
        for gone in self.runs.keys() - set(refs):
            del self.runs[gone]
        new = [ref for ref in refs if ref not in self.runs]
        for ref in new:
            self.runs[ref] = Run(self._monotonic())
        return bool(new)

    @property
    def live(self) -> dict[RunRef, Run]:
        """Runs whose end was not seen: only for these is anything asked."""
        return {ref: run for ref, run in self.runs.items() if not run.ended}

    async def look(self) -> list[Item]:
        """News of the runs: an observation where something changed, a PlatformUnavailable where a look failed.

        The end of a run is told at every look for as long as the run is asked for, without another call.
        """
        news: list[Item] = [(ref, run.last) for ref, run in self.runs.items() if run.ended and run.last is not None]
        live = self.live
        if not live:
            return news
        if len(live) == 1:
            return news + [item for ref, run in live.items() for item in await self._describe(ref, run)]
        try:
            listed, full = await self._list({ref.job_name for ref in live})
        except AWSError as error:
            return news + [self._failed(ref, run, error) for ref, run in live.items()]
        for ref, run in live.items():
            entry = listed.get(ref.job_name)
            if self._needs_describe(run, entry, full):
                news += await self._describe(ref, run, entry)
            elif entry is not None:
                news += self._seen(ref, run, entry)
            elif run.unreachable and run.last is not None:
                news.append((ref, self._reachable(run)))
        return news

    def progressed(self, ref: RunRef, figures: RawProgress) -> Item | None:
        """Takes figures from the log; they stay with the run's later observations. Of a run that cannot be looked at
        they are told with the next look: any observation says that it is reachable."""
        run = self.runs.get(ref)
        if run is None or run.last is None or run.last.progress == figures:
            return None
        run.last = replace(run.last, progress=figures, observed_at=self._now())
        return None if run.unreachable else (ref, run.last)

    def _needs_describe(self, run: Run, entry: Mapping[str, Any] | None, full: bool) -> bool:
        if entry is None:
            # A list of what changed lately says nothing of the rest; a full one, or none so far, leaves a doubt.
            return run.last is None or run.due or full or run.missing > 0
        found = observation(entry, self._now())
        began = run.last is not None and run.last.start_time is not None
        starts = found.state is RunState.RUNNING and not began and run.described != found.stage
        return found.state.ended or starts or (run.due and run.last is not None)

    async def _describe(self, ref: RunRef, run: Run, entry: Mapping[str, Any] | None = None) -> list[Item]:
        """`entry` is what a list of this very look shows of the run."""
        try:
            answer = await self._caller.call(
                "sagemaker", "DescribeTrainingJob", self.place, TrainingJobName=ref.job_name
            )
        except AWSError as error:
            run.due = True
            if classify(error).error_class is ErrorClass.NOT_FOUND:
                # what was just listed is there, only not everywhere yet
                return await self._not_found(ref, run) if entry is None else []
            return [self._failed(ref, run, error)]
        self._advance(answer.get("LastModifiedTime"))
        run.described = str(answer.get("SecondaryStatus"))
        return list(self._seen(ref, run, answer))

    def _seen(self, ref: RunRef, run: Run, answer: Mapping[str, Any]) -> Iterator[Item]:
        found = observation(answer, self._now())
        modified = answer.get("LastModifiedTime")
        before = run.last
        run.missing, run.due = 0, False
        if before is not None:
            if modified == run.modified and (found.state, found.stage) == (before.state, before.stage):
                if run.unreachable:
                    yield ref, self._reachable(run)
                return
            # An entry of a list has fewer members than Describe: what was known stays known.
            found = replace(
                found,
                start_time=found.start_time or before.start_time,
                timeline=found.timeline or before.timeline,
                progress=before.progress,
            )
        run.last, run.modified, run.unreachable = found, modified, False
        yield ref, found

    async def _not_found(self, ref: RunRef, run: Run) -> list[Item]:
        """A job may be unknown right after its create; later it takes two looks to believe that it is gone."""
        run.missing += 1
        young = self._monotonic() - run.since < self._settings.not_found_grace and run.last is None
        if young or run.missing < _MISSING_LOOKS:
            return []
        try:
            answer = await self._caller.call("sts", "GetCallerIdentity", self.place, kind="describe")
        except AWSError as error:
            return [self._failed(ref, run, error)]
        if (account := str(answer.get("Account"))) != self.place.account:
            # another account knows none of our jobs, and all of them run on
            run.unreachable = True
            text = f"{self.place.identity} is of account {account}, {ref.job_name} is in {self.place.account}"
            return [(ref, PlatformUnavailable(Reason.ROLE_NOT_USABLE, text, self._settings.sweep_interval))]
        log.warning("a training job is gone", extra={"run": ref.job_name})
        run.last = Observation(
            state=RunState.LOST,
            stage="NotFound",
            observed_at=self._now(),
            reason=Reason.LOST,
            failure_message=f"SageMaker in {self.place.region} does not know {ref.job_name}",
            hint="it was deleted on AWS, or was never created; set a new runID to train again",
            progress=run.last.progress if run.last else None,
        )
        return [(ref, run.last)]

    async def _list(self, wanted: set[str]) -> tuple[dict[str, Mapping[str, Any]], bool]:
        """Entries by job name, and whether all jobs were asked for. The newest come first, and paging ends when every
        wanted one was seen. Never by StatusEquals: AWS cuts the page first and filters then."""
        started = self._monotonic()
        since = self._watermark
        full = since is None or started >= self._next_full
        query: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending"}
        if since is not None and not full:
            query = {"LastModifiedTimeAfter": since - timedelta(seconds=self._settings.sweep_overlap)}
        found: dict[str, Mapping[str, Any]] = {}
        newest: list[Any] = []
        more: dict[str, str] = {}
        while True:
            page = await self._caller.call(
                "sagemaker", "ListTrainingJobs", self.place,
                NameContains=NAME_CONTAINS, MaxResults=PAGE, **query, **more,
            )  # fmt: skip
            for entry in page.get("TrainingJobSummaries", ()):
                found[entry["TrainingJobName"]] = entry
                newest.append(entry.get("LastModifiedTime"))
            if not page.get("NextToken") or wanted <= found.keys():
                break
            more = {"NextToken": page["NextToken"]}
        for moment in newest:
            self._advance(moment)
        if full:
            self._next_full = started + self._settings.full_sweep_interval
        return found, full

    def _advance(self, moment: Any) -> None:
        if isinstance(moment, datetime) and (self._watermark is None or moment > self._watermark):
            self._watermark = moment

    def _reachable(self, run: Run) -> Observation:
        assert run.last is not None  # noqa: S101 -- the callers asked
        run.unreachable = False
        run.last = replace(run.last, observed_at=self._now())
        return run.last

    def _failed(self, ref: RunRef, run: Run, error: AWSError) -> Item:
        run.unreachable = True
        reason = classify(error).reason
        return ref, PlatformUnavailable(reason, sentence(error), self._settings.sweep_interval)
