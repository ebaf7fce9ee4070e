"""A lab that was started: use it, disturb it, end it. How it comes up is in startup."""

import fcntl
import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sft_lab.processes import Program, end, recorded, wait_until

from . import api
from .commands import CONTROL_PLANE, Layout

GRACE_SECONDS = 2.0
READY_SECONDS = 60.0
COMMAND_SECONDS = 180.0
NAMESPACE = "ml-team"


class LabError(Exception):
    """The lab cannot do what was asked; the text says what was found and what to do."""


class Lab:
    """The lab in `directory`; its programs run on whether or not this object lives. A context manager stops it.

    Raises LabError when no lab is up there.
    """

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory.resolve())
        try:
            facts: dict[str, Any] = json.loads(self.layout.marker.read_text())
            self.env: dict[str, str] = json.loads(self.layout.json_env.read_text())
        except FileNotFoundError as error:
            raise LabError(f"no lab is up in {directory}: start one with `sft-lab up --dir {directory}`") from error
        self.ports: dict[str, int] = facts["ports"]

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, with namespace ml-team."""
        return self.layout.kubeconfig

    @property
    def aws_endpoint(self) -> str | None:
        """URL of awssim, or None for a lab without it."""
        return self.env.get("AWS_ENDPOINT_URL")

    @property
    def programs(self) -> dict[str, Program]:
        return {program.name: program for program in recorded(self.layout.run)}

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002 (subprocess's own word)
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run the lab's kubectl; LabError with its words when it fails and `check` is set."""
        return self._run("kubectl", arguments, input, check)

    def helm(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        return self._run("helm", arguments, input, check)

    def _run(
        self, name: str, arguments: tuple[str, ...], text: str | None, check: bool
    ) -> subprocess.CompletedProcess[str]:
        try:
            done = subprocess.run(
                [str(self.layout.bin / name), *arguments],
                env=self.env,
                input=text if text is not None else "",
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise LabError(
                f"`{name} {' '.join(arguments)}` has not ended after {COMMAND_SECONDS:.0f} s: the control plane does not "
                f"answer; its logs are in {self.layout.logs}"
            ) from None
        if check and done.returncode != 0:
            raise LabError(f"`{name} {' '.join(arguments)}` ended with {done.returncode}: {done.stderr or done.stdout}")
        return done

    def kubeconfig_of(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig (readable by us only) with a fresh token of a ServiceAccount, valid for a day."""
        token = self.kubectl("create", "token", service_account, "--namespace", namespace, "--duration=24h").stdout
        content = api.kubeconfig(self.layout.tls, self.ports["kube-apiserver"], NAMESPACE, {"token": token.strip()})
        path = self.layout.root / f"kubeconfig-{namespace}-{service_account}"
        path.touch(mode=0o600)
        path.write_text(content)
        return path

    def kill(self, name: str) -> None:
        """End one program with SIGKILL, as a crash would; returns when it is gone."""
        program = self.programs[name]
        program.signal(signal.SIGKILL)
        wait_until(lambda: program.pid() is None, 10, f"{name} did not end")

    def pause(self, name: str) -> None:
        """Stop one program's time: it keeps its connections and answers nothing until `resume`."""
        self.programs[name].signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.programs[name].signal(signal.SIGCONT)

    def restart(self, name: str) -> None:
        """Start one program again, with the same command and port, ending it first; returns when it is ready."""
        program = self.programs[name]
        end([program], grace=_grace(name))
        program.start()
        wait_ready(self.layout, program, self.ports.get(name))

    def stop(self) -> None:
        """End every program of the lab; logs and data stay. Safe to repeat."""
        stop_lab(self.layout.root)


def stop_lab(directory: Path) -> list[str]:
    """End whatever still runs of the lab in `directory`, however far it came; returns the names. Safe to repeat."""
    layout = Layout(directory.resolve())
    if not layout.marker.exists():
        return []
    with locked(layout):
        return end_programs(layout)


def lab_status(directory: Path) -> dict[str, int | None]:
    """Every program that was started for the lab in `directory` → its pid, or None when it ended; {} without a lab."""
    return {program.name: program.pid() for program in recorded(Layout(directory.resolve()).run)}


def end_programs(layout: Layout) -> list[str]:
    running = [program for program in recorded(layout.run) if program.pid() is not None]
    # What uses the control plane goes first, while it can still say goodbye to it.
    for grace in (GRACE_SECONDS, 0.0):
        end([program for program in running if _grace(program.name) == grace], grace=grace)
    shutil.rmtree(layout.run, ignore_errors=True)
    return [program.name for program in running]


def _grace(name: str) -> float:
    """Seconds to end by itself: none for the control plane, whose goodbye takes > 8 s and whose data is thrown away."""
    return 0.0 if name in CONTROL_PLANE else GRACE_SECONDS


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """One command at a time starts or stops the lab in a folder; the lock ends with its holder."""
    with layout.lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_ready(layout: Layout, program: Program, port: int | None) -> None:
    """Return when the program does its work. Raises LabError, with the end of its log, when it ends or never does."""
    ready = _probe(layout, program, port)
    try:
        wait_until(lambda: program.pid() is None or ready(), READY_SECONDS, "not ready")
    except TimeoutError as error:
        raise LabError(_story(program, f"is not ready after {READY_SECONDS:.0f} s")) from error
    if program.pid() is None:
        raise LabError(_story(program, "ended while it started"))


def _probe(layout: Layout, program: Program, port: int | None) -> Callable[[], bool]:
    administrator = api.Administrator(layout.tls)
    match program.name, port:
        case "etcd", int():
            return lambda: administrator.answers_ok(port, "/health")
        case "kube-apiserver", int():
            return lambda: administrator.answers_ok(port, "/readyz")
        case "awssim", int():
            # Another lab's awssim may sit on this port while ours is still starting; its own word tells them apart.
            return lambda: "listening on" in program.log.read_text() and api.plain_answers_ok(port, "/_sim/health")
        case _:
            # The controller manager serves no port; the garbage collector is the last to be ready.
            return lambda: "all resource monitors have synced" in program.log.read_text()


def _story(program: Program, what: str) -> str:
    return (
        f"{program.name} {what}. The end of its log ({program.log}):\n{program.log_tail()}\n"
        "What to do: look at the whole log; with too little memory or disk free some (the lab needs about 1 GB of "
        "memory); `sft-lab binaries` shows which programs are used and where they came from."
    )
