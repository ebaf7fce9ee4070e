"""Builds one program of the lab with the machine's own Go and module proxy; where it is kept is elsewhere.

The build inherits the machine's environment on purpose: proxy, certificates and GOPROXY are what reaches the modules.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .wanted import Binary

REMIND_SECONDS = 60.0


class GoBuildError(Exception):
    """Go is missing or the build failed; the text carries the end of Go's output."""


def build(
    binary: Binary, target: Path, workspace: Path, *, go: str, environ: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Build `binary` at its wanted version into `target`.

    `workspace` keeps go.mod, go.sum and the log of one upstream, so that its next program resolves nothing anew.
    """
    environment = {name: value for name, value in environ.items() if name not in ("GOOS", "GOARCH")}
    # Without cgo no C compiler is needed and the result runs on any libc.
    environment |= {"CGO_ENABLED": "0", "GOWORK": "off", "GO111MODULE": "on"}
    workspace.mkdir(parents=True, exist_ok=True)
    log = workspace / f"build-{binary.name}.log"
    if not (workspace / "go.mod").exists():
        _write_go_mod(binary, workspace, go, environment, log)
    began = time.monotonic()
    minutes = f"{binary.go.seconds / 60:.0f} min" if binary.go.seconds >= 90 else f"{binary.go.seconds} s"
    say(f"building {binary.name} {binary.version} with go (about {minutes} the first time) ...")
    command = [go, "build", "-mod=mod", "-trimpath", "-ldflags", _ldflags(binary), "-o", str(target)]
    _run([*command, binary.go.package], workspace, environment, log, lambda s: say(f"  {binary.name}: {s} s so far"))
    say(f"built {binary.name} {binary.version} in {time.monotonic() - began:.0f} s")


def _ldflags(binary: Binary) -> str:
    major, minor, *_ = binary.version.split(".")
    settings = [text.format(version=binary.version, major=major, minor=minor) for text in binary.go.upstream.variables]
    return " ".join(["-s", "-w", *(f"-X {setting}" for setting in settings)])


def _write_go_mod(binary: Binary, workspace: Path, go: str, environment: Mapping[str, str], log: Path) -> None:
    upstream, version = binary.go.upstream, f"v{binary.version}"
    lines = [
        f"module sft-operator.dev/lab/{upstream.name}",
        "",
        "go 1.26",
        "",
        f"require {upstream.module} {version}",
        "",
    ]
    if upstream.staging:
        answer = _run([go, "mod", "download", "-json", f"{upstream.module}@{version}"], workspace, environment, log)
        its_go_mod = Path(json.loads(answer)["GoMod"]).read_text()
        staging = re.findall(r"^\s*(?:replace )?(\S+) => \./staging/", its_go_mod, re.MULTILINE)
        lines += [f"replace {name} => {name} {upstream.staging}" for name in staging]
    (workspace / "go.mod").write_text("\n".join(lines) + "\n")


def _run(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    remind: Callable[[int], None] = lambda seconds: None,
) -> str:
    """Run Go in a process group of its own; returns standard output. Ended with us, whatever ends us."""
    began = time.monotonic()
    output = log.with_suffix(".out")
    with log.open("w") as errors, output.open("w") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, process_group=0
        )
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(REMIND_SECONDS)
                    break
                remind(round(time.monotonic() - began))
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if process.returncode != 0:
        tail = "\n  ".join((log.read_text() + output.read_text()).splitlines()[-12:])
        raise GoBuildError(f"`{' '.join(command)}` failed with code {process.returncode} (log: {log}):\n  {tail}")
    return output.read_text()
