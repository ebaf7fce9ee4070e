"""`make image`: builds the image as this machine can, told where packages come from as this machine's pip is.

python -m tools.image.build [--tag TAG] [--base IMAGE] [--sbom FILE]
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sft_operator import __version__

from .engines import Engine, EngineError, engine
from .sbom import bom_of, written

ROOT = Path(__file__).resolve().parents[2]
BASE = "docker.io/library/python:3.13-slim-trixie"
NO_ENGINE = (
    "no image can be built here: docker does not answer, and buildah is not there or this is not root; "
    "on Debian or Ubuntu `apt-get install buildah` brings it"
)
_CARRIED = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
_SETTING = re.compile(r"^(?:global|install|:env:)\.([a-z-]+)=(.+)$")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.image.build")
    parser.add_argument("--tag", default=f"sft-operator:{__version__}")
    parser.add_argument("--base", default=BASE, help="name, name:tag or name@sha256:...")
    parser.add_argument("--sbom", type=Path, help="where its parts are written, as CycloneDX JSON")
    wanted = parser.parse_args()
    found = engine()
    if found is None:
        print(NO_ENGINE, file=sys.stderr)
        return 2
    try:
        with package_source() as secrets:
            build(found, wanted.tag, wanted.base, secrets)
        if wanted.sbom:
            with found.container(wanted.tag) as container:
                wanted.sbom.write_text(written(bom_of(container, wanted.tag)))
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"built {wanted.tag} with {found.name}")
    return 0


def build(by: Engine, tag: str, base: str, secrets: Mapping[str, Path]) -> None:
    """Raises EngineError."""
    by.obtain(base)
    arguments = {
        "BASE": base,
        "VERSION": __version__,
        "REVISION": _revision(),
        "CREATED": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    by.build(ROOT, tag, arguments, secrets)


@contextlib.contextmanager
def package_source() -> Iterator[dict[str, Path]]:
    """The build's secrets: this machine's index, proxy and trusted certificates, in files that are gone after it."""
    settings = pip_settings()
    trusted = settings.pop("cert", "") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or ""
    with tempfile.TemporaryDirectory(prefix="sft-image-") as scratch:
        secrets: dict[str, Path] = {}
        if trusted:
            secrets["ca.pem"] = Path(trusted).resolve()
            settings["cert"] = "/run/secrets/ca.pem"
        if settings:
            secrets["pip.conf"] = Path(scratch) / "pip.conf"
            secrets["pip.conf"].touch(mode=0o600)
            lines = (f"{name} = {value}" for name, value in settings.items())
            secrets["pip.conf"].write_text("\n".join(("[global]", *lines, "")))
        yield secrets


def pip_settings(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What this machine's pip is told of its network, by option's name."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listed = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = {}
    for line in listed.splitlines():  # the environment comes first, and wins
        if (setting := _SETTING.match(line)) and setting[1] in (*_CARRIED, "cert"):
            found.setdefault(setting[1], str(ast.literal_eval(setting[2])).strip().replace("\n", "\n    "))
    proxy = environ.get("HTTPS_PROXY") or environ.get("https_proxy")
    return found if "proxy" in found or not proxy else {**found, "proxy": proxy}


def _revision() -> str:
    asked = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
