"""SFTProfiles and the engine: what is pinned, and what an edit does to jobs that run, wait or are undecided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sft_operator.api.reasons import Reason
from sft_operator.api.status import DatasetStatus
from sft_operator.controller.kube import KubeError
from sft_operator.platforms.base import JobView, Plan, PlatformUnavailable, Refusal
from tests.manifests import ABSENT
from tests.unit.cloud import refusal
from tests.unit.world import NAMESPACE, World

EAST, WEST = "us-east-1", "us-west-2"
ROLE = "arn:aws:iam::111122223333:role/ml-team-sft"
LEFT_TO_THE_PROFILE = {"sageMaker.region": ABSENT, "runPolicy.maxRuntime": ABSENT}


def profile(**more: Any) -> dict[str, Any]:
    allowed = {"roleARNs": ["*"], "uriPrefixes": ["s3://"], **more.pop("allowed", {})}
    defaults = {"sageMaker": {"region": EAST}, **more.pop("defaults", {})}
    return {"namespaces": {"names": [NAMESPACE]}, "defaults": defaults, "allowed": allowed, **more}


def begun(edits: dict[str, Any] | None = None, /, *, require: bool = True, **more: Any) -> World:
    world = World(require_profile=require)
    world.cluster.apply_profile("ml", profile(**more))
    world.apply({**LEFT_TO_THE_PROFILE, **(edits or {})})
    return world


def silent(world: World) -> bool:
    """Whether nothing was read or asked of the platform."""
    return not (world.aws.checks or world.aws.submits or world.aws.finds or world.aws.stops)


# --- which profile


def test_status_shows_the_profile_and_what_it_gave() -> None:
    with begun(defaults={"tags": {"cost-center": "4711"}, "maxRuntime": "24h", "deletionPolicy": "Orphan"}) as world:
        assert world.status["profile"] == {"name": "ml", "generation": 1}
        effective = world.status["effective"]
        assert (effective["region"], effective["maxRuntime"], effective["tags"]) == (
            EAST,
            "24h",
            {"cost-center": "4711"},
        )


def test_without_a_profile_nothing_is_asked_and_the_job_goes_on_once_there_is_one() -> None:
    with World(require_profile=True) as world:
        world.apply()
        assert (world.phase, world.status["reason"]) == ("Queued", "PolicyDenied")
        assert "no SFTProfile serves namespace ml-team" in world.status["message"]
        assert silent(world)
        world.cluster.apply_profile("ml", profile())
        world.advance(1)  # at once, and not at the next look
        assert world.aws.created


def test_without_a_profile_that_is_not_required_a_job_runs_as_it_is_written() -> None:
    with World() as world:
        world.apply()
        assert world.aws.created
        assert "profile" not in world.status


def test_a_profile_by_label_is_found_by_the_labels_of_the_namespace() -> None:
    with World(require_profile=True) as world:
        world.cluster.namespaces[NAMESPACE] = {"team": "ml"}
        world.cluster.apply_profile("other", profile() | {"namespaces": {"selector": {"matchLabels": {"team": "x"}}}})
        world.cluster.apply_profile("mine", profile() | {"namespaces": {"selector": {"matchLabels": {"team": "ml"}}}})
        world.apply()
        assert world.status["profile"]["name"] == "mine"


def test_of_two_that_fit_the_named_one_is_taken() -> None:
    with World(require_profile=True) as world:
        world.cluster.apply_profile("small", profile())
        world.cluster.apply_profile("large", profile())
        world.apply()
        assert "name one of large, small" in world.status["message"]
        assert silent(world)
        world.apply({"profile": "large"})
        assert world.status["profile"]["name"] == "large"
        assert len(world.aws.created) == 1


# --- denied


def test_a_denied_job_waits_without_a_call_and_ends_at_its_deadline() -> None:
    with begun(allowed={"roleARNs": []}) as world:
        assert (world.phase, world.status["reason"]) == ("Queued", "PolicyDenied")
        assert world.says("Validated") == ("False", "PolicyDenied")
        world.advance(23 * 3600)
        assert world.phase == "Queued"
        world.advance(2 * 3600)
        assert (world.phase, world.status["reason"]) == ("Failed", "PendingDeadlineExceeded")
        assert "allowed.roleARNs" in world.status["message"]
        assert silent(world)
        assert not world.aws.plans


def test_a_denied_job_goes_on_at_once_when_the_profile_allows_it() -> None:
    with begun(allowed={"maxInstanceCount": 1}) as world:
        assert world.status["reason"] == "PolicyDenied"
        world.cluster.apply_profile("ml", profile(allowed={"maxInstanceCount": 4}))
        world.advance(1)
        assert len(world.aws.created) == 1
        assert world.status["profile"] == {"name": "ml", "generation": 2}


def test_a_job_that_waits_for_its_data_is_denied_when_the_profile_is_edited() -> None:
    world = World(require_profile=True)
    world.aws.check_refusal = refusal(Reason.DATASET_UNREADABLE)
    world.cluster.apply_profile("ml", profile())
    with world:
        world.apply()
        assert world.status["reason"] == "DatasetUnreadable"
        world.cluster.apply_profile("ml", profile(allowed={"uriPrefixes": ["s3://other/"]}))
        world.advance(1)
        assert world.status["reason"] == "PolicyDenied"
        checks = world.aws.checks
        world.aws.check_refusal = None
        world.advance(3600)
        assert world.aws.checks == checks
        assert not world.aws.submits


def test_a_profile_that_can_no_longer_be_read_binds_as_before() -> None:
    with World() as world:
        world.cluster.apply_profile("ml", {"namespaces": {"names": [NAMESPACE]}, "allowed": {"moon": True}})
        world.apply()
        assert world.status["reason"] == "PolicyDenied"
        assert "SFTProfile ml cannot be read by this operator" in world.status["message"]
        assert silent(world)


# --- an edit never moves a run

_EDITS: list[dict[str, Any]] = [
    {"defaults": {"sageMaker": {"region": WEST, "roleARN": ROLE}}},
    {"defaults": {"tags": {"a": "b"}, "maxRuntime": "1h", "deletionPolicy": "Orphan"}},
    {"allowed": {"roleARNs": [], "uriPrefixes": []}},
    {"access": {"assumeRoleARN": "arn:aws:iam::111122223333:role/other"}},
    {"maxConcurrentRuns": 1},
    {"pauseLaunches": True},
]


@pytest.mark.parametrize("edit", _EDITS)
@pytest.mark.parametrize("restart", [False, True])
def test_a_profile_edit_never_changes_a_submitted_run(edit: dict[str, Any], restart: bool) -> None:
    with begun(access={"assumeRoleARN": "arn:aws:iam::111122223333:role/ml"}) as world:
        world.aws.run()
        world.until("Running")
        world.advance(60)
        before, writes, submits = world.status, len(world.cluster.writes), world.aws.submits
        world.cluster.apply_profile("ml", profile(**edit))
        if restart:
            world.restart_operator()
        world.advance(3600)
        assert world.status == before
        assert (len(world.cluster.writes), world.aws.submits) == (writes, submits)
        world.aws.complete()
        world.until("Succeeded")
        assert len(world.aws.created) == 1


def test_a_run_outlives_its_profile() -> None:
    with begun(defaults={"deletionPolicy": "Orphan"}) as world:
        world.aws.run()
        world.cluster.delete_profile("ml")
        world.restart_operator()
        world.until("Running")
        world.delete()
        assert world.gone
        assert world.aws.live()  # as settled at the launch
        assert not world.aws.stops


def test_a_new_run_goes_by_the_profile_of_its_own_day() -> None:
    with begun() as world:
        world.aws.complete()
        world.until("Succeeded")
        world.cluster.apply_profile("ml", profile(allowed={"roleARNs": []}))
        world.advance(60)
        assert world.phase == "Succeeded"
        world.apply({"runID": "2"})
        assert world.status["reason"] == "PolicyDenied"
        assert len(world.aws.created) == 1


# --- between the intent and its answer


def unsure(*, heard: bool, restart: bool = False, **more: Any) -> World:
    """A job whose create has no answer."""
    world = World(require_profile=True)
    if heard:
        world.aws.lose_next_answers = 1
    else:
        world.aws.drop_next_creates = 1
    world.cluster.apply_profile("ml", profile(**more))
    world.apply(LEFT_TO_THE_PROFILE)
    assert world.status["jobName"]
    assert world.says("Submitted") == ("False", "InternalServiceError")
    if restart:
        world.kill_operator()
    return world


def go_on(world: World, restart: bool) -> None:
    if restart:
        world.start_operator()
    world.advance(1)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("edit", [*_EDITS, None])
def test_a_create_that_was_heard_is_followed_whatever_became_of_the_profile(
    edit: dict[str, Any] | None, restart: bool
) -> None:
    with unsure(heard=True, restart=restart) as world:
        name = world.status["jobName"]
        world.cluster.apply_profile("ml", profile(**edit)) if edit else world.cluster.delete_profile("ml")
        go_on(world, restart)
        world.advance(120)
        assert world.aws.created == [name]
        assert world.says("Submitted") == ("True", "Adopted")
        assert world.status["profile"]["generation"] == 1
        assert world.status["effective"]["region"] == EAST


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("edit", [_EDITS[0], _EDITS[1], _EDITS[3], _EDITS[4]])
def test_a_create_that_was_not_heard_is_looked_for_and_launched_once_under_todays_profile(
    edit: dict[str, Any], restart: bool
) -> None:
    with unsure(heard=False, restart=restart) as world:
        world.cluster.apply_profile("ml", profile(**edit))
        go_on(world, restart)
        assert not world.aws.created
        world.advance(180)
        assert len(world.aws.created) == 1
        assert world.status["jobName"] == world.aws.created[0]
        assert world.status["profile"]["generation"] == 2
        assert world.aws.finds
        assert world.aws.as_whom == [edit.get("access", {}).get("assumeRoleARN")]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("edit", [{"allowed": {"roleARNs": []}}, None])
def test_a_create_that_was_not_heard_and_is_denied_today_is_never_repeated(
    edit: dict[str, Any] | None, restart: bool
) -> None:
    with unsure(heard=False, restart=restart) as world:
        submits = world.aws.submits
        world.cluster.apply_profile("ml", profile(**edit)) if edit else world.cluster.delete_profile("ml")
        go_on(world, restart)
        assert world.status["reason"] == "PolicyDenied"
        world.advance(26 * 3600)
        assert (world.phase, world.status["reason"]) == ("Failed", "PendingDeadlineExceeded")
        assert world.aws.submits == submits
        assert not world.aws.created


@pytest.mark.parametrize("restart", [False, True])
def test_a_launch_that_shows_late_is_still_the_only_one_when_the_region_moves(restart: bool) -> None:
    with unsure(heard=True, restart=restart) as world:
        hidden = dict(world.aws.jobs)
        world.aws.jobs.clear()  # AWS does not show it yet
        world.cluster.apply_profile("ml", profile(defaults={"sageMaker": {"region": WEST}}))
        go_on(world, restart)
        world.advance(30)
        world.aws.jobs.update(hidden)
        world.advance(180)
        assert len(world.aws.created) == 1
        assert world.says("Submitted") == ("True", "Adopted")


@pytest.mark.parametrize("restart", [False, True])
def test_while_the_platform_does_not_answer_no_second_launch_is_begun_elsewhere(restart: bool) -> None:
    with unsure(heard=True, restart=restart) as world:
        world.aws.unreachable = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused", 30.0)
        world.cluster.apply_profile("ml", profile(defaults={"sageMaker": {"region": WEST}}))
        go_on(world, restart)
        world.advance(3600)
        assert world.phase == "Queued"
        assert "it is looked for, and followed if it runs" in world.status["message"]
        world.aws.unreachable = None
        world.advance(120)
        assert len(world.aws.created) == 1
        assert world.says("Submitted") == ("True", "Adopted")


@pytest.mark.parametrize("restart", [False, True])
def test_a_refused_create_moves_with_the_profiles_region_and_announces_it_first(restart: bool) -> None:
    world = World(require_profile=True)
    world.aws.create_refusal, world.aws.create_retry_after = refusal(Reason.QUOTA_EXCEEDED), 60.0
    world.cluster.apply_profile("ml", profile())
    with world:
        world.apply(LEFT_TO_THE_PROFILE)
        assert world.status["reason"] == "QuotaExceeded"
        before = world.status["jobName"]
        world.aws.create_refusal = None
        world.cluster.apply_profile("ml", profile(defaults={"sageMaker": {"region": WEST}}))
        if restart:
            world.restart_operator()
        world.advance(300)
        assert world.aws.created == [world.status["jobName"]]
        assert world.status["jobName"] != before
        assert world.status["effective"]["region"] == WEST


@pytest.mark.parametrize("restart", [False, True])
def test_status_pins_the_role_that_a_refused_create_is_repeated_with(restart: bool) -> None:
    world = World(require_profile=True)
    world.aws.create_refusal, world.aws.create_retry_after = refusal(Reason.QUOTA_EXCEEDED), 600.0
    world.cluster.apply_profile("ml", profile(access={"assumeRoleARN": f"{ROLE}-old"}))
    with world:
        world.apply(LEFT_TO_THE_PROFILE)
        edit = profile(access={"assumeRoleARN": f"{ROLE}-new"}, defaults={"deletionPolicy": "Orphan"})
        world.cluster.apply_profile("ml", edit)
        world.advance(5)
        assert world.status["reason"] == "QuotaExceeded"
        world.aws.create_refusal = None
        if restart:
            world.restart_operator()
        world.advance(1300)
        assert world.aws.as_whom == [f"{ROLE}-new"]
        assert world.status["effective"]["access"]["assumeRoleARN"] == f"{ROLE}-new"
        assert world.status["effective"]["deletionPolicy"] == "Orphan"


def test_a_launch_is_not_repeated_elsewhere_under_a_profile_that_was_made_anew_with_the_same_generation() -> None:
    with unsure(heard=True, restart=True) as world:
        name = world.status["jobName"]
        world.cluster.delete_profile("ml")
        world.cluster.apply_profile("ml", profile(defaults={"sageMaker": {"region": WEST}}))
        assert world.cluster.profiles["ml"]["metadata"]["generation"] == 1
        go_on(world, restart=True)
        world.advance(120)
        assert world.aws.created == [name]
        assert world.says("Submitted") == ("True", "Adopted")
        assert world.status["effective"]["region"] == EAST


def test_a_create_that_was_heard_is_followed_when_a_new_operator_plans_what_the_profile_denies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with unsure(heard=True, restart=True) as world:
        name, planned = world.status["jobName"], world.aws.plan

        def plan(job: JobView, facts: DatasetStatus | None) -> Plan | Refusal:
            found = planned(job, facts)
            assert isinstance(found, Plan)
            return replace(found, request={**found.request, "image": "other://place"})

        monkeypatch.setattr(world.aws, "plan", plan)
        monkeypatch.setattr(world.aws, "precheck", lambda job: plan(job, None))
        go_on(world, restart=True)
        world.advance(120)
        assert world.aws.created == [name]
        assert world.says("Submitted") == ("True", "Adopted")


@pytest.mark.parametrize("how", ["stop", "delete"])
def test_a_launch_that_was_perhaps_heard_is_stopped_while_the_labels_of_namespaces_cannot_be_read(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unsure(heard=True, restart=True) as world:

        async def refuses(name: str) -> Mapping[str, str]:
            raise KubeError(403, f"namespaces {name} is forbidden")

        monkeypatch.setattr(world.cluster, "namespace_labels", refuses)
        world.cluster.apply_profile("other", profile() | {"namespaces": {"selector": {"matchLabels": {"team": "x"}}}})
        go_on(world, restart=True)
        world.delete() if how == "delete" else world.apply({"runPolicy.stop": True})
        world.advance(300)
        assert not world.aws.live()
        assert world.gone if how == "delete" else world.phase == "Stopped"


def test_what_was_announced_and_never_asked_for_is_not_waited_for() -> None:
    world = World(require_profile=True)
    world.aws.unreachable = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused", 30.0)
    world.cluster.apply_profile("ml", profile())
    with world:
        world.apply(LEFT_TO_THE_PROFILE)
        world.aws.unreachable = None
        world.cluster.apply_profile("ml", profile(defaults={"sageMaker": {"region": WEST}}))
        world.advance(40)
        assert len(world.aws.created) == 1


def test_a_status_made_by_hand_that_names_a_job_and_no_place_holds_nothing_up() -> None:
    with World(require_profile=True) as world:
        world.apply(LEFT_TO_THE_PROFILE)
        world.cluster.objects[world.key]["status"] = {"phase": "Pending", "jobName": "no such job", "attempt": 7}
        world.cluster.apply_profile("ml", profile())
        world.restart_operator()
        world.advance(120)
        assert len(world.aws.created) == 1
