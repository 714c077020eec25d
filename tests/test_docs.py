"""Links of the pages lead to files and headings that are there, on GitHub as on the site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/**/*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]


def tokens(text: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").parse(text):
        yield token
        yield from token.children or ()


def links(text: str) -> Iterator[str]:
    """Where a page's links and pictures lead, but for those to elsewhere."""
    for token in tokens(text):
        target = token.attrGet("href") or token.attrGet("src")
        if isinstance(target, str) and ":" not in target:
            yield target


def anchors(text: str) -> Iterator[str]:
    """What GitHub calls the headings."""
    for opening, inline in pairwise(tokens(text)):
        if opening.type == "heading_open":
            words = "".join(part.content for part in inline.children or ())
            yield re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def broken(page: Path) -> Iterator[str]:
    for link in links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    assert not list(broken(page))


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# What `it` weighs, and how\n\n[a](gone.md) [b](#how) [c](#what-it-weighs-and-how)\n"
        "[d](page.md#how) ![e](gone.png) [f](https://example.org/x)\n\n    [g](code.md)\n"
    )
    assert list(broken(page)) == ["gone.md", "#how", "page.md#how", "gone.png"]


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = {page.name for page in ROOT.glob("docs/*.md")} - {"index.md", "changelog.md"}
    assert pages <= set(links(index))
