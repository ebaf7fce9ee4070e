"""The first commands of the README, run as a newcomer would: from a shell, with nothing prepared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sft_lab.cluster.lab import lab_status

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def shell(command: str, *, seconds: float = 150) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin", "HOME": os.environ["HOME"], "LANG": "C.UTF-8"}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=seconds
    )


def test_the_quickstart_shows_a_success_a_refusal_and_a_failure_and_leaves_nothing_running(tmp_path: Path) -> None:
    done = shell(f"sft-lab quickstart --dir {tmp_path / 'lab'}")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout
    assert "\x1b[" not in shown, "plain where there is no terminal"
    assert "sftjob.sft-operator.dev/nova-lite-2-lora created" in shown
    assert "ETA" in shown
    assert "Succeeded    200/200 (100%)" in shown
    assert "checkpoint: s3://customer-escrow-" in shown
    assert "DatasetInvalid: spec.dataset.train.uri: s3://acme-ml-team/bad-row.jsonl line 17:" in shown
    assert "OutOfMemory: AlgorithmError" in shown
    assert "  | torch.OutOfMemoryError" in shown
    assert "hint: lower" in shown
    assert not any(lab_status(tmp_path / "lab").values())


def test_a_lab_with_the_operator_is_used_from_a_shell_by_the_lines_it_prints(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    up = shell(f"sft-lab up --dir {lab} --with-operator")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        assert f". {lab}/env" in up.stdout
        used = shell(
            f". {lab}/env && kubectl apply -f examples/nova-lite-2-lora.yaml "
            "&& kubectl apply -f examples/nova-lite-2-lora.yaml "
            "&& kubectl wait sft/nova-lite-2-lora --for=condition=Finished --timeout=5m && kubectl get sft"
        )
        assert used.returncode == 0, used.stdout + used.stderr
        assert "created" in used.stdout
        assert "unchanged" in used.stdout
        assert "Succeeded" in used.stdout
    finally:
        down = shell(f"sft-lab down --dir {lab}")
    assert down.returncode == 0, down.stdout + down.stderr
    assert not any(lab_status(lab).values())
