"""The fence in front of AWS: what is sent while a lease is long, short, or gone, by the simulated AWS's journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from sft_lab.awssim.control import Sim
from sft_operator.api.place import Place
from sft_operator.api.reasons import Reason
from sft_operator.aws.caller import AWSCaller
from sft_operator.aws.errors import AWSError, classify
from sft_operator.aws.fence import NOT_LEADING, changes
from sft_operator.aws.sessions import Clients, ClientSettings, Purpose
from tests.sagemaker_lab import simulated_aws

HERE = Place(account="111122223333", region="us-east-1")


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with simulated_aws() as sim:
        yield sim


@pytest.fixture(autouse=True)
def healed(sim: Sim) -> None:
    sim.reset()


def refused(call: Callable[[], object]) -> AWSError:
    with pytest.raises(AWSError) as raised:
        call()
    assert raised.value.code == NOT_LEADING
    return raised.value


def stop(clients: Clients) -> object:
    return clients.get("sagemaker", "us-east-1").stop_training_job(TrainingJobName="sft-x")


def test_a_change_is_not_sent_with_less_lease_than_its_own_time_out_and_a_look_is(sim: Sim) -> None:
    wanted = ClientSettings()
    longest = wanted.connect_timeout + wanted.act_read_timeout
    clients = Clients(may_send=lambda seconds: longest - 0.1 > seconds)
    refused(lambda: stop(clients))
    refused(lambda: clients.get("s3", "us-east-1").put_object(Bucket="b", Key="k", Body=b""))
    clients.get("sagemaker", "us-east-1", Purpose.POLL).list_training_jobs()
    assert [call.operation for call in sim.calls()] == ["ListTrainingJobs"]


def test_without_a_lease_nothing_is_sent_at_all(sim: Sim) -> None:
    clients = Clients(may_send=lambda _: False)
    error = refused(lambda: stop(clients))
    refused(clients.get("sagemaker", "us-east-1", Purpose.POLL).list_training_jobs)
    assert sim.calls() == []
    assert not error.unsure


def test_the_second_try_of_a_change_asks_again_and_says_that_the_first_may_have_been_heard(sim: Sim) -> None:
    sim.fail("StopTrainingJob", reset_connection=True, times=None)
    answers = iter([True, False])
    error = refused(lambda: stop(Clients(may_send=lambda _: next(answers))))
    assert error.unsure
    assert len(sim.calls("StopTrainingJob")) == 1


def test_what_was_not_sent_is_tried_again_soon() -> None:
    verdict = classify(AWSError("sagemaker", "CreateTrainingJob", NOT_LEADING, "not sent"))
    assert (verdict.reason, verdict.known) == (Reason.SERVICE_UNAVAILABLE, True)
    assert verdict.retry_after is not None
    assert verdict.retry_after <= 10


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        ("CreateTrainingJob", True), ("StopTrainingJob", True), ("AddTags", True), ("PutObject", True),
        ("SomethingNew", True), ("DescribeTrainingJob", False), ("ListTags", False), ("HeadObject", False),
        ("GetCallerIdentity", False), ("GetObject", False),
    ],
)  # fmt: skip
def test_everything_that_is_not_plainly_a_look_counts_as_a_change(operation: str, change: bool) -> None:
    assert changes(operation) is change


async def test_settling_waits_for_the_change_in_flight_and_lets_none_begin(sim: Sim) -> None:
    sim.fail("StopTrainingJob", delay=1.0)
    caller = AWSCaller()
    in_flight = asyncio.ensure_future(caller.call("sagemaker", "StopTrainingJob", HERE, TrainingJobName="sft-x"))
    async with asyncio.timeout(5):
        while not sim.calls("StopTrainingJob"):  # noqa: ASYNC110 -- it is on its way in another thread
            await asyncio.sleep(0.01)
    began = time.monotonic()
    assert not await caller.settled(0.1)
    assert await caller.settled(5)
    assert time.monotonic() - began > 0.4
    with pytest.raises(AWSError):
        await in_flight
    with pytest.raises(RuntimeError):
        await caller.call("sagemaker", "StopTrainingJob", HERE, TrainingJobName="sft-x")
