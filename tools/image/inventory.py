"""Prints what is installed where it runs: Python's distributions and Debian's packages, as JSON; fed to the image's own
Python by sbom.py, so it uses the standard library only."""

import json
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

DPKG = Path("/var/lib/dpkg/status")


def main() -> None:
    release = platform.freedesktop_os_release()
    print(
        json.dumps(
            {
                "distro": {"id": release["ID"], "version": release.get("VERSION_ID", ""), "name": release["NAME"]},
                "python": platform.python_version(),
                "architecture": platform.machine(),
                "distributions": list(distributions()),
                "packages": list(packages(DPKG.read_text())) if DPKG.exists() else [],
            }
        )
    )


def distributions() -> Iterator[dict[str, object]]:
    for found in metadata.distributions():
        yield {
            "name": found.name,
            "version": found.version,
            "license": field(found, "License-Expression"),
            "summary": field(found, "Summary"),
            "requires": found.requires or [],
        }


def field(found: metadata.Distribution, name: str) -> str:
    return next(iter(found.metadata.get_all(name) or ()), "")


def packages(status: str) -> Iterator[dict[str, str]]:
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            yield {
                "name": fields["Package"],
                "version": fields["Version"],
                "architecture": fields["Architecture"],
                "source": fields.get("Source", fields["Package"]),
            }


if __name__ == "__main__":
    main()
