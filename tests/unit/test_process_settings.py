"""Starting `python -m sft_operator` with settings that are missing, wrong, or said twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sft_operator import __version__
from sft_operator.controller.settings import Settings


def _started(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "KUBECONFIG": "/nonexistent", **variables}
    command = [sys.executable, "-m", "sft_operator", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_the_version_is_printed_without_any_setting() -> None:
    done = _started("--version")
    assert (done.returncode, done.stdout.strip()) == (0, __version__)


def test_without_an_identity_scope_it_does_not_start_and_says_which_setting_is_missing() -> None:
    done = _started()
    assert done.returncode == 2
    assert "SFT_IDENTITY_SCOPE: Field required" in done.stderr
    assert "docs/configuration.md" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_cluster_it_does_not_start_and_says_what_to_set() -> None:
    done = _started(SFT_IDENTITY_SCOPE="test")
    assert done.returncode == 2
    assert "no Kubernetes cluster to talk to" in done.stderr
    assert "set KUBECONFIG" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_wrong_value_is_named_by_its_variable() -> None:
    done = _started(SFT_IDENTITY_SCOPE="not good!", SFT_WORKERS="many", SFT_SWEEP_INTERVAL="0", SFT_LOG_FORMAT="xml")
    assert done.returncode == 2
    told = {line.split(": ")[1] for line in done.stderr.splitlines()}
    assert told == {"SFT_IDENTITY_SCOPE", "SFT_WORKERS", "SFT_SWEEP_INTERVAL", "SFT_LOG_FORMAT"}
    assert "greater than 0" in done.stderr


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SFT_CONFIG's file."""
    path = tmp_path / "config.yaml"
    monkeypatch.setenv("SFT_CONFIG", str(path))
    monkeypatch.delenv("SFT_IDENTITY_SCOPE", raising=False)
    return path


def test_settings_come_from_a_file_and_the_environment_wins(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written.write_text("identity_scope: from-file\nsweep_interval: 12.5\nworkers: 3\nleadership: Never\n")
    monkeypatch.setenv("SFT_WORKERS", "5")
    settings = Settings()
    assert (settings.identity_scope, settings.sweep_interval) == ("from-file", 12.5)
    assert (settings.workers, settings.leadership) == (5, "Never")


def test_an_unknown_key_of_the_file_is_refused_by_name(written: Path) -> None:
    written.write_text("identity_scope: lab\nsweep_intervall: 12\n")
    done = _started(SFT_CONFIG=str(written))
    assert done.returncode == 2
    assert "sweep_intervall" in done.stderr.lower()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, "identity_scope: [", "- a\n- b\n"])
def test_a_file_that_cannot_be_read_is_named(written: Path, content: str | None) -> None:
    if content is not None:
        written.write_text(content)
    done = _started(SFT_CONFIG=str(written))
    assert done.returncode == 2
    assert str(written) in done.stderr
    assert "Traceback" not in done.stderr
