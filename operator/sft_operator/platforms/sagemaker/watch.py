"""Following the live set of runs: when to look where, and when to read a log; the look itself is in sweep.py."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import Any

from ...api.place import Place
from ...aws.caller import AWSCaller
from ...aws.errors import AWSError
from ..base import PlatformUnavailable, RunRef, RunState
from . import logs, progress
from .settings import SageMakerSettings
from .sweep import Item, Sweep

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Scope:
    """When one place is looked at. Times are monotonic seconds."""

    sweep: Sweep
    last: float = float("-inf")
    next: float = float("-inf")
    looking: bool = False


@dataclass(slots=True)
class _Log:
    """The reading of one run's log."""

    next: float
    stream: str | None = None
    reading: bool = False
    complained: bool = False


class Watch:
    """One stream of news; see Platform.watch. Without unfinished runs it makes no call."""

    def __init__(
        self,
        caller: AWSCaller,
        settings: SageMakerSettings,
        runs: Callable[[], Collection[RunRef]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        swept: Callable[[Place], None] = lambda *_: None,
    ) -> None:
        self._caller, self._settings, self._runs = caller, settings, runs
        self._monotonic, self._swept = monotonic, swept
        self._tick = min(settings.tick, settings.sweep_interval / 2)
        self._scopes: dict[Place, _Scope] = {}
        self._logs: dict[RunRef, _Log] = {}
        self._news: asyncio.Queue[Item] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def stream(self) -> AsyncIterator[Item]:
        try:
            while True:
                self._begin_what_is_due()
                try:
                    yield await asyncio.wait_for(self._news.get(), self._tick)
                except TimeoutError:
                    continue
                while not self._news.empty():
                    yield self._news.get_nowait()
        finally:
            for task in self._tasks:
                task.cancel()

    def _begin_what_is_due(self) -> None:
        refs = self._runs()
        now = self._monotonic()
        places = {ref.place.shared for ref in refs}
        for place in self._scopes.keys() - places:
            if not self._scopes[place].looking:
                del self._scopes[place]
        for place in places:
            scope = self._scopes.get(place)
            if scope is None:
                scope = _Scope(Sweep(self._caller, self._settings, place, monotonic=self._monotonic))
                self._scopes[place] = scope
            if scope.looking:
                continue  # the set of a sweep does not change under it
            if scope.sweep.keep([ref for ref in refs if ref.place.shared == place]):
                # a lone run costs one call: at once; of several, one list is made for all that came together
                pause = self._settings.new_run_pause if len(scope.sweep.live) > 1 else 0.0
                scope.next = min(scope.next, scope.last + pause)
            if now >= scope.next:
                scope.last, scope.next, scope.looking = now, now + self._settings.sweep_interval, True
                self._spawn(self._look(scope))
            self._begin_logs(scope.sweep, now)
        for ref in self._logs.keys() - set(refs):
            del self._logs[ref]

    async def _look(self, scope: _Scope) -> None:
        try:
            news = await scope.sweep.look()
            for item in news:
                self._news.put_nowait(item)
            if not any(isinstance(seen, PlatformUnavailable) for _, seen in news):
                self._swept(scope.sweep.place)
        except Exception:
            log.exception("a sweep failed; the next one comes at its time")
        finally:
            scope.looking = False

    def _begin_logs(self, sweep: Sweep, now: float) -> None:
        for ref, run in sweep.live.items():
            if run.last is None or run.last.state is not RunState.RUNNING:
                self._logs.pop(ref, None)  # a restarted training writes to a stream of its own
                continue
            entry = self._logs.setdefault(ref, _Log(now))
            if now >= entry.next and not entry.reading:
                entry.next, entry.reading = now + self._settings.log_interval, True
                self._spawn(self._read(sweep, ref, entry))

    async def _read(self, sweep: Sweep, ref: RunRef, entry: _Log) -> None:
        try:
            if entry.stream is None:
                entry.stream = await logs.stream_of(self._caller, ref.place, ref.job_name)
            if entry.stream is None:
                return
            lines = await logs.newest(self._caller, ref.place, entry.stream, self._settings.log_lines)
            figures = progress.parse(lines)
            item = sweep.progressed(ref, figures) if figures else None
            if item is not None:
                self._news.put_nowait(item)
        except AWSError as error:
            # progress is a courtesy: it must not make a run look unreachable
            if not entry.complained:
                entry.complained = True
                log.warning("the training log cannot be read: %s", error, extra={"run": ref.job_name})
        except Exception:
            log.exception("reading a training log failed")
        finally:
            entry.reading = False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
