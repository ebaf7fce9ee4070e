"""What is collected when a run has ended, on the simulated AWS."""

from __future__ import annotations

from typing import Any

import pytest

from sft_operator.platforms.base import Observation, PlatformUnavailable, Result
from sft_operator.platforms.sagemaker.sweep import Sweep
from tests.sagemaker_lab import BUCKET, Lab, view


async def run(aws: Lab, before_result: Any = None, **script: Any) -> tuple[str, Result]:
    job = view()
    plan = aws.plan(job)
    aws.sim.script(**script)
    await aws.platform.submit(plan, job, None)
    aws.sim.advance(3600)
    ref = plan.ref
    sweep = Sweep(aws.caller, aws.platform._settings, ref.place, monotonic=lambda: 0.0)
    sweep.keep([ref])
    [(_, seen)] = await sweep.look()
    assert isinstance(seen, Observation)
    aws.sim.jobs()
    if before_result:
        before_result(f"sft/{plan.job_name}/output/output.tar.gz")
    return plan.job_name, await aws.platform.result(ref, seen, plan.effective)


async def test_a_finished_run_tells_checkpoint_model_losses_and_the_log_command(aws: Lab) -> None:
    name, result = await run(aws)
    found = result.artifacts
    assert found.checkpoint is not None
    assert found.checkpoint.startswith("s3://customer-escrow-111122223333-smtj-")
    assert found.checkpoint.endswith(f"/{name}/200")
    assert found.output == f"s3://{BUCKET}/sft/{name}/"
    assert (
        found.logs == f"aws logs tail /aws/sagemaker/TrainingJobs --log-stream-name-prefix {name}/ --region us-east-1"
    )
    assert result.progress is not None
    assert result.progress.step == 200
    assert result.progress.train_loss is not None
    assert result.progress.first_train_loss is not None
    assert result.progress.train_loss < result.progress.first_train_loss
    assert result.progress.validation_loss is not None
    assert (result.warnings, result.log_tail, found.checkpoint_message) == ((), (), None)


@pytest.mark.parametrize(
    ("script", "why"), [({"artifacts": False}, "does not exist"), ({"checkpoint": False}, "no manifest.json")]
)
async def test_a_result_that_is_missing_is_a_warning_that_says_why(aws: Lab, script: dict[str, Any], why: str) -> None:
    _, result = await run(aws, **script)
    assert result.artifacts.checkpoint is None
    assert why in str(result.artifacts.checkpoint_message)
    assert "ResultMissing" in result.warnings[0].message
    assert why in result.warnings[0].message


async def test_a_corrupt_archive_is_a_warning_that_says_why(aws: Lab) -> None:
    _, result = await run(
        aws, before_result=lambda key: (aws.s3().head_object(Bucket=BUCKET, Key=key), aws.put(key, b"x"))
    )
    assert "not a readable archive" in str(result.artifacts.checkpoint_message)


async def test_a_result_that_may_not_be_read_is_a_warning(aws: Lab) -> None:
    def deny(key: str) -> None:
        aws.sim.fail("GetObject", code="AccessDenied", message="Access Denied", times=None, service="s3")

    _, result = await run(aws, before_result=deny)
    assert "may not be read by the operator" in str(result.artifacts.checkpoint_message)


async def test_an_outage_while_collecting_is_tried_again(aws: Lab) -> None:
    with pytest.raises(PlatformUnavailable):
        await run(aws, before_result=lambda key: aws.sim.fail("HeadObject", status=503, times=None, service="s3"))


async def test_a_failed_run_has_the_last_lines_of_its_log(aws: Lab) -> None:
    script = {
        "end": "Failed",
        "failure_reason": "AlgorithmError: ExitCode 1",
        "error_lines": ["Traceback (most recent call last):", "ValueError: \x1b[31mbad row\x1b[0m", "y" * 900],
    }
    _, result = await run(aws, **script)
    assert result.log_tail[-4:-1] == ("Traceback (most recent call last):", "ValueError:  [31mbad row [0m", "y" * 300)
    assert result.log_tail[-1] == "AlgorithmError: ExitCode 1"
    assert len(result.log_tail) <= 20
    assert (result.artifacts.checkpoint, result.warnings) == (None, ())


async def test_a_log_that_cannot_be_read_takes_nothing_else_away(aws: Lab) -> None:
    aws.sim.fail("DescribeLogStreams", code="AccessDeniedException", times=None)
    _, result = await run(aws)
    assert result.artifacts.checkpoint
