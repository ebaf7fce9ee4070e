"""The example data set: made from its source, right by our own check, and wrong exactly where it says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from sft_operator.datasets.check import DatasetFile, check
from sft_operator.datasets.reader import LocalFile

ROOT = Path(__file__).parents[2]
DATA = ROOT / "examples" / "data"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_example_data", ROOT / "tools" / "make_example_data.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_what_the_generator_makes(generator: ModuleType) -> None:
    for name, content in generator.files().items():
        assert (DATA / name).read_text(encoding="utf-8") == content, f"{name} is stale: run tools/make_example_data.py"
        assert len(content.encode()) < 1_000_000


def test_the_example_data_set_passes_without_a_warning() -> None:
    train, validation = DATA / "train.jsonl", DATA / "val.jsonl"
    report = check(
        [DatasetFile("train", LocalFile(train), "train"), DatasetFile("val", LocalFile(validation), "validation")]
    )
    assert report.ok, report.summary()
    assert report.warnings == ()
    assert report.rows >= 500
    assert report.validation_rows >= 60


def test_no_conversation_or_question_occurs_twice_in_train_and_validation() -> None:
    rows = [json.loads(line) for f in ("train.jsonl", "val.jsonl") for line in (DATA / f).open(encoding="utf-8")]
    asked = {row["messages"][0]["content"][0]["text"] for row in rows}
    assert len(asked) == len(rows)


def test_the_bad_file_is_refused_at_line_17_and_only_there() -> None:
    report = check([DatasetFile("s3://acme-ml-team/bad-row.jsonl", LocalFile(DATA / "bad-row.jsonl"), "train")])
    assert report.summary() == (
        's3://acme-ml-team/bad-row.jsonl line 17: messages[1].role is "user"; '
        "roles must alternate, an assistant turn is expected here"
    )
