"""What a page says on the site alone, in comments that GitHub does not show.

    <!-- site: Markdown, e.g. a list of pages -->     is read as if no comment stood around it
    <!-- keys: recipe -->                             becomes the keys of edgekit's own models
    <!-- instead: CHANGELOG.md -->                    the page is that file of the checkout

The keys, their types, defaults and descriptions come from the pydantic models as `edgekit stages`
and `edgekit schema` have them; nothing of them is written in a page.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.data.sources import find_sources
from edgekit.data.sources.base import Source
from edgekit.models.source import ModelSource
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.recipe import Recipe
from edgekit.spec.stage_keys import Key, keys_of, stage_keys
from edgekit.spec.target import Target

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SITE = re.compile(r"<!-- site:\n(.*?)\n-->", re.DOTALL)
KEYS = re.compile(r"<!-- keys: (\w+) -->")
INSTEAD = re.compile(r"<!-- instead: ([\w/]+\.md) -->")
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)")
ON_SITE = {
    "README.md": "docs/index.md",
    "CHANGELOG.md": "docs/changelog.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "examples/README.md": "docs/examples.md",
}
"""The pages of files that lie outside of docs/."""
CHECKOUT = Path(__file__).parents[2]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    text, file = source[0], f"docs/{page}.md"
    if match := INSTEAD.search(text):
        file = match[1]
        app.env.note_dependency(str(CHECKOUT / file))
        text = (CHECKOUT / file).read_text(encoding="utf-8")
    text = with_links_of(text, file, f"docs/{page}.md")
    text = SITE.sub(lambda match: match[1], text)
    source[0] = KEYS.sub(lambda match: "\n".join(PARTS[match[1]]()), text)


def with_links_of(text: str, file: str, page: str) -> str:
    """What a file says, on a page; a link to a file that has a page leads there.

    >>> with_links_of("[a](docs/install.md#versions), [b](LICENSE)", "README.md", "docs/x.md")
    '[a](install.md#versions), [b](../LICENSE)'
    >>> with_links_of("[a](../CHANGELOG.md), [b](#here)", "docs/install.md", "docs/install.md")
    '[a](changelog.md), [b](#here)'
    """

    def moved(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), match[1]))
        return "](" + posixpath.relpath(ON_SITE.get(path, path), posixpath.dirname(page))

    return LINK.sub(moved, text)


def _recipe() -> Iterator[str]:
    keys = keys_of(Recipe)
    keys["model"].type = "mapping"
    yield from _section("The recipe itself", keys)
    yield from _section("`model`", keys_of(ModelSource))
    common = keys_of(Source)
    yield from _section("`data`, of every source", common)
    for name, source in find_sources().items():
        own = {key: value for key, value in keys_of(source).items() if key not in common}
        yield from _section(f"`data`, `source: {name}`", own)
    for name, stage in stage_keys().items():
        summary = stage.summary[0].upper() + stage.summary[1:]
        yield from _section(f"Stage `{name}`", stage.keys, summary)


def _target() -> Iterator[str]:
    yield from _section("The target itself", keys_of(Target))
    yield from _section("One of `alternatives`", keys_of(Variant))


PARTS = {"recipe": _recipe, "target": _target}


def _section(title: str, keys: dict[str, Key], summary: str = "") -> Iterator[str]:
    yield from [f"## {title}", "", summary, ""]
    yield from ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, key in _flat(keys):
        default = "required" if key.required else _shown(key)
        cells = (f"`{name}`", key.type, default, key.description)
        yield "| " + " | ".join(map(_cell, cells)) + " |"
    yield ""


def _cell(text: str) -> str:
    """Text in a table of Markdown; outside of backticks no tag of HTML."""
    no_tags = re.sub(r"(`[^`]*`)|<", lambda match: match[1] or r"\<", text)
    return no_tags.replace("|", r"\|")


def _flat(keys: dict[str, Key], above: str = "") -> Iterator[tuple[str, Key]]:
    for name, key in keys.items():
        yield above + name, key
        yield from _flat(key.keys or {}, f"{above}{name}.")


def _shown(key: Key) -> str:
    return f"`{json.dumps(key.default)}`" if key.keys is None and key.default is not None else ""
