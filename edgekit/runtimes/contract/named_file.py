"""A model file that a user names: read in a confined process, whoever made it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from edgekit.engine.confined_call import call_confined
from edgekit.engine.confinement import confinement
from edgekit.runtimes.contract.description import Description
from edgekit.runtimes.contract.reader import Reader


class Descriptions(BaseModel):
    each: tuple[Description, ...]


def describe_named(runtime: Reader, *paths: Path) -> tuple[Description, ...]:
    """`runtime.describe` of one or more files.

    Raises:
        EdgekitError: the runtime cannot load a file.
        InputError: reading it takes more than a model may take.
    """
    limits = confinement(" or ".join(path.name for path in paths))
    return call_confined(limits, _described, (runtime, paths), Descriptions).each


def _described(runtime: Reader, paths: tuple[Path, ...]) -> Descriptions:
    return Descriptions(each=tuple(runtime.describe(path) for path in paths))
