"""What goes wrong while the lab is prepared or toured ends in one sentence, never in a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sft_lab import quickstart
from sft_lab.cli import main
from sft_lab.cluster import lab as lab_module
from sft_lab.cluster.commands import Layout
from sft_lab.cluster.lab import Lab, LabError


def unanswered(root: Path) -> Lab:
    """A lab by its files, of which nothing runs."""
    layout = Layout(root)
    layout.marker.write_text(json.dumps({"ports": {}}))
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    layout.json_env.write_text(json.dumps({**keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}))
    return Lab(root)


def tour(monkeypatch: pytest.MonkeyPatch, body: object) -> str:
    monkeypatch.setattr(quickstart, "run", body)
    done = CliRunner().invoke(main, ["quickstart"])
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert isinstance(done.exception, SystemExit)
    return done.output


def test_a_quickstart_without_an_answer_of_the_simulated_aws_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    told = tour(monkeypatch, lambda _: quickstart.upload_data(unanswered(tmp_path)))
    assert "the examples' data cannot be put into the simulated AWS at http://127.0.0.1:9" in told
    assert "its log is in" in told


def test_a_command_that_does_not_end_is_told_with_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = unanswered(tmp_path)
    made.layout.bin.mkdir(parents=True)
    kubectl = made.layout.bin / "kubectl"
    kubectl.write_text("#!/bin/sh\nexec sleep 60\n")
    kubectl.chmod(0o755)
    monkeypatch.setattr(lab_module, "COMMAND_SECONDS", 0.2)
    told = tour(monkeypatch, lambda _: made.kubectl("get", "sft"))
    assert "`kubectl get sft` has not ended after" in told
    with pytest.raises(LabError, match="its logs are in"):
        made.kubectl("get", "sft")
