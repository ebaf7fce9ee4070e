"""The simulated AWS behind real boto3 clients: every operation that the operator calls, faults, journal, effects."""

from __future__ import annotations

import functools
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlparse

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.validate import ParamValidator

from sft_lab.awssim import codec, serve
from sft_lab.awssim.control import Sim

ACCOUNT = "111122223333"
GROUP = "/aws/sagemaker/TrainingJobs"
RECIPE = b"training_config: {max_steps: 20}\n"

# What the operator calls: service -> operations.
CALLED = {
    "sagemaker": [
        "CreateTrainingJob",
        "DescribeTrainingJob",
        "ListTrainingJobs",
        "StopTrainingJob",
        "DeleteTrainingJob",
        "AddTags",
        "ListTags",
    ],
    "s3": ["HeadBucket", "HeadObject", "GetObject", "PutObject", "ListObjectsV2"],
    "logs": ["DescribeLogStreams", "GetLogEvents"],
    "sts": ["GetCallerIdentity"],
}


@pytest.fixture(scope="module", autouse=True)
def clean_environment() -> Iterator[None]:
    """A proxy or a bundle of the machine must not reach the clients."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AWS_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve() as running:
        yield running.endpoint


@pytest.fixture
def sim(server: str) -> Sim:
    sim = Sim(server)
    sim.reset()
    return sim


@functools.cache
def session(key: str, token: str | None) -> boto3.Session:
    """One for each identity: a new session reads the service models anew."""
    return boto3.Session(key, "secret", token, region_name="us-east-1")


def connect(endpoint: str, service: str, key: str = ACCOUNT, token: str | None = None, **config: Any) -> Any:
    settings = {"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 20} | config
    return session(key, token).client(service, endpoint_url=endpoint, config=Config(**settings))


@pytest.fixture(params=[True, False], ids=["client validates", "client does not validate"])
def clients(request: Any, sim: Sim) -> Callable[[str], Any]:
    return lambda service: connect(sim.endpoint, service, parameter_validation=request.param)


@pytest.fixture
def sagemaker(sim: Sim) -> Any:
    return connect(sim.endpoint, "sagemaker")


@pytest.fixture
def data(sim: Sim) -> Any:
    """An S3 client, with a bucket that holds what a job needs."""
    s3 = connect(sim.endpoint, "s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="train.jsonl", Body=b'{"a": 1}\n')
    s3.put_object(Bucket="data", Key="recipe.yaml", Body=RECIPE)
    return s3


def nova_lora(name: str = "sft-demo-1", account: str = ACCOUNT) -> dict[str, Any]:
    def channel(channel_name: str, uri: str, kind: str) -> dict[str, Any]:
        source = {"S3DataType": kind, "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
        return {"ChannelName": channel_name, "DataSource": {"S3DataSource": source}}

    return {
        "TrainingJobName": name,
        "RoleArn": f"arn:aws:iam::{account}:role/Trainer",
        "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "nova-fine-tune-repo:SM-TJ-SFT"},
        "HyperParameters": {"base_model": "nova-lite-2/prod"},
        "InputDataConfig": [
            channel("train", "s3://data/train.jsonl", "Converse"),
            channel("recipe", "s3://data/recipe.yaml", "S3Prefix"),
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://data/out/"},
        "ResourceConfig": {"InstanceType": "ml.p5.48xlarge", "InstanceCount": 4, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 432000},
        "ProfilerConfig": {"DisableProfiler": True},
        "RemoteDebugConfig": {"EnableRemoteDebug": False},
        "Tags": [{"Key": "sft-operator.dev/uid", "Value": "u-1"}],
    }


def fits_the_model(service: str, operation: str, answer: dict[str, Any]) -> None:
    """The answer has the types and the required members of the model's output, by botocore's own validator."""
    shape = codec.service(service).operation_model(operation).output_shape
    seen = {k: v for k, v in answer.items() if k != "ResponseMetadata" and not hasattr(v, "read")}
    assert seen.keys() <= shape.members.keys() if shape is not None else not seen
    if shape is not None:
        report = ParamValidator().validate(seen, shape)
        assert not report.has_errors(), report.generate_report()


def test_every_operation_that_the_operator_calls_exists_in_the_installed_botocore():
    for service, operations in CALLED.items():
        assert set(operations) <= set(codec.service(service).operation_names)


def test_every_answer_that_the_operator_gets_is_as_the_service_model_says(sim, clients, data):
    sagemaker, s3, logs, sts = (clients(service) for service in ("sagemaker", "s3", "logs", "sts"))
    seen: set[tuple[str, str]] = set()

    def ask(client: Any, operation: str, **arguments: Any) -> Any:
        service = client.meta.service_model.service_name
        method = {v: k for k, v in client.meta.method_to_api_mapping.items()}[operation]
        answer = getattr(client, method)(**arguments)
        fits_the_model(service, operation, answer)
        seen.add((service, operation))
        return answer

    ask(s3, "HeadBucket", Bucket="data")
    ask(s3, "PutObject", Bucket="data", Key="x/ключ _1.txt", Body=b"0123456789")
    assert ask(s3, "HeadObject", Bucket="data", Key="x/ключ _1.txt")["ContentLength"] == 10
    assert ask(s3, "GetObject", Bucket="data", Key="x/ключ _1.txt", Range="bytes=2-4")["Body"].read() == b"234"
    assert [o["Key"] for o in ask(s3, "ListObjectsV2", Bucket="data", Prefix="x/")["Contents"]] == ["x/ключ _1.txt"]
    assert ask(sts, "GetCallerIdentity")["Account"] == ACCOUNT

    arn = ask(sagemaker, "CreateTrainingJob", **nova_lora())["TrainingJobArn"]
    ask(sagemaker, "AddTags", ResourceArn=arn, Tags=[{"Key": "more", "Value": "1"}])
    assert len(ask(sagemaker, "ListTags", ResourceArn=arn)["Tags"]) == 2
    statuses = set()
    for _ in range(24):
        statuses.add(ask(sagemaker, "DescribeTrainingJob", TrainingJobName="sft-demo-1")["SecondaryStatus"])
        ask(sagemaker, "ListTrainingJobs", NameContains="sft-", MaxResults=100)
        sim.advance(1)
    assert statuses == {"Pending", "Starting", "Downloading", "Training", "Uploading", "Completed"}
    (stream,) = ask(logs, "DescribeLogStreams", logGroupName=GROUP, logStreamNamePrefix="sft-demo-1/")["logStreams"]
    ask(logs, "GetLogEvents", logGroupName=GROUP, logStreamName=stream["logStreamName"], startFromHead=True)
    ask(sagemaker, "DeleteTrainingJob", TrainingJobName="sft-demo-1")
    sagemaker.create_training_job(**nova_lora("sft-stopped"))
    ask(sagemaker, "StopTrainingJob", TrainingJobName="sft-stopped")
    assert seen == {(service, operation) for service, operations in CALLED.items() for operation in operations}


def test_the_server_checks_what_a_client_does_not(sim, data):
    careless = connect(sim.endpoint, "sagemaker", parameter_validation=False)
    for change, told in (
        ({"TrainingJobName": "bad_name!!"}, "regular expression pattern"),
        ({"RoleArn": None}, "Value null at 'roleArn'"),
        ({"ResourceConfig": {"InstanceType": "ml.zz.9", "InstanceCount": 1}}, "enum value set"),
    ):
        with pytest.raises(ClientError, match=told):
            careless.create_training_job(**(nova_lora() | change))
    assert sim.jobs() == []


@pytest.mark.parametrize("operation", ["DescribeModel", "CreateEndpoint", "NoSuchThing"])
def test_an_operation_that_is_not_simulated_answers_an_error_and_never_a_5xx(sim, operation):
    sagemaker = connect(sim.endpoint, "sagemaker", parameter_validation=False)
    if operation == "NoSuchThing":
        sagemaker.meta.service_model._service_description["operations"][operation] = {
            "name": operation,
            "http": {"method": "POST", "requestUri": "/"},
        }
    with pytest.raises(ClientError, match=f"{operation}") as refused:
        sagemaker._make_api_call(operation, {})
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_service_that_is_not_simulated_answers_an_error_and_never_a_5xx(sim):
    for service, method in (("rds", "describe_db_instances"), ("bedrock", "list_custom_models")):
        with pytest.raises(ClientError) as refused:
            getattr(connect(sim.endpoint, service), method)()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_create_whose_answer_was_lost_did_happen_and_a_retry_finds_the_name_in_use(sim, data):
    sim.fail("CreateTrainingJob", after_commit=True)
    retrying = connect(sim.endpoint, "sagemaker", retries={"total_max_attempts": 3, "mode": "standard"})
    with pytest.raises(ClientError) as refused:
        retrying.create_training_job(**nova_lora())
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    assert len(sim.calls("CreateTrainingJob")) == 2
    assert sim.creates("sft-demo") == 1


def test_a_throttled_call_is_answered_as_sagemaker_does_and_only_as_often_as_asked(sim, sagemaker, data):
    sim.fail("CreateTrainingJob", code="ThrottlingException", times=2)
    for _ in range(2):
        with pytest.raises(ClientError, match=r"\(ThrottlingException\).*Rate exceeded"):
            sagemaker.create_training_job(**nova_lora())
    sagemaker.create_training_job(**nova_lora())
    assert [c.status for c in sim.calls("CreateTrainingJob")] == [400, 400, 200]
    assert sim.creates() == 1


def test_a_connection_can_be_cut_and_an_answer_can_never_come(sim, sagemaker):
    sim.fail("ListTrainingJobs", reset_connection=True)
    with pytest.raises(ConnectionClosedError):
        sagemaker.list_training_jobs()
    sim.fail("ListTrainingJobs", black_hole=True)
    with pytest.raises(ReadTimeoutError):
        connect(sim.endpoint, "sagemaker", read_timeout=1).list_training_jobs()
    sagemaker.list_training_jobs()


def test_faults_of_s3_and_sts_come_in_their_own_protocols(sim, data):
    sim.fail("GetObject", code="AccessDenied", name="data/train.jsonl")
    with pytest.raises(ClientError) as refused:
        data.get_object(Bucket="data", Key="train.jsonl")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    sim.fail("GetCallerIdentity", code="ExpiredTokenException")
    with pytest.raises(ClientError, match="expired"):
        connect(sim.endpoint, "sts").get_caller_identity()


def test_a_new_job_can_stay_invisible_for_its_first_describes(sim, sagemaker, data):
    sim.fail("DescribeTrainingJob", not_found_first=2)
    sagemaker.create_training_job(**nova_lora())
    for _ in range(2):
        with pytest.raises(ClientError, match="Requested resource not found"):
            sagemaker.describe_training_job(TrainingJobName="sft-demo-1")
    sagemaker.describe_training_job(TrainingJobName="sft-demo-1")


def test_a_rate_limit_throttles_the_account_that_exceeds_it_and_no_other(sim, sagemaker):
    sim.limit("ListTrainingJobs", rate=0.001, burst=2)
    for _ in range(2):
        sagemaker.list_training_jobs()
    with pytest.raises(ClientError, match="Rate exceeded"):
        sagemaker.list_training_jobs()
    connect(sim.endpoint, "sagemaker", key="444455556666").list_training_jobs()


def test_accounts_are_apart_and_an_assumed_role_belongs_to_its_account(sim, data):
    assumed = connect(sim.endpoint, "sts").assume_role(
        RoleArn="arn:aws:iam::444455556666:role/Operator", RoleSessionName="test"
    )["Credentials"]
    keys = {"key": assumed["AccessKeyId"], "token": assumed["SessionToken"]}
    assert connect(sim.endpoint, "sts", **keys).get_caller_identity()["Account"] == "444455556666"
    other = connect(sim.endpoint, "sagemaker", **keys)
    other.create_training_job(**nova_lora(account="444455556666"))
    assert connect(sim.endpoint, "sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    (job,) = sim.jobs()
    assert job["account"] == "444455556666"
    with pytest.raises(ClientError, match="Cross-account pass role"):
        other.create_training_job(**nova_lora("sft-demo-2"))


def test_the_log_grows_while_the_job_trains_and_is_absent_before(sim, sagemaker, data):
    logs = connect(sim.endpoint, "logs")
    sagemaker.create_training_job(**nova_lora())
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="sft-demo-1/")
    sizes = []
    for _ in range(3):
        sim.advance(6)
        (stream,) = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="sft-demo-1/")["logStreams"]
        name = stream["logStreamName"]
        read = logs.get_log_events(logGroupName=GROUP, logStreamName=name, startFromHead=True)["events"]
        sizes.append(len(read))
    assert 0 < sizes[0] < sizes[1] < sizes[2]
    assert any("global_step: 20 " in event["message"] for event in read)
    assert logs.filter_log_events(logGroupName=GROUP, logStreamNamePrefix="sft-demo-1/")["events"]


def test_a_completed_job_leaves_its_manifest_and_its_metrics_in_s3(sim, sagemaker, data):
    sagemaker.create_training_job(**nova_lora())
    sim.advance(10)
    assert "Contents" not in data.list_objects_v2(Bucket="data", Prefix="out/")
    sim.advance(20)
    body = data.get_object(Bucket="data", Key="out/sft-demo-1/output/output.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        members = {name: tar.extractfile(name).read() for name in tar.getnames()}
    manifest = json.loads(members["manifest.json"])
    assert manifest["checkpoint_s3_bucket"].startswith(f"s3://customer-escrow-{ACCOUNT}-smtj-")
    assert manifest["checkpoint_s3_bucket"].endswith("/sft-demo-1/20")
    assert members["step_wise_training_metrics.csv"].splitlines()[0] == b"step_number,epoch_number,training_loss"


def test_state_changes_reach_a_queue_behind_an_eventbridge_rule_without_anybody_asking(sim, sagemaker, data):
    events, sqs = connect(sim.endpoint, "events"), connect(sim.endpoint, "sqs")
    queue = sqs.create_queue(QueueName="changes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.sagemaker"], "detail": {"TrainingJobName": [{"prefix": "sft-"}]}}
    events.put_rule(Name="jobs", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="jobs", Targets=[{"Id": "q", "Arn": arn}])
    sim.script("sft-*", pending=0.2, starting=0.2, downloading=0.2, training=0.2, uploading=0.2)
    sim.script("sft-loud", pending=0, starting=0, downloading=0, training=0.2, uploading=0, event_copies=2)
    sagemaker.create_training_job(**nova_lora())
    sagemaker.create_training_job(**nova_lora("other-1"))
    sagemaker.create_training_job(**nova_lora("sft-loud"))
    seen: list[tuple[str, str]] = []
    deadline = time.monotonic() + 15
    while len(seen) < 12 and time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2).get(
            "Messages", []
        ):
            event = json.loads(message["Body"])
            assert event["detail-type"] == "SageMaker Training Job State Change"
            seen.append((event["detail"]["TrainingJobName"], event["detail"]["SecondaryStatus"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert [status for name, status in seen if name == "sft-demo-1"] == [
        "Pending",
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert sorted(status for name, status in seen if name == "sft-loud").count("Completed") == 2
    assert "other-1" not in {name for name, _ in seen}


def test_the_journal_tells_who_asked_for_what_and_holds_no_credential(sim, data):
    sagemaker = connect(sim.endpoint, "sagemaker", key="444455556666")
    with pytest.raises(ClientError):
        sagemaker.describe_training_job(TrainingJobName="nobody")
    (call,) = sim.calls("DescribeTrainingJob", caller="444455556666")
    assert (call.service, call.name, call.account, call.region) == ("sagemaker", "nobody", "444455556666", "us-east-1")
    assert (call.status, call.error, call.committed) == (400, "ValidationException", False)
    assert call.parameters == {"TrainingJobName": "nobody"}
    assert [c.name for c in sim.calls("PutObject")] == ["data/train.jsonl", "data/recipe.yaml"]
    assert sim.calls(since=call.seq) == []
    assert "Signature" not in json.dumps([c.parameters for c in sim.calls()])


def test_a_quota_refuses_in_aws_words(sim, sagemaker, data):
    sim.quotas({"ml.p5.48xlarge": 0})
    with pytest.raises(ClientError, match=r"service limit 'ml\.p5\.48xlarge for training job usage' is 0"):
        sagemaker.create_training_job(**nova_lora())


def test_a_large_streamed_upload_comes_back_whole(sim, data):
    body = os.urandom(9 * 2**20)
    data.upload_fileobj(io.BytesIO(body), "data", "big.bin")
    assert data.get_object(Bucket="data", Key="big.bin")["Body"].read() == body


def test_a_client_that_asks_before_it_sends_a_body_is_told_to_go_on(sim, data):
    address = urlparse(sim.endpoint)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        head = "PUT /data/held.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(b"body")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")


def test_a_mistaken_order_to_the_simulation_is_refused_with_what_is_allowed(sim):
    with pytest.raises(ValueError, match="unknown field colour; a script knows"):
        sim.script("x", colour=3)
    with pytest.raises(ValueError, match="the fault does nothing"):
        sim.fail("CreateTrainingJob")
    with pytest.raises(ValueError, match="unknown part everything"):
        sim.reset("everything")


def test_the_process_says_when_it_is_ready_and_ends_on_a_signal():
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    process = subprocess.Popen(
        [sys.executable, "-m", "sft_lab.awssim", "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("awssim listening on http://127.0.0.1:")
        assert Sim(line.rsplit(" ", 1)[1].strip()).healthy()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
