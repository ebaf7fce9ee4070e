"""What is installed where: the run-time lock is the image's, and holds nothing of the lab or of development."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


def locked(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text()
    return set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, flags=re.MULTILINE))


def named(extra: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in wanted} - {"sft-operator"}


def test_the_run_time_lock_holds_all_that_runs_and_nothing_of_the_lab_or_of_development() -> None:
    run = locked("run.lock")
    assert named("") - run - {"pyyaml"} == set()
    assert "pyyaml" in run
    assert run & (named("lab") | named("dev")) == set()
    assert not run & {"moto", "pytest", "mypy", "ruff", "sagemaker", "uv"}


def test_the_larger_locks_hold_the_smaller_ones_unchanged() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([^\s#]+==[^\s;\\]+)", (ROOT / "requirements" / name).read_text(), flags=re.MULTILINE))

    assert pins("run.lock") <= pins("lab.lock") <= pins("dev.lock")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_package_has_its_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    packages = re.split(r"(?m)^(?=[a-z0-9])", text)
    without = [package.split()[0] for package in packages if "==" in package and "--hash=sha256:" not in package]
    assert without == []
    assert "://" not in text
