"""The runtimes a target can name: one file a runtime, found by its name in the YAML."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import AfterValidator

from edgekit.discovery import find
from edgekit.runtimes.base import Runtime


@cache
def find_runtimes() -> dict[str, type[Runtime]]:
    return find(__name__, Runtime)


def _known(name: str) -> str:
    if name not in find_runtimes():
        raise ValueError(f"one of {', '.join(find_runtimes())} expected")
    return name


RuntimeName = Annotated[str, AfterValidator(_known)]
"""In a file that comes from elsewhere."""
