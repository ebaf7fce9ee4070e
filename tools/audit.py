"""`make audit`: known vulnerabilities of what the image ships, by pip-audit over the lock; what could not be asked is told.

Fails on a vulnerability that is found, not on an index that cannot be reached: a machine without network builds too.
Further arguments go to pip-audit, for example --ignore-vuln ID.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parents[1] / "requirements" / "run.lock"
PATIENCE = 180.0
"""Seconds for all of the lock."""


def main() -> int:
    command = [
        sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--requirement", str(LOCK),
        "--format", "json", "--progress-spinner", "off", "--timeout", "10", *sys.argv[1:],
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        print(f"audit: NOT DONE: no answer within {PATIENCE:.0f} s")
        return 0
    status, text = verdict(done.stdout, done.stderr)
    print(text)
    return status


def verdict(output: str, errors: str) -> tuple[int, str]:
    """pip-audit's words as an exit code and a text for people."""
    try:
        dependencies: Sequence[Mapping[str, Any]] = json.loads(output)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        last = errors.strip().splitlines()[-1] if errors.strip() else "pip-audit said nothing"
        return 0, f"audit: NOT DONE: {last}"
    asked = [found for found in dependencies if "vulns" in found]
    missed = [found for found in dependencies if "vulns" not in found]
    bad = [line for found in asked for line in _lines(found)]
    told = [f"audit: {len(asked)} of {len(dependencies)} packages of {LOCK.name} were looked up, {len(bad)} findings"]
    if missed:
        told.append(f"audit: NOT LOOKED UP: {len(missed)} packages, the first because: {missed[0]['skip_reason']}")
    return (1 if bad else 0), "\n".join((*told, *bad))


def _lines(found: Mapping[str, Any]) -> Sequence[str]:
    return [
        f"  {found['name']} {found['version']}: {vulnerability['id']} ({', '.join(vulnerability['aliases'])}); "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for vulnerability in found["vulns"]
    ]


if __name__ == "__main__":
    sys.exit(main())
