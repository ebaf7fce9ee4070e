"""Removes what the operator never loads from the packages of its image; the image's build runs this, alone.

python prune_packages.py SITE_PACKAGES OPERATIONS_PY
"""

import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

NEVER_LOADED = (
    "boto3/examples",  # texts for generated documentation
    "kubernetes/client/api",  # the blocking client; the operator uses kubernetes.aio, kopf only models and configuration
)
KUBERNETES_APIS = frozenset(
    {"AuthenticationV1Api", "AuthorizationV1Api", "CoordinationV1Api", "CoreV1Api", "CustomObjectsApi"}
)
"""Of kubernetes.aio's classes, each in a generated file of up to 11 MB with its bytecode; a test holds the source to it."""

_APIS = "kubernetes/aio/client/api"


def main() -> None:
    site, operations = Path(sys.argv[1]), Path(sys.argv[2])
    before = size(site)
    prune(site, services(operations))
    print(f"{site}: {before / 1e6:.1f} MB before, {size(site) / 1e6:.1f} MB after")


def services(operations: Path) -> frozenset[str]:
    """The services of sft_operator/aws/operations.py, read as a file: the operator is not installed yet."""
    tables = runpy.run_path(str(operations))
    return frozenset(tables["OPERATIONS"]) | frozenset(tables["CREDENTIALS"])


def prune(site: Path, kept: frozenset[str]) -> None:
    """Raises SystemExit when a place that is to be pruned is not there: then a package was rebuilt otherwise."""
    for place in (*unneeded_services(site, kept), *unneeded_apis(site), *(site / name for name in NEVER_LOADED)):
        if place.is_dir():
            shutil.rmtree(place)
        elif place.is_file():
            place.unlink()
        else:
            sys.exit(f"prune_packages: {place} is not there; has the package moved it? See NEVER_LOADED")


def unneeded_services(site: Path, kept: frozenset[str]) -> Iterator[Path]:
    """Folders of services' data. Files beside them are of all services (regions, partitions, retries) and stay."""
    for data in ("botocore/data", "boto3/data"):
        folders = [place for place in (site / data).iterdir() if place.is_dir()]
        if data.startswith("botocore") and (unknown := kept - {place.name for place in folders}):
            sys.exit(f"prune_packages: botocore has no data of {', '.join(sorted(unknown))}; see aws/operations.py")
        yield from (place for place in folders if place.name not in kept)


def unneeded_apis(site: Path) -> Iterator[Path]:
    """Generated modules of the Kubernetes client. It imports each when it is first named."""
    kept = {f"{_snake(name)}.py" for name in KUBERNETES_APIS}
    files = set((site / _APIS).glob("*_api.py"))
    if unknown := kept - {file.name for file in files}:
        sys.exit(f"prune_packages: {site / _APIS} has no {', '.join(sorted(unknown))}; see KUBERNETES_APIS")
    yield from (file for file in files if file.name not in kept)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


if __name__ == "__main__":
    main()
