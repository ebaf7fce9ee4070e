"""What each program of the lab must be, read from binaries.toml; finding and getting it is elsewhere."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Version = tuple[int, ...]


def parse_version(text: str) -> Version | None:
    """The first `1.2.3` or `1.2` in `text` as numbers, or None when there is none."""
    match = re.search(r"(?<![\w.])v?(\d+(?:\.\d+){1,2})", text)
    return tuple(int(part) for part in match[1].split(".")) if match else None


def version_text(version: Version) -> str:
    return ".".join(str(part) for part in version)


@dataclass(frozen=True)
class Archive:
    """A prebuilt release: a bare `file`, a `tar`, or the set of `envtest`, which holds several programs."""

    kind: Literal["file", "tar", "envtest"]
    address: str
    path: str = ""
    checksum: str = ""


@dataclass(frozen=True)
class Upstream:
    """A Go module and how to build from it; see binaries.toml."""

    name: str
    module: str
    staging: str = ""
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class GoPackage:
    """What `go build` is asked for, and the seconds it takes from cold on two cores."""

    upstream: Upstream
    package: str
    seconds: int


@dataclass(frozen=True)
class Binary:
    name: str
    version: str
    accept: tuple[str, str]
    version_arguments: tuple[str, ...]
    archive: Archive
    go: GoPackage

    def accepts(self, version: Version) -> bool:
        first, end = (tuple(int(part) for part in bound.split(".")) for bound in self.accept)
        return first <= version < end

    @property
    def rule(self) -> str:
        return f">= {self.accept[0]}, < {self.accept[1]}"


@dataclass(frozen=True)
class Wanted:
    binaries: Mapping[str, Binary]
    addresses: Mapping[str, str]


@cache
def wanted() -> Wanted:
    table = tomllib.loads(files(__package__).joinpath("binaries.toml").read_text())
    upstreams = {
        name: Upstream(name, row["module"], row.get("staging", ""), tuple(row.get("variables", ())))
        for name, row in table["upstream"].items()
    }
    binaries = {
        name: Binary(
            name=name,
            version=row["version"],
            accept=tuple(row["accept"]),
            version_arguments=tuple(row["version_arguments"]),
            archive=Archive(**row["archive"]),
            go=GoPackage(upstreams[row["go"]["upstream"]], row["go"]["package"], row["go"]["seconds"]),
        )
        for name, row in table["binary"].items()
    }
    return Wanted(binaries=binaries, addresses=table["addresses"])
