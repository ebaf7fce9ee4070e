"""The check of whole files: what is refused, with file and line, in bounded memory."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import pickle
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_operator.datasets.check import Channel, DatasetFile, DatasetLimits, check
from sft_operator.datasets.reader import LocalFile, ShortReadError
from sft_operator.datasets.report import DatasetReport

URI = "s3://bucket/train.jsonl"


class InMemory:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, end: int) -> bytes:
        return self.data[start:end]


def row(i: int = 0, text: str = "All good.") -> dict[str, Any]:
    turns = [("user", f"Question {i}?"), ("assistant", text)]
    return {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [{"role": r, "content": [{"text": t}]} for r, t in turns],
    }


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(r).encode() + b"\n" for r in rows)


def file(data: bytes, channel: Channel = "train", uri: str = URI) -> DatasetFile:
    return DatasetFile(uri, InMemory(data), channel)


def report_of(data: bytes, **limits: int) -> DatasetReport:
    return check([file(data)], limits=dataclasses.replace(DatasetLimits(), **limits))


def test_a_good_data_set_is_counted_by_channel_and_hashed() -> None:
    train, val = jsonl(*map(row, range(5))), jsonl(row(9))
    report = check(
        [DatasetFile(URI, InMemory(train), "train", etag='"e1"'), file(val, "validation", "s3://bucket/val.jsonl")]
    )
    assert report.ok
    assert (report.rows, report.validation_rows, report.bytes) == (5, 1, len(train))
    assert report.tokens_estimate == 5 * len("Question 0?All good.") // 4
    assert report.files[0].sha256 == hashlib.sha256(train).hexdigest()
    assert [f.etag for f in report.files] == ['"e1"', ""]
    assert report.summary() == "5 training rows, 1 validation rows, about 25 training tokens"


def test_a_wrong_row_is_named_by_file_line_path_and_rule_in_one_line() -> None:
    bad = row(16)
    bad["messages"].insert(1, {"role": "user", "content": [{"text": "again"}]})
    rows: list[object] = [row(i) for i in range(20)]
    rows[16] = rows[18] = bad
    assert report_of(jsonl(*rows)).summary() == (
        's3://bucket/train.jsonl line 17: messages[1].role is "user"; '
        "roles must alternate, an assistant turn is expected here (2 rows are wrong)"
    )


def test_crlf_a_missing_last_newline_and_blank_lines_at_the_end_are_fine() -> None:
    good = jsonl(row(1), row(2))
    assert report_of(good.replace(b"\n", b"\r\n")).ok
    assert report_of(good.rstrip(b"\n")).rows == 2
    assert report_of(good + b"\n \r\n\n").ok


def test_blank_lines_between_rows_are_refused_at_the_first_of_them() -> None:
    report = report_of(jsonl(row(1)) + b"\n\n" + jsonl(row(2)))
    assert (
        str(report.errors[0])
        == f"{URI} line 2: the line is blank (2 in a row); every line but the last ones must hold a row"
    )
    assert (report.wrong_rows, report.rows) == (2, 2)


@pytest.mark.parametrize("data", [b"", b"\n\n", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    report = report_of(data)
    assert report.error_count == 1
    assert f"{URI}: is empty: it holds no row" in report.summary()


def test_a_data_set_without_a_training_file_is_refused() -> None:
    assert not check([]).ok
    assert not check([file(jsonl(row()), "validation")]).ok


def test_a_huge_line_is_refused_by_its_number_and_the_rows_around_it_are_still_read() -> None:
    data = jsonl(row(1), row(2, "x" * 3_000_000), row(3), {"schemaVersion": "1"})
    report = report_of(data, line_bytes=1_000_000, chunk_bytes=500_000)
    assert [(e.line, e.message[:40]) for e in report.errors[:1]] == [(2, "the line is longer than 1000000 bytes, t")]
    assert {e.line for e in report.errors} == {2, 4}
    assert report.rows == 4


def test_bytes_that_are_not_utf8_are_refused_with_line_and_offset() -> None:
    before = jsonl(row(1))
    wrong = jsonl(row(2)).replace(b"All", b"A\xff\xfe")
    assert str(report_of(before + wrong).errors[0]) == (
        f"{URI} line 2: is not UTF-8 at byte {wrong.index(0xFF) + 1} of the line "
        f"(offset {len(before) + wrong.index(0xFF)} in the file's text)"
    )


def test_utf16_and_parquet_files_are_named_for_what_they_are() -> None:
    assert "looks like UTF-16 text" in report_of(jsonl(row()).decode().encode("utf-16")).summary()
    assert "looks like a Parquet file" in report_of(b"PAR1\x00\x00").summary()


def test_a_byte_order_mark_is_a_warning() -> None:
    report = report_of(b"\xef\xbb\xbf" + jsonl(row(1), row(2)))
    assert report.ok
    assert "byte order mark" in report.warnings[0].message


def test_gzip_in_several_members_is_read_like_plain_text() -> None:
    data = gzip.compress(jsonl(row(1), row(2))[:50]) + gzip.compress(jsonl(row(1), row(2))[50:]) + b"\0" * 100
    report = report_of(data, chunk_bytes=37)
    assert report.ok
    assert report.rows == 2
    assert report.bytes == len(data)
    assert "gzip" in report.warnings[0].message


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9, 0.999])
def test_a_truncated_gzip_file_is_refused_as_cut_short(kept: float) -> None:
    whole = gzip.compress(jsonl(*(row(i, hashlib.sha256(b"%d" % i).hexdigest()) for i in range(2000))))
    report = report_of(whole[: max(12, int(len(whole) * kept))])
    assert report.error_count == 1
    assert "gzip file cut short" in report.summary()
    assert report.files[0].sha256 == ""


def test_a_damaged_gzip_file_is_refused() -> None:
    whole = bytearray(gzip.compress(jsonl(*(row(i, hashlib.sha256(b"%d" % i).hexdigest()) for i in range(2000)))))
    whole[-6] ^= 0xFF  # the checksum
    assert "damaged gzip file" in report_of(bytes(whole)).summary()
    assert "damaged gzip file" in report_of(gzip.compress(jsonl(row())) + b"trailing").summary()


def test_a_gzip_bomb_is_given_up_early() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(100)) + packer.flush()
    assert "times its stored size" in report_of(bomb).summary()
    assert "more than 1000 bytes of text" in report_of(jsonl(*map(row, range(99))), text_bytes=1000).summary()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hi"}]},
            "Messages (OpenAI chat)",
        ),
        ({"prompt": "a", "completion": "b"}, "PromptCompletion"),
        ({"instruction": "a", "input": "", "output": "b"}, "Alpaca"),
        ({"conversations": [{"from": "human", "value": "a"}]}, "ShareGPT"),
        ({"system": "s", "messages": [{"role": "user", "content": "hi"}]}, "Claude chat"),
    ],
)
def test_a_file_in_another_format_is_one_clear_error(line: object, name: str) -> None:
    report = report_of(jsonl(*[line] * 500))
    assert report.error_count == 1
    assert f"line 1: looks like {name}" in report.summary()
    assert "this model takes Converse (bedrock-conversation-2024)" in report.summary()


def test_a_declared_format_that_is_not_converse_is_refused_without_reading() -> None:
    class Unread(InMemory):
        def read(self, start: int, end: int) -> bytes:
            raise AssertionError("read")

    report = check([DatasetFile(URI, Unread(b"x"), "train", format="Messages")])
    assert report.summary() == f"{URI}: format Messages is declared; this model takes Converse: convert the file first"


def test_each_file_has_a_declared_format_of_its_own() -> None:
    validation = DatasetFile("s3://bucket/val.jsonl", InMemory(jsonl(row())), "validation", format="Messages")
    report = check([file(jsonl(row())), validation])
    assert (report.rows, report.validation_rows) == (1, 0)
    assert "s3://bucket/val.jsonl: format Messages is declared" in report.summary()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "one JSON document over many lines"),
        (b'{"a": 1} {"b": 2}', "is not JSON: trailing characters"),
        (b"{'a': 1}", "is not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": NaN}', "is not JSON"),
        (b"null", "the line is null"),
        (b'{"a":' + b"9" * 5000 + b"}", "is not JSON"),
    ],
)
def test_a_line_that_is_not_a_json_object_is_refused(line: bytes, says: str) -> None:
    report = report_of(jsonl(row(1)) + line + b"\n" + jsonl(row(2)))
    assert [e.line for e in report.errors] == [2]
    assert says in report.summary()


def test_a_file_of_nothing_but_mistakes_is_not_read_to_its_end() -> None:
    assert "more than 1000 blank lines" in report_of(jsonl(row()) + b"\n" * 2_000_000).summary()
    report = report_of(b"x\n" * 50, wrong_rows=10)
    assert (report.wrong_rows, report.error_count, report.rows) == (11, 12, 11)


def test_an_endlessly_wrong_file_keeps_only_the_first_findings() -> None:
    report = report_of(b"x\n" * 10_000)
    assert (len(report.errors), report.error_count) == (20, 10_000)
    assert len(pickle.dumps(report)) < 16_000


def test_the_report_crosses_a_process_and_becomes_json() -> None:
    report = report_of(jsonl(row(1), {"schemaVersion": "1"}, row(2, "the user: me"), row(3, "the user: you")))
    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301
    assert json.loads(json.dumps(dataclasses.asdict(report)))["error_count"] == 1
    assert [str(w) for w in report.warnings] == [
        f'{URI} line 3: text contains "user:", a reserved word of Nova in another case; safer reworded (2 rows)'
    ]


def test_a_control_character_in_an_object_name_does_not_reach_the_summary() -> None:
    assert "\n" not in check([file(b"", uri="s3://b/a\nb\x1b")]).summary()


def test_an_unreadable_object_is_not_an_invalid_one() -> None:
    class Denied(InMemory):
        def read(self, start: int, end: int) -> bytes:
            raise PermissionError("GetObject denied")

    class Shrunk(InMemory):
        def read(self, start: int, end: int) -> bytes:
            return self.data[start : end - 1]

    for reader, error in ((Denied(b"x"), PermissionError), (Shrunk(jsonl(row())), ShortReadError)):
        with pytest.raises(error):
            check([DatasetFile(URI, reader, "train")])


def test_a_local_file_is_read_by_ranges(tmp_path: Any) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(jsonl(*map(row, range(100))))
    report = check([DatasetFile(str(path), LocalFile(path), "train")], limits=DatasetLimits(chunk_bytes=1000))
    assert (report.rows, report.ok) == (100, True)


@pytest.mark.parametrize("packed", [False, True])
def test_memory_stays_small_over_a_long_stream(packed: bool) -> None:
    class Endless:
        """50 MB that exist only a chunk at a time."""

        block = jsonl(*(row(i, "Every step in order. " * 100) for i in range(100)))

        def size(self) -> int:
            return len(self.block) * (50_000_000 // len(self.block))

        def read(self, start: int, end: int) -> bytes:
            skip = start % len(self.block)
            return (self.block * ((skip + end - start) // len(self.block) + 1))[skip : skip + end - start]

    packer = zlib.compressobj(1, wbits=31)
    endless = Endless()
    reader = InMemory(packer.compress(endless.block * 250) + packer.flush()) if packed else endless
    tracemalloc.start()
    try:
        report = check([DatasetFile(URI, reader, "train")])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.ok
    assert report.rows > 20_000
    assert peak < 16_000_000


STRUCTURAL = {
    "a key lost": lambda r: r.pop("schemaVersion"),
    "messages lost": lambda r: r.pop("messages"),
    "a key too many": lambda r: r.update(note="x"),
    "a turn doubled": lambda r: r["messages"].insert(0, dict(r["messages"][0])),
    "the answer lost": lambda r: r["messages"].pop(),
    "a role lost": lambda r: r["messages"][0].pop("role"),
    "content lost": lambda r: r["messages"][1].pop("content"),
    "content flattened": lambda r: r["messages"][1].update(content="x"),
    "text emptied": lambda r: r["messages"][1].update(content=[{"text": ""}]),
    "a turn that is null": lambda r: r["messages"].append(None),
}


@settings(max_examples=60)
@given(
    count=st.integers(1, 30),
    where=st.integers(0, 29),
    kind=st.sampled_from(sorted(STRUCTURAL)),
    chunk=st.integers(2, 400),
    packed=st.booleans(),
    newline=st.sampled_from([b"\n", b"\r\n"]),
)
def test_one_structural_mistake_is_reported_on_its_line_however_the_bytes_arrive(
    count: int, where: int, kind: str, chunk: int, packed: bool, newline: bytes
) -> None:
    where %= count
    rows = [row(i) for i in range(count)]
    STRUCTURAL[kind](rows[where])
    data = jsonl(*rows).replace(b"\n", newline)
    report = report_of(gzip.compress(data) if packed else data, chunk_bytes=chunk)
    assert {e.line for e in report.errors} == {where + 1}
    assert (report.error_count, report.rows) == (1, count)
