"""SageMaker as a Platform: the parts of this folder put together; no rule lives here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping

from ...api.place import Access, Place
from ...api.status import DatasetStatus, Effective
from ...aws.caller import AWSCaller
from ...aws.errors import AWSError
from ...aws.identity import console_host
from ...recipes.catalogue import Catalogue
from ..base import (
    CheckOutcome,
    JobView,
    Observation,
    Plan,
    PlatformUnavailable,
    Refusal,
    Result,
    RunRef,
    SubmitOutcome,
)
from . import plan, stop
from . import tags as tag_store
from .check import DatasetChecks
from .result import collect
from .settings import SageMakerSettings
from .submit import Submitter
from .unavailable import unavailable
from .watch import Watch


class SageMakerPlatform:
    """Runs of another `identity_scope` are never stopped. `swept` is told the place after each sweep, for a gauge
    of its age."""

    name = plan.PLATFORM

    def __init__(
        self,
        caller: AWSCaller,
        catalogue: Catalogue,
        settings: SageMakerSettings | None = None,
        *,
        identity_scope: str,
        swept: Callable[[Place], None] = lambda *_: None,
    ) -> None:
        self._caller, self._catalogue = caller, catalogue
        self._settings = settings or SageMakerSettings()
        self._scope, self._swept = identity_scope, swept
        self._submitter = Submitter(caller)
        self._checks = DatasetChecks(
            processes=self._settings.check_processes, idle=self._settings.check_idle, observe=caller.observe
        )

    def plan(self, job: JobView, facts: DatasetStatus | None) -> Plan | Refusal:
        return plan.make_plan(job, facts, self._catalogue)

    def precheck(self, job: JobView) -> Plan | Refusal | None:
        return plan.precheck(job, self._catalogue)

    def ref(self, effective: Effective, job_name: str, namespace: str) -> RunRef:
        given = effective.access
        access = Access(given.assume_role_arn, given.external_id, given.profile, namespace) if given else None
        return RunRef(self.name, effective.account or "", effective.region or "", job_name, access)

    def console_url(self, ref: RunRef) -> str:
        return f"https://{console_host(ref.region)}/sagemaker/home?region={ref.region}#/jobs/{ref.job_name}"

    async def check(self, job: JobView) -> CheckOutcome:
        return await self._checks.check(job)

    async def submit(self, plan: Plan, job: JobView, facts: DatasetStatus | None) -> SubmitOutcome:
        return await self._submitter.submit(plan, job, facts)

    async def find(self, ref: RunRef, job: JobView) -> SubmitOutcome | None:
        return await self._submitter.find(ref, job)

    def watch(
        self, runs: Callable[[], Collection[RunRef]]
    ) -> AsyncIterator[tuple[RunRef, Observation | PlatformUnavailable]]:
        return Watch(self._caller, self._settings, runs, swept=self._swept).stream()

    async def stop(self, ref: RunRef, *, cause: str) -> bool:
        return await stop.stop(self._caller, ref, cause, self._scope)

    async def result(self, ref: RunRef, observation: Observation, effective: Effective) -> Result:
        return await collect(self._caller, ref, observation, effective)

    async def tag(self, ref: RunRef, tags: Mapping[str, str]) -> tuple[str, ...]:
        try:
            if tags:
                await tag_store.add(self._caller, ref, tags)
            return tag_store.users(await tag_store.read(self._caller, ref), besides=tags)
        except AWSError as error:
            raise unavailable(error) from error

    def close(self) -> None:
        """Ends the processes that check data."""
        self._checks.close()
