"""The line of maxConcurrentRuns: its order, and that it holds whatever users, the operator and AWS do."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_operator.api.reasons import Reason
from sft_operator.controller.kube import KubeError
from sft_operator.platforms.base import RunState
from tests.manifests import nova_lite_2_lora
from tests.unit.cloud import refusal
from tests.unit.test_step_profiles import LEFT_TO_THE_PROFILE, WEST, profile
from tests.unit.world import NAMESPACE, World


class Team:
    """Several jobs of one profile."""

    def __init__(self, limit: int | None, *, checks_take: float = 0.0) -> None:
        self.world = World(require_profile=True)
        self.world.aws.check_takes = checks_take
        self.most = limit or 10_000
        self.edits: dict[str, dict[str, Any]] = {}
        self.set(limit)

    def set(self, limit: int | None, **more: Any) -> None:
        self.most = max(self.most, limit or 10_000)
        spec = profile(**({"maxConcurrentRuns": limit} if limit else {}), **more)
        self.world.cluster.apply_profile("ml", spec)

    def apply(self, name: str, settle: float = 1.0, **edits: Any) -> None:
        self.edits[name] = LEFT_TO_THE_PROFILE | self.edits.get(name, {}) | edits
        self.world.cluster.apply(nova_lite_2_lora(self.edits[name], name=name))
        self.world.advance(settle)

    def status(self, name: str) -> dict[str, Any]:
        body = self.world.cluster.objects.get(f"{NAMESPACE}/{name}") or {}
        status: dict[str, Any] = body.get("status") or {}
        return status

    def phases(self, *names: str) -> list[str | None]:
        return [self.status(name).get("phase") for name in names]

    def places(self, *names: str) -> list[int | None]:
        return [self.status(name).get("queuePosition") for name in names]

    def ends(self, name: str) -> None:
        job = self.world.aws.jobs[self.status(name)["jobName"]]
        job.started = job.started or self.world.now()
        self.world.aws.complete(job.name)
        self.world.advance(31)

    def owners(self) -> list[str]:
        """Whose runs were created, in order."""
        return [self.world.aws.jobs[name].owner.partition("/")[2] for name in self.world.aws.created]

    def most_at_once(self) -> int:
        """How many runs were live at the same moment, by AWS's own times."""
        jobs = list(self.world.aws.jobs.values())
        end = self.world.now()
        return max(
            (
                sum(other.created <= job.created < (other.ended or end) or other is job for other in jobs)
                for job in jobs
            ),
            default=0,
        )


def test_first_come_first_served_with_positions_that_move_up() -> None:
    team = Team(1)
    with team.world:
        for name in ("c", "b", "a"):
            team.apply(name, settle=2)
        assert team.phases("c", "b", "a") == ["Starting", "Queued", "Queued"]
        assert team.places("c", "b", "a") == [None, 1, 2]
        assert "number 2 in line: SFTProfile ml runs 1 at a time" in team.status("a")["message"]
        team.ends("c")
        assert team.phases("b", "a") == ["Starting", "Queued"]
        team.world.advance(60)
        assert team.places("b", "a") == [None, 1]
        team.ends("b")
        assert team.owners() == ["c", "b", "a"]


def test_one_that_comes_when_a_place_is_free_does_not_pass_those_who_wait() -> None:
    team = Team(1)
    with team.world:
        for name in ("one", "two"):
            team.apply(name)
        job = team.world.aws.jobs[team.status("one")["jobName"]]
        job.state, job.ended = RunState.SUCCEEDED, team.world.now()
        team.apply("three", settle=120)
        assert team.owners() == ["one", "two"]


def test_of_many_that_come_at_once_no_more_go_than_may() -> None:
    team = Team(3, checks_take=1.0)
    with team.world:
        for number in range(12):
            team.apply(f"job-{number}", settle=0)
        team.world.advance(10)
        assert len(team.world.aws.created) == 3


def test_the_limit_is_counted_anew_after_a_restart() -> None:
    team = Team(2)
    with team.world:
        for number in range(5):
            team.apply(f"job-{number}")
        team.world.restart_operator()
        team.world.advance(300)
        assert len(team.world.aws.created) == 2
        team.ends("job-0")
        assert team.owners() == ["job-0", "job-1", "job-2"]
        team.world.advance(61)  # who stands further back hears of it within a minute


def test_a_higher_limit_lets_more_go_at_once_and_a_lower_one_stops_nobody() -> None:
    team = Team(1)
    with team.world:
        for number in range(5):
            team.apply(f"job-{number}")
        team.set(3)
        team.world.advance(1)
        assert len(team.world.aws.live()) == 3
        team.set(1)
        team.world.advance(120)
        assert len(team.world.aws.live()) == 3
        assert not team.world.aws.stops
        assert team.places("job-3", "job-4") == [1, 2]
        team.ends("job-0")
        team.ends("job-1")
        assert len(team.world.aws.created) == 3
        team.ends("job-2")
        assert len(team.world.aws.created) == 4
        team.set(None)
        team.world.advance(1)
        assert len(team.world.aws.created) == 5


def test_who_leaves_the_line_lets_the_next_one_move_up() -> None:
    team = Team(1)
    with team.world:
        for name in ("runs", "suspended", "deleted", "kept", "last"):
            team.apply(name)
        team.apply("suspended", **{"runPolicy.suspend": True})
        team.world.cluster.delete(f"{NAMESPACE}/deleted")
        # somebody's finalizer keeps the resource; it will never be launched, and nobody waits behind it
        kept = team.world.cluster.objects[f"{NAMESPACE}/kept"]
        kept["metadata"]["finalizers"] = ["example.com/keep"]
        team.world.cluster.delete(f"{NAMESPACE}/kept")
        team.ends("runs")
        assert team.owners() == ["runs", "last"]
        team.apply("suspended", **{"runPolicy.suspend": False})
        assert team.places("suspended") == [1]
        team.ends("last")
        assert team.owners()[-1] == "suspended"


def test_a_stopped_run_keeps_its_place_until_it_has_ended() -> None:
    team = Team(1)
    team.world.aws.stop_grace = 300.0
    with team.world:
        team.apply("first")
        team.apply("second")
        team.apply("first", **{"runPolicy.stop": True})
        team.world.advance(120)
        assert team.owners() == ["first"]
        team.world.advance(240)
        assert team.owners() == ["first", "second"]


def test_a_create_without_an_answer_holds_its_place() -> None:
    team = Team(1)
    team.world.aws.lose_next_answers = 1
    with team.world:
        team.apply("first", settle=0.05)
        team.world.kill_operator()
        team.world.cluster.apply(nova_lite_2_lora(name="second"))
        team.world.start_operator()
        team.world.advance(600)
        assert team.owners() == ["first"]


def test_a_write_whose_answer_is_lost_holds_its_place() -> None:
    team = Team(1)
    cluster = team.world.cluster
    heard, emit = cluster.patch_status, cluster._emit

    def late(kind: str, body: Mapping[str, Any]) -> None:
        """The watch is slow, too: for three seconds nobody hears that the first one's launch is decided."""
        slow = body["metadata"]["name"] == "first" and "jobName" in (body.get("status") or {})
        team.world.loop.call_later(3.0 if slow else 0.0, emit, kind, copy.deepcopy(dict(body)))

    async def lost(metadata: Any, patch: Any) -> Any:
        answer = await heard(metadata, patch)
        if patch.get("jobName") and metadata["name"] == "first":
            cluster.patch_status = heard  # type: ignore[method-assign]
            cluster.apply(nova_lite_2_lora(name="second"))
            raise KubeError(0, "TimeoutError", 5.0)
        return answer

    with team.world:
        cluster._emit, cluster.patch_status = late, lost  # type: ignore[method-assign]
        team.apply("first", settle=120)
        assert team.owners() == ["first"]
        assert team.places("second") == [1]


def test_another_profiles_runs_do_not_count() -> None:
    team = Team(1)
    with team.world:
        team.world.cluster.apply_profile("other", profile(maxConcurrentRuns=1))
        team.apply("a", profile="ml")
        team.apply("b", profile="other")
        team.apply("c", profile="ml")
        assert team.phases("a", "b", "c") == ["Starting", "Starting", "Queued"]
        team.apply("c", profile="other")
        assert team.status("c")["profile"]["name"] == "other"
        assert team.places("c") == [1]
        team.ends("b")
        assert team.owners() == ["a", "b", "c"]


_NAMES = ("a", "b", "c", "d", "e")
_OUTAGE = [KubeError(500, "etcd leader changed")] * 3
_HAPPENINGS: dict[str, Callable[[Team, str], None]] = {
    "apply": lambda team, name: team.apply(name, settle=0),
    "delete": lambda team, name: (
        team.world.cluster.delete(f"{NAMESPACE}/{name}")
        if f"{NAMESPACE}/{name}" in team.world.cluster.objects
        else None
    ),
    "suspend": lambda team, name: team.apply(name, settle=0, **{"runPolicy.suspend": True}),
    "resume": lambda team, name: team.apply(name, settle=0, **{"runPolicy.suspend": False}),
    "new run": lambda team, name: team.apply(name, settle=0, runID=str(len(team.world.aws.created) + 2)),
    "kill": lambda team, name: team.world.kill_operator(),
    "start": lambda team, name: None if team.world.cluster.watchers else team.world.start_operator(),
    "restart": lambda team, name: team.world.restart_operator(),
    "one ends": lambda team, name: end_one(team.world),
    "lose an answer": lambda team, name: setattr(team.world.aws, "lose_next_answers", 1),
    "drop a create": lambda team, name: setattr(team.world.aws, "drop_next_creates", 1),
    "quota": lambda team, name: setattr(team.world.aws, "create_refusal", refusal(Reason.QUOTA_EXCEEDED)),
    "no quota": lambda team, name: setattr(team.world.aws, "create_refusal", None),
    "slow creates": lambda team, name: setattr(team.world.aws, "submit_takes", 4.0),
    "slow stops": lambda team, name: setattr(team.world.aws, "stop_grace", 200.0),
    "API errors": lambda team, name: setattr(team.world.cluster, "fail_next", list(_OUTAGE)),
    "API silence": lambda team, name: setattr(team.world.cluster, "fail_next", [KubeError(0, "TimeoutError", 5.0)]),
    "one at a time": lambda team, name: team.set(1),
    "two at a time": lambda team, name: team.set(2),
    "pause": lambda team, name: team.set(2, pauseLaunches=True),
    "moves west": lambda team, name: team.set(2, defaults={"sageMaker": {"region": WEST}}),
    "denied": lambda team, name: team.set(2, allowed={"roleARNs": []}),
}


def end_one(world: World) -> None:
    running = [job for job in world.aws.live() if job.state is not RunState.STOPPING]
    if running:
        running[0].started = running[0].started or world.now()
        world.aws.complete(running[0].name)


happenings = st.lists(
    st.tuples(
        st.sampled_from(sorted(_HAPPENINGS)), st.sampled_from(_NAMES), st.sampled_from((0.0, 0.005, 0.5, 3.0, 70.0))
    ),
    min_size=4,
    max_size=25,
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(happenings)
def test_whatever_happens_no_more_run_than_may_and_in_the_end_everybody_has_run(
    history: list[tuple[str, str, float]],
) -> None:
    team = Team(2)
    world = team.world
    with world:
        for name in _NAMES[:3]:
            team.apply(name, settle=0)
        for what, name, moment in history:
            _HAPPENINGS[what](team, name)
            world.advance(moment)
        world.cluster.fail_next, world.aws.create_refusal = [], None
        world.aws.lose_next_answers = world.aws.drop_next_creates = 0
        if not world.cluster.watchers:
            world.start_operator()
        team.set(2)
        for name in team.edits:
            if (
                f"{NAMESPACE}/{name}" in world.cluster.objects
                and "deletionTimestamp" not in (world.cluster.objects[f"{NAMESPACE}/{name}"]["metadata"])
            ):
                team.apply(name, settle=0, **{"runPolicy.suspend": False})
        for _ in range(40):
            world.advance(120)
            end_one(world)
        world.advance(300)
        left = {name: team.status(name) for name in _NAMES if f"{NAMESPACE}/{name}" in world.cluster.objects}
        assert {status.get("phase") for status in left.values()} <= {"Succeeded"}, left
        assert team.most_at_once() <= 2


def test_a_job_that_is_denied_after_a_refused_launch_gives_its_place_to_the_next() -> None:
    team = Team(1)
    with team.world:
        team.world.aws.create_refusal = refusal(Reason.QUOTA_EXCEEDED)
        team.apply("a", settle=5)
        assert (team.status("a")["reason"], team.status("a").get("jobName") is not None) == ("QuotaExceeded", True)
        team.apply("b", settle=5, **{"sageMaker.training.instanceType": "ml.p4d.24xlarge", "model.name": "nova-lite"})
        assert team.status("b")["reason"] == "ConcurrencyLimit"
        team.world.aws.create_refusal = None
        team.set(1, allowed={"instanceTypes": ["ml.p4d.*"]})
        team.world.advance(70)
        assert team.status("a")["reason"] == "PolicyDenied"
        assert team.owners() == ["b"]
        team.set(1)
        team.world.advance(400)
        assert team.status("a")["reason"] == "ConcurrencyLimit"
        team.ends("b")
        team.world.advance(400)
        assert team.owners() == ["b", "a"]
        assert team.most_at_once() == 1
