"""The runtimes a target can name: one file a runtime, found by its name in the YAML."""

from __future__ import annotations

from functools import cache

from edgekit.discovery import find
from edgekit.runtimes.base import Runtime


@cache
def find_runtimes() -> dict[str, type[Runtime]]:
    return find(__name__, Runtime)
