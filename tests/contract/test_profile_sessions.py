"""Assumed sessions of profiles against a simulated AWS: who they are, when they are asked for anew, what one costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sft_lab.awssim.control import Call, Sim
from sft_operator.api.place import Access, Place
from sft_operator.aws import sessions
from sft_operator.aws.caller import AWSCaller
from sft_operator.aws.errors import AWSError
from sft_operator.aws.sessions import Clients
from tests.sagemaker_lab import simulated_aws

TEAM = Access("arn:aws:iam::444455556666:role/sft-operator-team", "our-secret-handshake", "team", "team-a")


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with simulated_aws() as sim:
        yield sim


@pytest.fixture(autouse=True)
def empty(sim: Sim) -> None:
    sim.reset()


def assumed(sim: Sim) -> list[Call]:
    return sim.calls("AssumeRole")


def who(clients: Clients, access: Access | None, region: str = "us-east-1") -> dict[str, Any]:
    answer: dict[str, Any] = clients.get("sts", region, access=access).get_caller_identity()
    return answer


def test_a_session_is_the_profiles_role_with_external_id_name_and_tags(sim: Sim) -> None:
    identity = who(Clients(), TEAM)
    assert identity["Account"] == "444455556666"
    assert identity["Arn"].endswith("assumed-role/sft-operator-team/sft-operator.team-a")
    (call,) = assumed(sim)
    assert call.parameters == {
        "RoleArn": TEAM.role_arn,
        "RoleSessionName": "sft-operator.team-a",
        "ExternalId": "our-secret-handshake",
        "DurationSeconds": "3600",
        "Tags.member.1.Key": "sft-operator.dev/profile",
        "Tags.member.1.Value": "team",
        "Tags.member.2.Key": "sft-operator.dev/namespace",
        "Tags.member.2.Value": "team-a",
    }


def test_each_namespace_has_a_session_of_its_own_and_the_operator_stays_itself(sim: Sim) -> None:
    clients = Clients()
    other = Access(TEAM.role_arn, None, "team", "team-b")
    shared = Place("444455556666", "us-east-1", TEAM).shared.access
    found = {who(clients, access)["Arn"].rpartition("/")[2] for access in (TEAM, other, shared, TEAM)}
    assert found == {"sft-operator.team-a", "sft-operator.team-b", "sft-operator.team"}
    assert len(assumed(sim)) == 3
    assert "ExternalId" not in assumed(sim)[1].parameters
    assert "Tags.member.2.Key" not in assumed(sim)[2].parameters
    assert who(clients, None)["Account"] != "444455556666"


def test_the_longest_names_make_a_session_name_that_aws_takes(sim: Sim) -> None:
    who(Clients(), Access(TEAM.role_arn, None, "p" * 253, "n" * 63))
    (call,) = assumed(sim)
    assert len(call.parameters["RoleSessionName"]) <= 64
    assert all(len(value) <= 256 for key, value in call.parameters.items() if key.endswith(".Value"))


def test_credentials_are_asked_for_once_an_hour_and_before_they_end(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = Clients()
    for _ in range(5):
        who(clients, TEAM)
    assert len(assumed(sim)) == 1
    monkeypatch.setattr(sessions, "SESSION_SECONDS", 900)  # within the quarter of an hour before their end at once
    ending = Clients()
    for _ in range(3):
        who(ending, TEAM)
    assert len(assumed(sim)) >= 3


def test_credentials_that_end_are_used_on_while_sts_does_not_answer(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSION_SECONDS", 900)
    clients = Clients()
    who(clients, TEAM)
    sim.fail("AssumeRole", status=503, times=None)
    assert who(clients, TEAM)["Account"] == "444455556666"
    sim.heal()


async def test_a_role_that_may_not_be_assumed_is_told_with_the_operation_and_tried_again_when_it_may(sim: Sim) -> None:
    caller = AWSCaller()
    place = Place("444455556666", "us-east-1", TEAM)
    sim.fail("AssumeRole", code="AccessDenied", message="not authorized to perform: sts:AssumeRole", status=403)
    with pytest.raises(AWSError) as raised:
        await caller.call("sagemaker", "ListTrainingJobs", place)
    assert (raised.value.operation, raised.value.code) == ("AssumeRole", "AccessDenied")
    assert not raised.value.unsure  # nothing was sent as the role
    await caller.call("sagemaker", "ListTrainingJobs", place)
    assert sim.calls("ListTrainingJobs")[-1].account == "444455556666"


def test_many_threads_that_begin_at_once_share_one_session(sim: Sim) -> None:
    clients, start = Clients(), threading.Barrier(12)

    def begin(number: int) -> str:
        start.wait()
        access = TEAM if number % 2 else Access(TEAM.role_arn, None, "team", "team-b")
        return str(who(clients, access, "us-east-1" if number % 3 else "us-west-2")["Account"])

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(begin, range(12))) == {"444455556666"}
    assert len(assumed(sim)) == 2


_MEASURE = """
import gc, json, tracemalloc
from sft_operator.api.place import Access
from sft_operator.aws.sessions import Clients, Purpose

clients = Clients()
def use(number):
    access = Access(f"arn:aws:iam::444455556666:role/r{number}", None, f"p{number}", f"n{number}")
    clients.get("sts", "us-east-1", access=access).get_caller_identity()
    clients.get("sagemaker", "us-east-1", Purpose.POLL, access)
for number in range(3):
    use(number)
gc.collect()
tracemalloc.start()
for number in range(3, 13):
    use(number)
gc.collect()
print(json.dumps(tracemalloc.get_traced_memory()[0] / 10))
"""


def test_another_session_costs_less_than_two_megabytes(sim: Sim) -> None:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "PATH", "HOME"))}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE], env=kept, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)
    print(f"a session with two clients: {cost / 1e6:.2f} MB")
    assert cost < 2_000_000
