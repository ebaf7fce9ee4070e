"""Whatever users, the platform, restarts and time do, in any order: the rules that always hold."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft_operator.api.reasons import Reason
from sft_operator.api.rules import TERMINAL_PHASES
from sft_operator.controller.kube import KubeError
from sft_operator.platforms.base import PlatformUnavailable, RunState
from tests.unit.cloud import refusal
from tests.unit.world import World

OUTAGE = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "connection refused", 30.0)

_EDITS: dict[str, dict[str, Any]] = {
    "suspend": {"runPolicy.suspend": True},
    "resume": {"runPolicy.suspend": False},
    "stop": {"runPolicy.stop": True},
    "do not stop": {"runPolicy.stop": False},
    "retry": {"runPolicy.backoffLimit": 3},
    "run 1": {"runID": "1"},
    "run 2": {"runID": "2"},
    "run 3": {"runID": "3"},
    "tag": {"tags": {"team": "b"}},
    "longer": {"runPolicy.maxRuntime": "200h"},
    "orphan": {"runPolicy.deletionPolicy": "Orphan"},
}
_CLOUD: dict[str, tuple[str, Any]] = {
    "quota": ("create_refusal", refusal(Reason.QUOTA_EXCEEDED)),
    "quota again": ("create_refusal", None),
    "lose an answer": ("lose_next_answers", 1),
    "drop creates": ("drop_next_creates", 2),
    "slow creates": ("submit_takes", 4.0),
    "fast creates": ("submit_takes", 0.0),
    "outage": ("unreachable", OUTAGE),
    "end of outage": ("unreachable", None),
    "unreadable": ("check_refusal", refusal(Reason.DATASET_UNREADABLE)),
    "readable": ("check_refusal", None),
    "slow check": ("check_takes", 7.0),
    "new data": ("etag", "v2"),
    "new catalogue": ("catalogue", "2027"),
    "policy": ("plan_refusal", refusal(Reason.POLICY_DENIED)),
    "no policy": ("plan_refusal", None),
    "invalid": ("plan_refusal", refusal(Reason.INVALID_SPEC)),
    "stops fail": ("stop_trouble", OUTAGE),
    "stops work": ("stop_trouble", None),
    "slow stops": ("stop_grace", 200.0),
}
_RUN = ("runs", "completes", "fails for capacity", "fails for its code", "times out", "is stopped outside", "vanishes")
_OPERATOR = ("restart", "kill", "start")
_API = {
    "errors": [KubeError(500, "etcd leader changed")] * 3,
    "conflicts": [KubeError(409, "the object has been modified")] * 2,
    "silence": [KubeError(0, "TimeoutError", 5.0)],
}
_MOMENTS = (0.0, 0.005, 0.5, 3.0, 40.0, 400.0)

happenings = st.one_of(
    st.sampled_from([("edit", name) for name in _EDITS]),
    st.sampled_from([("cloud", name) for name in _CLOUD]),
    st.sampled_from([("run", name) for name in _RUN]),
    st.sampled_from([("operator", name) for name in _OPERATOR]),
    st.sampled_from([("api", name) for name in _API]),
    st.sampled_from([("user", "delete"), ("user", "apply")]),
)
histories = st.lists(st.tuples(happenings, st.sampled_from(_MOMENTS)), min_size=1, max_size=14)

_WITHOUT_END = st.sampled_from(
    [
        *[("edit", name) for name in ("suspend", "resume", "retry", "run 2", "run 3", "tag")],
        *[
            ("cloud", name)
            for name in ("quota", "quota again", "lose an answer", "drop creates", "slow stops", "new data")
        ],
        *[("cloud", name) for name in ("outage", "end of outage", "unreadable", "readable", "slow check")],
        *[("run", name) for name in ("runs", "runs", "fails for capacity", "completes")],
        *[("operator", "restart"), ("api", "errors"), ("api", "conflicts")],
    ]
)
long_lives = st.lists(st.tuples(_WITHOUT_END, st.sampled_from(_MOMENTS)), min_size=8, max_size=24)
_SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def happen(world: World, what: tuple[str, str]) -> None:
    kind, name = what
    if kind == "edit" and not (world.gone or "deletionTimestamp" in world.body["metadata"]):
        world.apply(_EDITS[name], settle=0.0)
    elif kind == "user" and name == "apply":
        world.apply(settle=0.0)
    elif kind == "user" and not world.gone:
        world.delete(settle=0.0)
    elif kind == "cloud":
        setattr(world.aws, *_CLOUD[name])
    elif kind == "api":
        world.cluster.fail_next = list(_API[name])
    elif kind == "run":
        _to_the_run(world, name)
    elif kind == "operator":
        if name != "start":
            world.kill_operator()
        if name == "restart" or (name == "start" and not world.cluster.watchers):
            world.start_operator()


def _to_the_run(world: World, name: str) -> None:
    live = world.aws.live()
    if not live:
        return
    world.aws.created.append(world.aws.created.pop(world.aws.created.index(live[-1].name)))
    match name:
        case "runs" if live[-1].state is not RunState.STOPPING:
            world.aws.run()
        case "completes":
            world.aws.run()
            world.aws.complete()
        case "fails for capacity":
            world.aws.fail(Reason.CAPACITY_UNAVAILABLE)
        case "fails for its code":
            world.aws.fail(Reason.ALGORITHM_ERROR)
        case "times out":
            world.aws.time_out()
        case "is stopped outside":
            world.aws.stop_outside()
        case "vanishes":
            world.aws.vanish()
            world.aws.created.pop()


def calm(world: World) -> None:
    """All that was broken works again, and the operator is there."""
    for name in ("quota again", "end of outage", "readable", "no policy", "stops work", "fast creates"):
        setattr(world.aws, *_CLOUD[name])
    world.cluster.fail_next = []
    world.aws.drop_next_creates = world.aws.lose_next_answers = 0
    if not world.cluster.watchers:
        world.start_operator()
    world.advance(1200)


@_SETTINGS
@given(histories)
def test_whatever_happens_the_rules_hold_and_the_job_ends_where_it_should(history: list[tuple[Any, float]]) -> None:
    live_through(history)


@_SETTINGS
@given(long_lives)
def test_a_long_life_of_suspensions_retries_and_new_runs_keeps_the_rules(history: list[tuple[Any, float]]) -> None:
    live_through([(("edit", "retry"), 40.0), *history])


def live_through(history: list[tuple[Any, float]]) -> None:
    """The world asserts on the way: never two live runs of one resource, no create before its intent and finalizer, no
    terminal phase rewritten, no circle of passes; and at its end that nothing is pending."""
    with World() as world:
        world.apply(settle=0.0)
        for what, pause in history:
            happen(world, what)
            if pause:
                world.advance(pause)
            world.assert_rules()
        calm(world)
        world.assert_settled()
        world.assert_rules()
        if world.gone:
            return
        assert world.phase in (*TERMINAL_PHASES, "Suspended", "Starting", "Running")
        live = world.aws.live(world.key)
        names = {job.name for job in live}
        if world.phase in ("Starting", "Running"):
            assert names == {world.status["jobName"]}
        _attempts_only_grow(world)
        # and without a word from anybody, nothing is written any more
        writes = len(world.cluster.writes)
        world.advance(400)
        assert len(world.cluster.writes) == writes


def _attempts_only_grow(world: World) -> None:
    before: dict[str, Any] = {}
    for status in world.cluster.written:
        same_run = before.get("runID") == status.get("runID") and before.get("uid") == status.get("uid")
        if same_run:
            assert (status.get("attempt") or 1) >= (before.get("attempt") or 1)
            assert (status.get("retries") or 0) >= (before.get("retries") or 0)
            assert (status.get("priorRuntimeSeconds") or 0) >= (before.get("priorRuntimeSeconds") or 0)
        before = status
