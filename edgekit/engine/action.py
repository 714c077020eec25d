"""The contract of everything a plan can run: settings that make its key, and `run`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from edgekit.engine.artifact import Artifact, Json, Metadata
from edgekit.engine.confinement import Confinement

Inputs = Mapping[str, Artifact]
Progress = Callable[[int, int, str], None]
"""Called with how far the work is: done, total, and a word on what is being done."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the executor lends an action while it runs."""

    progress: Progress
    partial: Path
    """A folder that survives a kill and is dropped once the step is done."""


GIGABYTE = 1 << 30
"""A converter with its framework takes about as much."""
METADATA_VERSION = 2
"""Of what actions say of their artifacts; enters every key, so that no older record is read."""


class Action(ABC):
    """Takes artifacts, leaves files in a folder and returns its metadata.

    Equal settings, versions, libraries and inputs must give an equal result: that is what the
    cache relies on. Raise `version` whenever the same settings would give another result.
    """

    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions whose version changes the result, whatever the settings."""

    def used_libraries(self) -> tuple[str, ...]:
        """`libraries`; an action whose settings choose others overrides it."""
        return self.libraries

    @abstractmethod
    def settings(self) -> Json:
        """Everything of this action that enters its key."""

    @property
    def amount(self) -> str:
        """How much work it is, where that is long enough for a forecast: "16 epochs"."""
        return ""

    @property
    def times(self) -> bool:
        """Whether timing on this machine is what it is for: nothing else may run beside it."""
        return False

    @property
    def may_time(self) -> bool:
        """Whether it may come to time something as it works."""
        return self.times

    @property
    def memory(self) -> int:
        """Bytes that it may take, where nobody has seen yet what it takes."""
        return GIGABYTE

    def confinement(self, inputs: Inputs) -> Confinement | None:
        """The limits to run under in a process of its own; None for what is to be trusted.

        Such an action leaves nothing in `partial`, and can be pickled.
        """
        return None

    @abstractmethod
    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        """Do the work: write files into the empty folder `into`, return the metadata."""


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions by distribution name; "absent" where one is not installed."""
    return {name: _version(name) for name in names}


@cache
def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"
