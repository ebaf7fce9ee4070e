"""The documentation keeps its promises that a machine can check: links lead somewhere, jobs in it are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from sft_operator.api import yaml12
from sft_operator.api.sftjob import SFTJobSpec
from sft_operator.api.sftprofile import SFTProfileSpec
from sft_operator.cli.manifest import read
from sft_operator.platforms.base import JobView, Plan
from sft_operator.platforms.sagemaker.plan import make_plan
from sft_operator.policy.settle import settled
from sft_operator.recipes.catalogue import default_catalogue

ROOT = Path(__file__).parents[2]
_FOLDERS = ("docs", "examples", "operator", "charts", ".github")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`\n]*`")


def pages() -> list[Path]:
    nested = (page for folder in _FOLDERS for page in (ROOT / folder).rglob("*.md"))
    return sorted([*ROOT.glob("*.md"), *nested])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    for target in _LINK.findall(_CODE.sub("", _FENCE.sub("", page.read_text()))):
        if not re.match(r"[a-z]+:", target):
            yield unquote(target)


def jobs() -> Iterator[tuple[str, str]]:
    """Every YAML block that is one SFTJob, with the place it stands at."""
    for page in pages():
        for number, (language, text) in enumerate(_FENCE.findall(page.read_text()), 1):
            if language == "yaml" and re.search(r"^kind: SFTJob$", text, re.MULTILINE):
                yield f"{page.relative_to(ROOT)} block {number}", text


JOBS = dict(jobs())


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or not found.is_relative_to(ROOT):
            broken.append(f"{target}: no such file")
        elif anchor and found.suffix == ".md" and anchor not in anchors(found):
            broken.append(f"{target}: no such heading")
    assert not broken


def _example_profile() -> SFTProfileSpec:
    (manifest,) = read(str(ROOT / "examples" / "profiles" / "ml-team.yaml"), namespace="ml-team")
    assert isinstance(manifest.spec, SFTProfileSpec)
    return manifest.spec


@pytest.mark.parametrize("place", JOBS)
def test_a_job_shown_in_the_documentation_would_be_launched(place: str, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(JOBS[place])
    found = list(read(str(file), namespace="default"))
    assert found, "the block has no SFTJob"
    for manifest in found:
        assert not manifest.findings, "; ".join(map(str, manifest.findings))
        assert manifest.spec is not None
        assert isinstance(manifest.spec, SFTJobSpec)
        spec = settled(manifest.spec, _example_profile(), "ml-team")
        view = JobView(
            manifest.namespace, manifest.name, manifest.uid, spec, identity_scope="docs", fingerprint="f1:docs"
        )
        planned = make_plan(view, None, default_catalogue())
        assert isinstance(planned, Plan), planned.message


def test_readme_and_design_show_a_job() -> None:
    shown = {place.split(" ")[0] for place in JOBS}
    assert {"README.md", "docs/design.md"} <= shown


def test_every_yaml_block_can_be_read() -> None:
    for page in pages():
        for language, text in _FENCE.findall(page.read_text()):
            if language == "yaml":
                list(yaml12.load_all(text, source=str(page.relative_to(ROOT))))


def test_every_page_of_the_documentation_is_reachable_from_the_readme() -> None:
    seen, todo = set[Path](), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if target[0] != "#"]
    assert not {page.name for page in (ROOT / "docs").glob("*.md")} - {page.name for page in seen}


def test_every_make_target_named_in_the_documentation_exists() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for page in pages()
        for target in re.findall(r"(?:^|`)make ([a-z-]+)(?=`|\s+#|$|\s&&)", page.read_text(), re.MULTILINE)
    }
    assert named
    assert named <= known
