"""docs/install.md, followed: its rehearsal word by word on a lab of its own, its other helm commands as far as helm reads them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sft_lab.cluster.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "install.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CLEAN = {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"}


def commands(program: str) -> list[str]:
    """The lines that begin with a program, continuation lines joined, the rehearsal's left out."""
    lines = "".join(BLOCKS[1:]).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith(f"{program} ")]


def test_the_rehearsal_works_word_by_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lab"
    words = (
        BLOCKS[0].replace(".lab/", f"{folder}/").replace("make lab", f"make --no-print-directory LAB_DIR={folder} lab")
    )
    assert words.count(str(folder)) == 3
    monkeypatch.chdir(ROOT)
    home = {"HOME": str(Path.home())}
    try:
        done = subprocess.run(
            ["bash", "-ec", words], env=CLEAN | home, capture_output=True, text=True, timeout=240, cwd=ROOT
        )
    finally:
        subprocess.run(
            [str(Path(sys.executable).parent / "sft-lab"), "down", "--dir", str(folder)], capture_output=True
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"nova-lite-2-lora +nova-lite-2 +Succeeded", done.stdout)
    assert "deployment.apps/sft-operator" in done.stdout
    assert re.search(r"^sftjobs\.sft-operator\.dev", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", [c for c in commands("helm") if re.match("helm (install|upgrade)", c)])
def test_a_helm_command_of_the_page_is_one_that_helm_and_the_chart_take(lab: Lab, command: str) -> None:
    _, verb, *words = shlex.split(command)
    release, chart = [word for word in words if not word.startswith("-")][:2]
    assert (release, chart) == ("sft-operator", "charts/sft-operator")
    flags = [str(ROOT / chart) if word == chart else word for word in words]
    known = lab.helm(verb, "--help").stdout
    for flag in (word for word in words if word.startswith("--")):
        assert re.search(rf"^ +(-\w, )?{flag}\b", known, re.MULTILINE), f"helm {verb} knows no {flag}"
    settings = [pair for at, word in enumerate(flags) if word == "--set" for pair in ("--set", flags[at + 1])]
    lab.helm("template", release, str(ROOT / chart), "--set", "identityScope=docs", *settings)


@pytest.mark.parametrize("values", re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_values_that_the_page_shows_are_taken_by_the_chart(lab: Lab, values: str) -> None:
    chart = str(ROOT / "charts" / "sft-operator")
    lab.helm("template", "sft-operator", chart, "--set", "identityScope=docs", "-f", "-", input=values)


def test_the_namespaces_of_the_page_agree_with_each_other() -> None:
    named = set(re.findall(r"--namespace (\S+)", "\n".join(commands("helm"))))
    assert named == {"sft-system"}
