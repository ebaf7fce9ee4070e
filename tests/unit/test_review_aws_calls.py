"""AWS calls that fail before, between or after their tries, and services that do not answer at all."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions

from sft_operator.api.place import Place
from sft_operator.aws.answers import answered
from sft_operator.aws.caller import AWSCaller, CallerSettings
from sft_operator.aws.errors import AWSError
from sft_operator.aws.sessions import Clients

HERE = Place("", "us-east-1")


@pytest.mark.parametrize(
    "error",
    [
        exceptions.EndpointConnectionError(endpoint_url="https://x"),
        exceptions.ConnectTimeoutError(endpoint_url="https://x"),
        exceptions.SSLError(endpoint_url="https://x", error="eof"),
        exceptions.ProxyConnectionError(proxy_url="http://x"),
    ],
)
def test_a_last_try_that_did_not_connect_leaves_open_whether_an_earlier_one_was_heard(error: Exception) -> None:
    def call() -> None:
        raise error

    with pytest.raises(AWSError) as raised:
        answered("sagemaker", "CreateTrainingJob", call)
    assert raised.value.unsure


async def test_a_client_that_cannot_be_built_is_an_aws_error_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    caller = AWSCaller()
    with pytest.raises(AWSError, match="nobody"):
        await caller.call("sts", "GetCallerIdentity", HERE)
    with pytest.raises(AWSError, match="nobody"):
        await caller.run("s3", HERE, "GetObject", lambda client: None)


def test_credentials_that_come_later_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    shared = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    clients = Clients()

    def signed() -> Any:
        return clients.get("sts", "us-east-1").generate_presigned_url("get_caller_identity")

    with pytest.raises(exceptions.NoCredentialsError):
        signed()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "later")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "later" in signed()


async def test_looks_do_not_wait_for_logs_and_results_that_do_not_come() -> None:
    answer = threading.Event()

    class Slow:
        """Answers for SageMaker at once, for the logs only when it is let."""

        def get(self, service: str, *_: Any) -> Any:
            return self

        def get_log_events(self, **_: Any) -> str:
            answer.wait(30)
            return "lines"

        def list_training_jobs(self, **_: Any) -> str:
            return "jobs"

    clients: Any = Slow()
    caller = AWSCaller(clients, CallerSettings(poll_threads=1))
    logs = asyncio.ensure_future(caller.call("logs", "GetLogEvents", HERE))
    result = asyncio.ensure_future(caller.run("s3", HERE, "GetObject", lambda client: "body"))
    try:
        assert await asyncio.wait_for(caller.call("sagemaker", "ListTrainingJobs", HERE), 10) == "jobs"
    finally:
        answer.set()
    assert (await logs, await result) == ("lines", "body")
    caller.close()
