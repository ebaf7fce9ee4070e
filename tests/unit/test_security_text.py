"""Words of others, as hostile as they come: in status, Events, both forms of logs, and on the terminal of sft they are
text and nothing else."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sft_operator.api import yaml12
from sft_operator.api.neutral import neutral
from sft_operator.api.reasons import Reason
from sft_operator.api.status import (
    Artifacts,
    DatasetFile,
    DatasetStatus,
    Effective,
    Failure,
    SFTJobStatus,
    Stage,
)
from sft_operator.aws.answers import from_answer
from sft_operator.cli.main import main
from sft_operator.controller.logs import JSONFormatter, TextFormatter
from sft_operator.controller.reconcile.bounds import cut, fitted
from sft_operator.platforms.sagemaker.translate import observation
from tests.manifests import nova_lite_2_lora
from tests.unit.world import World

SURROGATE = "\ud800"
HOSTILE = "a\x1b[31mred\x1b[0m\nERROR forged\r\tb\x00\x07\x9b\u202eevil\u2066\u2028\u2029\u200b\ufeff end"


def all_prints(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@given(st.text())
def test_a_neutral_text_prints_keeps_its_length_and_stays_as_it_is(text: str) -> None:
    found = neutral(text)
    assert found.isprintable()
    assert len(found) == len(text)
    assert neutral(found) == found


def test_half_a_surrogate_pair_which_no_status_can_hold_is_replaced() -> None:
    """JSON may carry it, and AWS's answers are JSON."""
    answer = {
        "TrainingJobStatus": "Failed",
        "SecondaryStatus": "Failed",
        "FailureReason": f"AlgorithmError: {SURROGATE}",
        "SecondaryStatusTransitions": [{"Status": f"Failed{SURROGATE}", "StatusMessage": SURROGATE}],
    }
    found = observation(answer, datetime(2026, 11, 22, tzinfo=UTC))
    assert found.failure_message == "AlgorithmError: \ufffd"
    assert found.timeline[0].message == "\ufffd"
    assert from_answer("s3", "GetObject", {"Error": {"Code": "X", "Message": SURROGATE}}).message == "\ufffd"
    assert neutral(SURROGATE) == cut(SURROGATE) == "\ufffd"


def test_letters_of_any_language_are_left_alone() -> None:
    text = "Größe, 学習, обучение, تدريب, नमूना 😀"
    assert neutral(text) == text


def test_every_text_of_a_status_is_neutral_but_what_later_steps_compare() -> None:
    status = SFTJobStatus(
        message=HOSTILE,
        warnings=[HOSTILE],
        failure=Failure(reason="AlgorithmError", message=HOSTILE, hint=HOSTILE, log_tail=[HOSTILE, "fine"]),
        timeline=[Stage(stage=HOSTILE, message=HOSTILE)],
        artifacts=Artifacts(model=HOSTILE, checkpoint_message=HOSTILE),
        dataset=DatasetStatus(
            rows=1, errors=[HOSTILE], files=[DatasetFile(uri="s3://bucket/a\x1bb", etag="e", rows=1, bytes=1)]
        ),
        effective=Effective(hyperparameters={"name": HOSTILE}, output_uri="s3://bucket/\x1b/"),
    )
    found = fitted(status)
    assert found.dataset is not None
    assert found.dataset.files is not None
    assert found.effective is not None
    assert found.dataset.files[0].uri == "s3://bucket/a\x1bb", "it is compared with the spec at the launch"
    assert found.effective.output_uri == "s3://bucket/\x1b/", "results are looked for there"
    rest = found.model_copy(
        update={
            "dataset": found.dataset.model_copy(update={"files": None}),
            "effective": found.effective.model_copy(update={"output_uri": None}),
        }
    )
    texts = _texts(json.loads(rest.model_dump_json(by_alias=True, exclude_none=True)))
    assert len([text for text in texts if "forged" in text]) == 11
    assert all(text.isprintable() for text in texts)
    assert fitted(found) == found


def test_a_warning_with_a_line_break_is_known_again_and_not_added_at_every_look() -> None:
    assert cut(HOSTILE) == cut(cut(HOSTILE))
    assert neutral(cut(HOSTILE)) == cut(HOSTILE)


def test_what_aws_says_of_a_failure_is_text_in_status_and_events() -> None:
    with World() as world:
        world.apply()
        world.aws.run()
        world.aws.fail(Reason.ALGORITHM_ERROR, HOSTILE, hint=HOSTILE)
        world.advance(120)
        assert world.phase == "Failed"
        assert "forged" in world.status["failure"]["message"]
        assert all(text.isprintable() for text in _texts(world.status))
        assert any("forged" in event.message for event in world.cluster.told)
        assert all(event.message.isprintable() for event in world.cluster.told)


def record(message: str, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    return logging.makeLogRecord({"name": "sft", "levelname": "WARNING", "msg": message, "exc_info": info})


def test_a_json_log_line_is_one_printable_line_that_loses_nothing() -> None:
    line = JSONFormatter().format(record(HOSTILE, ValueError(HOSTILE)))
    assert line.isprintable()
    assert json.loads(line)["message"] == HOSTILE
    line.encode()


def test_a_text_log_line_is_one_printable_line_and_an_error_below_it_is_set_in() -> None:
    first, *more = TextFormatter().format(record(HOSTILE, ValueError("x\n12:00:00 ERROR forged\x1b[2J"))).split("\n")
    assert first.isprintable()
    assert more
    assert all(line.startswith("    ") and line.isprintable() for line in more)


@pytest.mark.parametrize("command", ["validate", "render"])
def test_no_file_makes_sft_write_what_a_terminal_obeys(tmp_path: Path, command: str) -> None:
    wrong, right = nova_lite_2_lora(), nova_lite_2_lora()
    wrong["metadata"]["name"] = "x\x1b[2J\nfile.yaml: job: valid"
    wrong["spec"]["surprise\u202e\x1b"] = 1
    right["spec"]["dataset"]["train"]["uri"] = "s3://acme-ml-team/\u202etrain\x1b.jsonl"
    file = tmp_path / "jobs.json"
    file.write_text("\n---\n".join(json.dumps(manifest) for manifest in (wrong, right)))
    done = CliRunner().invoke(main, [command, str(file)])
    assert all_prints(done.output), ascii(done.output)
    assert "file.yaml: job: valid" in done.output
    assert not any(line.startswith("file.yaml: job: valid") for line in done.output.split("\n"))


def test_a_rendered_request_that_does_not_print_is_escaped_and_reads_back_the_same() -> None:
    value = {"a": "x\u202ey\x1b", "b": "é"}
    shown = yaml12.dump(value, shown=True)
    assert all_prints(shown)
    assert yaml12.load(shown, source="shown") == value
    assert yaml12.dump({"b": "é"}, shown=True) == "b: é\n"


def _texts(part: object) -> list[str]:
    if isinstance(part, dict):
        return [text for pair in part.items() for item in pair for text in _texts(item)]
    if isinstance(part, list):
        return [text for item in part for text in _texts(item)]
    return [part] if isinstance(part, str) else []
