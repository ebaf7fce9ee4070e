"""`make audit`: what fails a build, and what is only told."""

from __future__ import annotations

import json
from typing import Any

from tools.audit import verdict


def said(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


CLEAN = {"name": "kopf", "version": "1.45.2", "vulns": []}
SKIPPED = {"name": "click", "skip_reason": "Dependency not found on PyPI and could not be audited: click (8.5.1)"}
VULNERABLE = {
    "name": "requests",
    "version": "2.0.0",
    "vulns": [{"id": "PYSEC-2018-28", "aliases": ["CVE-2018-18074"], "fix_versions": ["2.20.0"], "description": "x"}],
}


def test_a_vulnerability_that_is_found_fails_and_names_the_version_that_is_free_of_it() -> None:
    status, text = verdict(said(CLEAN, VULNERABLE), "Found 1 known vulnerability in 1 package")
    assert status == 1
    assert "requests 2.0.0: PYSEC-2018-28 (CVE-2018-18074); fixed in 2.20.0" in text


def test_a_lock_without_findings_passes() -> None:
    assert verdict(said(CLEAN), "") == (0, "audit: 1 of 1 packages of run.lock were looked up, 0 findings")


def test_packages_that_the_index_has_no_record_of_are_told_and_do_not_fail() -> None:
    status, text = verdict(said(CLEAN, SKIPPED), "")
    assert status == 0
    assert "1 of 2 packages" in text
    assert "NOT LOOKED UP: 1 packages" in text


def test_without_a_network_nothing_fails_and_the_text_says_that_nothing_was_asked() -> None:
    status, text = verdict("", "ERROR:pip_audit._cli:Failed to connect to pypi.org\n")
    assert (status, text) == (0, "audit: NOT DONE: ERROR:pip_audit._cli:Failed to connect to pypi.org")
