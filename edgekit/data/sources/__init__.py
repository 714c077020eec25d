"""Where images come from: one file a source, found by its name in the YAML."""

from __future__ import annotations

from functools import cache

from edgekit.data.sources.base import Source
from edgekit.discovery import find


@cache
def find_sources() -> dict[str, type[Source]]:
    return find(__name__, Source)
