"""The release workflow, which this project cannot run: what can be held to without running it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sft_operator.api import yaml12

FILE = Path(__file__).parents[2] / ".github" / "workflows" / "release.yaml"


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    jobs = yaml12.load(FILE.read_text(), source=str(FILE))["jobs"]
    assert jobs["image"]["needs"] == "test"
    return [step for job in jobs.values() for step in job["steps"]]


def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it() -> None:
    used = re.findall(r"uses: (\S+)(.*)", FILE.read_text())
    assert len(used) > 5
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_it_builds_both_architectures_on_a_base_by_digest_and_keeps_provenance(steps: list[dict[str, Any]]) -> None:
    (build,) = (step["with"] for step in steps if step.get("id") == "build")
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert build["provenance"] == "mode=max"
    assert "BASE=${{ steps.facts.outputs.base }}" in build["build-args"]
    (facts,) = (step["run"] for step in steps if step.get("id") == "facts")
    assert 'echo "base=$BASE@$digest"' in facts


def test_it_signs_and_attaches_a_bill_of_materials_after_the_tests(steps: list[dict[str, Any]]) -> None:
    run = "\n".join(step.get("run", "") for step in steps)
    order = [run.index(command) for command in ("make test", "tools.image.sbom", "cosign sign", "cosign attest")]
    assert order == sorted(order)


def test_no_expression_is_pasted_into_a_shell(steps: list[dict[str, Any]]) -> None:
    assert [step["name"] for step in steps if "${{" in step.get("run", "")] == []
