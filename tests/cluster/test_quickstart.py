"""The first commands of the README, run as a newcomer would: from a shell, with nothing prepared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.cluster.test_lab_lifecycle import processes_of

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
    for phase in ("Starting", "Running", "Succeeded", "Failed"):
        assert re.search(rf"^ *[0-9.]+s  {phase}\b", shown, re.MULTILINE), f"{phase} of a followed job"
    assert re.search(r"Running +\d+/200 \(\d+%\)  loss [0-9.]+  ETA \d+s", shown)
    assert "$ kubectl get sft\n" in shown
    assert re.search(r"^NAME +MODEL +PHASE +REASON +PROGRESS +LOSS +ETA +AGE$", shown, re.MULTILINE)
    assert re.search(r"^nova-lite-2-lora +nova-lite-2 +Succeeded +200/200 \(100%\) +[0-9.]+ ", shown, re.MULTILINE)
    assert "checkpoint: s3://customer-escrow-" in shown
    assert "DatasetInvalid: spec.dataset.train.uri: s3://acme-ml-team/bad-row.jsonl line 17:" in shown
    assert "OutOfMemory: AlgorithmError" in shown
    assert "  | torch.OutOfMemoryError" in shown
    assert "hint: lower" in shown
    assert not processes_of(tmp_path / "lab")


def test_a_lab_with_the_operator_is_used_from_a_shell_by_the_lines_it_prints(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    up = shell(f"sft-lab up --dir {lab} --with-operator")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        assert f". {lab}/env" in up.stdout
        assert processes_of(lab), "else their absence at the end would say nothing"
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
    assert not processes_of(lab)
