"""Finds each program of the lab: KUBEBUILDER_ASSETS, PATH, our cache, a prebuilt archive, a build with Go."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import go_build
from .archives import Archives, ArchiveUnavailableError
from .wanted import Binary, Version, parse_version, version_text, wanted

VERSION_ANSWER_SECONDS = 30.0


class BinaryMissingError(Exception):
    """No way led to the program; the text says what was tried and what to install."""


@dataclass(frozen=True)
class Found:
    """A program that runs and has an accepted version; `origin` says where it came from."""

    name: str
    path: Path
    version: str
    origin: str


@dataclass(frozen=True)
class Sources:
    """Where to look. `environ` is the machine's own environment: only Go, which needs it, is given it."""

    cache: Path
    assets: Path | None
    search_path: str
    addresses: Mapping[str, str]
    environ: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Sources":
        """From KUBEBUILDER_ASSETS, PATH, XDG_CACHE_HOME, and SFT_LAB_<ADDRESS> for the download addresses."""
        cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".cache")
        assets = environ.get("KUBEBUILDER_ASSETS")
        return cls(
            cache=Path(cache) / "sft-operator",
            assets=Path(assets) if assets else None,
            search_path=environ.get("PATH", ""),
            addresses={
                name: environ.get(f"SFT_LAB_{name.upper()}", address) for name, address in wanted().addresses.items()
            },
            environ=environ,
        )


def say_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass
class Finder:
    """Walks the chain for one program after the other; a step that fails leaves a note for the error message."""

    sources: Sources
    say: Callable[[str], None] = say_to_stderr
    _archives: Archives = field(init=False)

    def __post_init__(self) -> None:
        self._archives = Archives(self.sources.addresses, self.say)

    def find_all(self, names: Iterable[str] | None = None) -> dict[str, Found]:
        """Every named program (default: all of binaries.toml). Raises BinaryMissingError at the first without a way."""
        return {name: self.find(name) for name in names or wanted().binaries}

    def find(self, name: str) -> Found:
        binary = wanted().binaries[name]
        notes: list[str] = []
        if found := self._on_machine(binary, notes) or self._in_cache(binary):
            return found
        with self._one_at_a_time(binary):
            return self._in_cache(binary) or self._download(binary, notes) or self._build(binary, notes)

    def _on_machine(self, binary: Binary, notes: list[str]) -> Found | None:
        assets = self.sources.assets
        candidates = [
            ("KUBEBUILDER_ASSETS", shutil.which(binary.name, path=str(assets)) if assets else None),
            ("PATH", shutil.which(binary.name, path=self.sources.search_path)),
        ]
        for origin, candidate in candidates:
            if candidate is None:
                notes.append(f"{origin}: " + ("not there" if origin == "PATH" or assets else "not set"))
                continue
            # PATH may lead through the bin folder of another lab, whose links end with it.
            path = Path(candidate).resolve()
            version = probe_version(binary, path)
            if version and binary.accepts(version):
                return Found(binary.name, path, version_text(version), origin)
            what = f"is {version_text(version)}" if version else "does not tell its version"
            notes.append(f"{origin}: {candidate} {what}, accepted is {binary.rule}")
            if origin == "KUBEBUILDER_ASSETS":
                self.say(f"not used: {notes[-1]}")
        return None

    def _in_cache(self, binary: Binary) -> Found | None:
        """The wanted version, else the newest accepted one: an archive may be a patch release behind."""
        kept: list[tuple[bool, Version, Path]] = []
        for path in (self.sources.cache / "bin").glob(f"{binary.name}-*"):
            version = parse_version(path.name.removeprefix(f"{binary.name}-"))
            if version and path.name == f"{binary.name}-{version_text(version)}" and binary.accepts(version):
                kept.append((version_text(version) == binary.version, version, path))
        if not kept:
            return None
        _, version, path = max(kept)
        return Found(binary.name, path, version_text(version), "cache")

    def _download(self, binary: Binary, notes: list[str]) -> Found | None:
        with self._scratch() as folder:
            try:
                fetched = self._archives.fetch(binary, folder)
                kept = {name: self._keep(wanted().binaries[name], path) for name, path in fetched.items()}
            except (ArchiveUnavailableError, BinaryMissingError) as error:
                notes.append(f"prebuilt archive: {error}")
                self.say(f"no prebuilt {binary.name}: {error}")
                return None
        path = kept.get(binary.name)
        if path is None:
            notes.append(f"prebuilt archive: holds no {binary.name}")
            return None
        return Found(binary.name, path, path.name.removeprefix(f"{binary.name}-"), "downloaded")

    def _build(self, binary: Binary, notes: list[str]) -> Found:
        go = shutil.which("go", path=self.sources.search_path)
        try:
            if go is None:
                raise go_build.GoBuildError("no `go` on PATH")
            workspace = self.sources.cache / "go" / f"{binary.go.upstream.name}-{binary.version}"
            with self._scratch() as folder:
                target = folder / binary.name
                go_build.build(binary, target, workspace, go=go, environ=self.sources.environ, say=self.say)
                path = self._keep(binary, target)
        except (go_build.GoBuildError, BinaryMissingError) as error:
            notes.append(f"go build: {error}")
            raise BinaryMissingError(
                f"{binary.name} {binary.version} (accepted: {binary.rule}) could not be found or made here:\n- "
                + "\n- ".join(notes)
                + "\nDo one of these and start again: install Go >= 1.26 with a module proxy that this machine reaches"
                + " (`go env GOPROXY`); or allow downloads from "
                + f"{self.sources.addresses.get(binary.archive.address) or binary.archive.address}; or put an accepted"
                + f" {binary.name} on PATH or into the folder that KUBEBUILDER_ASSETS names."
            ) from error
        return Found(binary.name, path, binary.version, "built")

    def _keep(self, binary: Binary, made: Path) -> Path:
        """Move a new program into the cache under its own version, all at once, once it has proved that it runs."""
        version = probe_version(binary, made)
        if version is None or not binary.accepts(version):
            what = f"is {version_text(version)}" if version else "does not run here"
            raise BinaryMissingError(f"{made.name} {what}, accepted is {binary.rule}")
        target = self.sources.cache / "bin" / f"{binary.name}-{version_text(version)}"
        made.replace(target)
        return target

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder on the cache's own file system, so that the last step is a rename."""
        (self.sources.cache / "bin").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.sources.cache) as folder:
            yield Path(folder)

    @contextmanager
    def _one_at_a_time(self, binary: Binary) -> Iterator[None]:
        """One download or build on the machine at a time; the lock goes with its holder, however that one ends."""
        lock = self.sources.cache / "binaries.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say(f"waiting for {binary.name}: another process is getting the lab's programs (lock {lock}) ...")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def probe_version(binary: Binary, path: Path) -> Version | None:
    """The version that the program itself tells, or None when it does not run or does not say."""
    try:
        answer = subprocess.run(
            [str(path), *binary.version_arguments],
            env={"PATH": os.defpath, "HOME": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_ANSWER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stdout or answer.stderr) if answer.returncode == 0 else None
