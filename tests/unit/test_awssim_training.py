"""Training jobs in-process: names, rules of existence, stopping, listing, progress; on a clock that stands still."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sft_lab.awssim import joblog
from sft_lab.awssim.clock import Clock
from sft_lab.awssim.errors import AWSError
from sft_lab.awssim.script import Scripts
from sft_lab.awssim.training import Caller, TrainingJobs

CALLER = Caller("111122223333", "us-east-1")
RECIPE = b"training_config: {max_steps: 20, val_check_interval: 5, optim_config: {lr: 2e-5}}\n"


class Buckets:
    """S3 of a test: bucket name -> key -> content; every bucket is in us-east-1 unless `regions` says otherwise."""

    def __init__(self, **buckets: dict[str, bytes]) -> None:
        self.buckets = buckets
        self.regions: dict[str, str] = {}

    def bucket_region(self, bucket: str) -> str | None:
        return self.regions.get(bucket, "us-east-1") if bucket in self.buckets else None

    def has_objects(self, bucket: str, prefix: str) -> bool:
        return any(key.startswith(prefix) for key in self.buckets.get(bucket, {}))

    def read(self, bucket: str, key: str) -> bytes | None:
        return self.buckets.get(bucket, {}).get(key)


class Lab:
    """The engine with one bucket of data and a stopped clock."""

    def __init__(self) -> None:
        self.clock = Clock(start=1_000_000.0)
        self.clock.set_speed(0)
        self.scripts = Scripts("demo")
        self.storage = Buckets(data={"train.jsonl": b"{}", "val.jsonl": b"{}", "r/recipe.yaml": RECIPE})
        self.jobs = TrainingJobs(self.clock, self.scripts, self.storage)

    def create(self, name: str = "sft-demo-1", caller: Caller = CALLER, **changes: Any) -> str:
        request = {k: v for k, v in (nova_lora(name) | changes).items() if v is not ...}
        return str(self.jobs.create(request, caller)["TrainingJobArn"])

    def describe(self, name: str = "sft-demo-1", caller: Caller = CALLER) -> dict[str, Any]:
        return self.jobs.describe({"TrainingJobName": name}, caller)

    def names(self, **filters: Any) -> list[list[str]]:
        """Names by page."""
        pages = []
        while True:
            answer = self.jobs.list(filters, CALLER)
            pages.append([s["TrainingJobName"] for s in answer["TrainingJobSummaries"]])
            if "NextToken" not in answer:
                return pages
            filters["NextToken"] = answer["NextToken"]


def nova_lora(name: str) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "RoleArn": "arn:aws:iam::111122223333:role/Trainer",
        "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "nova:latest"},
        "InputDataConfig": [channel("train"), channel("recipe", "s3://data/r/recipe.yaml")],
        "OutputDataConfig": {"S3OutputPath": "s3://data/out/"},
        "ResourceConfig": {"InstanceType": "ml.p5.48xlarge", "InstanceCount": 4, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 432000},
        "Tags": [{"Key": "team", "Value": "support"}],
    }


def channel(name: str, uri: str = "s3://data/train.jsonl") -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_a_name_can_be_used_once_in_an_account_and_region(lab):
    lab.create()
    with pytest.raises(AWSError, match="must be unique within an AWS account and region") as refused:
        lab.create()
    assert refused.value.code == "ResourceInUse"
    lab.storage.regions["data"] = "us-west-2"
    lab.create(caller=Caller("111122223333", "us-west-2"))


def test_a_deleted_job_gives_its_name_back_but_only_after_its_end(lab):
    lab.create()
    with pytest.raises(AWSError, match="in status InProgress"):
        lab.jobs.delete({"TrainingJobName": "sft-demo-1"}, CALLER)
    lab.clock.advance(60)
    lab.jobs.delete({"TrainingJobName": "sft-demo-1"}, CALLER)
    lab.create()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"RoleArn": "arn:aws:iam::999999999999:role/Trainer"}, "Cross-account pass role"),
        ({"StoppingCondition": ...}, "StoppingCondition is required"),
        ({"ResourceConfig": ...}, "ResourceConfig is required"),
        ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds must be specified"),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 99},
            },
            "greater than or equal to MaxRuntimeInSeconds",
        ),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 29 * 86400}}, "greater than the maximum"),
        ({"ServerlessJobConfig": {"JobType": "FineTuning"}}, "AlgorithmSpecification must not be specified"),
        ({"InputDataConfig": [channel("train"), channel("train")]}, "Duplicate channel names"),
        ({"InputDataConfig": [channel("train", "s3://data/absent.jsonl")]}, "No S3 objects found under S3 URL"),
        ({"InputDataConfig": [channel("train", "s3://nobody/train.jsonl")]}, 'bucket "nobody"'),
        ({"OutputDataConfig": {"S3OutputPath": "s3://nobody/out"}}, "OutputDataConfig S3 bucket"),
        ({"ResourceConfig": {"InstanceType": "ml.p5.48xlarge"}}, "InstanceCount must be at least 1"),
    ],
)
def test_rules_that_the_service_model_does_not_state_are_kept(lab, changes, told):
    with pytest.raises(AWSError, match=re.escape(told)) as refused:
        lab.create(**changes)
    assert refused.value.code == "ValidationException"
    assert lab.jobs.all() == []


def test_data_in_another_region_is_refused(lab):
    lab.storage.regions["data"] = "eu-west-1"
    with pytest.raises(AWSError, match="bucket exists in the selected region"):
        lab.create()


def test_a_quota_counts_the_instances_of_unfinished_jobs(lab):
    lab.jobs.quotas["ml.p5.48xlarge"] = 6
    lab.create("first")
    with pytest.raises(AWSError, match=r"is 6 Instances, with current utilization of 4 Instances and .* 4 Instances"):
        lab.create("second")
    lab.clock.advance(60)
    lab.create("second")


def test_describe_fills_in_what_aws_fills_in(lab):
    lab.create()
    seen = lab.describe()
    assert seen["OutputDataConfig"] == {
        "S3OutputPath": "s3://data/out/",
        "KmsKeyId": "",
        "CompressionType": "GZIP",
    }
    for flag in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"):
        assert seen[flag] is False
    assert "Tags" not in seen


def test_a_describe_of_an_unknown_job_says_so_in_sagemakers_words(lab):
    with pytest.raises(AWSError) as refused:
        lab.describe("nobody")
    assert (refused.value.code, refused.value.message) == ("ValidationException", "Requested resource not found.")


def test_last_modified_moves_with_every_change_and_with_nothing_else(lab):
    lab.create()
    moments = []
    for _ in range(40):
        lab.clock.advance(0.5)
        moments.append(lab.describe()["LastModifiedTime"])
    assert len(set(moments)) == len(lab.describe()["SecondaryStatusTransitions"])
    assert moments == sorted(moments)


def test_a_completed_job_has_its_bill_its_artifacts_and_its_times(lab):
    lab.create()
    lab.clock.advance(60)
    seen = lab.describe()
    assert (seen["TrainingJobStatus"], seen["SecondaryStatus"]) == ("Completed", "Completed")
    assert seen["ModelArtifacts"]["S3ModelArtifacts"] == "s3://data/out/sft-demo-1/output/model.tar.gz"
    assert seen["TrainingEndTime"] - seen["TrainingStartTime"] == pytest.approx(15.5)
    assert seen["BillableTimeInSeconds"] == seen["TrainingTimeInSeconds"] == 16


def test_a_spot_job_is_billed_for_less_than_it_ran(lab):
    lab.create(
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 200},
    )
    lab.clock.advance(60)
    seen = lab.describe()
    assert 0 < seen["BillableTimeInSeconds"] < seen["TrainingTimeInSeconds"]


def test_a_failed_job_tells_its_reason_and_its_log_ends_with_it(lab):
    lab.scripts.add({"name": "sft-*", "end": "Failed", "failure_reason": "AlgorithmError: CUDA out of memory"})
    lab.create()
    lab.clock.advance(60)
    assert lab.describe()["FailureReason"] == "AlgorithmError: CUDA out of memory"
    (job,) = lab.jobs.all()
    assert joblog.written(job, 0, lab.clock.now())[-1][1] == "AlgorithmError: CUDA out of memory"


def test_a_stop_is_taken_once_and_refused_after_the_end(lab):
    lab.create()
    lab.clock.advance(8)
    lab.jobs.stop({"TrainingJobName": "sft-demo-1"}, CALLER)
    assert lab.describe()["TrainingJobStatus"] == "Stopping"
    lab.clock.advance(1)
    lab.jobs.stop({"TrainingJobName": "sft-demo-1"}, CALLER)
    lab.clock.advance(1)
    assert lab.describe()["SecondaryStatus"] == "Stopped"
    with pytest.raises(AWSError, match=r"the training job is in status Stopped\."):
        lab.jobs.stop({"TrainingJobName": "sft-demo-1"}, CALLER)


def test_a_job_can_be_invisible_for_its_first_describes(lab):
    lab.scripts.add({"not_found_first": 2})
    lab.create()
    for _ in range(2):
        with pytest.raises(AWSError, match="Requested resource not found"):
            lab.describe()
    lab.describe()


def test_a_script_that_is_good_for_two_creates_leaves_the_third_alone(lab):
    lab.scripts.add({"name": "a-*", "times": 2, "create_error": "ResourceLimitExceeded"})
    for _ in range(2):
        with pytest.raises(AWSError) as refused:
            lab.create("a-1")
        assert refused.value.code == "ResourceLimitExceeded"
    lab.create("a-1")


def test_scripts_are_chosen_by_tag_and_channel_and_the_newest_wins(lab):
    lab.scripts.add({"tag": "team=supp*", "failure_reason": "by tag", "end": "Failed"})
    lab.scripts.add({"channel": "validation", "failure_reason": "by channel", "end": "Failed"})
    lab.create("tagged")
    lab.create("channelled", InputDataConfig=[channel("train"), channel("validation")])
    lab.create("plain", Tags=...)
    assert [job.script.end == "Failed" and job.script.failure_reason for job in lab.jobs.all()] == [
        "by tag",
        "by channel",
        False,
    ]


def test_a_list_filtered_by_status_can_have_empty_pages_that_go_on(lab):
    for number in range(6):
        lab.create(f"early-{number}")
    lab.clock.advance(60)
    lab.create("late")
    assert lab.names(MaxResults=3, StatusEquals="InProgress") == [[], [], ["late"]]


def test_a_list_goes_through_every_job_once_in_each_order(lab):
    names = [f"job-{number}" for number in (3, 1, 2, 5, 4)]
    for name in names:
        lab.create(name)
        lab.clock.advance(1)
    flat = {
        key: [name for page in lab.names(MaxResults=2, **sort) for name in page]
        for key, sort in {
            "default": {},
            "descending": {"SortOrder": "Descending"},
            "name": {"SortBy": "Name"},
            "name descending": {"SortBy": "Name", "SortOrder": "Descending"},
            "status": {"SortBy": "Status"},
        }.items()
    }
    assert flat["default"] == names
    assert flat["descending"] == names[::-1]
    assert flat["name"] == sorted(names)
    assert flat["name descending"] == sorted(names)[::-1]
    assert sorted(flat["status"]) == sorted(names)


def test_a_page_goes_on_after_a_row_that_was_deleted_meanwhile(lab):
    for number in range(4):
        lab.create(f"job-{number}")
    lab.clock.advance(60)
    first = lab.jobs.list({"MaxResults": 2}, CALLER)
    lab.jobs.delete({"TrainingJobName": "job-1"}, CALLER)
    second = lab.jobs.list({"MaxResults": 2, "NextToken": first["NextToken"]}, CALLER)
    assert [s["TrainingJobName"] for s in second["TrainingJobSummaries"]] == ["job-2", "job-3"]


def test_a_list_can_be_narrowed_by_name_and_by_change(lab):
    lab.create("a-old")
    lab.clock.advance(60)
    since = lab.clock.now()
    lab.clock.advance(1)
    lab.create("a-new")
    lab.create("b-new")
    assert lab.names(NameContains="a-", LastModifiedTimeAfter=since) == [["a-new"]]
    assert lab.names(CreationTimeBefore=since) == [["a-old"]]
    assert lab.jobs.list({"NameContains": "a-new"}, CALLER)["TrainingJobSummaries"][0]["SecondaryStatus"] == "Pending"


def test_tags_are_added_replaced_and_taken_away(lab):
    arn = lab.create()
    lab.jobs.add_tags({"ResourceArn": arn, "Tags": [{"Key": "team", "Value": "x"}, {"Key": "n", "Value": "1"}]}, CALLER)
    assert lab.jobs.list_tags({"ResourceArn": arn}, CALLER)["Tags"] == [
        {"Key": "team", "Value": "x"},
        {"Key": "n", "Value": "1"},
    ]
    lab.jobs.delete_tags({"ResourceArn": arn, "TagKeys": ["team"]}, CALLER)
    assert lab.jobs.list_tags({"ResourceArn": arn}, CALLER)["Tags"] == [{"Key": "n", "Value": "1"}]


def test_the_log_tells_the_steps_of_the_uploaded_recipe_and_a_falling_loss(lab):
    lab.create(InputDataConfig=[*nova_lora("x")["InputDataConfig"], channel("validation")])
    (job,) = lab.jobs.all()
    lab.clock.advance(60)
    lines = joblog.written(job, 0, lab.clock.now())
    found = [
        (int(m[1]), float(m[2]))
        for _, text in lines
        if (m := re.search(r"global_step[=:]\s*(\d+).*reduced_train_loss[=:]\s*(-?[\d.]+(?:[eE][+-]?\d+)?)", text))
    ]
    assert [step for step, _ in found] == list(range(1, 21))
    assert found[0][1] > 2 * found[-1][1]
    assert sum("val_loss" in text for _, text in lines) == 4
    assert [moment for moment, _ in lines] == sorted(moment for moment, _ in lines)


def test_reading_a_log_in_pieces_gives_the_same_lines_as_reading_it_at_once(lab):
    lab.scripts.add({"interruptions": [[4, 3]], "steps": 37})
    lab.create()
    (job,) = lab.jobs.all()
    whole = joblog.written(job, 0, job.created + 60)
    pieces, at = [], 0.0
    for tenth in range(600):
        until = job.created + tenth / 10
        pieces += joblog.written(job, at, until)
        at = until
    assert [text for _, text in pieces] == [text for _, text in whole]


def test_final_metrics_come_from_the_metric_definitions_of_the_request(lab):
    definition = {"Name": "train:loss", "Regex": r"reduced_train_loss[=:] *([0-9.eE+-]+)"}
    lab.create(
        AlgorithmSpecification={"TrainingInputMode": "File", "TrainingImage": "x", "MetricDefinitions": [definition]}
    )
    lab.clock.advance(60)
    (metric,) = lab.describe()["FinalMetricDataList"]
    assert metric["MetricName"] == "train:loss"
    assert 0 < metric["Value"] < 2
