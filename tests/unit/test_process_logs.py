"""What a log line carries, as whoever reads the log sees it."""

from __future__ import annotations

import json
import logging

import pytest

from sft_operator.aws.errors import AWSError, classify
from sft_operator.controller.logs import JSONFormatter, TextFormatter, job, run


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "sft", "levelname": "WARNING", "msg": message})
    vars(made).update(extra)
    return made


def test_a_line_names_the_run_that_its_writer_names() -> None:
    line = json.loads(JSONFormatter().format(record("a training job is gone", run="sft-demo-0123456789-1")))
    assert line["run"] == "sft-demo-0123456789-1"
    assert line["message"] == "a training job is gone"
    assert "sft-demo-0123456789-1" in TextFormatter().format(record("gone", run="sft-demo-0123456789-1"))


def test_a_line_names_the_job_and_run_that_are_worked_on() -> None:
    job_token, run_token = job.set("ml-team/demo"), run.set("sft-demo-0123456789-1")
    try:
        line = json.loads(JSONFormatter().format(record("Launched")))
    finally:
        job.reset(job_token)
        run.reset(run_token)
    assert (line["job"], line["run"]) == ("ml-team/demo", "sft-demo-0123456789-1")


def test_a_line_with_a_line_break_stays_one_line() -> None:
    assert "\n" not in JSONFormatter().format(record("first\nsecond"))
    assert "\n" not in TextFormatter().format(record("first\nsecond"))


def test_an_unknown_aws_error_is_logged_with_its_raw_code(caplog: pytest.LogCaptureFixture) -> None:
    classify(AWSError("sagemaker", "CreateTrainingJob", "BrandNewException", "nobody knows"))
    line = json.loads(JSONFormatter().format(caplog.records[-1]))
    assert "BrandNewException" in line["aws"]
