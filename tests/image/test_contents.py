"""What is in the image and what is not: asked of the built image itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sft_operator import __version__
from sft_operator.aws.operations import CREDENTIALS, OPERATIONS
from tests.image.built import Built, told
from tools.image.engines import Container
from tools.image.prune_packages import KUBERNETES_APIS

ROOT = Path(__file__).parents[2]
LIMIT = 150_000_000
"""Bytes over the base."""

ADDED = "/opt/sft-operator"

FILES = """
import json, os
# what the engine or the kernel lays over the image, and what is none of it
others = {"/proc", "/sys", "/dev", "/run", "/mounted", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
found = {}
for folder, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(folder, name) not in others]
    for path in (os.path.join(folder, name) for name in files):
        if path not in others:
            found[path] = os.lstat(path).st_size
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def files(image: Container) -> dict[str, int]:
    """Path → bytes."""
    found: dict[str, int] = told(image, FILES)
    return found


def test_it_is_less_than_150_mb_over_its_base_and_all_of_it_stands_in_one_folder(
    files: dict[str, int], base: Container
) -> None:
    before: dict[str, int] = told(base, FILES)
    added = {path: size for path, size in files.items() if path not in before}
    assert {path for path in added if not path.startswith(f"{ADDED}/")} == set()
    assert {path for path in files if path in before and files[path] != before[path]} == set()
    total = sum(added.values())
    print(f"\nthe image is {total / 1e6:.1f} MB over its base ({sum(before.values()) / 1e6:.1f} MB):")
    for name, size in _parts(added)[:8]:
        print(f"  {size / 1e6:6.1f} MB  {name}")
    assert total < LIMIT


def _parts(added: dict[str, int]) -> list[tuple[str, int]]:
    parts: dict[str, int] = {}
    for path, size in added.items():
        found = re.search(r"/site-packages/([^/]+)", path)
        name = found[1] if found else path.removeprefix(f"{ADDED}/").split("/")[0]
        parts[name] = parts.get(name, 0) + size
    return sorted(parts.items(), key=lambda part: -part[1])


def test_nothing_in_it_installs_or_compiles(image: Container, files: dict[str, int]) -> None:
    names = {path.rsplit("/", 1)[-1] for path in files}
    tools = {"pip", "pip3", "uv", "gcc", "cc", "g++", "clang", "ld", "as", "make", "curl", "wget", "git"}
    assert names & tools == set()
    assert [path for path in files if path.endswith(".whl")] == []
    for module in ("pip", "ensurepip", "setuptools"):
        done = image.run("python", "-c", f"import {module}")
        assert f"No module named '{module}'" in done.stderr


def test_the_lab_is_not_in_it(image: Container, files: dict[str, int]) -> None:
    assert [path for path in files if "sft_lab" in path or "sft-lab" in path or "/moto/" in path] == []
    assert "No module named 'sft_lab'" in image.run("python", "-c", "import sft_lab").stderr


def test_it_holds_exactly_what_the_lock_names(image: Container) -> None:
    code = "import json; from importlib import metadata as m; import platform; "
    code += (
        "print(json.dumps([platform.python_version(), [[d.metadata['Name'], d.version] for d in m.distributions()]]))"
    )
    python, installed = told(image, code)
    pins = re.findall(r"^([^\s#].*?)\s*\\$", (ROOT / "requirements" / "run.lock").read_text(), re.MULTILINE)
    assert len(pins) > 30
    wanted = {}
    for pin in map(Requirement, pins):
        if pin.marker is None or pin.marker.evaluate({"python_full_version": python, "python_version": python[:4]}):
            wanted[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    ours = {canonicalize_name(name): version for name, version in installed}
    assert wanted.items() <= ours.items()
    assert ours.keys() == wanted.keys()


def test_its_botocore_knows_the_services_that_the_operator_calls_and_no_other(image: Container) -> None:
    code = """
import json, sys
import botocore.session
session = botocore.session.get_session()
wanted, found = json.loads(sys.argv[1]), {}
for service, operations in wanted:
    client = session.create_client(service, "eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    for operation in operations:
        model = client.meta.service_model.operation_model(operation)
        found[f"{service} {operation}"] = [shape.name for shape in (model.input_shape, *model.error_shapes) if shape]
print(json.dumps([session.get_available_services(), found]))
"""
    wanted = [*OPERATIONS.items(), *CREDENTIALS.items()]
    services, found = told(image, code, json.dumps(wanted))
    assert set(services) == OPERATIONS.keys() | CREDENTIALS.keys()
    assert set(found) == {f"{service} {operation}" for service, operations in wanted for operation in operations}


def test_its_kubernetes_client_has_the_apis_that_were_kept(image: Container) -> None:
    code = "import json, sys; from kubernetes.aio import client; from kubernetes.client import V1ObjectMeta; "
    code += "print(json.dumps([getattr(client, name).__name__ for name in sys.argv[1:]]))"
    assert set(told(image, code, *KUBERNETES_APIS)) == KUBERNETES_APIS


def test_every_module_has_its_bytecode_because_a_read_only_file_system_takes_none(files: dict[str, int]) -> None:
    modules = {path for path in files if path.startswith(f"{ADDED}/app/") and path.endswith(".py")}
    assert len(modules) > 80
    compiled = {
        re.sub(r"/__pycache__/([^/]+)\.[^.]+\.pyc$", r"/\1.py", path) for path in files if path.endswith(".pyc")
    }
    assert modules <= compiled


def test_a_user_that_is_a_number_runs_it_and_can_write_nowhere_but_in_tmp(image: Container, built: Built) -> None:
    assert built.configuration["User"] == "65532:65532"
    code = """
import json, os
places = [folder for folder, names, _ in os.walk("/") if not folder.startswith(("/proc", "/sys", "/dev", "/run")) and os.access(folder, os.W_OK)]
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([os.getuid(), os.getgid(), status["CapEff"].strip(), places]))
"""
    user, group, capabilities, places = told(image, code)
    assert (user, group) == (65532, 65532)
    assert int(capabilities, 16) == 0
    assert set(places) <= {"/tmp", "/var/tmp"}  # noqa: S108 -- what the image has, not what the test uses


def test_it_says_what_it_is_and_leaves_health_to_kubernetes(built: Built) -> None:
    configuration = built.configuration
    assert configuration["Entrypoint"] == ["python", "-m", "sft_operator"]
    assert configuration["Healthcheck"]["Test"] == ["NONE"]
    labels = {name.rpartition("opencontainers.image.")[2]: value for name, value in configuration["Labels"].items()}
    assert labels["title"] == "sft-operator"
    assert labels["version"] == __version__
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"] == built.base
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["revision"])
    assert labels["created"].startswith("20")


def test_nothing_of_where_its_packages_came_from_is_left_in_it(image: Container, built: Built) -> None:
    assert built.marker not in json.dumps(built.configuration)
    found = image.run(
        "grep", "--recursive", "--files-with-matches", "--devices=skip", built.marker,
        "/etc", "/opt", "/root", "/home", "/usr", "/var", "/build",
    )  # fmt: skip
    assert found.stdout == ""
    assert image.run("ls", "/run/secrets/pip.conf").returncode != 0
