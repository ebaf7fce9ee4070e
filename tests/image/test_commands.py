"""The image's commands as somebody with docker would run them, and its bill of materials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from sft_operator import __version__
from tests.image.built import Built
from tools.image.engines import Container
from tools.image.sbom import bom_of, written

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_entry_point_tells_its_version(image: Container, built: Built) -> None:
    done = image.run(*built.configuration["Entrypoint"], "--version")
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


def test_without_a_setting_that_is_required_it_ends_with_a_sentence(image: Container, built: Built) -> None:
    done = image.run(*built.configuration["Entrypoint"])
    assert done.returncode == 2 or "exit status 2" in done.stderr
    assert "sft-operator: SFT_IDENTITY_SCOPE: Field required" in done.stderr


@pytest.mark.parametrize("command", ["sft", "kubectl-sft"])
def test_an_example_is_checked_by_the_command_in_it(image: Container, command: str) -> None:
    example = EXAMPLES / "nova-lite-2-lora.yaml"
    done = image.run(command, "validate", "/etc/example.yaml", mounts={example: "/etc/example.yaml"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("/etc/example.yaml: nova-lite-2-lora: valid")


def test_a_job_that_is_wrong_is_refused_by_the_command_in_it(image: Container, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((EXAMPLES / "nova-lite-2-lora.yaml").read_text().replace("ml.p5.48xlarge", "ml.t3.medium"))
    done = image.run("sft", "validate", "/etc/wrong.yaml", mounts={wrong: "/etc/wrong.yaml"})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "instanceType" in done.stdout


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
