"""All plug-ins: what a recipe and a target can name."""

from __future__ import annotations

from functools import cache

from edgekit import stages
from edgekit.data import sources
from edgekit.data.sources.base import Source
from edgekit.discovery import find
from edgekit.discovery import find_runtimes as find_runtimes
from edgekit.stages.base import Stage


@cache
def find_stages() -> dict[str, type[Stage]]:
    return find(stages, Stage)


@cache
def find_sources() -> dict[str, type[Source]]:
    return find(sources, Source)
