"""The image, built once for the session on whatever this machine has: docker, else buildah on a stand-in base.

SFT_IMAGE_BASE=image builds on that one; SFT_IMAGE_TOOLS=keep installs nothing (else root on Debian or Ubuntu gets buildah
and debootstrap from there, when neither engine is to be had).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tests.image import stand_in_base
from tests.image.built import Built
from tools.image.build import BASE, NO_ENGINE, build, package_source
from tools.image.engines import Container, Docker, Engine, EngineError, engine

TAG = "localhost/sft-operator:test"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Gone at the session's end; a stand-in base stays for the next one."""
    by = engine() or _after_installing()
    if by is None:
        pytest.skip(NO_ENGINE)
    base, marker = _base(by), f"marker-{uuid.uuid4().hex}"
    by.remove(TAG)  # of a session that did not come to its end
    with package_source() as secrets:
        told = secrets["pip.conf"].read_text() if "pip.conf" in secrets else "[global]\n"
        settings = tmp_path_factory.mktemp("image") / "pip.conf"
        settings.write_text(f"{told}# {marker}\n")
        build(by, TAG, base, {**secrets, "pip.conf": settings})
    yield Built(by, base, TAG, marker)
    by.remove(TAG)


@pytest.fixture(scope="session")
def image(built: Built) -> Iterator[Container]:
    with built.by.container(built.tag) as container:
        yield container


@pytest.fixture(scope="session")
def base(built: Built) -> Iterator[Container]:
    with built.by.container(built.base) as container:
        yield container


def _base(by: Engine) -> str:
    if named := os.environ.get("SFT_IMAGE_BASE"):
        return named
    if isinstance(by, Docker):
        try:
            by.obtain(BASE)
        except EngineError as error:
            pytest.skip(f"{BASE} is not here and cannot be had: {error}")
        return BASE
    if not stand_in_base.there() and not shutil.which("debootstrap"):
        pytest.skip("buildah has no base: install debootstrap, or name an image with SFT_IMAGE_BASE")
    return stand_in_base.make()


def _after_installing() -> Engine | None:
    """buildah from Debian's packages, where that takes nobody by surprise: root of a Debian that has apt."""
    if os.geteuid() != 0 or not shutil.which("apt-get") or os.environ.get("SFT_IMAGE_TOOLS") == "keep":
        return None
    print("tests/image: installing buildah and debootstrap from this system's packages (SFT_IMAGE_TOOLS=keep forbids)")
    for command in (("update",), ("install", "--yes", "--no-install-recommends", "buildah", "debootstrap")):
        done = subprocess.run(
            ["apt-get", "-qq", *command], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if done.returncode != 0:
            print(done.stdout + done.stderr)
            return None
    return engine()
