"""Removes pip, and what could bring it back, from the base's own Python; the last stage of the image runs this, alone.

What runs in a cluster installs nothing, and an installer is a convenience for whoever got in.
"""

import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack")
# python.org's images keep everything below /usr/local, Debian's Python below /usr.
PREFIXES = (Path("/usr/local"), Path("/usr"))


def main() -> None:
    for place in sorted(set(installers())):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()
        print(f"removed {place}")


def installers() -> Iterator[Path]:
    """Every file or folder of them that is there."""
    ensurepip = Path(sysconfig.get_path("stdlib")) / "ensurepip"
    if ensurepip.exists():
        yield ensurepip
    for prefix in PREFIXES:
        yield from (prefix / "bin").glob("pip*")
        yield from (prefix / "share").glob("python-wheels")
        for packages in (*prefix.glob("lib/python3*/site-packages"), *prefix.glob("lib/python3*/dist-packages")):
            for name in PACKAGES:
                yield from packages.glob(name)
                yield from packages.glob(f"{name}-*.dist-info")
            yield from packages.glob("distutils-precedence.pth")


if __name__ == "__main__":
    main()
