"""What building needs installed on this machine, by edgekit's own requirements."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import edgekit
from edgekit.engine.action import library_versions
from edgekit.errors import InputError
from edgekit.models.source import Format
from edgekit.packages import need_extra
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.compatibility import why_incompatible
from edgekit.spec.recipe import Recipe
from edgekit.spec.target import Target

DISTRIBUTION = "edgekit-vision"
SOURCE = Path(edgekit.__file__).parents[1]
ABSENT = "absent"
_parsed = cache(Requirement)
"""Each variant of each target asks for the same few hundred lines."""
FEW = 3
"""Missing packages that are named one by one."""
OF_FORMATS: dict[Format, tuple[str, ...]] = {
    "torch": (), "onnx": ("onnxruntime",), "keras": ("keras",),
}  # fmt: skip
"""Extras that read a model."""
OF_QUANTIZERS = {"nncf": "intel-npu"}
"""Extras of quantisers that a runtime does not bring itself."""


@dataclass(frozen=True)
class Need:
    """A distribution that edgekit asks for."""

    name: str
    wanted: str
    """A version specifier, e.g. >=2.1."""
    installed: str | None

    @property
    def is_met(self) -> bool:
        return self.installed is not None and _parsed(self.requirement).specifier.contains(
            self.installed, prereleases=True
        )

    @property
    def requirement(self) -> str:
        return self.name + self.wanted


def needs(extra: str = "") -> list[Need]:
    """What edgekit requires always, or for one of its extras besides.

    Raises:
        InputError: edgekit itself is not installed, so its requirements are nowhere.
    """
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        raise InputError(
            f"{DISTRIBUTION} is not installed: edgekit runs from its source folder, and nothing "
            "says what it needs",
            hint=f"pip install -e {shlex.quote(str(SOURCE))}",
        ) from None
    found: dict[str, Need] = {}
    for requirement in _asked(tuple(lines), extra):
        if requirement.name == DISTRIBUTION:  # an extra that brings others
            found |= {need.name: need for each in requirement.extras for need in needs(each)}
            continue
        version = library_versions((requirement.name,))[requirement.name]
        known = None if version == ABSENT else version
        found[requirement.name] = Need(requirement.name, str(requirement.specifier), known)
    return [found[name] for name in sorted(found)]


@cache
def _asked(lines: tuple[str, ...], extra: str) -> list[Requirement]:
    """Those that hold always, or for one of the extras besides."""

    def holds(requirement: Requirement, named: str) -> bool:
        return requirement.marker is None or requirement.marker.evaluate({"extra": named})

    parsed = [_parsed(line) for line in lines]
    if not extra:
        return [each for each in parsed if holds(each, "")]
    return [each for each in parsed if holds(each, extra) and not holds(each, "")]


def extras_of(variant: Variant) -> tuple[str, ...]:
    runtimes = [find_runtimes()[name].extra for name in (variant.runtime, variant.via) if name]
    own = OF_QUANTIZERS.get(variant.quantizer or "")
    return tuple(dict.fromkeys([*runtimes, *([own] if own else [])]))


def missing(extras: Iterable[str]) -> list[Need]:
    """What building needs, whatever for, and the extras, and is not there or too old."""
    found = {need.name: need for extra in ("", "build", *extras) for need in needs(extra)}
    return [need for need in found.values() if not need.is_met]


def missing_for(target: Target, extras: Collection[str] = ()) -> list[Need]:
    """For the runtimes that must pass its gates; its alternatives are left out where theirs is
    missing.

    Args:
        extras: that the recipe needs besides.
    """
    return missing(extras_for(target, extras))


def need_runtimes(recipe: Recipe, targets: Iterable[Target]) -> None:
    """Refuse a network of timm before it is trained for a runtime that is not installed.

    Raises:
        MissingPackage: a package of one that must pass and can be reached.
    """
    if recipe.model.format != "torch":
        return  # what another format needs depends on the file
    for target in targets:
        reached = [v for v in target.required if not why_incompatible(recipe.model, v)]
        for extra in (extra for variant in reached for extra in extras_of(variant)):
            need_extra(extra)


def extras_for(target: Target, extras: Collection[str] = ()) -> list[str]:
    own = (extra for variant in target.required for extra in extras_of(variant))
    return list(dict.fromkeys([*extras, *own]))


def install_line(target: Target, lacking: Collection[Need], extras: Collection[str] = ()) -> str:
    """The packages where few are missing, and else the extras of edgekit that bring them."""
    if len(lacking) <= FEW:
        return pip_line(lacking)
    return f"pip install '{DISTRIBUTION}[{','.join(extras_for(target, extras))}]'"


def pip_line(lacking: Iterable[Need]) -> str:
    """
    >>> pip_line([Need("nncf", ">=2.19", None), Need("onnx", "", "1.0")])
    "pip install 'nncf>=2.19' onnx"
    """
    return "pip install " + " ".join(shlex.quote(need.requirement) for need in lacking)
