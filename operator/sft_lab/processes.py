"""Starts, recognises and ends programs that outlive the command that started them; what they are is elsewhere.

A program is recorded in a folder as `<name>.json` (what was started) and `<name>.pid`. The pid file is written by the
program's own first instant (a shell that then becomes the program), so no moment exists in which a started program is
unknown; and a pid counts only while its command line is the recorded one, so a reused pid is never signalled.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BECOME = 'cd / && echo "$$" > "$0.new" && mv "$0.new" "$0" && exec "$@"'


@dataclass(frozen=True)
class Program:
    """A recorded program: `folder` holds its record, `log` both its outputs."""

    name: str
    folder: Path
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    log: Path

    @property
    def pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def start(self) -> None:
        """Start in a session of its own, with `environ` and nothing else; an earlier log is kept as `<log>.old`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.unlink(missing_ok=True)
        if self.log.exists():
            self.log.replace(f"{self.log}.old")
        record = {"argv": self.argv, "environ": dict(self.environ), "log": str(self.log)}
        (self.folder / f"{self.name}.json").write_text(json.dumps(record, indent=1))
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", _BECOME, str(self.pid_file), *self.argv],
            dict(self.environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), append, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        wait_until(lambda: self.pid_file.exists(), 10, f"{self.name} did not start")

    def pid(self) -> int | None:
        """The pid of the running program, or None when it has ended or the pid is another's by now."""
        try:
            pid = int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        # Ours to reap when this very process started it; a dead child left unreaped would look alive.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return pid if _runs(pid, self.argv) else None

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the program and what it started; False when it no longer runs."""
        pid = self.pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        return True

    def log_tail(self, lines: int = 15) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""


def recorded(folder: Path) -> list[Program]:
    """Every program that was started with this folder, in the order of their start."""
    programs = []
    for record in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        fields = json.loads(record.read_text())
        programs.append(
            Program(record.stem, folder, tuple(fields["argv"]), fields["environ"], Path(fields["log"])),
        )
    return programs


def end(programs: Iterable[Program], *, grace: float) -> None:
    """Ask all to end, kill what still runs after `grace` seconds, and return when none runs. Safe to repeat."""
    left = [program for program in programs if program.signal(signal.SIGTERM)]
    for program in left:
        program.signal(signal.SIGCONT)  # a paused program would not see the request
    deadline = time.monotonic() + grace
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [program for program in left if program.pid() is not None]
    for program in left:
        program.signal(signal.SIGKILL)
    wait_until(
        lambda: all(program.pid() is None for program in left),
        10,
        "could not be ended: " + ", ".join(program.name for program in left),
    )


def wait_until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Return when `condition()` holds; TimeoutError with the text `otherwise` after that many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} (waited {seconds:.0f} s)")
        time.sleep(0.05)


def _runs(pid: int, argv: Sequence[str]) -> bool:
    """Whether `pid` lives and was started with `argv` (after an interpreter, when the program is a script)."""
    process = Path("/proc") / str(pid)
    if not process.parent.joinpath("self").exists():
        listing = subprocess.run(["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True)
        state, _, command = listing.stdout.strip().partition(" ")
        return not state.startswith("Z") and command.endswith(" ".join(argv))
    for _ in range(100):
        try:
            command_line = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state in "ZX":
            return False
        if command_line != [b""]:
            return command_line[-len(argv) :] == [os.fsencode(word) for word in argv]
        time.sleep(0.005)  # for a moment, while one program becomes the next, the kernel shows no command line
    return False
