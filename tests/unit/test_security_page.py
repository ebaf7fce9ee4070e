"""SECURITY.md says of every line which test holds it; here that the tests are there, and that none of ours is forgotten."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
WHOLE = re.compile(r"all of `(tests/[\w/*]+\.py)`")
HEAD = "| attempt | what holds | test |"


def rows() -> list[str]:
    found: list[str] = []
    for table in PAGE.split(HEAD)[1:]:
        lines = table.strip().splitlines()[1:]
        found += lines[: next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return found


def names_in(path: Path) -> set[str]:
    return set(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE))


def test_every_line_of_the_threat_model_names_a_test() -> None:
    assert len(rows()) > 40
    assert [row for row in rows() if not NAMED.search(row) and not WHOLE.search(row)] == []


def test_every_named_test_exists() -> None:
    missing = [f"{path}::{name}" for path, name in NAMED.findall(PAGE) if name not in names_in(ROOT / path)]
    assert missing == []
    assert [pattern for pattern in WHOLE.findall(PAGE) if not any(ROOT.glob(pattern))] == []


def test_every_test_of_security_holds_a_line() -> None:
    named = {name for _, name in NAMED.findall(PAGE)}
    own = {
        name
        for path in (*ROOT.glob("tests/unit/test_security_*.py"), ROOT / "tests" / "cluster" / "test_security.py")
        if path != Path(__file__)
        for name in names_in(path)
    }
    assert sorted(own - named) == []
