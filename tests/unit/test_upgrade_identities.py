"""What earlier versions left in the API server, read by today's: identities stay, finished jobs are not touched, running
ones are followed, waiting ones go on; and what a newer version left, read by an older."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_operator.api.identity import fingerprint, job_name, run_identity
from sft_operator.api.reasons import Reason
from sft_operator.controller.engine import wire
from sft_operator.controller.kube import merge_patch
from sft_operator.controller.reconcile.decision import Context, ReleaseFinalizer, view_of
from sft_operator.controller.reconcile.job import Job, Seen, parse
from sft_operator.controller.reconcile.step import step
from sft_operator.platforms.base import Plan, Refusal
from sft_operator.platforms.sagemaker.plan import make_plan
from sft_operator.policy.profiles import Profile
from sft_operator.policy.profiles import parse as parse_profile
from sft_operator.policy.ruling import NO_POLICY, Policy, Ruling, rule
from sft_operator.recipes.catalogue import default_catalogue
from tests.unit.cloud import Cloud, refusal
from tests.unit.world import World

GOLDEN = Path(__file__).parent / "golden"
RECORDED = json.loads((GOLDEN / "stored-0.1.json").read_text())
"""SFTJobs as the API server served them under version 0.1, with the statuses that its operator wrote."""
BODIES: dict[str, dict[str, Any]] = {one["body"]["metadata"]["name"]: one["body"] for one in RECORDED["jobs"]}
LAUNCHED = [name for name, body in BODIES.items() if "jobName" in body["status"]]
RESTING = [name for name, body in BODIES.items() if body["status"]["phase"] not in ("Queued", "Running")]
PROFILED = yaml.safe_load((GOLDEN / "stored-with-profile.yaml").read_text())["identities"]
LATER = datetime(2026, 12, 24, tzinfo=UTC)


def profile(name: str, spec: Mapping[str, Any]) -> Profile:
    return parse_profile({"metadata": {"name": name, "generation": 3}, "spec": spec})


EVERYTHING_ELSE = profile(
    "other",
    {
        "namespaces": {"names": ["ml-team"]},
        "defaults": {
            "output": {"uri": "s3://another-bucket/", "kmsKeyID": "alias/another"},
            "sageMaker": {"region": "us-west-2", "roleARN": "arn:aws:iam::999999999999:role/another"},
            "tags": {"team": "another"},
            "maxRuntime": "2h",
            "deletionPolicy": "Orphan",
        },
        "allowed": {"roleARNs": ["*"], "uriPrefixes": ["s3://"], "images": ["*"]},
    },
)
"""Gives another value for all that a profile can give."""


def context(policy: Policy = NO_POLICY, *, scope: str = RECORDED["scope"], now: datetime = LATER) -> Context:
    return Context(Cloud(lambda: now), scope, now, policy)


def planned(job: Job, policy: Policy, scope: str = RECORDED["scope"]) -> Plan:
    assert job.spec is not None
    ruling = rule(job.spec, job.namespace, policy)
    assert isinstance(ruling, Ruling), ruling
    view = view_of(job, ruling.spec, context(policy, scope=scope), fingerprint=fingerprint(job.spec), use=ruling.use)
    plan = make_plan(view, job.status.dataset, default_catalogue())
    assert isinstance(plan, Plan), plan
    return plan


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_spec_stored_under_an_earlier_version_means_the_run_that_it_meant(name: str) -> None:
    job = parse(BODIES[name])
    assert job.spec is not None
    effective = job.status.effective
    assert effective is not None
    assert fingerprint(job.spec) == job.status.fingerprint
    identity = run_identity(
        scope=RECORDED["scope"],
        account=effective.account or "",
        region=effective.region or "",
        namespace=job.namespace,
        name=job.name,
        run_id=job.spec.run_id,
        fingerprint=fingerprint(job.spec),
    )
    assert job_name(name=job.name, identity=identity, attempt=job.status.attempt or 1) == job.status.job_name


@pytest.mark.parametrize("name", ["running", "resumed", "minimal", "full"])
def test_a_profile_that_comes_later_changes_no_run_of_a_job_that_says_all_itself(name: str) -> None:
    job = parse(BODIES[name])
    without, under = planned(job, NO_POLICY), planned(job, Policy((EVERYTHING_ELSE,)))
    assert without.job_name == under.job_name == job.status.job_name
    assert without.place.account == under.place.account
    assert without.effective.output_uri == under.effective.output_uri


@pytest.mark.parametrize("stored", PROFILED, ids=lambda stored: stored["title"])
def test_the_identity_of_a_job_that_leaves_fields_to_its_profile_never_moves(stored: dict[str, Any]) -> None:
    metadata = {"namespace": "ml-team", "name": stored["name"], "uid": "u", "creationTimestamp": "2026-11-22T12:00:00Z"}
    job = parse({"metadata": metadata, "spec": stored["spec"]})
    plan = planned(job, Policy((profile("ml-team", stored["profile"]),), required=True), stored["scope"])
    assert (plan.fingerprint, plan.job_name) == (stored["fingerprint"], stored["jobName"])


@pytest.mark.parametrize("name", BODIES)
def test_a_status_of_an_earlier_version_reads_as_it_was_written(name: str) -> None:
    body = BODIES[name]
    assert merge_patch(body["status"], wire(parse(body).status)) == {}


@pytest.mark.parametrize("required", [True, False], ids=["requireProfile", "no profile required"])
@pytest.mark.parametrize("name", RESTING)
def test_a_job_that_had_ended_or_was_suspended_is_neither_written_nor_acted_on(name: str, required: bool) -> None:
    job = parse(BODIES[name])
    decision = step(job, Seen(), context(Policy(required=required)))
    assert decision.status == job.status
    assert decision.action is None or (decision.action == ReleaseFinalizer() and job.finished)


@pytest.mark.parametrize(
    "policy", [Policy(required=True), Policy((EVERYTHING_ELSE,), required=True), Policy(paused=True)]
)
@pytest.mark.parametrize("name", ["running", "resumed"])
def test_a_run_that_is_followed_needs_no_profile_and_heeds_none(name: str, policy: Policy) -> None:
    job = parse(BODIES[name])
    decision = step(job, Seen(), context(policy))
    assert (decision.status, decision.action) == (job.status, None)


def quota() -> Refusal:
    return refusal(Reason.QUOTA_EXCEEDED, "the quota is used up")


OPEN: Mapping[str, Any] = {
    "namespaces": {"names": ["ml-team"]},
    "allowed": {"roleARNs": ["*"], "uriPrefixes": ["s3://"], "images": ["*"]},
}


def upgraded(world: World) -> None:
    """The next version, which asks for a profile where the one before knew none."""
    world.kill_operator()
    world.require_profile = True
    world.start_operator()


def test_a_run_from_before_profiles_is_followed_to_its_end_without_one() -> None:
    with World() as world:
        world.apply()
        world.advance(40)
        world.aws.run()
        world.advance(40)
        upgraded(world)
        world.advance(40)
        assert world.phase == "Running"
        world.aws.complete()
        world.until("Succeeded")
        assert "profile" not in world.status
        assert len(world.aws.created) == 1


def test_a_job_from_before_profiles_that_waits_for_quota_is_launched_once_when_a_profile_is_there() -> None:
    with World() as world:
        world.aws.create_refusal = quota()
        world.apply()
        world.advance(40)
        announced = world.status["jobName"]
        upgraded(world)
        world.aws.create_refusal = None
        world.advance(600)
        assert (world.phase, world.status["reason"]) == ("Queued", "PolicyDenied")
        assert world.aws.created == []
        world.cluster.apply_profile("ml-team", OPEN)
        world.advance(180)
        assert world.aws.created == [announced]
        assert world.status["profile"]["name"] == "ml-team"


def test_a_launch_from_before_profiles_whose_answer_was_lost_is_found_without_one() -> None:
    with World() as world:
        world.aws.lose_next_answers = 1
        world.apply()
        world.kill_operator()
        assert len(world.aws.created) == 1
        upgraded(world)
        world.advance(90)
        assert world.says("Submitted") == ("True", "Adopted")
        world.aws.complete()
        world.until("Succeeded")
        assert len(world.aws.created) == 1


# --- a CRD that is newer than the operator, or an operator that was rolled back


def newer(world: World, edits: Mapping[str, Any]) -> None:
    """As the API server serves the job under a CRD that has these fields besides, with their defaults filled in; no
    generation moves."""
    world.body["spec"].update(edits)
    world.cluster._changed(world.key)


def test_a_new_default_in_the_crd_ends_no_waiting_job_of_an_operator_that_does_not_know_the_field() -> None:
    with World() as world:
        world.aws.create_refusal = quota()
        world.apply()
        world.advance(40)
        announced = world.status["jobName"]
        newer(world, {"priority": 5})
        world.aws.create_refusal = None
        world.restart_operator()
        world.advance(600)
        assert (world.phase, world.status["reason"]) == ("Queued", "OperatorTooOld")
        assert "spec.priority" in world.status["message"]
        assert world.aws.created == []
        del world.body["spec"]["priority"]  # as it reads for an operator that knows the field and its default
        world.restart_operator()
        world.advance(180)
        assert world.aws.created == [announced]


@pytest.mark.parametrize("when", ["at its apply", "while it is read"])
def test_a_job_with_a_field_of_a_newer_crd_waits_for_the_operator_that_knows_it(when: str) -> None:
    with World() as world:
        world.aws.check_takes = 30.0
        world.apply({"priority": 5} if when == "at its apply" else None)
        if when == "while it is read":
            newer(world, {"priority": 5})
        world.advance(120)
        assert (world.phase, world.status["reason"]) == ("Queued", "OperatorTooOld")
        assert world.aws.created == []
        world.cluster.apply(world._manifest | {"spec": {**world._manifest["spec"], "priority": None}})
        del world.body["spec"]["priority"]
        world.cluster._changed(world.key)
        world.advance(120)
        assert len(world.aws.created) == 1


def test_a_job_on_a_platform_that_only_a_newer_crd_has_waits_too() -> None:
    with World() as world:
        world.apply({"bedrock": {"region": "us-east-1"}, "sageMaker": {}})
        del world.body["spec"]["sageMaker"]
        world.restart_operator()
        world.advance(60)
        assert (world.phase, world.status["reason"]) == ("Queued", "OperatorTooOld")
        assert "spec.bedrock" in world.status["message"]


def test_a_run_is_followed_and_obeys_whatever_a_newer_crd_has_added_to_its_job() -> None:
    with World() as world:
        world.apply()
        world.advance(40)
        world.aws.run()
        newer(world, {"priority": 5})
        world.restart_operator()
        world.advance(40)
        assert world.phase == "Running"
        body = world.body
        body["spec"]["runPolicy"]["stop"] = True
        body["metadata"]["generation"] += 1
        world.cluster._changed(world.key)
        world.until("Stopped")
        assert len(world.aws.created) == 1


def test_a_job_that_another_crd_shows_otherwise_is_read_again_although_nobody_wrote_it() -> None:
    """A watch that was opened under the newer CRD has filled the default in; the list that follows it does not."""
    with World() as world:
        world.aws.check_takes = 30.0
        world.apply()
        newer(world, {"priority": 5})
        world.advance(120)
        assert world.status["reason"] == "OperatorTooOld"
        del world.body["spec"]["priority"]
        world.cluster._emit("MODIFIED", world.body)
        world.advance(120)
        assert world.says("Submitted") == ("True", "Accepted")
        assert len(world.aws.created) == 1


FROM_A_NEWER = {"budget": {"left": 3}, "approvedBy": "somebody"}


def test_what_a_newer_operator_wrote_of_a_finished_job_stays_after_a_rollback() -> None:
    with World() as world:
        world.apply()
        world.advance(40)
        world.aws.complete()
        world.until("Succeeded")
        world.status.update(FROM_A_NEWER)
        world.cluster._changed(world.key)
        before, written = json.dumps(world.status), len(world.cluster.writes)
        world.restart_operator()
        world.advance(1200)
        assert json.dumps(world.status) == before
        assert len(world.cluster.writes) == written


@pytest.mark.parametrize(
    "name", [name for name in RESTING if BODIES[name]["status"]["phase"] in ("Succeeded", "Failed")]
)
def test_words_of_a_newer_operator_start_no_run_that_had_ended(name: str) -> None:
    """A phase and a condition that this version has no name for."""
    body = json.loads(json.dumps(BODIES[name]))
    body["status"]["phase"] = "Published"
    body["status"]["conditions"].append({**body["status"]["conditions"][0], "type": "Published"})
    job = parse(body)
    decision = step(job, Seen(), context())
    assert merge_patch(wire(job.status), wire(decision.status)) == {}
    assert decision.action is None or decision.action == ReleaseFinalizer()


def test_the_deadline_of_a_waiting_job_runs_on_through_an_upgrade() -> None:
    with World() as world:
        world.aws.create_refusal = quota()
        world.apply({"runPolicy.pendingDeadline": "1h"})
        world.advance(timedelta(minutes=50).total_seconds())
        world.restart_operator()
        world.until("Failed", within=timedelta(minutes=15).total_seconds())
        assert world.status["reason"] == "PendingDeadlineExceeded"
        assert world.aws.created == []
