"""Who leads when processes, connections, clocks and event loops fail: real processes, a real API server, and awssim's
journal as the witness, in which each replica has a name. Every takeover makes the next scene; the tests stand in order.

The table of what was measured is printed at the end and written to build/leadership.txt.
"""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from sft_lab.awssim.control import Call, Sim
from sft_lab.cluster.api import Administrator
from sft_lab.cluster.lab import Lab
from sft_lab.cluster.startup import start_lab
from sft_lab.installation import NAMESPACE, ROOT, install_chart
from sft_lab.quickstart import upload_data
from tests.cluster.replica import Replica
from tests.cluster.story import BRIEF, unchecked, wait_for

CRASH_BOUND, SIGTERM_BOUND = 17.0, 3.0
HOUR = 1
EXIT_SECONDS = 14.0
APPLY_EVERY = 2.0
TABLE = ROOT / "build" / "leadership.txt"


@dataclass(frozen=True)
class Row:
    scenario: str
    taken_over: float
    without: float
    bound: float
    two: bool

    def __str__(self) -> str:
        told = "yes" if self.two else "no"
        return f"{self.scenario:<52}{self.taken_over:>12.1f}{self.without:>14.1f}{self.bound:>8.0f}{told:>9}"


@dataclass
class Stage:
    """A lab in which a new job is applied every two seconds, a leader, and one that stands by."""

    lab: Lab
    aws: Sim
    namespace: str
    leader: Replica
    standby: Replica
    started: int = 2
    rows: list[Row] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)

    def calls_of(self, replica: Replica, since: int = 0) -> list[Call]:
        return self.aws.calls(caller=replica.key, since=since)

    def scene(
        self, scenario: str, fault: Callable[[Replica], None], *, bound: float = CRASH_BOUND, next_clock: int = 0
    ) -> Replica:
        """Brings the fault upon the leader, waits until the one that stood by acts, and has another stand by. Returns
        the leader that was."""
        old, new = self.leader, self.standby
        assert (old.leads, new.leads) == (True, False)
        assert new.operator.get("/readyz")[0] == 200, "one that stands by is ready"
        at = self.aws.calls()[-1].seq
        wait_for("the leader acts", lambda: self.calls_of(old, since=at))
        assert self.calls_of(new) == [], "one that stands by asks nothing of AWS"
        fault(old)
        struck = time.time()
        third = Replica(self.lab, self.started, next_clock)
        self.started += 1
        wait_for(f"{scenario}: another acts", lambda: self.calls_of(new), seconds=2 * CRASH_BOUND, told=self._logs)
        began, last = self.calls_of(new)[0].wall, self.calls_of(old)[-1].wall
        self.rows.append(Row(scenario, began - struck, began - last, bound, last > began))
        self.leader, self.standby = new, third
        third.operator.wait_ready()
        wait_for("the next one stands by", lambda: third.leads is False)
        return old

    def _logs(self) -> str:
        return f"{self.leader.operator.program.log_tail(5)}\n{self.standby.operator.program.log_tail(5)}"

    def assert_good(self, old: Replica) -> None:
        """The last row is within its bound, and the leader that was has ended and did nothing since."""
        row = self.rows[-1]
        wait_for("the old leader has ended", lambda: old.ended, seconds=EXIT_SECONDS)
        assert self.calls_of(old)[-1].wall < self.calls_of(self.leader)[0].wall, "two acted at once"
        assert not row.two
        assert row.taken_over <= row.bound

    def until_done(self) -> None:
        """Waits until every job has succeeded but the long one."""

        def phases() -> list[str]:
            listed = self.lab.kubectl("-n", self.namespace, "get", "sft", "-o", "jsonpath={.items[*].status.phase}")
            return sorted(listed.stdout.split())

        wait_for(
            "every job has succeeded but the long one",
            lambda: phases() == ["Running", *["Succeeded"] * len(self.applied)],
            told=lambda: str(phases()),
        )

    def apply_jobs(self) -> None:
        """One job after another, in a thread of its own, until `stopped`."""
        administrator = Administrator(self.lab.layout.tls)
        path = f"/apis/sft-operator.dev/v1alpha1/namespaces/{self.namespace}/sftjobs"
        while not self.stopped.wait(APPLY_EVERY):
            if self.paused.is_set():
                continue
            name = f"job-{len(self.applied)}"
            status, answer = administrator.call(self.lab.ports["kube-apiserver"], "POST", path, unchecked(name=name))
            assert status == 201, answer
            self.applied.append(name)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with start_lab(tmp_path_factory.mktemp("leadership") / "lab") as lab:
        install_chart(lab)
        upload_data(lab)
        assert lab.aws_endpoint
        aws = Sim(lab.aws_endpoint)
        aws.script("*", **BRIEF)
        aws.script("sft-long-*", **{**BRIEF, "training": 36000})
        namespace = f"led-{uuid.uuid4().hex[:10]}"
        lab.kubectl("create", "namespace", namespace)
        lab.kubectl("--namespace", namespace, "apply", "-f", "-", input=json.dumps(unchecked(name="long")))
        first = Replica(lab, 0)
        wait_for("the first one leads", lambda: first.leads)
        second = Replica(lab, 1, clock_hours=HOUR)
        stage = Stage(lab, aws, namespace, first, second)
        second.operator.wait_ready()
        wait_for("the second one stands by", lambda: second.leads is False)
        applying = threading.Thread(target=stage.apply_jobs, daemon=True)
        applying.start()
        yield stage
        stage.stopped.set()
        applying.join()
        for replica in (stage.leader, stage.standby):
            replica.gate.close()


def test_a_crash_is_taken_over_by_one_whose_clock_is_an_hour_ahead(stage: Stage) -> None:
    old = stage.scene("kill -9; clock of the standby +1 h", _kill, next_clock=-HOUR)
    stage.assert_good(old)


def test_a_leader_whose_clock_is_an_hour_ahead_is_taken_over_no_later(stage: Stage) -> None:
    assert stage.leader.clock_hours == HOUR
    old = stage.scene("kill -9; clock of the leader +1 h, standby -1 h", _kill)
    stage.assert_good(old)


def test_a_leader_whose_clock_is_an_hour_behind_is_not_robbed_and_hands_over_at_sigterm(stage: Stage) -> None:
    assert stage.leader.clock_hours == -HOUR
    old = stage.scene(
        "SIGTERM; clock of the leader -1 h", lambda leader: leader.signal(signal.SIGTERM), bound=SIGTERM_BOUND
    )
    stage.assert_good(old)
    assert old.said("the Lease is released")


def test_behind_an_api_server_that_hangs_the_leader_ends_before_another_acts(stage: Stage) -> None:
    old = stage.scene("API server hangs (proxy forwards nothing)", lambda leader: leader.gate.hang())
    stage.assert_good(old)
    assert old.said("leadership is lost, the process ends: the Lease could not be renewed")


def test_refused_by_the_api_server_the_leader_ends_before_another_acts(stage: Stage) -> None:
    old = stage.scene("API server refuses connections", lambda leader: leader.gate.close())
    stage.assert_good(old)
    assert old.said("leadership is lost")


def test_a_process_that_was_frozen_begins_nothing_when_it_wakes(stage: Stage) -> None:
    """Frozen between two looks: of a request that is half sent, nothing but its name keeps the other half harmless."""
    stage.paused.set()
    stage.until_done()

    def freeze(leader: Replica) -> None:
        at = stage.aws.calls()[-1].seq

        def rests() -> bool:
            calls = stage.calls_of(leader, since=at)
            return all(call.status for call in calls) and bool(calls) and 0.1 < time.time() - calls[-1].wall < 0.25

        wait_for("it rests between two looks", rests)
        leader.signal(signal.SIGSTOP)
        stage.paused.clear()

    old = stage.scene("process frozen (SIGSTOP)", freeze)
    assert not old.ended
    at = stage.aws.calls()[-1].seq
    old.signal(signal.SIGCONT)
    stage.assert_good(old)
    assert stage.calls_of(old, since=at) == []


def test_a_blocked_event_loop_does_not_outlive_its_lease(stage: Stage) -> None:
    old = stage.scene("event loop blocked for 60 s", lambda leader: leader.signal(signal.SIGUSR1))
    stage.assert_good(old)
    assert old.said("leadership is lost")


def test_the_lease_and_the_logs_say_who_leads(stage: Stage) -> None:
    lease = json.loads(stage.lab.kubectl("-n", NAMESPACE, "get", "lease", "sft-operator", "-o", "json").stdout)
    holder = lease["spec"]["holderIdentity"]
    assert stage.leader.said(f"leading as {holder} (Lease {NAMESPACE}/sft-operator)")
    assert stage.standby.said(f"standing by: {holder} leads")
    assert lease["spec"]["leaseTransitions"] == len(stage.rows)


def test_in_all_of_it_every_job_was_launched_once_and_nobody_acted_beside_another(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.stopped.set()
    stage.until_done()
    created = [call.name for call in stage.aws.calls("CreateTrainingJob") if call.committed]
    assert len(created) == len(set(created)) == len(stage.applied) + 1
    callers = [call.caller for call in stage.aws.calls() if call.caller.startswith("AKIAREPLICA")]
    terms = [caller for place, caller in enumerate(callers) if place == 0 or callers[place - 1] != caller]
    assert len(terms) == len(set(terms)) == len(stage.rows) + 1, "each led once, one after the other"
    header = f"{'scenario':<52}{'taken over':>12}{'nobody acted':>14}{'bound':>8}{'two?':>9}"
    table = "\n".join([header, *map(str, stage.rows), f"(seconds; {len(created)} jobs, each created once)"])
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table + "\n")
    with capsys.disabled():
        print(f"\n{table}")


def _kill(leader: Replica) -> None:
    leader.signal(signal.SIGKILL)
