"""Links in the documents resolve, and the index of the API reference lists every call."""

import re
from pathlib import Path

import pytest
from flask import Flask

from tests.support.databases import only_sqlite
from tests.support.environment import ROOT
from tests.support.routes import api_rules

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
UNLISTED = {"GET /static/:", "GET /favicon.ico"}  # the files of pages
OPTIONAL = {"GET /metrics"}  # off by default


def prose(page: Path) -> str:
    """Return the text of a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub generates for the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_resolves_to_a_file_and_a_heading(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link == "…" or link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@only_sqlite
def test_the_index_of_the_api_reference_lists_every_call(app: Flask) -> None:
    index = (ROOT / "docs/api/README.md").read_text(encoding="utf-8")
    listed = {re.sub(r":\w+", ":", call) for call in re.findall(r"^\| \[`([A-Z]+ \S+)`\]", index, re.MULTILINE)}
    calls = {
        f"{method} {path}"
        for path, methods in [(re.sub(r"<[^>]+>", ":", rule.rule), rule.methods) for rule in api_rules(app)]
        for method in (methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert listed == calls - UNLISTED | OPTIONAL
