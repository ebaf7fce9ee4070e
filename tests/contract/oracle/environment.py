"""Makes the SDK's own venv, once per lock and machine, and runs the oracle in it; the oracle is sdk_v2.py.

The SDK pins packages that the project must not have, so it never shares an environment with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements" / "sdk-v2.lock"
SCRIPT = Path(__file__).with_name("sdk_v2.py")
INSTALL_SECONDS = 900
RUN_SECONDS = 180


class VenvUnavailable(Exception):
    """The venv cannot be made here; the text says why and what to do."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sft-operator"


def interpreter(cache: Path, lock: Path = LOCK) -> Path:
    """The Python of a venv that holds what the lock lists and nothing else, made when it is not there yet.

    Needs no network once made. Raises VenvUnavailable.
    """
    key = hashlib.sha256(lock.read_bytes() + str(sys.implementation.cache_tag).encode()).hexdigest()[:16]
    venv = cache / f"venv-sdk-v2-{key}"
    python, complete = venv / "bin" / "python", venv / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{venv.name}.lock").open("a") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        # `exists` follows links: a venv whose base Python was removed is made anew.
        if not (complete.exists() and python.exists()):
            shutil.rmtree(venv, ignore_errors=True)
            _make(venv, python, lock)
            complete.touch()
    return python


def _make(venv: Path, python: Path, lock: Path) -> None:
    print(f"making {venv} from {lock.name} (240 MB, about a minute, once)", file=sys.stderr, flush=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
    install += ["--require-hashes", "--only-binary", ":all:", "--no-compile", "--requirement", str(lock)]
    # pip alone gets the machine's environment: that is where its index, proxy and certificates are told.
    for command in ([sys.executable, "-I", "-m", "venv", str(venv)], [str(python), "-I", *install]):
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=INSTALL_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            said = said.decode(errors="replace") if isinstance(said, bytes) else said
            raise VenvUnavailable(
                f"the venv of SageMaker Python SDK v2 could not be made at {venv} from {lock}:\n{said.strip()[-2000:]}\n"
                "pip must reach a package index (or PIP_FIND_LINKS a folder with the locked wheels) once; "
                "afterwards the venv is kept and needs no network."
            ) from error


def ask(python: Path, jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the SDK sends for each job, by case; sdk_v2.py tells the two shapes. The SDK is imported once for all."""
    with tempfile.TemporaryDirectory(prefix="sdk-v2-") as home:
        finished = subprocess.run(
            [str(python), "-I", str(SCRIPT)],
            input=json.dumps(jobs),
            env=_environment(home),
            cwd=home,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
    if finished.returncode != 0:
        raise RuntimeError(f"the SDK failed (exit {finished.returncode}):\n{finished.stderr[-4000:]}")
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def _environment(home: str) -> dict[str, str]:
    """Nothing of the machine: no proxy, bundle, profile or SDK default of an administrator."""
    return {
        "PATH": os.defpath,
        "HOME": home,
        "XDG_CONFIG_DIRS": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "oracle",
        "AWS_SECRET_ACCESS_KEY": "oracle",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Otherwise an upload is cut into chunks with a checksum behind, and what is recorded is no recipe.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
    }
