"""Downloads prebuilt programs and checks their checksums; what to download is data (binaries.toml).

A machine without that network must fall through quickly: the small checksum file is asked for first, with a short
time-out, and an address that could not be reached is not asked twice.
"""

import hashlib
import platform
import re
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .wanted import Binary, parse_version, wanted

FIRST_ANSWER_SECONDS = 5.0
STALL_SECONDS = 60.0

Say = Callable[[str], None]


class ArchiveUnavailableError(Exception):
    """The archive cannot be had here; the text says which address and why."""


@dataclass
class Archives:
    """Prebuilt releases at `addresses` (name in binaries.toml → base URL; empty: not used)."""

    addresses: Mapping[str, str]
    say: Say
    _unreachable: dict[str, str] = field(default_factory=dict)

    def fetch(self, binary: Binary, folder: Path) -> dict[str, Path]:
        """Put the program, and the others of its archive, into `folder`; returns name → executable file.

        Raises ArchiveUnavailableError: no address, no network, no such release, or a checksum that does not match.
        """
        base = self.addresses.get(binary.archive.address, "")
        if not base:
            raise ArchiveUnavailableError(f"download switched off (SFT_LAB_{binary.archive.address.upper()} is empty)")
        if binary.archive.kind == "envtest":
            return self._fetch_envtest(base, folder)
        system, machine = go_platform()
        path = binary.archive.path.format(version=binary.version, os=system, arch=machine)
        url = f"{base.rstrip('/')}/{path}"
        words = self._read_small(f"{url}.{binary.archive.checksum}").split()
        if not words:
            raise ArchiveUnavailableError(f"{url}.{binary.archive.checksum}: empty, so the download cannot be checked")
        file = self._download(url, folder / Path(path).name, "sha256", words[0])
        if binary.archive.kind == "file":
            file.chmod(0o755)
            return {binary.name: file}
        return _unpack(file, folder, {binary.name})

    def _fetch_envtest(self, index_url: str, folder: Path) -> dict[str, Path]:
        url, sha512 = choose_envtest(self._read_small(index_url), *go_platform(), index_url)
        file = self._download(url, folder / "envtest.tar.gz", "sha512", sha512)
        return _unpack(file, folder, {"etcd", "kube-apiserver", "kubectl"})

    def _read_small(self, url: str) -> str:
        host = urllib.parse.urlsplit(url).netloc
        if host in self._unreachable:
            raise ArchiveUnavailableError(self._unreachable[host])
        try:
            with urllib.request.urlopen(url, timeout=FIRST_ANSWER_SECONDS) as answer:  # noqa: S310 (https, or set by the user)
                return str(answer.read(4 << 20).decode())
        except urllib.error.HTTPError as error:
            raise ArchiveUnavailableError(f"{url}: HTTP {error.code}") from error
        except (OSError, ValueError) as error:
            self._unreachable[host] = f"{url}: {getattr(error, 'reason', error)}"
            raise ArchiveUnavailableError(self._unreachable[host]) from error

    def _download(self, url: str, target: Path, algorithm: str, expected: str) -> Path:
        digest = hashlib.new(algorithm)
        try:
            with urllib.request.urlopen(url, timeout=STALL_SECONDS) as answer, target.open("wb") as file:  # noqa: S310
                size = int(answer.headers.get("Content-Length") or 0)
                self.say(f"downloading {url}" + (f" ({size / 1e6:.0f} MB)" if size else ""))
                while block := answer.read(1 << 20):
                    digest.update(block)
                    file.write(block)
        except (OSError, ValueError) as error:
            raise ArchiveUnavailableError(f"{url}: {error}") from error
        if digest.hexdigest() != expected.lower():
            target.unlink()
            raise ArchiveUnavailableError(
                f"{url}: {algorithm} is {digest.hexdigest()}, published is {expected}; the download was thrown away"
            )
        return target


def choose_envtest(index: str, system: str, machine: str, source: str) -> tuple[str, str]:
    """URL and sha512 of the newest released set in the index's YAML; sets are numbered by their API server."""
    rule = wanted().binaries["kube-apiserver"]
    try:
        releases = yaml.safe_load(index)["releases"]
        fitting = sorted(
            (version, name)
            for name in releases
            if re.fullmatch(r"v\d+\.\d+\.\d+", name)
            and (version := parse_version(name)) is not None
            and rule.accepts(version)
            and f"envtest-{name}-{system}-{machine}.tar.gz" in releases[name]
        )
        if not fitting:
            raise ArchiveUnavailableError(f"{source}: no release {rule.rule} for {system}/{machine}")
        newest = fitting[-1][1]
        entry = releases[newest][f"envtest-{newest}-{system}-{machine}.tar.gz"]
        return str(entry["selfLink"]), str(entry["hash"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ArchiveUnavailableError(f"{source}: not an envtest index ({error!r})") from error


def _unpack(archive: Path, folder: Path, names: set[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                content = tar.extractfile(member) if member.isfile() and name in names else None
                if content is None:
                    continue
                found[name] = folder / name
                with content, found[name].open("wb") as file:
                    shutil.copyfileobj(content, file)
                found[name].chmod(0o755)
    except tarfile.TarError as error:
        raise ArchiveUnavailableError(f"{archive.name}: not a readable archive ({error})") from error
    archive.unlink()
    return found


def go_platform() -> tuple[str, str]:
    """This machine in Go's words, e.g. ("linux", "amd64")."""
    machine = platform.machine().lower()
    return platform.system().lower(), {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
