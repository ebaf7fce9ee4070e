"""The data check against S3: what it finds, what it may not read, and how the two are told apart."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from sft_lab.awssim.control import Sim
from sft_operator.api.place import Access, Place
from sft_operator.api.reasons import Reason
from sft_operator.controller.metrics import Metrics
from sft_operator.controller.store import Store
from sft_operator.platforms.base import CheckOutcome, PlatformUnavailable, ProfileUse
from sft_operator.platforms.sagemaker import check, check_worker
from sft_operator.platforms.sagemaker.heads import unchanged
from tests.sagemaker_lab import BUCKET, ROWS, Lab, lab, until, view

HERE = Place("111122223333", "us-east-1")

WRONG_ROW = b'{"schemaVersion": "bedrock-conversation-2024", "messages": []}\n'


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading happens in a thread of this process: a process for each test would only cost time."""

    class Here:
        async def read(self, *args: Any) -> Any:
            return await asyncio.to_thread(check_worker.read, *args)

    monkeypatch.setattr(check.DatasetChecks, "_read", Here.read)


def told(outcome: CheckOutcome) -> tuple[Reason, str]:
    assert outcome.refusal is not None
    return outcome.refusal.reason, outcome.refusal.message


async def test_a_right_data_set_gives_its_facts_from_a_process_of_its_own(aws: Lab) -> None:
    outcome = await aws.platform.check(view())
    assert outcome.refusal is None
    assert outcome.facts is not None
    assert (outcome.facts.rows, outcome.facts.validation_rows, outcome.facts.bytes) == (40, 40, 2 * len(ROWS))
    assert outcome.facts.files is not None
    etag = aws.s3().head_object(Bucket=BUCKET, Key="train.jsonl")["ETag"].strip('"')
    assert [(file.uri, file.etag, file.rows) for file in outcome.facts.files] == [
        (f"s3://{BUCKET}/train.jsonl", etag, 40),
        (f"s3://{BUCKET}/val.jsonl", etag, 40),
    ]
    assert await unchanged(aws.caller, HERE, outcome.facts)


async def test_the_calls_of_that_process_are_in_the_metric_of_aws_calls(sim: Sim) -> None:
    metrics = Metrics(Store(), lambda: 0, lambda: None)
    with lab(sim, observe=metrics.aws_call) as aws:
        await aws.platform.check(view())
        sim.fail("GetObject", code="AccessDenied", status=403, times=None)
        await aws.platform.check(view())

    def counted(operation: str, code: str) -> float | None:
        labels = {"service": "s3", "operation": operation, "code": code}
        return metrics.registry.get_sample_value("sft_aws_calls_total", labels)

    # two objects, twice: the second time the first of them may not be read, and no more is asked for
    assert (counted("HeadBucket", "OK"), counted("HeadObject", "OK")) == (4, 4)
    assert (counted("GetObject", "OK"), counted("GetObject", "AccessDenied")) == (2, 1)
    seconds = metrics.registry.get_sample_value("sft_aws_call_seconds_sum", {"service": "s3", "operation": "GetObject"})
    assert seconds is not None
    assert seconds > 0


async def test_a_profile_can_keep_every_word_of_the_data_out_of_the_outcome(aws: Lab) -> None:
    aws.put("train.jsonl", b'{"my secret": 1}\n')
    shown = await aws.platform.check(view())
    use = ProfileUse(name="ml-team", generation=1, data_excerpts=False)
    hidden = await aws.platform.check(dataclasses.replace(view(), profile=use))
    assert "my secret" in str(shown)
    assert hidden.facts is not None
    assert hidden.facts.errors
    assert "my secret" not in str(hidden)


async def test_a_process_killed_while_it_reads_is_trouble_that_passes(sim: Sim) -> None:
    with lab(sim) as aws:
        await aws.platform.check(view())  # the process is there
        pool = aws.platform._checks._pool
        assert pool is not None
        sim.fail("GetObject", delay=5, times=None)
        reading = asyncio.ensure_future(aws.platform.check(view()))
        await until(lambda: bool(sim.calls("GetObject")))
        for pid in list(pool._processes):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(PlatformUnavailable, match="ended from outside"):
            await reading
        sim.heal()
        assert (await aws.platform.check(view())).facts is not None


async def test_the_process_ends_after_it_was_idle(sim: Sim) -> None:
    checks = check.DatasetChecks(processes=1, idle=0.05)
    with lab(sim):
        await checks.check(view())
        pool = checks._pool
        assert pool is not None
        process = next(iter(pool._processes.values()))
        await until(lambda: not process.is_alive())
        assert checks._pool is None


_PARENT = """
import asyncio
from sft_operator.api.place import Place
from sft_operator.platforms.sagemaker.check import DatasetChecks
async def main():
    checks = DatasetChecks(processes=1, idle=60)
    try:
        await checks._read([], Place("", "us-east-1"), True)
    finally:
        print(*checks._pool._processes, flush=True)
        await asyncio.sleep(60)
if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_no_process_is_left_behind_when_the_operator_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE, env={"PATH": os.environ["PATH"]}
    )
    assert parent.stdout is not None
    worker = int(await asyncio.wait_for(parent.stdout.readline(), 30))
    parent.kill()
    await parent.wait()
    await until(lambda: not _runs(worker))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.usefixtures("here")
class TestFindings:
    async def test_a_wrong_row_is_told_by_file_and_line(self, aws: Lab) -> None:
        aws.put("val.jsonl", ROWS + WRONG_ROW)
        reason, message = told(await aws.platform.check(view()))
        assert reason is Reason.DATASET_INVALID
        assert message.startswith("spec.dataset.validation[0].uri: s3://acme-ml-team/val.jsonl line 41")

    async def test_with_check_warn_wrong_rows_are_told_and_refuse_nothing(self, aws: Lab) -> None:
        aws.put("train.jsonl", ROWS + WRONG_ROW)
        outcome = await aws.platform.check(view({"dataset.check": "Warn"}))
        assert outcome.refusal is None
        assert outcome.facts is not None
        assert (outcome.facts.error_count, outcome.facts.rows) == (1, 41)
        assert any("line 41" in warning.message for warning in outcome.warnings)

    @pytest.mark.parametrize(
        "body", [b"", b"\xff\xfe\x00x\n", b"{\n", b"PAR1xxxx", gzip.compress(ROWS, mtime=0)[:-20], b"x" * (11 << 20)]
    )
    async def test_a_file_of_another_kind_is_invalid_not_unreadable(self, aws: Lab, body: bytes) -> None:
        aws.put("train.jsonl", body)
        reason, message = told(await aws.platform.check(view()))
        assert reason is Reason.DATASET_INVALID
        assert message.startswith("spec.dataset.train.uri: s3://acme-ml-team/train.jsonl")

    async def test_gzip_is_read_and_warned_about(self, aws: Lab) -> None:
        aws.put("train.jsonl", gzip.compress(ROWS))
        outcome = await aws.platform.check(view())
        assert outcome.facts is not None
        assert outcome.facts.rows == 40
        assert any("gzip" in warning.message for warning in outcome.warnings)


@pytest.mark.usefixtures("here")
class TestUnreadable:
    async def test_a_missing_bucket_is_named(self, aws: Lab) -> None:
        outcome = await aws.platform.check(view({"dataset.train.uri": "s3://no-such-bucket-here/x.jsonl"}))
        reason, message = told(outcome)
        assert reason is Reason.DATASET_UNREADABLE
        assert message.startswith("spec.dataset.train.uri: the bucket no-such-bucket-here")

    async def test_a_missing_object_is_named(self, aws: Lab) -> None:
        outcome = await aws.platform.check(view({"dataset.validation.0.uri": f"s3://{BUCKET}/none.jsonl"}))
        reason, message = told(outcome)
        assert reason is Reason.DATASET_UNREADABLE
        assert message.startswith(f"spec.dataset.validation[0].uri: s3://{BUCKET}/none.jsonl cannot be read: NoSuchKey")

    @pytest.mark.parametrize("operations", [("HeadObject", "GetObject"), ("GetObject",)])
    async def test_denied_access_tells_the_statement_that_is_missing(
        self, aws: Lab, operations: tuple[str, ...]
    ) -> None:
        for operation in operations:
            aws.sim.fail(operation, code="AccessDenied", message="Access Denied", times=None, service="s3")
        reason, message = told(await aws.platform.check(view({"dataset.check": "Warn"})))
        assert reason is Reason.DATASET_UNREADABLE
        statement = '"Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::acme-ml-team/train.jsonl"}'
        assert f'give the operator\'s identity {{"Effect": "Allow", {statement}' in message

    async def test_denied_access_names_the_profiles_role_where_the_data_is_read_by_it(self, aws: Lab) -> None:
        aws.sim.fail("HeadObject", code="AccessDenied", message="Access Denied", times=None, service="s3")
        aws.sim.fail("GetObject", code="AccessDenied", message="Access Denied", times=None, service="s3")
        role = "arn:aws:iam::111122223333:role/team-operator"
        use = ProfileUse(name="ml-team", generation=1, access=Access(role, None, "ml-team", "ml-team"))
        _, message = told(await aws.platform.check(dataclasses.replace(view(), profile=use)))
        assert f"give the role {role} of SFTProfile ml-team {{" in message

    async def test_a_key_that_may_not_be_used_asks_for_decrypt(self, aws: Lab) -> None:
        text = "User: x is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:us-east-1:1:key/y"
        aws.sim.fail("GetObject", code="AccessDenied", message=text, times=None, service="s3")
        assert '"Action": ["kms:Decrypt"]' in told(await aws.platform.check(view()))[1]

    async def test_a_bucket_of_another_region_is_told_with_both_regions(self, aws: Lab) -> None:
        west = aws.caller.clients.get("s3", "us-west-2")
        west.create_bucket(Bucket="acme-west-data", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        west.put_object(Bucket="acme-west-data", Key="x.jsonl", Body=ROWS)
        reason, message = told(await aws.platform.check(view({"dataset.train.uri": "s3://acme-west-data/x.jsonl"})))
        assert reason is Reason.DATASET_UNREADABLE
        assert "lies in us-west-2, the job runs in us-east-1" in message

    async def test_an_outage_is_not_the_datas_fault(self, aws: Lab) -> None:
        aws.sim.fail("HeadObject", status=503, times=None, service="s3")
        aws.sim.fail("GetObject", code="ServiceUnavailable", times=None, service="s3")
        with pytest.raises(PlatformUnavailable) as raised:
            await aws.platform.check(view())
        assert raised.value.retry_after

    async def test_an_object_replaced_while_it_is_read_is_read_again_later(
        self, aws: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = check_worker.head

        def head_then_replace(client: Any, uri: Any) -> Any:
            found = original(client, uri)
            if uri.key == "train.jsonl":
                aws.put("train.jsonl", ROWS + ROWS)
            return found

        monkeypatch.setattr(check_worker, "head", head_then_replace)
        reason, message = told(await aws.platform.check(view()))
        assert reason is Reason.DATASET_UNREADABLE
        assert "train.jsonl was replaced while it was read" in message
