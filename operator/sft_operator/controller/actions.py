"""Carries out what a step decided on a platform, and remembers what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from ..api.reasons import TERMINAL_REFUSALS, Reason
from ..platforms.base import (
    CheckOutcome,
    JobView,
    Observation,
    Platform,
    PlatformUnavailable,
    Refusal,
    RunRef,
    RunState,
    SubmitKind,
    SubmitOutcome,
)
from . import logs
from .queue import KeyedQueue, backoff
from .reconcile.decision import Action, Check, Collect, Compare, Find, Stop, Submit, Tag
from .reconcile.job import Trouble
from .store import Entry, Store

log = logging.getLogger("sft_operator.actions")

RETRY_BASE = 2.0
ENDING_PAUSE = 15.0
FIND_PAUSE = 20.0
SHOWN_AFTER = timedelta(seconds=60)
"""A job shows itself within so long after its create; design: at most one launch."""


class Actions:
    def __init__(self, *, platform: Platform, store: Store, queue: KeyedQueue, now: Callable[[], datetime]) -> None:
        self._platform, self._store, self._queue, self._now = platform, store, queue, now

    async def perform(self, key: str, entry: Entry, action: Action) -> None:
        match action:
            case Check(view):
                self._begin_check(key, entry, view)
            case Submit():
                await self._submit(entry, action)
            case Find(ref, view):
                await self._find(entry, ref, view)
            case Stop(ref, cause):
                await self._stop(entry, ref, cause)
            case Collect():
                await self._collect(entry, action)
            case Tag():
                await self._tag(entry, action)
            case Compare():
                self._compare(entry, action)

    def observed(self, ref: RunRef, observation: Observation) -> None:
        """Takes one look at a run."""
        key, entry = self._followed(ref)
        if entry is not None:
            entry.seen = replace(entry.seen, observation=observation, unreachable=None)
            self._queue.add(key)

    def unreachable(self, ref: RunRef, error: PlatformUnavailable) -> None:
        """Takes that a look at a run failed."""
        key, entry = self._followed(ref)
        if entry is not None:
            entry.seen = replace(entry.seen, unreachable=self._trouble(entry.seen.unreachable, error))
            self._queue.add(key)

    def _followed(self, ref: RunRef) -> tuple[str, Entry | None]:
        """The entry whose present run it is; news of an earlier run may still be on its way."""
        key = self._store.key_of(ref.job_name) or ""
        entry = self._store.get(key)
        known = entry is not None and entry.job is not None and entry.job.status.job_name == ref.job_name
        return key, entry if known else None

    def _begin_check(self, key: str, entry: Entry, view: JobView) -> None:
        entry.seen = replace(entry.seen, check=None, check_began=self._now())
        entry.check = asyncio.create_task(self._check(key, entry, view), name=f"check {key}")

    async def _check(self, key: str, entry: Entry, view: JobView) -> None:
        logs.job.set(key)
        seen_trouble = entry.seen.check_trouble
        outcome: CheckOutcome | None = None
        trouble: Trouble | None = None
        try:
            outcome = await self._platform.check(view)
        except PlatformUnavailable as error:
            trouble = self._trouble(seen_trouble, error)
        except Exception as error:
            log.exception("the data check failed")
            trouble = self._trouble(
                seen_trouble, PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, f"the data check failed: {error!r}")
            )
        if outcome is not None and outcome.refusal is not None and outcome.refusal.reason not in TERMINAL_REFUSALS:
            trouble = self._trouble(seen_trouble, PlatformUnavailable(outcome.refusal.reason, outcome.refusal.message))
        entry.check = None
        # the back-off of a launch that found other objects than were checked goes on
        entry.seen = replace(entry.seen, check=outcome, check_began=None, check_trouble=trouble, submit=None)
        self._queue.add(key)

    async def _submit(self, entry: Entry, action: Submit) -> None:
        logs.run.set(action.plan.job_name)
        unsent, before = entry.seen.unsent, entry.seen.submit_trouble
        # should this end in an error nobody expected, then nothing is known of the create
        entry.seen = replace(entry.seen, submit=None, unsent=None)
        try:
            outcome = await self._platform.submit(action.plan, action.job, action.facts)
        except PlatformUnavailable as error:
            entry.seen = replace(entry.seen, unsent=unsent)
            outcome = SubmitOutcome(SubmitKind.UNKNOWN, retry_after=error.retry_after)
            trouble: Trouble | None = self._trouble(before, error)
        else:
            trouble = self._submit_trouble(before, outcome)
        if outcome.kind is SubmitKind.DATA_CHANGED:
            entry.seen = replace(entry.seen, check=None, unsent=unsent)
        elif outcome.kind is SubmitKind.REFUSED:
            # an earlier create of this name, perhaps another process's, may have been heard all the same
            foreign = outcome.refusal is not None and outcome.refusal.reason is Reason.NAME_CONFLICT
            entry.seen = replace(entry.seen, unsent=action.plan.job_name if foreign else unsent)
        look = entry.seen.observation
        entry.seen = replace(
            entry.seen,
            submit=outcome,
            submit_trouble=trouble,
            # that nothing was found, or was stopped, before this create tells nothing of what it brought about
            stop_asked=None,
            stop_trouble=None,
            observation=None if look is not None and look.state is RunState.LOST else look,
        )

    async def _find(self, entry: Entry, ref: RunRef, view: JobView) -> None:
        """Takes a job that is there; that there is none is believed when none was asked for, or has shown for a while."""
        before = entry.seen.submit_trouble
        try:
            outcome = await self._platform.find(ref, view)
        except PlatformUnavailable as error:
            entry.seen = replace(entry.seen, submit_trouble=self._trouble(before, error))
            return
        if outcome is not None:
            foreign = outcome.kind is SubmitKind.REFUSED
            trouble = self._submit_trouble(before, outcome)
            unsent = ref.job_name if foreign else entry.seen.unsent
            entry.seen = replace(entry.seen, submit=outcome, submit_trouble=trouble, unsent=unsent)
            return
        silent = PlatformUnavailable(Reason.LOST, f"there is no {ref.job_name} yet", FIND_PAUSE)
        trouble = self._trouble(before if before is not None and before.reason == Reason.LOST else None, silent)
        entry.seen = replace(entry.seen, submit_trouble=trouble)
        if entry.seen.unsent == ref.job_name or self._now() - trouble.since >= SHOWN_AFTER:
            never = Observation(RunState.LOST, "NotFound", self._now(), reason=Reason.LOST)
            entry.seen = replace(entry.seen, observation=never, submit=None, submit_trouble=None)

    def _submit_trouble(self, before: Trouble | None, outcome: SubmitOutcome) -> Trouble | None:
        refusal = outcome.refusal
        if outcome.kind is SubmitKind.REFUSED and refusal is not None and refusal.reason not in TERMINAL_REFUSALS:
            return self._trouble(before, PlatformUnavailable(refusal.reason, refusal.message, outcome.retry_after))
        if outcome.kind is SubmitKind.UNKNOWN:
            reason = refusal.reason if refusal else Reason.SERVICE_UNAVAILABLE
            message = refusal.message if refusal else "no answer to the create request"
            return self._trouble(before, PlatformUnavailable(reason, message, outcome.retry_after))
        if outcome.kind is SubmitKind.ENDING:
            message = "an earlier job of this name is still ending; its end is awaited"
            return self._trouble(before, PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, message, ENDING_PAUSE))
        if outcome.kind is SubmitKind.DATA_CHANGED:
            message = "a data object was replaced after it was checked; it was checked again"
            return self._trouble(before, PlatformUnavailable(Reason.INPUTS_CHANGED, message))
        return None

    async def _stop(self, entry: Entry, ref: RunRef, cause: str) -> None:
        try:
            found = await self._platform.stop(ref, cause=cause)
        except PlatformUnavailable as error:
            entry.seen = replace(entry.seen, stop_trouble=self._trouble(entry.seen.stop_trouble, error))
        else:
            entry.seen = replace(entry.seen, stop_asked=self._now(), stop_trouble=None)
            if not found and entry.seen.unsent == ref.job_name:
                # no create is on its way that could still show: waiting for one would only hold the user up
                never = Observation(RunState.LOST, "NotFound", self._now(), reason=Reason.LOST)
                entry.seen = replace(entry.seen, observation=never)

    async def _collect(self, entry: Entry, action: Collect) -> None:
        try:
            result = await self._platform.result(action.ref, action.observation, action.effective)
        except PlatformUnavailable as error:
            entry.seen = replace(entry.seen, result_trouble=self._trouble(entry.seen.result_trouble, error))
        else:
            entry.seen = replace(entry.seen, result=result, result_trouble=None)

    async def _tag(self, entry: Entry, action: Tag) -> None:
        # A tag that cannot be set is told once and not insisted on: it must never disturb a run.
        try:
            kept = await self._platform.tag(action.ref, action.tags)
        except PlatformUnavailable as error:
            kept = ()
            log.warning("the tags of the live run could not be changed: %s", error.message)
        entry.seen = replace(entry.seen, tagged_generation=action.generation, tags_kept=kept)

    def _compare(self, entry: Entry, action: Compare) -> None:
        known = entry.job.status.inputs_digest if entry.job is not None else None
        try:
            plan = self._platform.plan(action.job, action.facts)
        except Exception:
            # a run that is live must be followed, whatever today's catalogue makes of its spec
            log.exception("the run could not be planned anew; whether its inputs changed is not known")
            entry.seen = replace(entry.seen, inputs_now=known)
        else:
            entry.seen = replace(entry.seen, inputs_now=known if isinstance(plan, Refusal) else plan.inputs_digest)

    def _trouble(self, before: Trouble | None, error: PlatformUnavailable) -> Trouble:
        now = self._now()
        tries = before.tries + 1 if before else 1
        pause = error.retry_after if error.retry_after is not None else backoff(tries, base=RETRY_BASE)
        return Trouble(
            reason=str(error.reason),
            message=error.message,
            next_try=now + timedelta(seconds=pause),
            since=before.since if before else now,
            tries=tries,
        )
