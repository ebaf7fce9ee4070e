"""The data check of a job: runs the reading in a process of its own, and tells its findings as a CheckOutcome."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from ...api.findings import Finding
from ...api.place import Place
from ...api.reasons import Reason
from ...api.sftjob import DatasetCheck
from ...api.status import DatasetFile, DatasetStatus
from ...aws import policies
from ...aws.caller import Observer
from ...aws.counted import Calls
from ...aws.errors import AWSError, ErrorClass, classify
from ...aws.identity import object_arn
from ...aws.objects import S3Uri
from ...datasets.report import DatasetReport, RowFinding
from ..base import CheckOutcome, JobView, PlatformUnavailable, Refusal
from . import check_worker
from .check_worker import Read, Unreadable, Wanted
from .plan import data_objects
from .unavailable import unavailable

_ERRORS = 20
_LINE = 1000


class DatasetChecks:
    """Processes are started on demand, at most `processes`, and ended `idle` seconds after the last check."""

    def __init__(self, *, processes: int, idle: float, observe: Observer = lambda *_: None) -> None:
        """`observe` is told of the calls that the processes made."""
        self._processes, self._idle, self._observe = processes, idle, observe
        self._pool: ProcessPoolExecutor | None = None
        self._working = 0
        self._ending: asyncio.TimerHandle | None = None

    async def check(self, job: JobView) -> CheckOutcome:
        """Raises PlatformUnavailable when AWS did not answer, or the process was ended from outside."""
        spec = job.spec
        place = Place("", (spec.sage_maker.region if spec.sage_maker else None) or "", job.access)
        declared = [spec.dataset.train, *(spec.dataset.validation or ())]
        wanted = [
            Wanted(entry.uri, "train" if entry.channel == "train" else "validation", entry.field, data.format.value)
            for entry, data in zip(data_objects(spec), declared, strict=True)
        ]
        excerpts = job.profile is None or job.profile.data_excerpts
        answer, calls = await self._read(wanted, place, excerpts)
        for (service, operation, code), (number, seconds) in calls.made.items():
            for _ in range(number):
                self._observe(service, operation, code, seconds / number)
        if isinstance(answer, Unreadable):
            return CheckOutcome(None, _unreadable(answer, place))
        return _outcome(answer, warn_only=spec.dataset.check is DatasetCheck.WARN)

    def close(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    async def _read(self, wanted: list[Wanted], place: Place, excerpts: bool) -> tuple[Read | Unreadable, Calls]:
        loop = asyncio.get_running_loop()
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._pool is None:
            # spawn: a forked child would inherit the threads' locks and the event loop's sockets
            self._pool = ProcessPoolExecutor(
                self._processes, mp_context=multiprocessing.get_context("spawn"), initializer=check_worker.begin
            )
        pool = self._pool
        self._working += 1
        try:
            return await loop.run_in_executor(pool, check_worker.read, wanted, place, excerpts)
        except BrokenProcessPool as error:
            if self._pool is pool:
                self._pool = None
            raise PlatformUnavailable(
                Reason.SERVICE_UNAVAILABLE,
                "the process that reads the data was ended from outside (out of memory?); it is tried again",
                30.0,
            ) from error
        finally:
            self._working -= 1
            if not self._working and self._pool is not None:
                self._ending = loop.call_later(self._idle, self.close)


def _outcome(answer: Read, *, warn_only: bool) -> CheckOutcome:
    report = answer.report
    facts = DatasetStatus(
        rows=report.rows,
        validation_rows=report.validation_rows,
        bytes=sum(file.bytes for file in report.files),
        tokens_estimate=report.tokens_estimate,
        files=[
            DatasetFile(uri=file.uri, etag=known.etag, version=known.version, rows=file.rows, bytes=file.bytes)
            for file, known in zip(report.files, answer.heads, strict=True)
        ],
        error_count=report.error_count or None,
        errors=[str(error)[:_LINE] for error in report.errors[:_ERRORS]] or None,
    )
    warnings = [Finding(_field(report, found), str(found), "warning") for found in report.warnings]
    if report.ok:
        return CheckOutcome(facts, None, tuple(warnings))
    first = report.errors[0] if report.errors else None
    where = _field(report, first) if first else "spec.dataset"
    if warn_only:
        launched = Finding(where, f"{report.summary()}; dataset.check is Warn, so this refuses nothing", "warning")
        return CheckOutcome(facts, None, (launched, *warnings))
    hint = "correct the rows and upload the file again, then set a new runID; dataset.check: Warn would launch all the same"
    return CheckOutcome(
        facts, Refusal(Reason.DATASET_INVALID, (Finding(where, report.summary()),), hint), tuple(warnings)
    )


def _field(report: DatasetReport, found: RowFinding) -> str:
    channels = {file.uri: file.channel for file in report.files}
    return "spec.dataset.validation[0].uri" if channels.get(found.uri) == "validation" else "spec.dataset.train.uri"


def _unreadable(found: Unreadable, place: Place) -> Refusal:
    """Raises PlatformUnavailable for an error that is not about the object."""
    wanted, error, region = found.wanted, found.error, place.region
    uri = S3Uri.parse(wanted.uri)
    if found.bucket_region is not None:
        text = (
            f"{wanted.uri} lies in {found.bucket_region}, the job runs in {region}; SageMaker reads data of its own "
            "region only: copy it, or change spec.sageMaker.region"
        )
    elif found.missing_bucket:
        text = f"the bucket {uri.bucket} of {wanted.uri} does not exist; create it in {region}, or correct the URI"
    elif found.changed:
        text = f"{wanted.uri} was replaced while it was read; it is read again"
    elif error is None:
        text = f"{wanted.uri} cannot be read"
    else:
        text = _refused_text(wanted, uri, place, error)
    return Refusal(Reason.DATASET_UNREADABLE, (Finding(wanted.field, text),))


def _refused_text(wanted: Wanted, uri: S3Uri, place: Place, error: AWSError) -> str:
    if error.service == "sts":
        raise unavailable(error) from error  # not about the object
    verdict = classify(error)
    denied = error.code.startswith(("AccessDenied", "403", "KMS"))
    if denied:
        actions, resource = ["s3:GetObject"], object_arn(place.region, uri.bucket, uri.key)
        if "kms" in f"{error.code} {error.message}".lower():
            actions, resource = ["kms:Decrypt"], "*"
        missing = "" if error.code.startswith("KMS") else ", or the object does not exist (S3 does not tell which)"
        return (
            f"{wanted.uri} may not be read by the operator{missing}: {error.code}: {error.message}; give "
            f"{place.identity} {policies.missing(actions, resource)}"
        )
    if verdict.error_class in (ErrorClass.NOT_FOUND, ErrorClass.USER):
        return f"{wanted.uri} cannot be read: {error.code}: {error.message}" + (
            f"; {verdict.hint}" if verdict.hint else ""
        )
    raise unavailable(error) from error
