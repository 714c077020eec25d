"""The stages of a recipe: one file a stage, found by its name in the YAML."""

from __future__ import annotations

from functools import cache

from edgekit.discovery import find
from edgekit.stages.base import Stage


@cache
def find_stages() -> dict[str, type[Stage]]:
    return find(__name__, Stage)
