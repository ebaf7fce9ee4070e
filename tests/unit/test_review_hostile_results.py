"""What a training container can write to make the operator run out of memory, or a job never end in status."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import tracemalloc

import pytest

from sft_operator.api.status import Artifacts
from sft_operator.platforms.base import RawProgress, Result
from sft_operator.platforms.sagemaker import output
from tests.unit.world import World

MB = 1 << 20


def read(unpacked: bytes) -> tuple[output.Output, int]:
    """The output of an archive, and the most memory that reading it took."""
    handle = os.memfd_create("output")
    os.write(handle, gzip.compress(unpacked, 1))
    os.lseek(handle, 0, 0)
    tracemalloc.start()
    try:
        found = output.read(io.FileIO(handle))
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def member(name: str, kind: bytes, body: bytes) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, len(body)
    return entry.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % 512)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_description_of_many_megabytes_is_not_taken_into_memory(kind: bytes) -> None:
    found, most = read(member("x", kind, bytes(64 * MB)) + bytes(1024))
    assert found.problem is not None
    assert most < 16 * MB


def test_a_sparse_file_whose_map_does_not_end_is_not_read() -> None:
    pax = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    sparse = member("x", tarfile.XHDTYPE, pax) + member("a", tarfile.REGTYPE, b"99999999\n" + b"0\n" * (8 * MB))
    found, most = read(sparse + bytes(1024))
    assert found.problem is not None
    assert most < 16 * MB


def test_descriptions_of_descriptions_without_end_are_a_broken_archive() -> None:
    found, _ = read(member("x", tarfile.GNUTYPE_LONGNAME, b"name\0") * 5000 + bytes(1024))
    assert found.problem is not None


def test_a_metrics_file_of_millions_of_rows_is_read_row_by_row() -> None:
    metrics = b"step_number,training_loss\n" + b"1,2.5\n" * (1 * MB) + b"2,0.5\n"
    found, most = read(member(output.METRICS, tarfile.REGTYPE, metrics) + bytes(1024))
    assert found.losses is not None
    assert (found.losses.first, found.losses.last, found.losses.last_step) == (2.5, 0.5, 2)
    assert most < 64 * MB


def test_a_manifest_larger_than_any_manifest_is_not_parsed() -> None:
    manifest = json.dumps({"checkpoint_s3_bucket": "s3://bucket/key", "more": [[]] * MB}).encode()
    found, _ = read(member(output.MANIFEST, tarfile.REGTYPE, manifest) + bytes(1024))
    assert found.checkpoint is None
    assert found.problem is not None


def test_a_step_that_no_number_of_json_can_hold_does_not_keep_the_end_from_being_written() -> None:
    with World() as world:
        world.aws.result_of_run = Result(Artifacts(), progress=RawProgress(step=10**300, train_loss=1.0))
        world.apply()
        world.aws.run()
        world.aws.complete()
        world.advance(120)
        assert world.phase == "Succeeded"
        assert world.status["progress"].get("step") is None
