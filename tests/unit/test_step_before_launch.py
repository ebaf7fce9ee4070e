"""What stands in the way of a launch: data, spec, limits of the account, other owners of the name; and what ends it."""

from __future__ import annotations

import pytest

from sft_operator.api.reasons import Reason
from sft_operator.platforms.base import PlatformUnavailable
from tests.unit.cloud import refusal
from tests.unit.world import World

HOUR = 3600.0


def test_the_data_is_read_once_and_its_facts_stand_in_the_status() -> None:
    with World() as world:
        world.apply()
        assert world.status["dataset"]["rows"] == 500
        assert world.status["dataset"]["files"][0]["etag"] == "v1"
        assert world.aws.checks == 1


def test_a_long_check_shows_as_validating() -> None:
    with World() as world:
        world.aws.check_takes = 30.0
        world.apply()
        world.advance(5)
        assert world.phase == "Validating"
        assert world.says("Validated") == ("Unknown", "Checking")
        world.advance(60)
        assert world.story == ["Validating", "Submitting", "Starting"]


def test_skip_reads_nothing() -> None:
    with World() as world:
        world.apply({"dataset.check": "Skip"})
        assert world.aws.checks == 0
        assert world.says("Validated") == ("True", "CheckSkipped")
        assert world.phase == "Starting"


def test_wrong_rows_end_the_job_and_launch_nothing() -> None:
    with World() as world:
        world.aws.check_refusal = refusal(Reason.DATASET_INVALID, "train.jsonl line 7: no messages")
        world.aws.check_partly_read = True
        world.aws.check_errors = 3
        world.apply()
        assert world.phase == "Failed"
        assert world.says("Validated") == ("False", "DatasetInvalid")
        assert world.says("Finished") == ("True", "DatasetInvalid")
        assert world.says("Complete") == ("False", "DatasetInvalid")
        assert world.says("Stalled") == ("True", "DatasetInvalid")
        assert world.status["reason"] == "DatasetInvalid"
        assert "line 7" in world.status["failure"]["message"]
        assert world.status["dataset"]["errorCount"] == 3
        assert world.aws.submits == 0
        assert world.events == ["Refused"]
        assert world.writes() == {"status": 1}


def test_wrong_rows_are_launched_all_the_same_when_the_check_only_warns() -> None:
    with World() as world:
        world.aws.check_errors = 3
        world.apply({"dataset.check": "Warn"})
        assert world.says("Validated") == ("True", "CheckWarned")
        assert world.phase == "Starting"


def test_unreadable_data_waits_and_is_tried_again_until_it_can_be_read() -> None:
    with World() as world:
        world.aws.check_refusal = refusal(Reason.DATASET_UNREADABLE, "s3:GetObject is missing")
        world.apply()
        assert world.phase == "Queued"
        assert world.status["reason"] == "DatasetUnreadable"
        assert world.says("Validated") == ("False", "DatasetUnreadable")
        assert "next at" in world.status["message"]
        world.advance(HOUR)
        assert world.aws.checks > 5
        world.aws.check_refusal = None
        world.advance(600)
        assert world.phase == "Starting"
        assert world.says("Validated") == ("True", "Accepted")
        assert world.events == ["DatasetUnreadable", "Launched"]


def test_a_slow_check_that_is_repeated_tells_of_it_once() -> None:
    with World() as world:
        world.aws.check_takes = 10.0
        world.aws.check_refusal = refusal(Reason.DATASET_UNREADABLE)
        world.apply()
        world.advance(HOUR)
        assert world.story == ["Validating", "Queued"]
        assert world.events == ["DatasetUnreadable"]


def test_half_read_data_is_never_taken_for_checked_data() -> None:
    with World() as world:
        world.aws.check_refusal = refusal(Reason.DATASET_UNREADABLE, "val.jsonl: 403")
        world.aws.check_partly_read = True
        world.apply()
        world.restart_operator()
        world.advance(60)
        assert world.phase == "Queued"
        assert world.aws.submits == 0


def test_a_check_that_cannot_be_made_waits_with_the_reason() -> None:
    with World() as world:
        world.aws.check_trouble = PlatformUnavailable(Reason.SERVICE_UNAVAILABLE, "S3 does not answer")
        world.apply()
        world.advance(30)
        assert world.phase == "Queued"
        assert world.says("Validated") == ("Unknown", "InternalServiceError")
        assert "S3 does not answer" in world.status["message"]
        world.aws.check_trouble = None
        world.advance(600)
        assert world.phase == "Starting"


def test_waiting_ends_at_the_pending_deadline_with_the_last_reason() -> None:
    with World() as world:
        world.aws.check_refusal = refusal(Reason.DATASET_UNREADABLE, "s3:GetObject is missing")
        world.apply({"runPolicy.pendingDeadline": "2h"})
        world.advance(2 * HOUR - 5)
        assert world.phase == "Queued"
        world.advance(10)
        assert world.phase == "Failed"
        assert world.status["reason"] == "PendingDeadlineExceeded"
        assert "DatasetUnreadable" in world.status["message"]
        assert world.aws.submits == 0


def test_a_check_that_never_ends_is_ended_by_the_pending_deadline() -> None:
    with World() as world:
        world.aws.check_takes = 1e6
        world.apply({"runPolicy.pendingDeadline": "1h"})
        world.advance(HOUR + 5)
        assert world.status["reason"] == "PendingDeadlineExceeded"


def test_facts_in_the_status_are_not_read_again_after_a_restart() -> None:
    with World() as world:
        world.aws.create_refusal = refusal(Reason.QUOTA_EXCEEDED)
        world.apply()
        world.restart_operator()
        world.advance(600)
        assert world.aws.checks == 1
        world.aws.create_refusal = None
        world.advance(600)
        assert world.phase == "Starting"
        assert world.aws.checks == 1


def test_data_replaced_between_check_and_launch_is_checked_again_and_the_status_tells_of_the_new_objects() -> None:
    with World() as world:
        world.aws.replaces_data_after_check = 1
        world.apply()
        world.advance(60)
        assert world.phase == "Starting"
        assert world.aws.checks == 2
        assert world.status["dataset"]["files"][0]["etag"] == "v1+"
        assert world.aws.jobs[world.aws.created[0]].tags["inputs"] == world.status["inputsDigest"]


def test_data_that_never_stops_changing_is_not_read_in_a_hot_loop() -> None:
    with World() as world:
        world.aws.replaces_data_after_check = 10**6
        world.apply()
        world.advance(HOUR)
        assert 5 < world.aws.checks < 40
        assert world.aws.created == []
        assert world.status["reason"] == "InputsChanged"


def test_a_new_run_id_never_launches_on_the_facts_of_the_old_data() -> None:
    with World() as world:
        world.aws.early_refusal = None
        world.aws.plan_refusal = refusal(Reason.ROLE_NOT_USABLE, "the role is of another account")
        world.apply()
        assert world.phase == "Queued"
        world.aws.plan_refusal = None
        world.apply({"runID": "2", "dataset.train.uri": "s3://acme-ml-team/other.jsonl"})
        world.advance(60)
        assert world.status["dataset"]["files"][0]["uri"] == "s3://acme-ml-team/other.jsonl"


def test_a_check_of_the_old_data_that_is_still_running_is_not_taken_for_one_of_the_new() -> None:
    with World() as world:
        world.aws.check_takes = 20.0
        world.apply()
        world.advance(1)
        world.apply({"runID": "2", "dataset.train.uri": "s3://acme-ml-team/other.jsonl"})
        world.advance(60)
        assert world.status["dataset"]["files"][0]["uri"] == "s3://acme-ml-team/other.jsonl"


def test_a_check_that_outlives_its_run_says_nothing_to_the_next() -> None:
    with World() as world:
        world.aws.check_takes = 100.0
        world.apply({"runPolicy.pendingDeadline": "60s"})
        world.advance(70)
        assert world.phase == "Failed"
        world.advance(100)
        world.aws.check_takes = 0.0
        world.apply({"runID": "2", "dataset.train.uri": "s3://acme-ml-team/other.jsonl"})
        world.advance(60)
        assert world.status["dataset"]["files"][0]["uri"] == "s3://acme-ml-team/other.jsonl"


def test_a_spec_that_does_not_fit_the_models_ends_the_job_with_the_field() -> None:
    with World() as world:
        world.apply({"hyperparameters.maxSteps": "many"})
        assert world.phase == "Failed"
        assert world.status["reason"] == "InvalidSpec"
        assert "spec.hyperparameters" in world.status["message"]
        assert world.says("Finished") == ("True", "InvalidSpec")
        assert world.says("Validated") == ("False", "InvalidSpec")


@pytest.mark.parametrize("stage", ["early_refusal", "plan_refusal", "create_refusal"])
def test_an_invalid_spec_ends_the_job_wherever_it_is_noticed(stage: str) -> None:
    with World() as world:
        setattr(world.aws, stage, refusal(Reason.INVALID_SPEC, "replicas 3 is not allowed", field="spec.x"))
        world.apply()
        assert world.phase == "Failed"
        assert world.status["failure"]["reason"] == "InvalidSpec"
        assert world.status["failure"]["message"] == "spec.x: replicas 3 is not allowed"
        assert world.says("Complete") == ("False", "InvalidSpec")
        assert world.says("Failed") == ("True", "InvalidSpec")
        assert world.says("Reconciling") == ("False", "Settled")
        assert world.aws.created == []
        if stage == "early_refusal":
            assert world.aws.checks == 0


def test_a_name_that_belongs_to_somebody_else_ends_the_job_and_touches_nothing() -> None:
    with World() as world:
        world.apply({"runPolicy.suspend": False})
        theirs = world.aws.jobs[world.aws.created[0]]
        theirs.owner = "other-team/job"
        world.delete()
        world.advance(600)
    with World() as world:
        world.aws.jobs[theirs.name] = theirs
        theirs.state = type(theirs.state).RUNNING
        world.apply()
        world.advance(600)
        assert world.phase == "Failed"
        assert world.status["reason"] == "NameConflict"
        assert world.says("Submitted") == ("False", "NameConflict")
        assert len(world.aws.stops) == 0
        assert theirs.live


@pytest.mark.parametrize(
    "reason",
    [
        Reason.QUOTA_EXCEEDED,
        Reason.CAPACITY_UNAVAILABLE,
        Reason.THROTTLED,
        Reason.ACCESS_DENIED,
        Reason.ROLE_NOT_USABLE,
    ],
)
def test_a_refusal_that_may_pass_waits_and_says_when_it_is_tried_again(reason: Reason) -> None:
    with World() as world:
        world.aws.create_refusal = refusal(reason, "not now")
        world.apply()
        world.advance(5)
        assert world.phase == "Queued"
        assert world.status["reason"] == reason
        assert world.says("Submitted") == ("False", reason)
        assert world.says("Finished") == ("False", "InProgress")
        assert world.says("Reconciling") == ("True", "InProgress")
        assert "next at 2026-11-22T12:" in world.status["message"]
        tries = world.aws.submits
        writes = len(world.cluster.writes)
        world.advance(HOUR)
        assert world.story == ["Submitting", "Queued"]
        # one write for each try, which says when the next one is
        assert len(world.cluster.writes) - writes == world.aws.submits - tries
        assert world.aws.submits < 40
        assert world.events == [reason.value]
        world.aws.create_refusal = None
        world.advance(600)
        assert world.phase == "Starting"
        assert world.says("Submitted") == ("True", "Accepted")


def test_a_retry_is_not_made_before_the_time_that_the_platform_named() -> None:
    with World() as world:
        world.aws.create_refusal, world.aws.create_retry_after = refusal(Reason.QUOTA_EXCEEDED), 900.0
        world.apply()
        world.advance(800)
        assert world.aws.submits == 1
        world.advance(200)
        assert world.aws.submits == 2


def test_a_refused_launch_ends_at_the_pending_deadline_to_the_second() -> None:
    with World() as world:
        world.aws.create_refusal, world.aws.create_retry_after = refusal(Reason.QUOTA_EXCEEDED, "0 of 4"), 9000.0
        world.apply({"runPolicy.pendingDeadline": "1h"})
        world.advance(HOUR + 3)
        assert world.phase == "Failed"
        assert world.status["reason"] == "PendingDeadlineExceeded"
        assert "QuotaExceeded" in world.status["message"]
        assert world.aws.stops == []


def test_an_edit_of_the_policy_is_an_occasion_to_try_at_once() -> None:
    with World() as world:
        world.aws.create_refusal, world.aws.create_retry_after = refusal(Reason.QUOTA_EXCEEDED), 9000.0
        world.apply()
        world.aws.create_refusal = None
        world.apply({"runPolicy.pendingDeadline": "48h"})
        assert world.phase == "Starting"


def test_a_plan_that_is_refused_for_now_is_made_again_every_minute() -> None:
    with World() as world:
        world.aws.plan_refusal = refusal(Reason.POLICY_DENIED, "launches are paused")
        world.apply()
        assert world.phase == "Queued"
        assert world.status["reason"] == "PolicyDenied"
        world.advance(600)
        world.aws.plan_refusal = None
        world.advance(61)
        assert world.phase == "Starting"


def test_the_pending_deadline_counts_anew_for_a_new_run() -> None:
    with World() as world:
        world.aws.create_refusal = refusal(Reason.QUOTA_EXCEEDED)
        world.apply({"runPolicy.pendingDeadline": "1h"})
        world.advance(HOUR + 10)
        assert world.phase == "Failed"
        world.apply({"runID": "2"})
        world.advance(1800)
        assert world.phase == "Queued"
        world.advance(1900)
        assert world.phase == "Failed"


def test_a_max_runtime_that_is_used_up_launches_no_further_attempt() -> None:
    with World() as world:
        world.apply({"runPolicy.maxRuntime": "1h"})
        world.aws.run()
        world.until("Running")
        world.advance(HOUR - 10)
        world.apply({"runPolicy.suspend": True})
        world.until("Suspended")
        world.apply({"runPolicy.suspend": False})
        world.advance(60)
        assert world.phase == "Failed"
        assert world.status["reason"] == "DeadlineExceeded"
        assert len(world.aws.created) == 1
