"""Every example, by each of the ways in which people bring manifests to a cluster."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sft_operator.api import yaml12
from sft_operator.api.identity import fingerprint
from sft_operator.api.sftjob import SFTJobSpec
from tests.cluster.kubectl import Kubectl

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))
WAYS = {"create": ["create"], "apply": ["apply"], "server-side apply": ["apply", "--server-side"]}

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


@each_example
@pytest.mark.parametrize("way", WAYS)
def test_an_example_is_taken_shows_no_difference_and_keeps_its_numbers(
    kubectl: Kubectl, example: Path, way: str
) -> None:
    command = WAYS[way]
    kubectl.accepted(*command, "-f", str(example))
    kubectl.accepted("diff", *(["--server-side"] if "--server-side" in command else []), "-f", str(example))
    stored = kubectl.get("sft", example.stem)["spec"]
    written = yaml12.load(example.read_text(), source=example.name)["spec"]
    assert fingerprint(SFTJobSpec.model_validate(stored)) == fingerprint(SFTJobSpec.model_validate(written))
    if "learningRate: 1e-5" in example.read_text():
        assert stored["hyperparameters"]["learningRate"] == 1e-5


@each_example
def test_an_example_applied_again_is_unchanged(kubectl: Kubectl, example: Path) -> None:
    kubectl.accepted("apply", "-f", str(example))
    assert kubectl.accepted("apply", "-f", str(example)).endswith(" unchanged\n")


@each_example
def test_an_example_says_what_it_shows_and_names_no_namespace(example: Path) -> None:
    text = example.read_text()
    assert text.startswith("# ")
    assert "namespace" not in yaml12.load(text, source=example.name)["metadata"]
    assert not re.search(r"\bnull\b|~", text)


def test_the_list_of_examples_is_complete() -> None:
    listed = re.findall(r"^\| \[([a-z0-9-]+\.yaml)\]", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [example.name for example in EXAMPLES]
