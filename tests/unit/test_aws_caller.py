"""Calls against the simulated AWS: what a lost answer looks like, what is counted, and what never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft_lab.awssim.control import Sim
from sft_operator.api.place import Place
from sft_operator.aws.caller import AWSCaller, CallerSettings, Rate
from sft_operator.aws.errors import AWSError
from sft_operator.aws.sessions import Clients, ClientSettings, Purpose, default_region
from tests.sagemaker_lab import simulated_aws

HERE = Place("", "us-east-1")


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with simulated_aws() as sim:
        yield sim


@pytest.fixture(autouse=True)
def healed(sim: Sim) -> None:
    sim.reset()


async def refused(caller: AWSCaller, service: str, operation: str, **params: object) -> AWSError:
    with pytest.raises(AWSError) as raised:
        await caller.call(service, operation, HERE, **params)
    return raised.value


async def test_an_answer_cut_off_is_lost_and_an_answered_refusal_is_not(sim: Sim) -> None:
    caller = AWSCaller(Clients(ClientSettings(total_max_attempts=1)))
    sim.fail("DescribeTrainingJob", reset_connection=True)
    assert (await refused(caller, "sagemaker", "DescribeTrainingJob", TrainingJobName="sft-x")).lost
    error = await refused(caller, "sagemaker", "DescribeTrainingJob", TrainingJobName="sft-x")
    assert (error.lost, error.unsure, error.code, error.http_status) == (False, False, "ValidationException", 400)


async def test_a_service_that_does_not_answer_in_time_is_lost(sim: Sim) -> None:
    caller = AWSCaller(Clients(ClientSettings(total_max_attempts=1, read_timeout=0.2)))
    sim.fail("DescribeTrainingJob", black_hole=True)
    assert (await refused(caller, "sagemaker", "DescribeTrainingJob", TrainingJobName="sft-x")).lost


async def test_a_refusal_after_a_lost_try_says_that_the_first_may_have_been_heard(sim: Sim) -> None:
    caller = AWSCaller()
    sim.fail("DescribeTrainingJob", status=503)
    error = await refused(caller, "sagemaker", "DescribeTrainingJob", TrainingJobName="sft-x")
    assert (error.code, error.retried, error.unsure) == ("ValidationException", True, True)


async def test_every_call_is_counted_with_its_code() -> None:
    seen: list[tuple[str, str, str]] = []
    caller = AWSCaller(observe=lambda service, operation, code, seconds: seen.append((service, operation, code)))
    await caller.call("sts", "GetCallerIdentity", HERE)
    await refused(caller, "sagemaker", "DescribeTrainingJob", TrainingJobName="sft-x")
    assert seen == [("sts", "GetCallerIdentity", ""), ("sagemaker", "DescribeTrainingJob", "ValidationException")]


async def test_a_parameter_of_the_wrong_type_is_an_error_like_any_other() -> None:
    error = await refused(AWSCaller(), "sagemaker", "DescribeTrainingJob", TrainingJobName=1)
    assert error.code == "ParamValidationError"


async def test_a_stop_waits_neither_for_the_rate_nor_for_the_threads_of_polling(sim: Sim) -> None:
    settings = CallerSettings(
        threads=1, poll_threads=1, rates={"list": Rate(0.001), "stop": Rate(1, 5), "describe": Rate(100, 100)}
    )
    caller = AWSCaller(settings=settings)
    sim.fail("DescribeTrainingJob", delay=3, times=None)
    blocked = [
        asyncio.ensure_future(caller.call("sagemaker", "DescribeTrainingJob", HERE, TrainingJobName="sft-x")),
        *(asyncio.ensure_future(caller.call("sagemaker", "ListTrainingJobs", HERE)) for _ in range(2)),
    ]
    await asyncio.sleep(0)
    error = await asyncio.wait_for(refused(caller, "sagemaker", "StopTrainingJob", TrainingJobName="sft-x"), 2.5)
    assert error.code == "ValidationException"
    assert not any(call.done() for call in blocked)
    for call in blocked:
        call.cancel()
    await asyncio.gather(*blocked, return_exceptions=True)


async def test_regions_have_buckets_of_their_own() -> None:
    caller = AWSCaller(settings=CallerSettings(rates={"list": Rate(0.001)}))
    for region in ("us-east-1", "us-west-2"):
        await asyncio.wait_for(caller.call("sagemaker", "ListTrainingJobs", Place("", region)), 10)


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-east-1"}, "us-west-2"),
        ({"AWS_REGION": "us-west-2"}, "us-west-2"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
    ],
)
def test_both_region_variables_are_honoured(
    environment: dict[str, str], region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_region() == region
    assert Clients().get("sts").meta.region_name == region


def test_a_client_is_built_once_and_polling_has_one_of_its_own() -> None:
    clients = Clients()
    assert clients.get("sagemaker", "us-east-1") is clients.get("sagemaker", "us-east-1")
    assert clients.get("sagemaker", "us-east-1") is not clients.get("sagemaker", "us-east-1", Purpose.POLL)


def test_the_web_identity_of_an_eks_pod_is_taken_by_botocores_own_chain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/operator")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    assert "operator" in Clients().get("sts", "us-east-1").get_caller_identity()["Arn"]
