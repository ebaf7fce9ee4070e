"""What kept a job from being stopped, followed or launched once, while its status told of something else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sft_operator.api.place import Place
from sft_operator.api.reasons import Reason
from sft_operator.controller.app import _resync
from sft_operator.controller.queue import KeyedQueue
from sft_operator.controller.reconcile.decision import stop_due_in, waits
from sft_operator.controller.reconcile.job import Seen, Trouble
from sft_operator.controller.store import Store
from sft_operator.platforms.base import CheckOutcome, PlatformUnavailable, RunRef, SubmitKind, SubmitOutcome
from sft_operator.platforms.sagemaker.settings import SageMakerSettings
from sft_operator.platforms.sagemaker.sweep import Sweep
from tests.sagemaker_lab import lab, simulated_aws
from tests.unit.world import World

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_stop_is_carried_out_although_the_api_server_prunes_a_field_of_the_status() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        whole = world.cluster.patch_status

        async def pruned(metadata: Mapping[str, Any], patch: Mapping[str, Any]) -> Mapping[str, Any]:
            return await whole(metadata, {key: value for key, value in patch.items() if key != "stopRequest"})

        world.cluster.patch_status = pruned  # type: ignore[method-assign]
        world.apply({"runPolicy.stop": True})
        world.advance(120)
        assert world.phase == "Stopped"
        assert world.aws.live() == []


def test_an_unclear_create_is_not_hurried_by_row_errors_too_long_for_the_status() -> None:
    with World() as world:
        check = world.aws.check

        async def many_errors(job: Any) -> CheckOutcome:
            found = await check(job)
            assert found.facts is not None
            errors = [f"line {number}: {'é' * 900}" for number in range(20)]
            return CheckOutcome(found.facts.model_copy(update={"errors": errors, "error_count": 20}))

        async def unclear(*_: Any) -> SubmitOutcome:
            world.aws.submits += 1
            return SubmitOutcome(SubmitKind.UNKNOWN, retry_after=10.0)

        world.aws.check = many_errors  # type: ignore[method-assign]
        world.aws.submit = unclear  # type: ignore[method-assign, assignment]
        world.apply({"dataset.check": "Warn"})
        world.advance(60)
        assert world.aws.submits < 10


def test_a_clock_that_was_set_back_a_day_holds_up_neither_a_try_nor_a_stop() -> None:
    tomorrow = NOW + timedelta(days=1)
    assert waits(Trouble("Throttled", "no", tomorrow, NOW), NOW) is None
    assert waits(Trouble("Throttled", "no", NOW + timedelta(minutes=5), NOW), NOW) == 300.0
    assert stop_due_in(Seen(stop_asked=tomorrow), NOW) == 0.0
    assert stop_due_in(Seen(stop_asked=NOW), NOW) == 300.0


def test_a_late_answer_about_a_deleted_resource_does_not_bring_it_back() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.until("Running")
        whole = world.cluster.patch_status

        async def overtaken(metadata: Mapping[str, Any], patch: Mapping[str, Any]) -> Mapping[str, Any]:
            body = await whole(metadata, patch)
            world.store.remove(world.key)  # the watch told of the deletion first
            return body

        world.cluster.patch_status = overtaken  # type: ignore[method-assign]
        world.cluster.watchers = []
        world.aws.complete()
        world.advance(120)
        assert world.store.get(world.key) is None


async def test_one_answer_that_makes_no_sense_does_not_end_the_resync_for_good() -> None:
    done = asyncio.Event()

    class Kube:
        lists = 0
        scopes = (None,)

        async def list_all(self, scope: str | None) -> AsyncIterator[Any]:
            self.lists += 1
            if self.lists == 1:
                yield {"kind": "Status"}
            if self.lists > 2:
                done.set()

    kube: Any = Kube()
    task = asyncio.create_task(_resync(kube, Store(), KeyedQueue(), 0.01))
    try:
        await asyncio.wait_for(done.wait(), 5)
    finally:
        task.cancel()


async def test_credentials_of_another_account_make_no_run_lost() -> None:
    with simulated_aws() as sim, lab(sim) as aws:
        seconds = 0.0
        sweep = Sweep(aws.caller, SageMakerSettings(), Place("999999999999", "us-east-1"), monotonic=lambda: seconds)
        told = []
        for _ in range(5):
            sweep.keep([RunRef("SageMaker", "999999999999", "us-east-1", "sft-x-0-1")])
            told += await sweep.look()
            seconds += 60
    assert told
    assert {type(news) for _, news in told} == {PlatformUnavailable}
    assert {news.reason for _, news in told} == {Reason.ROLE_NOT_USABLE}
