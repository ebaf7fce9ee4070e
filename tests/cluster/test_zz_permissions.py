"""Comes last: every call that the session's operators made, against the policies that `sft setup aws` prints for it.

The journals are those of the labs that other files of tests/cluster have used, in this process or before it (`make test`
runs it by itself, after the others); this file adds a story with every operation, as the operator itself and as the role
of a profile, so that it holds when it is run alone, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sft_lab.awssim.control import Call
from sft_operator.aws.operations import OPERATIONS
from sft_operator.cli.main import main
from tests import iam
from tests.cluster.story import World, wait_for
from tests.cluster.witness import ASSUMED, OPERATORS, Witness
from tests.manifests import Manifest, nova_lite_2_lora

ROLE = "arn:aws:iam::111122223333:role/sft-operator-last"
ACCOUNT = "111122223333"
OPERATOR = f"arn:aws:iam::{ACCOUNT}:role/sft-operator"
JOB_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-team-sft"


def profile(name: str, places: Sequence[str], roles: Sequence[str], regions: Sequence[str], **more: Any) -> Manifest:
    allowed = {"roleARNs": [*roles], "uriPrefixes": [*places], "regions": [*regions]}
    return {
        "apiVersion": "sft-operator.dev/v1alpha1",
        "kind": "SFTProfile",
        "metadata": {"name": name},
        "spec": {"namespaces": {"names": [name]}, "allowed": allowed, **more},
    }


@pytest.fixture
def story(world: World) -> Iterator[World]:
    """For each identity a job that succeeds, gets a tag on the way, and one that is deleted while it runs."""
    access = {"assumeRoleARN": ROLE, "externalID": "last"}
    assumed = profile("last", ["s3://acme-ml-team/"], [JOB_ROLE], ["us-east-1"], access=access)
    assumed["spec"]["namespaces"]["names"] = [world.namespace]
    world.kubectl("apply", "-f", "-", text=json.dumps(assumed))
    try:
        for name in ("open", "last"):
            world.course(training=8)
            kept = world.apply(nova_lite_2_lora({"profile": name}, name=f"{name}-kept"))
            gone = world.apply(nova_lite_2_lora({"profile": name}, name=f"{name}-gone"))
            gone.until("Running")
            kept.until("Running")
            world.apply(nova_lite_2_lora({"profile": name, "tags": {"team": "last"}}, name=f"{name}-kept"))
            gone.delete()
            wait_for("it is tagged", lambda kept=kept: kept.calls("AddTags"))  # type: ignore[misc]
            assert kept.until_finished()["phase"] == "Succeeded"
            gone.until_gone()
        yield world
    finally:
        world.kubectl("delete", "sftprofile", "last")


def test_every_call_of_the_session_is_allowed_by_the_printed_policies_and_none_of_them_is_unused(
    story: World, witness: Witness, tmp_path: Path
) -> None:
    labs = witness.labs
    judged: dict[str, list[Call]] = {"own": [], "assumed": []}
    for calls in labs:
        for call in calls:
            if call.caller.startswith(OPERATORS):
                judged["own"].append(call)
            elif call.caller.startswith(ASSUMED) and any(c.operation == "AssumeRole" for c in calls):
                judged["assumed"].append(call)
    roles = printed(judged, tmp_path)
    used: dict[str, set[iam.Grant]] = {who: set() for who in judged}
    granted_at_all: dict[str, set[iam.Grant]] = {who: set() for who in judged}
    refused: Counter[str] = Counter()
    for who, calls in judged.items():
        for call in calls:
            policy = roles[OPERATOR if who == "own" else _assumed(call.account)]["policy"]
            granted_at_all[who] |= iam.every_grant(policy)
            for asked in iam.requests(call):
                granted = list(iam.grants(policy, asked))
                used[who] |= set(granted)
                if not granted:
                    refused[f"{who}: {asked.action} on {asked.resource} ({call.error})"] += 1
    alone = len(labs) == 1
    whole = "this file's own calls only: run all of tests/cluster to judge the whole" if alone else "the session"
    number, every_call = sum(map(len, judged.values())), sum(map(len, labs))
    rest = f"{every_call - number} by keys of tests, or of operators that share one with their test, are not"
    print(f"{number} calls of {len(labs)} labs judged ({whole}); {rest}")
    assert not refused, "\n".join(f"{count} x {what}" for what, count in refused.most_common(20))
    for who in judged:
        # a session that names many places need not do everything in each of them, but every action somewhere
        unused = {(g.sid, g.action) for g in granted_at_all[who]} - {(g.sid, g.action) for g in used[who]}
        assert unused == set(), f"{who}: nobody needed {unused}"
    seen = {(call.service, call.operation) for calls in judged.values() for call in calls}
    every = {(service, name) for service, names in OPERATIONS.items() for name in names}
    assert every | {("sts", "AssumeRole")} == seen


def printed(judged: Mapping[str, Sequence[Call]], directory: Path) -> dict[str, Any]:
    """What `sft setup aws` prints for profiles that allow what the session's jobs have named, and no more."""
    manifests = []
    for who, of_all in judged.items():
        for account in sorted({call.account for call in of_all}):
            calls = [call for call in of_all if call.account == account]
            access = {"access": {"assumeRoleARN": _assumed(account)}} if who == "assumed" else {}
            for number, key in enumerate(["", *_keys(calls)]):
                given = {"defaults": {"output": {"kmsKeyID": key}}} if key else {}
                name, places, regions = f"{who}-{account}-{number}", _places(calls), _regions(calls)
                manifests.append(profile(name, places, _roles(calls, account), regions, **access, **given))
    assumed = {call.parameters["RoleArn"] for call in judged["own"] if call.operation == "AssumeRole"}
    for number, role in enumerate(sorted(assumed - {_assumed(call.account) for call in judged["assumed"]})):
        # of profiles of other labs; what their sessions did is judged by account, above
        manifests.append(profile(f"role-{number}", [], [], ["us-east-1"], access={"assumeRoleARN": role}))
    file = directory / "profiles.json"
    file.write_text(json.dumps({"kind": "List", "items": manifests}))
    answer = CliRunner().invoke(main, ["setup", "aws", str(file), "--operator-role", OPERATOR])
    assert answer.exit_code == 0, answer.output
    return {role["role"]: role for role in json.loads(answer.stdout)["roles"]}


def _places(calls: Sequence[Call]) -> list[str]:
    buckets = {call.name.partition("/")[0] for call in calls if call.service == "s3"}
    return sorted(f"s3://{bucket}/" for bucket in buckets)


def _assumed(account: str) -> str:
    return ROLE.replace(ACCOUNT, account)


def _roles(calls: Sequence[Call], account: str) -> list[str]:
    known = {JOB_ROLE.replace(ACCOUNT, account)}
    return sorted(known | {c.parameters["RoleArn"] for c in calls if c.operation == "CreateTrainingJob"})


def _keys(calls: Sequence[Call]) -> list[str]:
    return sorted({c.parameters["SSEKMSKeyId"] for c in calls if "SSEKMSKeyId" in c.parameters})


def _regions(calls: Sequence[Call]) -> list[str]:
    return sorted({call.region for call in calls if call.service == "sagemaker"})
