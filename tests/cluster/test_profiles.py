"""Two teams on one cluster, in two accounts and two regions: kubectl does it, AWS's journal is the witness."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from sft_lab.awssim.control import Call, Sim
from sft_lab.cluster.startup import start_lab
from sft_lab.installation import install_chart, start_operator
from tests.cluster.story import PACE, SETTINGS, World, unchecked, wait_for
from tests.manifests import ABSENT, Manifest
from tests.sagemaker_lab import ROWS

REQUIRED = {name: value for name, value in SETTINGS.items() if name != "SFT_REQUIRE_PROFILE"}
"""The default counts: without a profile nothing is launched."""

EAST, WEST = "111122223333", "444455556666"


def profile(team: str, account: str, region: str, **more: Any) -> Manifest:
    return {
        "apiVersion": "sft-operator.dev/v1alpha1",
        "kind": "SFTProfile",
        "metadata": {"name": team},
        "spec": {
            "namespaces": {"names": [team]},
            "defaults": {
                "output": {"uri": f"s3://acme-{team}/sft/"},
                "sageMaker": {"region": region, "roleARN": f"arn:aws:iam::{account}:role/{team}-sft"},
            },
            "allowed": {
                "roleARNs": [f"arn:aws:iam::{account}:role/{team}-*"],
                "uriPrefixes": [f"s3://acme-{team}/"],
                "regions": [region],
                "instanceTypes": ["ml.p5.48xlarge"],
                "maxInstanceCount": 4,
                "maxInstanceHours": 480,
                "maxRuntime": "120h",
            },
            "access": {
                "assumeRoleARN": f"arn:aws:iam::{account}:role/sft-operator-{team}",
                "externalID": f"handshake-{team}",
            },
            **more,
        },
    }


TEAM_A, TEAM_B = profile("team-a", EAST, "us-east-1"), profile("team-b", WEST, "us-west-2")


@pytest.fixture(scope="module")
def teams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A lab with two teams, each with its profile, and the operator with its default of requiring one."""
    with start_lab(tmp_path_factory.mktemp("teams") / "lab") as lab:
        install_chart(lab)
        for team in ("team-a", "team-b", "nobody"):
            lab.kubectl("create", "namespace", team)
        for account, region in ((EAST, "us-east-1"), (WEST, "us-west-2")):
            s3 = boto3.client(
                "s3", endpoint_url=lab.aws_endpoint, region_name=region,
                aws_access_key_id=account, aws_secret_access_key="x",
            )  # fmt: skip
            place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
            bucket = "acme-team-a" if account == EAST else "acme-team-b"
            s3.create_bucket(Bucket=bucket, **place)
            for key in ("train.jsonl", "secret.jsonl"):
                s3.put_object(Bucket=bucket, Key=key, Body=ROWS)
        assert lab.aws_endpoint
        operator = start_operator(lab, settings=REQUIRED)
        operator.wait_ready()
        yield World(lab, Sim(lab.aws_endpoint), operator, "team-a", REQUIRED)


@pytest.fixture
def world(teams: World) -> Iterator[World]:
    teams.namespace = "team-a"
    teams.aws.script("*", **PACE)
    for each in (TEAM_A, TEAM_B):  # what a test patched in would outlive an apply
        known = "NotFound" not in teams.kubectl("get", "sftp", each["metadata"]["name"], check=False)
        teams.kubectl("replace" if known else "create", "-f", "-", text=json.dumps(each))
    yield teams
    for team in ("team-a", "team-b", "nobody"):
        teams.kubectl("-n", team, "delete", "sft", "--all", "--wait=true", "--timeout=40s")
    teams.aws.reset("faults", "scripts")


def job(name: str, edits: dict[str, Any] | None = None, team: str = "team-a") -> Manifest:
    """A job that leaves place, role and output to the profile."""
    bare = {
        "dataset": {"train": {"uri": f"s3://acme-{team}/train.jsonl"}, "check": "Skip"},
        "hyperparameters.validationEverySteps": ABSENT,
        "output": ABSENT,
        "sageMaker.region": ABSENT,
        "sageMaker.roleARN": ABSENT,
    }
    return unchecked({**bare, **(edits or {})}, name=name)


def last(world: World) -> int:
    calls = world.aws.calls()
    return calls[-1].seq if calls else 0


B_ROLE, B_DATA = f"arn:aws:iam::{WEST}:role/team-b-sft", "s3://acme-team-b/secret.jsonl"

DENIED: dict[str, tuple[dict[str, Any], str]] = {
    "role": ({"sageMaker.roleARN": B_ROLE}, "allowed.roleARNs"),
    "training-data": ({"dataset.train.uri": B_DATA, "dataset.check": "Enforce"}, "allowed.uriPrefixes"),
    "validation-data": (
        {
            "dataset.validation": [{"uri": B_DATA}],
            "hyperparameters.validationEverySteps": 20,
            "dataset.check": "Enforce",
        },
        "allowed.uriPrefixes",
    ),
    "bucket-that-begins-alike": ({"dataset.train.uri": "s3://acme-team-ab/x"}, "allowed.uriPrefixes"),
    "output": ({"output": {"uri": "s3://acme-team-b/sft/"}}, "allowed.uriPrefixes"),
    "override": ({"recipe.overrides": {"run": {"mlflow_tracking_uri": B_DATA}}}, "allowed.uriPrefixes"),
    "override-behind-an-allowed-uri": (
        {"recipe.overrides": {"run": {"mlflow_tracking_uri": f"s3://acme-team-a/x,{B_DATA}"}}},
        "allowed.uriPrefixes",
    ),
    "override-composed": (
        {"recipe.overrides": {"run": {"mlflow_run_name": "s3:/", "mlflow_tracking_uri": "${.mlflow_run_name}/b/x"}}},
        "the resolved recipe.run.mlflow_tracking_uri",
    ),
    "role-in-an-override": ({"recipe.overrides": {"run": {"mlflow_run_name": B_ROLE}}}, "allowed.roleARNs"),
    "image": ({"sageMaker.training.image": f"{WEST}.dkr.ecr.us-east-1.amazonaws.com/x:1"}, "allowed.images"),
    "instance-type": ({"sageMaker.training.instanceType": "ml.p4d.24xlarge"}, "allowed.instanceTypes"),
    "instance-count": ({"sageMaker.training.instanceCount": 8}, "at most 4 are allowed"),
    "hours": ({"runPolicy.maxRuntime": "121h"}, "allowed.maxInstanceHours"),
    "region": ({"sageMaker.region": "us-west-2"}, "allowed.regions"),
    "profile": ({"profile": "team-b"}, "team-b is no SFTProfile that namespace team-a may use; it may use: team-a"),
}


def test_a_job_that_names_what_is_another_teams_makes_no_call_at_all(world: World) -> None:
    before = last(world)
    jobs = {way: world.apply(job(way, edits)) for way, (edits, _) in DENIED.items()}
    for way, denied in jobs.items():
        status = denied.until("Queued", reason="PolicyDenied")
        assert DENIED[way][1] in status["message"], way
        assert denied.condition("Validated")["reason"] == "PolicyDenied"
        assert "jobName" not in status
    assert world.aws.calls(since=before) == []
    # and beside them one that is allowed runs as ever, which also shows that the witness is awake
    allowed = world.apply(job("allowed"))
    allowed.until("Succeeded")
    assert [
        call for call in world.aws.calls(since=before) if "team-b" in json.dumps([call.name, call.parameters])
    ] == []
    assert world.aws.creates() >= 1
    assert all(not denied.creates() for denied in jobs.values())


def test_a_namespace_without_a_profile_launches_nothing_until_it_has_one(world: World) -> None:
    before = last(world)
    world.namespace = "nobody"
    waiting = world.apply(job("early"))
    assert "no SFTProfile serves namespace nobody" in waiting.until("Queued", reason="PolicyDenied")["message"]
    assert world.aws.calls(since=before) == []
    more = {"spec": {"namespaces": {"names": ["team-a", "nobody"]}}}
    world.kubectl("patch", "sftp", "team-a", "--type=merge", "-p", json.dumps(more))
    assert waiting.until("Succeeded")["profile"]["name"] == "team-a"


def test_a_label_on_a_namespace_is_enough(world: World) -> None:
    more = {"spec": {"namespaces": {"selector": {"matchLabels": {"sft": "team-a"}}}}}
    world.kubectl("patch", "sftp", "team-a", "--type=merge", "-p", json.dumps(more))
    world.kubectl("create", "namespace", "labelled")
    world.kubectl("label", "namespace", "labelled", "sft=team-a")
    world.namespace = "labelled"
    world.apply(job("by-label")).until("Succeeded")
    world.kubectl("delete", "namespace", "labelled", "--wait=false")


def test_two_profiles_run_side_by_side_in_two_accounts_and_regions(world: World) -> None:
    before = last(world)
    world.course(training=4.0)
    a = world.apply(job("side", team="team-a"))
    world.namespace = "team-b"
    b = world.apply(job("side", team="team-b"))
    places = {}
    for team, each in (("team-b", b), ("team-a", a)):
        world.namespace = team
        status = each.until("Succeeded")
        places[team] = (status["effective"]["account"], status["effective"]["region"])
    assert places == {"team-a": (EAST, "us-east-1"), "team-b": (WEST, "us-west-2")}

    calls = world.aws.calls(since=before)
    creates = [call for call in calls if call.operation == "CreateTrainingJob"]
    assert sorted((call.account, call.region) for call in creates) == [(EAST, "us-east-1"), (WEST, "us-west-2")]
    own = world.lab.env["AWS_ACCESS_KEY_ID"]
    assert {call.operation for call in calls if call.caller == own} <= {"AssumeRole"}
    for team, account in (("team-a", EAST), ("team-b", WEST)):
        (create,) = (call for call in creates if call.account == account)
        assumed = _assumed(world, team)
        assert assumed["RoleArn"] == f"arn:aws:iam::{account}:role/sft-operator-{team}"
        assert assumed["ExternalId"] == f"handshake-{team}"
        assert assumed["RoleSessionName"] == f"sft-operator.{team}"
        assert _tags(assumed) == {"sft-operator.dev/profile": team, "sft-operator.dev/namespace": team}
        # nothing of one team was ever touched as the other
        other = "team-b" if team == "team-a" else "team-a"
        assert not [call for call in calls if call.caller == create.caller and other in f"{call.name}{call.parameters}"]


def _assumed(world: World, team: str) -> dict[str, Any]:
    """How the session of the namespace's own jobs was asked for; the profile has another, for looks at all of its runs."""
    asked: list[Call] = world.aws.calls("AssumeRole", name=f"sft-operator-{team}")
    return [call.parameters for call in asked if _tags(call.parameters).get("sft-operator.dev/namespace") == team][-1]


def _tags(parameters: dict[str, Any]) -> dict[str, str]:
    keys = sorted(name for name in parameters if name.endswith(".Key"))
    return {parameters[key]: parameters[key.removesuffix("Key") + "Value"] for key in keys}


def test_a_profile_edit_leaves_what_runs_alone_and_holds_what_comes(world: World) -> None:
    world.course(training=6.0)
    running = world.apply(job("running"))
    running.until("Running")
    edited = json.dumps({"spec": {"allowed": {"roleARNs": []}, "defaults": {"sageMaker": {"region": "us-west-2"}}}})
    world.kubectl("patch", "sftp", "team-a", "--type=merge", "-p", edited)
    denied = world.apply(job("denied"))
    denied.until("Queued", reason="PolicyDenied")
    status = running.until("Succeeded")
    assert status["profile"] == {"name": "team-a", "generation": status["profile"]["generation"]}
    assert status["effective"]["region"] == "us-east-1"
    assert (running.creates(), denied.creates()) == (1, 0)
    world.kubectl("replace", "-f", "-", text=json.dumps(TEAM_A))
    denied.until("Succeeded")


def test_runs_over_the_limit_wait_in_line_and_go_in_their_order(world: World) -> None:
    world.course(training=1.5)
    world.kubectl("patch", "sftp", "team-a", "--type=merge", "-p", '{"spec":{"maxConcurrentRuns":1}}')
    first = world.apply(job("line-1"))
    first.until("Running")
    jobs = [first]
    for number in (2, 3):
        jobs.append(world.apply(job(f"line-{number}")))
        status = jobs[-1].until("Queued", reason="ConcurrencyLimit", queuePosition=number - 1)
        assert (
            status["message"] == f"number {number - 1} in line: SFTProfile team-a runs 1 at a time (maxConcurrentRuns)"
        )
    ends = [each.until("Succeeded") for each in jobs]
    assert all(each.creates() == 1 for each in jobs)
    starts = [end["startTime"] for end in ends]
    assert starts == sorted(starts)
    for earlier, later in itertools.pairwise(ends):
        assert earlier["completionTime"] <= later["startTime"]


def test_an_incident_is_paused_and_resumed_with_one_command_each(world: World) -> None:
    world.course(training=3.0)
    running = world.apply(job("goes-on"))
    running.until("Running")
    world.kubectl("patch", "sftprofile", "team-a", "--type=merge", "-p", '{"spec":{"pauseLaunches":true}}')
    paused = world.apply(job("paused"))
    status = paused.until("Queued", reason="LaunchesPaused")
    assert "by SFTProfile team-a (pauseLaunches)" in status["message"]
    running.until("Succeeded")
    assert not paused.creates()
    assert "true" in world.kubectl("get", "sftp", "team-a")
    world.kubectl("patch", "sftprofile", "team-a", "--type=merge", "-p", '{"spec":{"pauseLaunches":false}}')
    paused.until("Succeeded")


def test_profiles_are_listed_with_whom_they_serve_and_what_they_limit(world: World) -> None:
    wide = world.kubectl("get", "sftp", "-o", "wide")
    header, *rows = wide.splitlines()
    assert header.split() == ["NAME", "NAMESPACES", "REGION", "MAX-RUNS", "PAUSED", "AGE", "ROLE"]
    row = next(row for row in rows if row.startswith("team-b"))
    assert '["team-b"]' in row
    assert "us-west-2" in row
    assert f"arn:aws:iam::{WEST}:role/sft-operator-team-b" in row
    assert "PROFILE" in world.kubectl("explain", "sft.status").upper()


EXPLAINED = {
    "spec.allowed.uriPrefixes": "matched at whole path segments",
    "spec.allowed.images": "absent: none",
    "spec.access.externalID": "Not a secret",
    "spec.maxConcurrentRuns": "first come first served",
    "spec.pauseLaunches": "what runs is followed to its end",
    "spec.namespaces.selector": "{} chooses all of them",
}


@pytest.mark.parametrize("field", EXPLAINED)
def test_kubectl_explains_a_profile(world: World, field: str) -> None:
    assert EXPLAINED[field] in " ".join(world.kubectl("explain", f"sftprofile.{field}").split())


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no rails": ({"allowed": None}, "spec.allowed: Required value"),
    "no namespaces": ({"namespaces": None}, "spec.namespaces: Required value"),
    "a role that is none": ({"access": {"assumeRoleARN": "team-a"}}, "spec.access.assumeRoleARN"),
    "a prefix without a scheme": (
        {"allowed": {"roleARNs": [], "uriPrefixes": ["acme/"]}},
        "spec.allowed.uriPrefixes[0]",
    ),
    "no runs at all": ({"maxConcurrentRuns": 0}, "spec.maxConcurrentRuns"),
    "an unknown field": ({"limits": {}}, 'unknown field "spec.limits"'),
    "an unknown operator": (
        {"namespaces": {"selector": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}}},
        "matchExpressions[0].operator",
    ),
    "a runtime of a month and a half": (
        {"allowed": {"roleARNs": [], "uriPrefixes": [], "maxRuntime": "1000h"}},
        "672h",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_api_server_refuses_a_wrong_profile(world: World, case: str) -> None:
    change, words = WRONG[case]
    spec = {key: value for key, value in {**TEAM_A["spec"], **change}.items() if value is not None}
    wrong = {**TEAM_A, "metadata": {"name": "wrong"}, "spec": spec}
    assert words in world.kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(wrong), check=False)


def test_the_operator_comes_back_to_the_same_line(world: World) -> None:
    world.course(training=2.0)
    world.kubectl("patch", "sftp", "team-a", "--type=merge", "-p", '{"spec":{"maxConcurrentRuns":1}}')
    jobs = [world.apply(job("again-1"))]
    jobs[0].until("Running")
    for number in (2, 3):
        jobs.append(world.apply(job(f"again-{number}")))
        jobs[-1].until("Queued", reason="ConcurrencyLimit")
    world.kill_operator()
    world.restart_operator()
    most = 0

    def over() -> bool:
        nonlocal most
        most = max(most, sum(each.status.get("phase") in ("Submitting", "Starting", "Running") for each in jobs))
        return all(each.status.get("phase") == "Succeeded" for each in jobs)

    wait_for("all three", over)
    assert most == 1
    assert [each.creates() for each in jobs] == [1, 1, 1]
