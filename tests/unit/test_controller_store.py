"""What the process remembers of jobs: newest versions only, nothing of other runs, next to nothing of finished ones."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from sft_operator.api.reasons import Reason
from sft_operator.controller.reconcile.job import Seen, Trouble
from sft_operator.controller.store import Store
from sft_operator.platforms.base import CheckOutcome, Observation, RunState, SubmitKind, SubmitOutcome
from tests.manifests import edited, nova_lite_2_lora
from tests.unit.cloud import Cloud, refusal

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY = "ml-team/nova-lite-2-lora"
WAIT = Trouble("QuotaExceeded", "not now", NOW, NOW)
LIVE = {
    "phase": "Running",
    "runID": "1",
    "jobName": "sft-job-1",
    "effective": {"account": "111122223333", "region": "us-east-1"},
    "conditions": [
        {
            "type": "Submitted",
            "status": "True",
            "reason": "Accepted",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-22T00:00:00Z",
        }
    ],
}


def resource(version: int, *, uid: str = "u1", generation: int = 1, status: Any = None, **edits: Any) -> dict[str, Any]:
    manifest = edited(nova_lite_2_lora(), edits)
    metadata = {
        "namespace": "ml-team",
        "uid": uid,
        "generation": generation,
        "resourceVersion": str(version),
        "creationTimestamp": "2026-11-22T00:00:00Z",
    }
    return {**manifest, "metadata": manifest["metadata"] | metadata, "status": copy.deepcopy(status or {})}


def test_older_and_equal_versions_are_no_news() -> None:
    store = Store()
    assert store.put(resource(10)) == KEY
    assert store.put(resource(10)) is None
    assert store.put(resource(9)) is None
    assert store.put(resource(11)) == KEY


def test_versions_are_compared_as_numbers() -> None:
    store = Store()
    store.put(resource(9))
    assert store.put(resource(10)) == KEY


def test_an_older_version_does_not_wake_a_job_whose_body_was_forgotten() -> None:
    store = Store()
    store.put(resource(10))
    store.forget_body(KEY)
    assert store.put(resource(9)) is None
    assert store.put(resource(10)) is None
    assert store.put(resource(11)) == KEY


def test_a_resource_of_another_uid_starts_from_nothing() -> None:
    store = Store()
    store.put(resource(10, status=LIVE))
    entry = store.get(KEY)
    assert entry is not None
    entry.seen = Seen(stop_asked=NOW)
    # a new object may even have a lower version, after a restored etcd
    assert store.put(resource(5, uid="u2")) == KEY
    entry = store.get(KEY)
    assert entry is not None
    assert entry.seen == Seen()
    assert store.key_of("sft-job-1") is None


def test_forgetting_keeps_the_phase_and_lets_the_rest_go() -> None:
    store = Store()
    store.put(resource(10, status={"phase": "Succeeded", "runID": "1"}))
    entry = store.get(KEY)
    assert entry is not None
    entry.seen = Seen(stop_asked=NOW)
    store.forget_body(KEY)
    assert (entry.body, entry.job, entry.seen) == (None, None, Seen())
    assert store.phases() == {("ml-team", "Succeeded"): 1}


def test_an_edit_makes_what_was_refused_be_tried_at_once_but_stays_known_as_refused() -> None:
    store = Store()
    store.put(resource(10))
    entry = store.get(KEY)
    assert entry is not None
    refused = SubmitOutcome(SubmitKind.REFUSED, refusal=refusal(Reason.QUOTA_EXCEEDED))
    entry.seen = Seen(submit=refused, submit_trouble=WAIT, check_trouble=WAIT, stop_trouble=WAIT)
    store.put(resource(11))
    assert entry.seen.submit_trouble == WAIT  # a status write is no edit
    store.put(resource(12, generation=2))
    assert entry.seen == Seen(submit=refused)


def test_an_edit_that_is_no_new_run_keeps_the_facts_of_the_data_and_a_new_run_does_not() -> None:
    store = Store()
    store.put(resource(10))
    entry = store.get(KEY)
    assert entry is not None
    entry.seen = Seen(check=CheckOutcome(None))
    store.put(resource(11, generation=2, **{"runPolicy.backoffLimit": 2}))
    assert entry.seen.check is not None
    store.put(resource(12, generation=3, runID="2"))
    assert entry.seen.check is None


def test_what_was_seen_of_a_run_goes_with_its_name() -> None:
    store = Store()
    store.put(resource(10, status=LIVE))
    entry = store.get(KEY)
    assert entry is not None
    entry.seen = Seen(observation=Observation(RunState.RUNNING, "Training", NOW), stop_asked=NOW)
    store.put(resource(11, status=LIVE | {"message": "on it goes"}))
    assert entry.seen.observation is not None
    store.put(resource(12, status={"phase": "Pending", "runID": "2"}))
    assert entry.seen == Seen()


def test_only_submitted_unfinished_runs_and_those_to_be_stopped_are_followed() -> None:
    platform = Cloud(lambda: NOW)
    store = Store()
    store.put(resource(10, status=LIVE))
    assert [ref.job_name for ref in store.live(platform)] == ["sft-job-1"]
    intent = {key: value for key, value in LIVE.items() if key != "conditions"}
    store.put(resource(11, status=intent | {"phase": "Submitting"}))
    assert store.live(platform) == frozenset()
    store.put(resource(12, status=intent | {"stopRequest": {"cause": "Stop", "time": "2026-11-22T00:00:00Z"}}))
    assert len(store.live(platform)) == 1
    store.put(resource(13, status=LIVE | {"phase": "Suspended"}))
    assert store.live(platform) == frozenset()


def test_one_resource_that_makes_no_sense_is_kept_with_its_error() -> None:
    store = Store()
    body = resource(10)
    body["spec"] = {"model": "a string"}
    body["status"] = {"phase": "NoSuchPhase", "conditions": "none"}
    assert store.put(body) == KEY
    entry = store.get(KEY)
    assert entry is not None
    assert entry.job is not None
    assert entry.job.spec is None
    assert "spec.model" in entry.job.spec_error


def test_of_a_status_that_makes_no_sense_in_part_the_rest_is_kept() -> None:
    store = Store()
    body = resource(10, status=LIVE)
    body["status"]["conditions"].append({"type": "OfANewerOperator", "status": "True"})
    body["status"]["attempt"] = "three"
    store.put(body)
    entry = store.get(KEY)
    assert entry is not None
    assert entry.job is not None
    assert entry.job.submitted
    assert entry.job.status.job_name == "sft-job-1"
    assert entry.job.status.attempt is None
