"""What each target can be built with, and what it still needs on this machine."""

from __future__ import annotations

from pydantic import BaseModel

from edgekit.setup.needs import extras_of, install_line, missing, missing_for
from edgekit.spec.target import Target, known_targets, load_target


class VariantNeeds(BaseModel):
    """One way to build for a target."""

    name: str
    must_pass: bool
    """Else it is an alternative, left out with its reason where something is missing."""
    missing: list[str]


class TargetNeeds(BaseModel):
    name: str
    description: str
    device: str
    variants: list[VariantNeeds]
    ready: bool
    """All that must pass can be built."""
    install: str | None
    """The command that makes it so."""


def known_target_needs(extras: tuple[str, ...] = ()) -> list[TargetNeeds]:
    return [target_needs(load_target(name), extras) for name in known_targets()]


def target_needs(target: Target, extras: tuple[str, ...] = ()) -> TargetNeeds:
    """
    Args:
        extras: of edgekit's own, that a recipe needs besides.
    """
    lacking = missing_for(target, extras)
    variants = [
        VariantNeeds(
            name=variant.name,
            must_pass=variant.name in target.runtimes,
            missing=[need.requirement for need in missing(extras_of(variant))],
        )
        for variant in target.variants
    ]
    return TargetNeeds(
        name=target.name,
        description=target.description,
        device=f"{target.cpu} {target.device}",
        variants=variants,
        ready=not lacking,
        install=install_line(target, lacking, extras) if lacking else None,
    )
