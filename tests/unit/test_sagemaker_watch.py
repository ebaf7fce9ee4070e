"""Following runs: what is told, and how many calls it costs, on a simulated AWS whose clock the test moves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any

import pytest

from sft_lab.awssim.control import Sim
from sft_operator.api.place import Place
from sft_operator.api.reasons import Reason
from sft_operator.aws.sessions import ClientSettings
from sft_operator.platforms.base import Observation, PlatformUnavailable, RunRef, RunState
from sft_operator.platforms.sagemaker.settings import SageMakerSettings
from sft_operator.platforms.sagemaker.sweep import Item, Sweep
from tests.sagemaker_lab import Lab, lab, simulated_aws, view

SETTINGS = SageMakerSettings()


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with simulated_aws() as sim:
        yield sim


@pytest.fixture
def aws(sim: Sim) -> Iterator[Lab]:
    with lab(sim, SageMakerSettings(tick=0.05), ClientSettings(total_max_attempts=1)) as made:
        sim.speed(0)
        yield made


class Looks:
    """Sweeps at their interval on the simulated clock, as the watch makes them."""

    def __init__(self, aws: Lab, refs: Collection[RunRef]) -> None:
        self.aws, self.refs = aws, set(refs)
        self.seconds = 0.0
        self.sweep = Sweep(aws.caller, SETTINGS, Place("111122223333", "us-east-1"), monotonic=lambda: self.seconds)
        self.told: list[Item] = []

    async def look(self, times: int = 1, advance: float = SETTINGS.sweep_interval) -> list[Item]:
        for _ in range(times):
            self.sweep.keep(self.refs)
            news = await self.sweep.look()
            self.told += news
            self.aws.sim.advance(advance)
            self.seconds += advance
        return news

    def states(self, ref: RunRef) -> list[str]:
        return [
            seen.stage if isinstance(seen, Observation) else seen.reason for found, seen in self.told if found == ref
        ]


async def launch(aws: Lab, name: str = "demo", **script: Any) -> RunRef:
    job = view(name=name)
    plan = aws.plan(job)
    if script:
        aws.sim.script(name=plan.job_name, **script)
    outcome = await aws.platform.submit(plan, job, None)
    assert outcome.job_arn, outcome
    aws.sim.reset("journal")
    return plan.ref


REAL = {"pending": 15, "starting": 60, "downloading": 45, "training": 420, "uploading": 60, "stop_grace": 20}


async def test_a_healthy_run_of_ten_minutes_costs_at_most_29_calls_and_none_after_its_end(aws: Lab) -> None:
    ref = await launch(aws, **REAL)
    looks = Looks(aws, [ref])
    await looks.look(times=40)
    assert looks.states(ref)[-1] == "Completed"
    calls = Counter(aws.sagemaker_calls())
    assert calls == {"DescribeTrainingJob": calls.total()}
    assert calls.total() <= 29  # with its create: 30
    stages = list(dict.fromkeys(looks.states(ref)))
    assert stages == ["Pending", "Starting", "Downloading", "Training", "Uploading", "Completed"]


async def test_without_unfinished_runs_nothing_is_called(aws: Lab) -> None:
    looks = Looks(aws, [])
    await looks.look(times=5)
    assert aws.sagemaker_calls() == []


async def test_several_runs_share_one_list_and_are_described_only_when_it_matters(aws: Lab) -> None:
    refs = [await launch(aws, f"job-{i}", **REAL) for i in range(5)]
    looks = Looks(aws, refs)
    await looks.look(times=25)
    calls = Counter(aws.sagemaker_calls())
    assert all(looks.states(ref)[-1] == "Completed" for ref in refs)
    # per run: once when it trains, once when it has ended
    assert calls["DescribeTrainingJob"] <= 2 * len(refs)
    assert calls["ListTrainingJobs"] <= 21
    first = aws.sim.calls("ListTrainingJobs")[0].parameters
    assert "StatusEquals" not in first
    assert (first["NameContains"], first["MaxResults"]) == ("sft-", 100)
    ended = [seen for ref, seen in looks.told if ref == refs[0] and isinstance(seen, Observation)][-1]
    assert ended.billable_seconds
    assert ended.timeline[-1].stage == "Completed"


async def test_a_list_of_more_than_one_page_is_read_to_its_last_wanted_run(aws: Lab) -> None:
    refs = [await launch(aws, f"job-{i}", **REAL) for i in range(3)]
    client = aws.caller.clients.get("sagemaker", "us-east-1")
    template = dict(aws.plan(view(name="job-0")).request)
    for i in range(130):
        client.create_training_job(**{**template, "TrainingJobName": f"sft-other-{i}"})
    aws.sim.reset("journal")
    looks = Looks(aws, refs)
    await looks.look()
    assert {ref for ref, _ in looks.told} == set(refs)
    assert aws.sagemaker_calls() == ["ListTrainingJobs", "ListTrainingJobs"]


async def test_later_lists_ask_only_for_what_changed_and_a_full_one_comes_every_ten_minutes(aws: Lab) -> None:
    refs = [await launch(aws, f"job-{i}", training=100_000) for i in range(2)]
    looks = Looks(aws, refs)
    await looks.look(times=42)
    full = ["LastModifiedTimeAfter" not in call.parameters for call in aws.sim.calls("ListTrainingJobs")]
    assert [i for i, is_full in enumerate(full) if is_full] == [0, 20, 40]


async def test_a_run_that_ended_long_ago_is_found_by_a_describe(aws: Lab) -> None:
    refs = [await launch(aws, f"job-{i}", training=100_000) for i in range(2)]
    old = await launch(aws, "old", training=1)
    aws.sim.advance(1000)
    looks = Looks(aws, refs)
    await looks.look(times=2, advance=300)
    looks.refs.add(old)
    await looks.look()
    assert looks.states(old) == ["Completed"]


async def test_a_run_just_created_may_be_unknown_for_a_minute(aws: Lab) -> None:
    ref = await launch(aws, not_found_first=2, training=10_000)
    looks = Looks(aws, [ref])
    await looks.look(times=4)
    assert looks.states(ref)[0] != "NotFound"
    assert "NotFound" not in looks.states(ref)


@pytest.mark.parametrize("company", [0, 2])
async def test_a_run_that_vanished_is_lost_after_two_looks(aws: Lab, company: int) -> None:
    refs = [await launch(aws, f"job-{i}", training=100_000) for i in range(company)]
    gone = await launch(aws, "gone", training=1)
    looks = Looks(aws, [gone, *refs])
    client = aws.caller.clients.get("sagemaker", "us-east-1")
    await looks.look(advance=0)
    aws.sim.advance(600)
    client.delete_training_job(TrainingJobName=gone.job_name)
    looks.seconds = 700.0
    await looks.look()
    assert "NotFound" not in looks.states(gone)
    await looks.look()
    assert looks.states(gone)[-1] == "NotFound"
    last = [seen for ref, seen in looks.told if ref == gone][-1]
    assert isinstance(last, Observation)
    assert (last.state, last.reason) == (RunState.LOST, Reason.LOST)
    assert all(looks.states(ref)[-1] != "NotFound" for ref in refs)


@pytest.mark.parametrize("several", [False, True])
async def test_an_outage_is_told_with_its_reason_and_so_is_its_end(aws: Lab, several: bool) -> None:
    refs = [await launch(aws, f"job-{i}", training=100_000) for i in range(2 if several else 1)]
    looks = Looks(aws, refs)
    await looks.look(times=6)
    aws.sim.fail("*", code="ThrottlingException", service="sagemaker", times=1)
    news = await looks.look()
    assert {ref for ref, _ in news} == set(refs)
    for _, seen in news:
        assert isinstance(seen, PlatformUnavailable)
        assert (seen.reason, seen.retry_after) == (Reason.THROTTLED, 30)
    back = await looks.look()
    assert {ref for ref, seen in back if isinstance(seen, Observation)} == set(refs)
    assert await looks.look() == []


async def test_a_run_interrupted_and_stopped_from_outside_is_told_as_such(aws: Lab) -> None:
    ref = await launch(aws, pending=0, starting=10, downloading=5, training=600, interruptions=[[60, 100]])
    looks = Looks(aws, [ref])
    await looks.look(times=7, advance=20)
    assert "Interrupted" in looks.states(ref)
    aws.caller.clients.get("sagemaker", "us-east-1").stop_training_job(TrainingJobName=ref.job_name)
    await looks.look(times=12, advance=20)
    last = [seen for _, seen in looks.told][-1]
    assert isinstance(last, Observation)
    assert (last.state, last.reason) == (RunState.STOPPED, Reason.STOPPED_BY_USER)


async def until(stream: AsyncIterator[Item], wanted: Any) -> list[Item]:
    found: list[Item] = []
    async with asyncio.timeout(20):
        async for item in stream:
            found.append(item)
            if wanted(item[1]):
                return found
    raise AssertionError("the stream ended")


async def test_the_stream_tells_progress_from_the_log_at_its_own_pace(sim: Sim) -> None:
    settings = SageMakerSettings(sweep_interval=0.1, log_interval=0.2, tick=0.02)
    with lab(sim, settings) as aws:
        ref = await launch(aws, pending=0, starting=0.1, downloading=0.1, training=3, uploading=0.1)
        found = await until(aws.platform.watch(lambda: {ref}), lambda seen: seen.state.ended)
        steps = [seen.progress.step for _, seen in found if isinstance(seen, Observation) and seen.progress]
        assert steps == sorted(steps)
        assert len(set(steps)) >= 3
        assert found[-1][1].progress is not None  # type: ignore[union-attr]
        reads = len(sim.calls("GetLogEvents"))
        assert reads <= 3 / 0.2 + 3
        assert len(sim.calls("DescribeLogStreams")) <= 4


async def test_a_log_that_may_not_be_read_makes_no_run_unreachable(sim: Sim) -> None:
    settings = SageMakerSettings(sweep_interval=0.1, log_interval=0.1, tick=0.02)
    with lab(sim, settings) as aws:
        sim.fail("DescribeLogStreams", code="AccessDeniedException", times=None)
        ref = await launch(aws, pending=0, starting=0.1, downloading=0, training=0.6, uploading=0)
        found = await until(aws.platform.watch(lambda: {ref}), lambda seen: seen.state.ended)
        assert not any(isinstance(seen, PlatformUnavailable) for _, seen in found)


async def test_a_new_run_is_looked_at_at_once_and_not_after_the_interval(aws: Lab) -> None:
    live: set[RunRef] = set()
    stream = aws.platform.watch(lambda: live)
    waiting = asyncio.ensure_future(until(stream, lambda seen: True))
    await asyncio.sleep(0)
    ref = await launch(aws, training=100_000)
    live.add(ref)
    found = await asyncio.wait_for(waiting, 5)
    assert found[0][0] == ref


async def test_a_stop_is_tagged_with_its_cause_and_stopping_again_is_no_error(aws: Lab) -> None:
    ref = await launch(aws, training=100_000)
    await aws.platform.stop(ref, cause="Suspend")
    assert aws.sim.job(ref.job_name)["tags"]["sft-operator.dev/stopped-by"] == "Suspend"
    aws.sim.advance(600)
    await aws.platform.stop(ref, cause="Suspend")
    assert aws.sim.job(ref.job_name)["status"] == "Stopped"
    await aws.platform.stop(RunRef("SageMaker", "111122223333", "us-east-1", "sft-never-was-0-1"), cause="Stop")


async def test_a_job_that_somebody_else_made_under_our_name_is_not_stopped(aws: Lab) -> None:
    ref = await launch(aws, training=100_000)
    arn, keys = aws.sim.job(ref.job_name)["arn"], list(aws.sim.job(ref.job_name)["tags"])
    aws.caller.clients.get("sagemaker", "us-east-1").delete_tags(ResourceArn=arn, TagKeys=keys)
    with pytest.raises(PlatformUnavailable, match="is not stopped"):
        await aws.platform.stop(ref, cause="Delete")
    assert aws.sim.job(ref.job_name)["status"] == "InProgress"


async def test_a_run_of_another_environment_is_not_stopped(aws: Lab) -> None:
    plan = aws.plan(view(scope="prod-eu"))
    await aws.platform.submit(plan, view(scope="prod-eu"), None)
    with pytest.raises(PlatformUnavailable, match="is not stopped"):
        await aws.platform.stop(plan.ref, cause="Stop")
    assert "StopTrainingJob" not in aws.sagemaker_calls()


async def test_a_run_whose_cause_cannot_be_tagged_is_stopped_all_the_same(aws: Lab) -> None:
    ref = await launch(aws, training=100_000)
    aws.sim.fail("AddTags", code="AccessDeniedException")
    await aws.platform.stop(ref, cause="Delete")
    aws.sim.advance(600)
    assert aws.sim.job(ref.job_name)["status"] == "Stopped"


async def test_a_stop_that_aws_does_not_take_is_unavailable(aws: Lab) -> None:
    ref = await launch(aws, training=100_000)
    aws.sim.fail("StopTrainingJob", code="ThrottlingException")
    with pytest.raises(PlatformUnavailable) as raised:
        await aws.platform.stop(ref, cause="Stop")
    assert raised.value.reason is Reason.THROTTLED


async def test_tags_are_added_to_a_live_run(aws: Lab) -> None:
    ref = await launch(aws, training=100_000)
    await aws.platform.tag(ref, {"team": "support"})
    assert aws.sim.job(ref.job_name)["tags"]["team"] == "support"
