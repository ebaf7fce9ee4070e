"""The image's parts as a CycloneDX 1.6 document, made of what the built image itself says is installed.

python -m tools.image.sbom IMAGE > sbom.cdx.json
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sft_operator import __version__

from .engines import Container, EngineError, engine

INVENTORY = Path(__file__).with_name("inventory.py")
ITSELF = f"pkg:generic/sft-operator@{__version__}"
Inventory = Mapping[str, Any]


def main() -> int:
    image, found = sys.argv[1], engine()
    if found is None:
        print("no docker and no buildah here: the image cannot be asked", file=sys.stderr)
        return 2
    with found.container(image) as container:
        sys.stdout.write(written(bom_of(container, image)))
    return 0


def bom_of(container: Container, image: str) -> dict[str, Any]:
    """Raises EngineError when the image cannot be asked."""
    asked = container.run("python", "-I", "-", text=INVENTORY.read_text())
    if asked.returncode != 0:
        raise EngineError(f"{image} does not tell what is in it: {asked.stderr}")
    labels = container.engine.configuration(image).get("Labels") or {}
    return bom(json.loads(asked.stdout), labels)


def bom(inventory: Inventory, labels: Mapping[str, str]) -> dict[str, Any]:
    """The document; `labels` are the image's own."""
    python = sorted(_python(inventory), key=lambda component: str(component["bom-ref"]))
    debian = sorted(_debian(inventory), key=lambda component: str(component["bom-ref"]))
    edges = dict(_edges(inventory))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "component": {
                "type": "container",
                "bom-ref": ITSELF,
                "name": "sft-operator",
                "version": __version__,
                "purl": ITSELF,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "properties": [{"name": name, "value": value} for name, value in sorted(labels.items()) if value],
            },
        },
        "components": [*python, *debian],
        "dependencies": [
            {"ref": ITSELF, "dependsOn": [component["bom-ref"] for component in (*python, *debian)]},
            *({"ref": ref, "dependsOn": needs} for ref, needs in sorted(edges.items())),
        ],
    }


def written(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _python(inventory: Inventory) -> Iterator[dict[str, Any]]:
    yield {
        "type": "platform",
        "bom-ref": f"pkg:generic/python@{inventory['python']}",
        "name": "python",
        "version": inventory["python"],
        "purl": f"pkg:generic/python@{inventory['python']}",
    }
    for found in inventory["distributions"]:
        ref = _purl(found)
        component = {"type": "library", "bom-ref": ref, "name": found["name"], "version": found["version"], "purl": ref}
        if found["summary"]:
            component["description"] = found["summary"]
        if found["license"]:  # an expression of SPDX; the free text of older packages is no licence's name
            component["licenses"] = [{"expression": found["license"]}]
        yield component


def _debian(inventory: Inventory) -> Iterator[dict[str, Any]]:
    distro = inventory["distro"]
    for found in inventory["packages"]:
        version = quote(found["version"], safe=".~-_")
        ref = (
            f"pkg:deb/{distro['id']}/{quote(found['name'], safe='.-_')}@{version}"
            f"?arch={found['architecture']}&distro={distro['id']}-{distro['version']}"
        )
        yield {"type": "library", "bom-ref": ref, "name": found["name"], "version": found["version"], "purl": ref}


def _edges(inventory: Inventory) -> Iterator[tuple[str, list[str]]]:
    """Who needs whom among Python's distributions; what a marker excludes is not there and falls out by itself."""
    present = {canonicalize_name(found["name"]): _purl(found) for found in inventory["distributions"]}
    for found in inventory["distributions"]:
        needs = {canonicalize_name(Requirement(text).name) for text in found["requires"] if "extra ==" not in text}
        yield _purl(found), sorted(present[name] for name in needs if name in present)


def _purl(found: Mapping[str, str]) -> str:
    return f"pkg:pypi/{canonicalize_name(found['name'])}@{found['version']}"


if __name__ == "__main__":
    sys.exit(main())
