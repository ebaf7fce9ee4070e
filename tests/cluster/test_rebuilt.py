"""A cluster is lost and built again from the same repository while its runs live on AWS; then both are there at once, and a
third operator belongs to another environment. One story, told in order."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sft_lab.cluster.startup import start_lab
from sft_lab.installation import install_chart, start_operator
from tests.cluster.story import OPEN_PROFILE, PACE, SETTINGS, Job, World, unchecked, wait_for
from tests.manifests import Manifest

LONG = 10_000.0
ENDS = {"done": "Succeeded", "broken": "Failed"}
LIVE = ("live", "resumed")


def repository() -> list[Manifest]:
    """What stands in Git; both clusters apply it."""
    jobs = [unchecked(name=name) for name in (*ENDS, *LIVE, "waiting")]
    return [*jobs, unchecked({"runPolicy.suspend": True}, name="suspended")]


@dataclass
class Rebuilt:
    """`old` is the cluster that was lost, `new` the one that was built from the repository."""

    old: World
    new: World
    before: dict[str, dict[str, Any]]
    """Statuses in the old cluster when it was lost."""
    at: int
    """Sequence number of the last request of the old cluster."""

    def job(self, name: str) -> Job:
        return Job(self.new, name)

    def creates(self) -> list[str]:
        """Since the old cluster was lost, in this namespace."""
        calls = self.new.aws.calls("CreateTrainingJob", since=self.at)
        return [call.name for call in calls if call.committed and self.new.namespace in json.dumps(call.parameters)]


@pytest.fixture(scope="module")
def rebuilt(operated: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rebuilt]:
    if operated.operator.program.pid() is None:
        operated.restart_operator()
    old = replace(operated, namespace=f"rebuilt-{uuid.uuid4().hex[:10]}")
    old.kubectl("create", "namespace", old.namespace)
    folder = tmp_path_factory.mktemp("rebuilt") / "lab"
    with ExitStack() as stack, ThreadPoolExecutor(1) as meanwhile:
        coming = meanwhile.submit(start_lab, folder, aws=False)
        stack.callback(lambda: coming.result().stop())
        _live_through(old)
        old.kill_operator()
        before = {name: Job(old, name).status for name in (*ENDS, *LIVE, "waiting", "suspended")}
        old.aws.heal()
        at, lab = old.aws.calls()[-1].seq, coming.result()
        assert old.lab.aws_endpoint
        lab.env["AWS_ENDPOINT_URL"] = old.lab.aws_endpoint
        install_chart(lab)
        lab.kubectl("apply", "-f", "-", input=json.dumps(OPEN_PROFILE))
        lab.kubectl("create", "namespace", old.namespace)
        new = World(lab, old.aws, start_operator(lab, settings=SETTINGS), old.namespace)
        _apply(new, repository())
        new.operator.wait_ready()
        yield Rebuilt(old, new, before, at)
    operated.aws.reset("faults", "scripts")
    if operated.operator.program.pid() is None:
        operated.restart_operator()
    else:
        operated.operator = old.operator
    old.kubectl("delete", "sft", "--all", "--wait=false")
    old.kubectl("delete", "namespace", old.namespace, "--wait=false")


def _live_through(world: World) -> None:
    world.aws.script("*", **PACE)
    world.aws.script("sft-broken-*", **{**PACE, "end": "Failed"})
    for name in LIVE:
        world.aws.script(f"sft-{name}-*", **{**PACE, "training": LONG})
    world.aws.fail("CreateTrainingJob", name="sft-waiting-*", code="ResourceLimitExceeded", times=None)
    _apply(world, repository())
    resumed = Job(world, "resumed")
    resumed.until("Running")
    resumed.patch(runPolicy={"suspend": True})
    resumed.until("Suspended")
    resumed.patch(runPolicy={"suspend": False})
    resumed.until("Running", attempt=2)
    Job(world, "live").until("Running")
    Job(world, "waiting").until("Queued", reason="QuotaExceeded")
    Job(world, "suspended").until("Suspended")
    for name, phase in ENDS.items():
        Job(world, name).until(phase)


def _apply(world: World, manifests: list[Manifest]) -> None:
    world.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))


def test_a_completed_run_gives_its_result_to_the_rebuilt_cluster(rebuilt: Rebuilt) -> None:
    status = rebuilt.job("done").until_finished()
    assert (status["phase"], status["reason"]) == ("Succeeded", "AdoptedFinishedRun")
    assert status["artifacts"] == rebuilt.before["done"]["artifacts"]
    assert status["jobName"] == rebuilt.before["done"]["jobName"]


def test_a_failed_run_is_not_repeated_by_the_rebuilt_cluster(rebuilt: Rebuilt) -> None:
    status = rebuilt.job("broken").until_finished()
    assert (status["phase"], status["reason"]) == ("Failed", rebuilt.before["broken"]["reason"])
    assert status["jobName"] == rebuilt.before["broken"]["jobName"]


@pytest.mark.parametrize("name", LIVE)
def test_a_run_that_is_live_is_followed_by_the_rebuilt_cluster(rebuilt: Rebuilt, name: str) -> None:
    job = rebuilt.job(name)
    status = job.until("Running", jobName=rebuilt.before[name]["jobName"])
    assert status["attempt"] == rebuilt.before[name]["attempt"]
    assert job.condition("Submitted")["reason"] == "Adopted"
    assert status["uid"] != rebuilt.before[name]["uid"]


def test_a_launch_that_waited_for_quota_is_made_once_and_under_the_same_name(rebuilt: Rebuilt) -> None:
    job = rebuilt.job("waiting")
    assert job.until_finished()["phase"] == "Succeeded"
    assert job.job_name == rebuilt.before["waiting"]["jobName"]


def test_what_is_suspended_in_the_repository_stays_so(rebuilt: Rebuilt) -> None:
    assert "jobName" not in rebuilt.job("suspended").until("Suspended")


def test_nothing_was_launched_that_had_been_launched_and_nothing_was_stopped(rebuilt: Rebuilt) -> None:
    assert rebuilt.creates() == [rebuilt.before["waiting"]["jobName"]]
    runs = {status.get("jobName") for status in rebuilt.before.values()}
    stops = rebuilt.new.aws.calls("StopTrainingJob", since=rebuilt.at)
    assert [call.name for call in stops if call.name in runs] == []


def test_two_clusters_with_one_repository_and_one_scope_have_one_run_between_them(rebuilt: Rebuilt) -> None:
    """The cluster that was thought lost comes back: its statuses are as they were."""
    old, new = rebuilt.old, rebuilt.new
    old.restart_operator()
    both = [Job(world, "shared") for world in (old, new)]
    old.aws.script("sft-shared-*", **{**PACE, "training": LONG})
    for world in (old, new):
        world.apply(unchecked(name="shared"))
    for job in both:
        job.until("Running")
    assert both[0].job_name == both[1].job_name
    assert sorted(job.condition("Submitted")["reason"] for job in both) == ["Accepted", "Adopted"]
    waiting = Job(old, "waiting")
    assert waiting.until_finished()["phase"] == "Succeeded"
    assert waiting.job_name == rebuilt.before["waiting"]["jobName"]
    old.aws.advance(2 * LONG)
    for name in ("shared", *LIVE):
        for world in (old, new):
            assert Job(world, name).until_finished()["phase"] == "Succeeded"
    assert rebuilt.creates() == [rebuilt.before["waiting"]["jobName"], both[0].job_name]


def test_another_environment_has_runs_of_its_own_and_leaves_those_of_the_first_alone(rebuilt: Rebuilt) -> None:
    """The same repository, the same account, another identity scope."""
    old, new = rebuilt.old, rebuilt.new
    new.kill_operator()
    new.settings = {**SETTINGS, "SFT_IDENTITY_SCOPE": "another"}
    new.restart_operator()
    old.aws.script("sft-apart-*", **{**PACE, "training": LONG})
    first = old.apply(unchecked(name="apart"))
    run = first.until("Running")["jobName"]
    second = new.apply(unchecked(name="apart"))
    other = second.until("Running")["jobName"]
    assert other != run
    second.delete()
    second.until_gone()
    assert (old.aws.job(other)["status"], old.aws.job(run)["status"]) == ("Stopped", "InProgress")


def test_a_status_restored_under_another_scope_stops_no_run_of_the_first_environment(rebuilt: Rebuilt) -> None:
    """A backup with statuses, brought back without the identity scope that it was made under."""
    old, new = rebuilt.old, rebuilt.new
    first = Job(old, "apart")
    run = first.until("Running")["jobName"]
    restored = unchecked(name="apart")
    restored["metadata"]["finalizers"] = ["sft-operator.dev/stop-run"]
    new.kill_operator()
    second = new.apply(restored)
    patch = json.dumps({"status": first.status})
    new.kubectl("patch", "sft", "apart", "--subresource=status", "--type=merge", "-p", patch)
    new.restart_operator()
    second.until("Running", jobName=run)
    second.patch(runPolicy={"stop": True})
    second.until("Stopping", reason="NameConflict")
    wait_for("it is left alone", lambda: old.aws.job(run)["status"] == "InProgress")
    assert [call for call in old.aws.calls("StopTrainingJob", name=run) if call.committed] == []
    new.kubectl("annotate", "sft", "apart", "sft-operator.dev/force-release=true")
    second.delete()
    second.until_gone()
    assert old.aws.job(run)["status"] == "InProgress"
