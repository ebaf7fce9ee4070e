"""The image's commands as somebody with docker would run them, and its bill of materials."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from sft_operator import __version__
from tests.image.built import Built
from tools.image.engines import Container
from tools.image.sbom import bom_of, written

EXAMPLES = Path(__file__).parents[2] / "examples"
JOB = "nova-lite-2-lora.yaml"
PROFILE = "/mounted/profiles/ml-team.yaml"


def test_the_entry_point_tells_its_version(image: Container, built: Built) -> None:
    done = image.run(*built.configuration["Entrypoint"], "--version")
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


def test_without_a_setting_that_is_required_it_ends_with_a_sentence(image: Container, built: Built) -> None:
    done = image.run(*built.configuration["Entrypoint"])
    assert done.returncode == 2 or "exit status 2" in done.stderr
    assert "sft-operator: SFT_IDENTITY_SCOPE: Field required" in done.stderr


@pytest.mark.parametrize("command", ["sft", "kubectl-sft"])
def test_an_example_is_checked_by_the_command_in_it(image: Container, command: str) -> None:
    done = validated(image, command, (EXAMPLES / JOB).read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nova-lite-2-lora: valid" in done.stdout


def test_a_job_that_is_wrong_is_refused_by_the_command_in_it(image: Container) -> None:
    done = validated(image, "sft", (EXAMPLES / JOB).read_text().replace("learningRate: 1e-5", "learningRate: 1e5"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "spec.hyperparameters.learningRate: " in done.stdout


def validated(image: Container, command: str, job: str) -> subprocess.CompletedProcess[str]:
    return image.run(command, "validate", "-n", "ml-team", PROFILE, "-", text=job, mounts={EXAMPLES: "/mounted"})


def test_its_bill_of_materials_is_valid_and_names_python_its_packages_and_the_base(
    image: Container, built: Built
) -> None:
    document = bom_of(image, built.tag)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written(document)) is None
    named = {component["purl"].partition("@")[0]: component for component in document["components"]}
    lock = (EXAMPLES.parent / "requirements" / "run.lock").read_text()
    for package in ("botocore", "kopf", "kubernetes", "pydantic"):
        assert f"{package}=={named[f'pkg:pypi/{package}']['version']} " in lock
    assert {"pkg:generic/python", "pkg:deb/debian/libc6", "pkg:deb/debian/libssl3t64"} <= named.keys()
    needs = {edge["ref"].partition("@")[0]: json.dumps(edge["dependsOn"]) for edge in document["dependencies"]}
    assert "pkg:pypi/botocore@" in needs["pkg:pypi/boto3"]
    print(f"\n{len(document['components'])} components, {sum('pkg:pypi' in name for name in named)} of them Python's")
