"""A platform of the tests: it keeps jobs by name with their tags, as AWS does, and plans without any catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sft_operator.api import durations, identity
from sft_operator.api.findings import Finding
from sft_operator.api.place import Access, Place
from sft_operator.api.reasons import Reason
from sft_operator.api.status import Artifacts, DatasetFile, DatasetStatus, Effective, EffectiveAccess, Stage
from sft_operator.platforms.base import (
    CheckOutcome,
    JobView,
    Observation,
    Plan,
    PlatformUnavailable,
    RawProgress,
    Refusal,
    Result,
    RunRef,
    RunState,
    SubmitKind,
    SubmitOutcome,
)

ACCOUNT, REGION = "111122223333", "us-east-1"
NOT_FOUND_GRACE = 60.0
SWEEP = 30.0


def refusal(reason: Reason, message: str = "no", *, field: str = "spec") -> Refusal:
    return Refusal(reason, (Finding(field, message),))


@dataclass
class CloudJob:
    """One training job. Tests move `state`; a stop is heard at once and over after `grace` seconds."""

    name: str
    created: datetime
    tags: dict[str, str]
    owner: str
    max_runtime: int
    state: RunState = RunState.PENDING
    started: datetime | None = None
    ended: datetime | None = None
    reason: Reason | None = None
    failure_message: str = ""
    hint: str | None = None
    progress: RawProgress | None = None
    timeline: tuple[Stage, ...] = ()

    @property
    def live(self) -> bool:
        return not self.state.ended


@dataclass
class Cloud:
    """Implements Platform. What goes wrong next is said by its public fields."""

    now: Callable[[], datetime]
    name: str = "SageMaker"
    jobs: dict[str, CloudJob] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    """Names in the order of creation."""
    stops: list[tuple[str, str]] = field(default_factory=list)
    tag_calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    checks: int = 0
    submits: int = 0
    plans: int = 0
    as_whom: list[str | None] = field(default_factory=list)
    """The role of the profile that each create was made with."""
    finds: int = 0
    wrong: list[str] = field(default_factory=list)
    """Rules that the operator broke."""
    may_submit: Callable[[Plan, JobView], str | None] = lambda plan, job: None

    etag: str = "v1"
    catalogue: str = "2026-11"
    rows: int = 500
    stop_grace: float = 20.0
    check_takes: float = 0.0
    submit_takes: float = 0.0
    check_refusal: Refusal | None = None
    check_partly_read: bool = False
    check_errors: int = 0
    check_trouble: PlatformUnavailable | None = None
    plan_refusal: Refusal | None = None
    early_refusal: Refusal | None = None
    create_refusal: Refusal | None = None
    create_retry_after: float | None = None
    lose_next_answers: int = 0
    """So many creates are carried out, and their answers lost."""
    drop_next_creates: int = 0
    """So many creates are never heard."""
    unreachable: PlatformUnavailable | None = None
    stop_trouble: PlatformUnavailable | None = None
    result_trouble: PlatformUnavailable | None = None
    result_of_run: Result | None = None
    replaces_data_after_check: int = 0

    # --- what a test does to a run

    def run(self, name: str | None = None) -> CloudJob:
        job = self.jobs[name or self.created[-1]]
        job.state, job.started = RunState.RUNNING, job.started or self.now()
        return job

    def complete(self, name: str | None = None) -> CloudJob:
        return self._end(name, RunState.SUCCEEDED)

    def fail(self, reason: Reason, message: str = "it broke", hint: str | None = None) -> CloudJob:
        job = self._end(None, RunState.FAILED)
        job.reason, job.failure_message, job.hint = reason, message, hint
        return job

    def time_out(self) -> CloudJob:
        job = self._end(None, RunState.TIMED_OUT)
        job.reason = Reason.DEADLINE_EXCEEDED
        return job

    def stop_outside(self) -> CloudJob:
        return self._end(None, RunState.STOPPED)

    def vanish(self) -> None:
        del self.jobs[self.created[-1]]

    def live(self, owner: str | None = None) -> list[CloudJob]:
        self._pass_time()
        return [job for job in self.jobs.values() if job.live and owner in (None, job.owner)]

    def _end(self, name: str | None, state: RunState) -> CloudJob:
        job = self.jobs[name or self.created[-1]]
        job.state, job.ended = state, self.now()
        return job

    def _pass_time(self) -> None:
        for job in self.jobs.values():
            if job.state is RunState.STOPPING and job.ended is not None and job.ended <= self.now():
                job.state = RunState.STOPPED

    # --- Platform

    def precheck(self, job: JobView) -> Plan | Refusal | None:
        return self.early_refusal

    def plan(self, job: JobView, facts: DatasetStatus | None) -> Plan | Refusal:
        self.plans += 1
        if self.plan_refusal is not None:
            return self.plan_refusal
        spec = job.spec
        assert spec.sage_maker is not None
        assert spec.output is not None
        region = spec.sage_maker.region or REGION
        name = identity.job_name(
            name=job.name,
            attempt=job.attempt,
            identity=identity.run_identity(
                scope=job.identity_scope,
                account=ACCOUNT,
                region=region,
                namespace=job.namespace,
                name=job.name,
                run_id=spec.run_id,
                fingerprint=job.fingerprint,
            ),
        )
        runtime = durations.seconds(spec.run_policy.max_runtime or "120h") - job.prior_runtime_seconds
        files = [(file.uri, file.etag) for file in (facts.files or [])] if facts else []
        inputs = identity.digest([self.catalogue, files])
        request = {"TrainingJobName": name, "MaxRuntimeInSeconds": runtime, "Tags": spec.tags, "uid": job.uid}
        return Plan(
            platform=self.name,
            job_name=name,
            attempt=job.attempt,
            place=Place(ACCOUNT, region, job.access),
            fingerprint=job.fingerprint,
            request=request,
            request_digest=identity.digest([request, self.catalogue]),
            inputs_digest=inputs,
            uploads=(),
            data=(),
            tags={},
            effective=Effective(
                account=ACCOUNT,
                region=region,
                instance_count=4,
                total_steps=200,
                max_runtime=durations.display(runtime),
                output_uri=spec.output.uri,
                deletion_policy=str(spec.run_policy.deletion_policy or "Stop"),
                access=EffectiveAccess(
                    assume_role_arn=job.access.role_arn, external_id=job.access.external_id, profile=job.access.profile
                )
                if job.access
                else None,
                tags=dict(job.profile.tags) or None if job.profile else None,
            ),
            max_instance_hours=480.0,
        )

    def ref(self, effective: Effective, job_name: str, namespace: str) -> RunRef:
        given = effective.access
        access = Access(given.assume_role_arn, given.external_id, given.profile, namespace) if given else None
        return RunRef(self.name, effective.account or "", effective.region or "", job_name, access)

    def console_url(self, ref: RunRef) -> str:
        return f"https://console.example/{ref.job_name}"

    async def check(self, job: JobView) -> CheckOutcome:
        self.checks += 1
        if self.check_takes:
            await asyncio.sleep(self.check_takes)
        if self.check_trouble is not None:
            raise self.check_trouble
        uri = job.spec.dataset.train.uri if job.spec.dataset.train else ""
        facts = DatasetStatus(
            rows=self.rows,
            files=[DatasetFile(uri=str(uri), etag=self.etag, rows=self.rows, bytes=1000)],
            error_count=self.check_errors,
        )
        if self.replaces_data_after_check:
            self.replaces_data_after_check -= 1
            self.etag += "+"
        kept = facts if self.check_refusal is None or self.check_partly_read else None
        return CheckOutcome(kept, self.check_refusal)

    def _still_as_checked(self, facts: DatasetStatus) -> bool:
        return all(file.etag == self.etag for file in facts.files or [])

    async def submit(self, plan: Plan, job: JobView, facts: DatasetStatus | None) -> SubmitOutcome:
        self.submits += 1
        broken = self.may_submit(plan, job)
        if broken:
            self.wrong.append(broken)
        if self.submit_takes:
            await asyncio.sleep(self.submit_takes)
        if self.unreachable is not None:
            raise self.unreachable
        if facts is not None and not self._still_as_checked(facts):
            return SubmitOutcome(SubmitKind.DATA_CHANGED)
        self._pass_time()
        found = self.jobs.get(plan.job_name)
        if found is not None:
            return self._existing(found, job)
        if self.create_refusal is not None:
            return SubmitOutcome(SubmitKind.REFUSED, refusal=self.create_refusal, retry_after=self.create_retry_after)
        if self.drop_next_creates:
            self.drop_next_creates -= 1
            return SubmitOutcome(SubmitKind.UNKNOWN)
        owner = f"{job.namespace}/{job.name}"
        if self.live(owner):
            self.wrong.append(f"{plan.job_name} was created while {self.live(owner)[0].name} was live")
        self.jobs[plan.job_name] = CloudJob(
            name=plan.job_name,
            created=self.now(),
            tags={"uid": job.uid, "fingerprint": plan.fingerprint, "inputs": plan.inputs_digest},
            owner=owner,
            max_runtime=plan.request["MaxRuntimeInSeconds"],
        )
        self.created.append(plan.job_name)
        self.as_whom.append(plan.place.access.role_arn if plan.place.access else None)
        if self.lose_next_answers:
            self.lose_next_answers -= 1
            return SubmitOutcome(SubmitKind.UNKNOWN)
        return SubmitOutcome(SubmitKind.LAUNCHED, self._arn(plan.job_name))

    async def find(self, ref: RunRef, job: JobView) -> SubmitOutcome | None:
        self.finds += 1
        if self.unreachable is not None:
            raise self.unreachable
        self._pass_time()
        found = self.jobs.get(ref.job_name)
        return self._existing(found, job) if found is not None else None

    def _existing(self, found: CloudJob, job: JobView) -> SubmitOutcome:
        arn, inputs = self._arn(found.name), found.tags.get("inputs")
        if found.owner != f"{job.namespace}/{job.name}":
            return SubmitOutcome(SubmitKind.REFUSED, refusal=refusal(Reason.NAME_CONFLICT, f"{found.name} is not ours"))
        stopped_by = found.tags.get("stopped-by") if found.state is RunState.STOPPED else None
        attached = SubmitOutcome(
            SubmitKind.ATTACHED, arn, inputs_digest=inputs, state=found.state, stopped_by=stopped_by
        )
        if found.tags["uid"] == job.uid:
            return attached
        if found.state is RunState.STOPPING:
            return SubmitOutcome(SubmitKind.ENDING, arn, retry_after=10.0)
        if found.state is RunState.SUCCEEDED:
            return SubmitOutcome(SubmitKind.ADOPTED_FINISHED, arn, inputs_digest=inputs)
        if stopped_by in ("Delete", "Suspend"):
            return SubmitOutcome(SubmitKind.NEXT_ATTEMPT, arn)
        return attached

    async def watch(
        self, runs: Callable[[], Collection[RunRef]]
    ) -> AsyncIterator[tuple[RunRef, Observation | PlatformUnavailable]]:
        """Like the real sweep: the set is compared every second, changes are told once and ends as long as asked."""
        memory: dict[RunRef, _Memory] = {}
        next_sweep = self.now()
        while True:
            refs = runs()
            for gone in memory.keys() - set(refs):
                del memory[gone]
            fresh = [ref for ref in refs if ref not in memory]
            for ref in fresh:
                memory[ref] = _Memory(self.now())
            due = self.now() >= next_sweep
            if due:
                next_sweep = self.now() + timedelta(seconds=SWEEP)
            for ref in sorted(refs if due else fresh, key=lambda ref: ref.job_name):
                news = self._news(ref, memory[ref])
                if news is not None:
                    yield ref, news
            await asyncio.sleep(1.0 if memory else 5.0)

    def _news(self, ref: RunRef, known: _Memory) -> Observation | PlatformUnavailable | None:
        self._pass_time()
        if known.last is not None and known.last.state.ended:
            return known.last
        if self.unreachable is not None:
            known.unreachable = True
            return self.unreachable
        job = self.jobs.get(ref.job_name)
        if job is None:
            known.missing += 1
            young = known.last is None and self.now() - known.since < timedelta(seconds=NOT_FOUND_GRACE)
            if young or known.missing < 2:
                return None
            known.last = Observation(
                RunState.LOST,
                "NotFound",
                self.now(),
                reason=Reason.LOST,
                failure_message="the service does not know it",
            )
            return known.last
        look = self._observation(job)
        same = known.last is not None and _apart_from_time(known.last) == _apart_from_time(look)
        if same and not known.unreachable:
            return None
        known.last, known.unreachable = look, False
        return look

    def _observation(self, job: CloudJob) -> Observation:
        runtime = None
        if job.started is not None and job.ended is not None and job.ended <= self.now():
            runtime = int((job.ended - job.started).total_seconds())
        return Observation(
            state=job.state,
            stage={RunState.RUNNING: "Training", RunState.SUCCEEDED: "Completed"}.get(job.state, job.state.value),
            observed_at=self.now(),
            job_arn=self._arn(job.name),
            reason=job.reason,
            failure_message=job.failure_message,
            hint=job.hint,
            start_time=job.started,
            end_time=job.ended if job.state.ended else None,
            runtime_seconds=runtime,
            billable_seconds=runtime,
            timeline=job.timeline,
            progress=job.progress,
        )

    async def stop(self, ref: RunRef, *, cause: str) -> bool:
        trouble = self.stop_trouble or self.unreachable
        if trouble is not None:
            raise trouble
        self.stops.append((ref.job_name, cause))
        job = self.jobs.get(ref.job_name)
        if job is not None and job.live:
            job.tags["stopped-by"] = cause
            if job.state is not RunState.STOPPING:
                job.state, job.ended = RunState.STOPPING, self.now() + timedelta(seconds=self.stop_grace)
        return job is not None

    async def result(self, ref: RunRef, observation: Observation, effective: Effective) -> Result:
        if self.result_trouble is not None:
            raise self.result_trouble
        if self.result_of_run is not None:
            return self.result_of_run
        return Result(Artifacts(checkpoint=f"s3://escrow/{ref.job_name}"), log_tail=("step 1", "step 2"))

    async def tag(self, ref: RunRef, tags: Mapping[str, str]) -> tuple[str, ...]:
        known = {key for name, earlier in self.tag_calls if name == ref.job_name for key in earlier}
        self.tag_calls.append((ref.job_name, dict(tags)))
        return tuple(sorted(known - tags.keys()))

    def _arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}"


@dataclass
class _Memory:
    since: datetime
    last: Observation | None = None
    missing: int = 0
    unreachable: bool = False


def _apart_from_time(look: Observation) -> tuple[object, ...]:
    return look.state, look.stage, look.progress, look.start_time, look.timeline
