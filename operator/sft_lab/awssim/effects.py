"""What training jobs cause elsewhere in AWS: state-change events, log lines, the result in S3; when, and on which moto.

Everything is derived from the jobs and the clock. Events are made by one thread at their time; log lines and results
only when somebody reads the stream or the object, so that 10,000 jobs cost next to nothing.
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import math
import threading
from dataclasses import dataclass
from typing import Any

from sft_lab.awssim import artifacts, describe, joblog, lifecycle, rules
from sft_lab.awssim.bridge import Moto, MotoStorage
from sft_lab.awssim.clock import Clock
from sft_lab.awssim.job import Job, arn, output_prefix

log = logging.getLogger(__name__)

SOURCE = "aws.sagemaker"
DETAIL_TYPE = "SageMaker Training Job State Change"


@dataclass(slots=True)
class _Done:
    """How far a job's effects have been carried out."""

    job: Job
    spans: int = 0
    logged: float = -math.inf


class Effects:
    """Owns one thread between `start` and `close`; every method may be called from any thread."""

    def __init__(self, clock: Clock, moto: Moto, storage: MotoStorage) -> None:
        self._clock = clock
        self._moto = moto
        self._storage = storage
        self._heap: list[tuple[float, int, _Done]] = []
        self._done: dict[str, _Done] = {}
        self._results: dict[tuple[str, str], Job] = {}  # by bucket and key; not yet in S3
        self._ticket = itertools.count()
        self._wake = threading.Condition(threading.RLock())
        self._open = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._open = True
        self._thread = threading.Thread(target=self._run, name="awssim-effects", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._wake:
            self._open = False
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()

    def reset(self) -> None:
        with self._wake:
            self._heap.clear()
            self._done.clear()
            self._results.clear()

    def schedule(self, job: Job) -> None:
        """The job was created, or its course has changed."""
        with self._wake:
            done = self._done.get(job.arn)
            if done is None or done.job is not job:
                done = self._done[job.arn] = _Done(job)
            self._push(done)
            self._wake.notify_all()

    def clock_moved(self) -> None:
        self.catch_up()
        with self._wake:
            self._wake.notify_all()

    def catch_up(self) -> None:
        """Carries out everything that is due now."""
        if not self._heap or self._heap[0][0] > self._clock.now():
            return
        with self._wake:
            now = self._clock.now()
            while self._heap and self._heap[0][0] <= now:
                _, _, done = heapq.heappop(self._heap)
                self._advance(done, now)

    def _run(self) -> None:
        with self._wake:
            while self._open:
                due = self._heap[0][0] if self._heap else math.inf
                ahead, speed = due - self._clock.now(), self._clock.speed
                if ahead > 0:
                    forever = speed == 0 or ahead == math.inf
                    self._wake.wait(None if forever else min(ahead / speed, threading.TIMEOUT_MAX))
                    continue
                self.catch_up()

    def _push(self, done: _Done) -> None:
        if done.spans < len(done.job.life):
            heapq.heappush(self._heap, (done.job.life[done.spans].start, next(self._ticket), done))

    def _advance(self, done: _Done, now: float) -> None:
        try:
            while done.spans < len(done.job.life) and done.job.life[done.spans].start <= now:
                self._emit(done.job, done.spans)
                done.spans += 1
                if done.spans == len(done.job.life) and done.job.life[-1].status == "Completed":
                    self._promise(done.job)
        except Exception:
            # One job's effect must not end the thread that serves all of them.
            log.exception("effects of training job %s", done.job.name)
            done.spans += 1
        self._push(done)

    def _emit(self, job: Job, index: int) -> None:
        span = job.life[index]
        if not job.script.event_copies or span.status in job.script.lose_events or not self._listened(job):
            return
        entry = {
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Resources": [job.arn],
            "Detail": json.dumps(_detail(job, span)),
        }
        self._moto.backend("events", job.account, job.region).put_events([dict(entry)] * job.script.event_copies)

    def _listened(self, job: Job) -> bool:
        """An event that no rule can match need not be made: most simulations have no rules."""
        if not self._moto.loaded:
            return False
        buses = self._moto.backend("events", job.account, job.region).event_buses
        return any(bus.rules for bus in list(buses.values()))

    def _promise(self, job: Job) -> None:
        if job.script.artifacts and not job.serverless:
            self._results[rules.split_uri(f"{output_prefix(job.request)}/output/output.tar.gz")] = job

    def deliver(self, bucket: str, key: str | None, prefix: str) -> None:
        """Puts into S3 the result at this key, or without a key every result under the prefix."""
        with self._wake:
            if key is not None:
                wanted = [(bucket, key)] if (bucket, key) in self._results else []
            else:
                wanted = [place for place in self._results if place[0] == bucket and place[1].startswith(prefix)]
            for place in wanted:
                self._storage.write(*place, artifacts.output_tar(self._results.pop(place)))

    def write_logs(self, account: str, region: str, names: list[str]) -> None:
        """Brings up to now the log streams that begin with one of these names (a stream, or the start of one)."""
        with self._wake:
            now = self._clock.now()
            for done in self._named(account, region, names):
                if done.logged >= done.job.life[-1].start + 1:
                    continue
                lines = joblog.written(done.job, done.logged, now)
                stream = joblog.stream(done.job)
                if lines and stream is not None:
                    self._put_lines(done.job, stream, lines)
                done.logged = now

    def _named(self, account: str, region: str, names: list[str]) -> list[_Done]:
        if all("/" in name for name in names):
            arns = {arn(name.partition("/")[0], account, region) for name in names}
            return [self._done[a] for a in arns if a in self._done]
        return [
            done
            for done in self._done.values()
            if (done.job.account, done.job.region) == (account, region)
            and any(f"{done.job.name}/".startswith(name) for name in names)
        ]

    def _put_lines(self, job: Job, name: str, lines: list[tuple[float, str]]) -> None:
        backend = self._moto.backend("logs", job.account, job.region)
        backend.ensure_log_group(joblog.GROUP)
        backend.ensure_log_stream(joblog.GROUP, name)
        stream = backend.groups[joblog.GROUP].streams[name]
        stream.put_log_events([{"timestamp": int(moment * 1000), "message": text} for moment, text in lines])


def _detail(job: Job, span: lifecycle.Span) -> dict[str, Any]:
    """The event's detail: Describe's words, times in milliseconds, tags as an object (AWS documentation's example)."""
    shown = describe.describe(job, span.start)

    def milliseconds(moment: float) -> int:
        return int(moment * 1000)

    detail: dict[str, Any] = {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "TrainingJobStatus": shown["TrainingJobStatus"],
        "SecondaryStatus": shown["SecondaryStatus"],
        "RoleArn": job.request["RoleArn"],
        "CreationTime": milliseconds(job.created),
        "LastModifiedTime": milliseconds(span.start),
        "SecondaryStatusTransitions": [
            {k: milliseconds(v) if k.endswith("Time") else v for k, v in transition.items()}
            for transition in shown["SecondaryStatusTransitions"]
        ],
        "Tags": dict(job.tags),
    }
    if "FailureReason" in shown:
        detail["FailureReason"] = shown["FailureReason"]
    return detail
