"""Makes a stand-in for the image python:3.13-slim-trixie from Debian's own packages, for machines that reach no image
registry; buildah builds on it as on the real one.

python -m tests.image.stand_in_base    as root, on Debian or Ubuntu, with buildah and debootstrap
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tools.image.engines import BUILDAH_ENVIRONMENT

TAG = "localhost/sft-operator-stand-in-base:trixie-1"
"""The number goes up when what is made here changes."""

SUITE = "trixie"
PACKAGES = ("ca-certificates", "python3", "python3-venv")  # the last brings ensurepip and pip's wheel


def make() -> str:
    """The image's tag; it is made when it is not there, in about a minute and a half. Raises CalledProcessError."""
    if not there():
        with tempfile.TemporaryDirectory(prefix="sft-base-") as scratch:
            root = Path(scratch) / "root"
            _run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root))
            _as_python_images_are(root)
            _commit(root, Path(scratch) / "root.tar")
    return TAG


def there() -> bool:
    asked = subprocess.run(["buildah", "inspect", "--type", "image", TAG], env=BUILDAH_ENVIRONMENT, capture_output=True)
    return asked.returncode == 0


def _as_python_images_are(root: Path) -> None:
    """`python` and pip below /usr/local, and none of the archives that apt has used."""
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
    (wheel,) = (root / "usr/share/python-wheels").glob("pip-*.whl")
    (library,) = (root / "usr/local/lib").glob("python3.*/dist-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(library)
    shutil.rmtree(root / "var/cache/apt/archives")
    shutil.rmtree(root / "var/lib/apt/lists")


def _commit(root: Path, archive: Path) -> None:
    _run("tar", "--create", "--numeric-owner", f"--directory={root}", f"--file={archive}", ".")
    shutil.rmtree(root)
    container = _run("buildah", "from", "scratch").strip()
    try:
        _run("buildah", "add", "--quiet", container, str(archive), "/")
        _run("buildah", "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", "--cmd", "python3", container)
        _run("buildah", "commit", "--quiet", container, TAG)
    finally:
        _run("buildah", "rm", container)


def _run(*command: str) -> str:
    done = subprocess.run(command, env=BUILDAH_ENVIRONMENT, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-2000:]
        raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}: {said}")
    return done.stdout


if __name__ == "__main__":
    print(make(), file=sys.stdout)
