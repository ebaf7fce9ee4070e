"""What builds and runs images on this machine: docker with its daemon, else buildah; what is built is elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Without a daemon and without privileges of a container's own: this works inside a container too, as root.
BUILDAH_ENVIRONMENT = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}


class EngineError(Exception):
    """An engine could not do it; the text is its own."""


@dataclass(frozen=True)
class Container:
    """Where processes of an image are started."""

    engine: Engine
    name: str
    image: str

    def command(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, mounts: Mapping[Path, str] | None = None
    ) -> tuple[str, ...]:
        """The command line that runs `argv` as the image's user, in the host's network, with no capability; `mounts`
        are the host's files → where they are seen, read-only."""
        return self.engine.command(self, argv, env or {}, mounts or {})

    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        mounts: Mapping[Path, str] | None = None,
        text: str = "",
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Runs it to its end, whatever that is."""
        return subprocess.run(
            self.command(argv, env=env, mounts=mounts),
            env=self.engine.environment, input=text, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip


class Engine(ABC):
    name: str
    environment: Mapping[str, str]
    _inspect: tuple[str, ...]
    _build: tuple[str, ...]
    _remove: tuple[str, ...]

    def obtain(self, image: str) -> None:
        """Has the image on this machine, from its registry if need be. Raises EngineError."""
        if subprocess.run([*self._inspect, image], env=self.environment, capture_output=True).returncode != 0:
            self._run(self.name, "pull", image)

    def build(self, context: Path, tag: str, arguments: Mapping[str, str], secrets: Mapping[str, Path]) -> None:
        """Builds context/Dockerfile on what this machine has; the engine's own words go to standard output. Raises
        EngineError."""
        options = (
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            *(f"--secret=id={name},src={path}" for name, path in secrets.items()),
        )
        self._run(*self._build, "--tag", tag, *options, str(context), shown=True)

    def remove(self, image: str) -> None:
        """Whether it was there or not."""
        subprocess.run([*self._remove, image], env=self.environment, capture_output=True)

    @abstractmethod
    def container(self, image: str) -> contextlib.AbstractContextManager[Container]:
        """Gone after the block, with what it wrote."""

    @abstractmethod
    def command(
        self, container: Container, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str]
    ) -> tuple[str, ...]: ...

    def process(self, pid: int) -> int:
        """The process that a signal to a container's process goes to; `pid` is of the command that runs it."""
        return pid

    @abstractmethod
    def configuration(self, image: str) -> dict[str, Any]:
        """As an image keeps it: User, Env, Entrypoint, Labels, Healthcheck."""

    def _run(self, *command: str, shown: bool = False) -> str:
        done = subprocess.run(
            command, env=self.environment, stdout=None if shown else subprocess.PIPE, text=True,
            stderr=None if shown else subprocess.PIPE,
        )  # fmt: skip
        if done.returncode != 0:
            said = "" if shown else f": {(done.stdout + done.stderr)[-2000:]}"
            raise EngineError(f"`{' '.join(command[:3])} ...` ended with {done.returncode}{said}")
        return "" if shown else done.stdout


class Docker(Engine):
    name = "docker"
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    _inspect = ("docker", "image", "inspect")
    _build = ("docker", "build")
    _remove = ("docker", "image", "rm", "--force")

    @contextlib.contextmanager
    def container(self, image: str) -> Iterator[Container]:
        yield Container(self, "", image)  # each process gets one of its own

    def command(
        self, container: Container, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str]
    ) -> tuple[str, ...]:
        first, *rest = argv
        return (
            "docker", "run", "--rm", "--interactive", "--network=host", "--read-only", "--tmpfs=/tmp:mode=1777",
            "--cap-drop=ALL", "--security-opt=no-new-privileges",
            *_process_options(env, mounts), f"--entrypoint={first}", container.image, *rest,
        )  # fmt: skip

    def configuration(self, image: str) -> dict[str, Any]:
        (found,) = json.loads(self._run(*self._inspect, image))
        configuration: dict[str, Any] = found["Config"]
        return configuration


class Buildah(Engine):
    name = "buildah"
    environment = BUILDAH_ENVIRONMENT
    _inspect = ("buildah", "inspect", "--type", "image")
    _build = ("buildah", "build", "--format=docker", "--pull-never")  # HEALTHCHECK is in Docker's format only
    _remove = ("buildah", "rmi", "--force")

    @contextlib.contextmanager
    def container(self, image: str) -> Iterator[Container]:
        name = self._run("buildah", "from", "--pull-never", image).strip()
        try:
            yield Container(self, name, image)
        finally:
            self._run("buildah", "rm", name)

    def command(
        self, container: Container, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str]
    ) -> tuple[str, ...]:
        options = _process_options(env, mounts)
        return ("buildah", "run", "--cap-drop=all", *options, container.name, "--", *argv)

    def process(self, pid: int) -> int:
        # buildah hands no signal on: it kills. Its own processes stand between it and what it runs.
        while Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"buildah"):
            listed = " ".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children"))
            if not listed.split():
                raise EngineError(f"buildah's process {pid} runs nothing")
            pid = int(listed.split()[0])
        return pid

    def configuration(self, image: str) -> dict[str, Any]:
        found = json.loads(self._run(*self._inspect, image))
        configuration: dict[str, Any] = found["Docker"]["config"]
        return configuration


def engine() -> Engine | None:
    """Docker where its daemon answers, else buildah (as root), else none."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, timeout=30)
        if asked.returncode == 0:
            return Docker()
    if shutil.which("buildah") and os.geteuid() == 0:
        return Buildah()
    return None


def _process_options(env: Mapping[str, str], mounts: Mapping[Path, str]) -> Iterator[str]:
    for name, value in env.items():
        yield f"--env={name}={value}"
    for host, inside in mounts.items():
        yield f"--volume={host}:{inside}:ro"
