"""output.tar.gz as it should be, and as a container, a broken upload or a hostile hand could leave it."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable

import pytest

from sft_operator.platforms.sagemaker import output
from sft_operator.platforms.sagemaker.result import tail

CHECKPOINT = "s3://customer-escrow-111122223333-smtj-abc/sft-x-1/200"
MANIFEST = json.dumps({"checkpoint_s3_bucket": CHECKPOINT}).encode()
METRICS = b"step_number,epoch_number,training_loss\n1,0,2.5\n2,0,1.0\n3,1,1.25\n"


def tar(members: dict[str, bytes], edit: Callable[[tarfile.TarInfo], None] = lambda entry: None) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, body in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            edit(entry)
            archive.addfile(entry, io.BytesIO(body))
    return packed.getvalue()


def read(packed: bytes) -> output.Output:
    return output.read(io.FileIO(_memfile(packed)))


def _memfile(packed: bytes) -> int:
    handle = os.memfd_create("output")
    os.write(handle, packed)
    os.lseek(handle, 0, 0)
    return handle


def test_checkpoint_and_losses_are_read() -> None:
    found = read(tar({"manifest.json": MANIFEST, "step_wise_training_metrics.csv": METRICS}))
    assert (found.checkpoint, found.problem) == (CHECKPOINT, None)
    assert found.losses == output.Losses(first=2.5, last=1.25, best=1.0, last_step=3, epoch=1.0)


def test_they_may_lie_in_a_folder_and_beside_other_files() -> None:
    found = read(tar({"a/big.bin": b"x" * 100_000, "output/manifest.json": MANIFEST}))
    assert found.checkpoint == CHECKPOINT


def test_columns_are_found_by_name_whatever_order_and_case() -> None:
    metrics = b"Training_Loss, STEP_NUMBER,validation_loss\n-0.5,7,\n1e-3,8,0.75\n,9,\nnan,10,\n"
    found = read(tar({"step_wise_training_metrics.csv": metrics}))
    assert found.losses is not None
    assert (found.losses.last, found.losses.best, found.losses.last_step) == (0.001, -0.5, 8)
    assert found.losses.validation == 0.75


def test_columns_and_figures_may_stand_in_quotes() -> None:
    found = read(tar({"step_wise_training_metrics.csv": b'"step_number","training_loss"\n"7","0.5"\n'}))
    assert found.losses == output.Losses(first=0.5, last=0.5, best=0.5, last_step=7)


@pytest.mark.parametrize(
    "metrics", [b"", b"\n", b"nothing,of,this\n1,2,3\n", b"training_loss\n\xff\xfe\n", b"\x00" * 100]
)
def test_a_metrics_file_of_another_shape_is_passed_over(metrics: bytes) -> None:
    found = read(tar({"step_wise_training_metrics.csv": metrics, "manifest.json": MANIFEST}))
    assert (found.losses, found.checkpoint) == (None, CHECKPOINT)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "has no checkpoint_s3_bucket"),
        (b"{}", "has no checkpoint_s3_bucket"),
        (b'{"checkpoint_s3_bucket": 5}', "has no checkpoint_s3_bucket"),
        (b'{"checkpoint_s3_bucket": "https://evil.example/x"}', "is not an S3 URI"),
        (b'{"checkpoint_s3_bucket": "s3://bucket/\\u0000\\n"}', "is not an S3 URI"),
        (json.dumps({"checkpoint_s3_bucket": "s3://bucket/" + "x" * 5000}).encode(), "is not an S3 URI"),
    ],
)
def test_a_manifest_that_names_no_checkpoint_says_why(manifest: bytes, why: str) -> None:
    found = read(tar({"manifest.json": manifest}))
    assert found.checkpoint is None
    assert found.problem is not None
    assert why in found.problem


@pytest.mark.parametrize("name", ["../manifest.json", "/manifest.json", "a/../../manifest.json"])
def test_a_member_that_leaves_the_archive_is_not_believed(name: str) -> None:
    assert read(tar({name: MANIFEST})).checkpoint is None


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_passed_over(kind: bytes) -> None:
    def edit(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname, entry.size = kind, "/etc/passwd", 0

    assert read(tar({"manifest.json": b""}, edit)).checkpoint is None


def test_a_huge_manifest_is_not_read() -> None:
    found = read(tar({"manifest.json": b" " * (output.MAX_BYTES["manifest.json"] + 1)}))
    assert found.problem is not None
    assert "the most is" in found.problem


def test_more_members_than_reason_end_the_reading() -> None:
    members = {f"f{i}": b"" for i in range(output.MAX_MEMBERS + 1)}
    found = read(tar(members | {"manifest.json": MANIFEST}))
    assert found.checkpoint is None
    assert found.problem is not None
    assert "members" in found.problem


def test_a_bomb_is_put_down_before_it_has_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_UNPACKED_BYTES", 1 << 20)
    found = read(tar({"zeros.bin": b"\0" * (4 << 20), "manifest.json": MANIFEST}))
    assert found.problem is not None
    assert "unpacks to more than" in found.problem


@pytest.mark.parametrize(
    "packed", [b"", b"not gzip", gzip.compress(b"not a tar " * 100, mtime=0), gzip.compress(b"", mtime=0)]
)
def test_what_is_no_archive_is_a_problem_not_an_error(packed: bytes) -> None:
    found = read(packed)
    assert found.checkpoint is None


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_archive_is_a_problem_not_an_error(kept: float) -> None:
    packed = tar({"big.bin": os.urandom(200_000), "manifest.json": MANIFEST})
    found = read(packed[: int(len(packed) * kept)])
    assert found.checkpoint is None
    assert found.problem is not None
    assert "not a readable archive" in found.problem


def test_a_flipped_byte_is_a_problem_not_an_error() -> None:
    packed = bytearray(tar({"a.bin": b"x" * 50_000, "manifest.json": MANIFEST}))
    packed[len(packed) // 2] ^= 0xFF
    assert read(bytes(packed)).checkpoint in (None, CHECKPOINT)


def test_the_log_tail_is_short_clean_and_bounded() -> None:
    lines = tail(["old"] * 30 + ["\x1b[31mred\x00\tline\n", "", "x" * 1000])
    assert len(lines) == 20
    assert lines[-2] == "[31mred  line"
    assert len(lines[-1]) == 300
