"""Links of the pages lead to what is there, and commands on them are commands of edgekit."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from edgekit.cli import cli

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


def commands(text: str) -> Iterator[str]:
    """What a page says to type, in blocks and within sentences."""
    for token in tokens(text):
        if token.type in ("code_block", "fence", "code_inline"):
            lines = token.content.replace("\\\n", " ").splitlines()
            yield from (line.strip() for line in lines if line.strip().startswith("edgekit "))


def unknown(line: str) -> list[str]:
    """The commands and options of a line that edgekit does not have."""
    command: click.Command = cli
    for word in shlex.split(line.translate(str.maketrans("[]", "  ")), comments=True)[1:]:
        options = {name for parameter in command.params for name in parameter.opts}
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word not in command.commands:
                return [word]
            command = command.commands[word]
        elif word.startswith("--") and word not in {*options, "--help", "--version"}:
            return [word]
    return []


# A changelog also tells of what was.
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name != "CHANGELOG.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_commands_and_options_are_edgekits(page: Path) -> None:
    wrong = {line: unknown(line) for line in commands(page.read_text()) if unknown(line)}
    assert not wrong


def test_a_wrong_command_is_found() -> None:
    text = "    edgekit bild x.yaml   # a slip\n    edgekit build x.yaml \\\n      --tagret rpi\n"
    text += "\nor `edgekit device add pi5 --shh x`, `edgekit build x.yaml [--target rpi]`"
    assert [unknown(line) for line in commands(text)] == [["bild"], ["--tagret"], ["--shh"], []]


def test_links_are_right_on_the_site() -> None:
    module = ROOT / "docs" / "_ext" / "site_comments.py"
    subprocess.run([sys.executable, "-m", "doctest", module], check=True, cwd=ROOT)


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = {page.name for page in ROOT.glob("docs/*.md")} - {"index.md", "changelog.md"}
    assert pages <= set(links(index))


def test_decisions_have_numbers_of_their_own_and_links_name_them() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == [*range(1, len(decisions) + 1)]
    assert all(path.read_text().startswith(f"# {int(path.name[:4])}. ") for path in decisions)
    said = re.compile(r"\[decision (\d+)\]\([^)]*?(\d{4})-")
    linked = [found for page in PAGES for found in said.findall(page.read_text())]
    assert linked
    assert [named for named, number in linked if int(named) != int(number)] == []
