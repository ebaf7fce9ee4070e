"""Files made to exhaust memory, time or patience: each is given up early, with words for whoever has to mend it."""

from __future__ import annotations

import gzip
import io
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sft_operator.api import yaml12
from sft_operator.datasets.check import DatasetFile, DatasetLimits, check
from sft_operator.datasets.report import DatasetReport
from sft_operator.platforms.base import Refusal
from sft_operator.platforms.sagemaker import output
from sft_operator.platforms.sagemaker.plan import make_plan
from sft_operator.recipes import interpolation
from sft_operator.recipes.catalogue import default_catalogue
from tests.manifests import ABSENT
from tests.sagemaker_lab import ROW, view
from tests.unit.test_review_hostile_results import member, read
from tests.unit.test_sagemaker_output import MANIFEST

MB = 1 << 20
ROOT = Path(__file__).resolve().parents[2]


class Memory:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, end: int) -> bytes:
        return self.data[start:end]


class Endless:
    """Says that it is as large as S3 allows, and is the same piece over and over."""

    def __init__(self, piece: bytes) -> None:
        self.piece, self.given = piece, 0

    def size(self) -> int:
        return 5 << 40

    def read(self, start: int, end: int) -> bytes:
        self.given += end - start
        times = (end - start) // len(self.piece) + 2
        at = start % len(self.piece)
        return (self.piece * times)[at : at + end - start]


def checked(data: bytes, limits: DatasetLimits | None = None, *, excerpts: bool = True) -> DatasetReport:
    file = DatasetFile("s3://bucket/train.jsonl", Memory(data), "train")
    return check([file], limits=limits or DatasetLimits(), excerpts=excerpts)


@contextmanager
def quickly(seconds: float = 20.0) -> Iterator[None]:
    """Far above what it takes, far below what it took without the bound."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@pytest.mark.parametrize("brackets", ["[", '{"a":'])
def test_a_row_of_100_000_brackets_is_a_finding_of_its_line(brackets: str) -> None:
    deep = brackets * 100_000 + "1" + {"[": "]"}.get(brackets, "}") * 100_000
    report = checked(f"{ROW}\n{deep}\n{ROW}\n".encode())
    assert [str(error) for error in report.errors] == [
        "s3://bucket/train.jsonl line 2: is not usable JSON: nested too deeply"
    ]
    assert report.rows == 3, "the rows after it are read"


def test_a_row_of_millions_of_empty_lists_is_not_decoded() -> None:
    data = b'{"messages":[' + b"[]," * (2 * MB) + b"[]]}\n"
    tracemalloc.start()
    report = checked(data)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 500000 lists and objects" in report.summary()
    assert most < 64 * MB


def test_a_row_that_is_wrong_in_a_million_places_is_told_by_its_first_mistakes_at_once() -> None:
    with quickly():
        report = checked(b"\n".join([b'{"messages":[' + b"1," * MB + b"1]}"] * 20))
    assert report.wrong_rows == 20


def test_gzip_without_end_and_without_text_is_given_up() -> None:
    endless = Endless(gzip.compress(b"") * 10_000)
    with quickly():
        report = check([DatasetFile("s3://bucket/train.jsonl.gz", endless, "train")])
    assert "holds hardly any text" in report.summary()
    assert endless.given < 16 * MB


def test_a_row_in_each_of_many_gzip_members_is_read() -> None:
    report = checked(gzip.compress((ROW + "\n").encode()) * 20_000)
    assert report.ok
    assert report.rows == 20_000


def test_an_output_archive_of_empty_gzip_members_without_end_is_given_up() -> None:
    class Stream(io.RawIOBase):
        piece, given = gzip.compress(b"") * 10_000, 0

        def readable(self) -> bool:
            return True

        def readinto(self, into: memoryview) -> int:  # type: ignore[override]
            size = min(len(into), len(self.piece) - self.given % len(self.piece))
            at = self.given % len(self.piece)
            into[:size] = self.piece[at : at + size]
            self.given += size
            return size

    stream = Stream()
    with quickly():
        found = output.read(stream)
    assert found.problem is not None
    assert "hold hardly anything" in found.problem
    assert stream.given < 16 * MB


def test_a_metrics_file_that_is_one_row_of_very_many_columns_is_passed_over() -> None:
    metrics = b",".join(b"c%d" % i for i in range(300_000)) + b"\n1\n"
    found, most = read(member(output.METRICS, b"0", metrics) + member(output.MANIFEST, b"0", MANIFEST) + bytes(1024))
    assert found.losses is None
    assert found.checkpoint is not None
    assert most < 24 * MB


def _billion_laughs() -> str:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_billion_laughs, "aliases stand for more than"),
        (lambda: "[" * 100_000, "nested deeper than 64 levels"),
        (lambda: "- " * 100_000, "nested deeper than 64 levels"),
        (lambda: "a: &a [*a]", "no finished anchor"),
        (lambda: "x" * (2 * MB), "longer than"),
        (lambda: "a: " + "9" * 5000, "a number of 5000 digits"),
        (lambda: "!!python/object/apply:os.system [id]", "is not supported"),
    ],
    ids=["billion laughs", "brackets", "dashes", "itself", "size", "digits", "object"],
)
def test_yaml_that_explodes_or_builds_objects_is_refused_at_once(text: Callable[[], str], says: str) -> None:
    with quickly(5), pytest.raises(yaml12.YAMLError, match=says):
        yaml12.load(text(), source="recipe")


@pytest.mark.parametrize("references", [0, 4000], ids=["written out", "by references"])
def test_a_recipe_of_gigabytes_is_refused_before_any_of_it_is_written(references: int) -> None:
    text = "x" * (20_000 if references else MB)
    with pytest.raises(interpolation.InterpolationError, match="more than 131072 characters in all"), quickly(5):
        interpolation.resolve({"a": text, **{f"b{i}": "${a}" for i in range(references)}})
    example = yaml12.load((ROOT / "examples" / "inline-recipe.yaml").read_text(), source="example")
    inline = example["spec"]["recipe"]["inline"] | {
        "more": {"a": text} | {f"b{i}": "${more.a}" for i in range(references)}
    }
    job = view({"recipe.inline": inline, "hyperparameters": ABSENT, "dataset.validation": ABSENT})
    with quickly(5):
        planned = make_plan(job, None, default_catalogue())
    assert isinstance(planned, Refusal)
    assert "spec.recipe.inline: more than 131072 characters in all" in planned.message


SECRET = "4111 1111 1111 1111"


def _rows_with_secrets() -> bytes:
    right = json.loads(ROW)
    wrong = [
        {**right, SECRET: 1},
        {**right, "schemaVersion": SECRET},
        {**right, "messages": [{"role": SECRET, "content": SECRET, SECRET: SECRET}]},
        {**right, "messages": [{"role": "user", "content": [{SECRET: SECRET}, SECRET]}]},
        {**right, "system": [{"text": f"System: {SECRET}"}]},
        {**right, "system": [{"text": f"system: {SECRET}"}]},
        SECRET,
    ]
    rows = [json.dumps(row).encode() for row in wrong]
    return b"\n".join([*rows, f"{SECRET} {{".encode(), b'{"schemaVersion": "' + SECRET.encode() + b"\xff"])


def _told(report: DatasetReport) -> str:
    return "\n".join([report.summary(), *map(str, report.errors), *map(str, report.warnings)])


def test_with_excerpts_off_no_word_of_a_data_set_is_in_any_finding() -> None:
    report = checked(_rows_with_secrets(), excerpts=False)
    assert report.error_count >= 8
    assert SECRET[:9] not in _told(report)
    assert "has an unknown key" in _told(report)


def test_with_excerpts_on_only_the_start_of_unknown_keys_is_shown_escaped() -> None:
    told = _told(checked(_rows_with_secrets()))
    shown = told.replace(f'the unknown key "{SECRET}"', "")
    assert shown != told
    assert SECRET[:9] not in shown
    key = 'a"\\\n\x1b\u202e' + "k" * 100
    told = _told(checked(json.dumps({**json.loads(ROW), key: 1}).encode()))
    assert 'the unknown key "a\\"\\\\\\n\\x1b\\u202e' in told
    assert "k" * 40 not in told
