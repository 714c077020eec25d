"""Target: where a model must run. A YAML file; adding one that reuses a runtime is no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from edgekit.errors import InputError
from edgekit.gates import Gates
from edgekit.plugins import find_runtimes
from edgekit.yamlfile import Document, parse, suggestion


class Target(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    """Names the folder under build/<recipe>; the file's name unless given."""
    description: str
    runtimes: tuple[str, ...] = Field(min_length=1, strict=False)
    """Runtimes to build for; all must pass the gates, the fastest is named the choice."""
    cpu: str
    """The processor, as compilers and emulators name it, e.g. cortex-a76."""
    threads: int = Field(ge=1)
    """Threads an application on the device gives to inference: stands in the report. Host ratios
    are measured at one thread."""
    gates: Gates = Gates()

    @field_validator("runtimes")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in find_runtimes():
                raise ValueError(f"no runtime {name!r}; {suggestion(name, list(find_runtimes()))}")
        if len(set(value)) < len(value):
            raise ValueError("a runtime is named twice")
        return value


def targets_folder() -> Path:
    """The targets that come with edgekit: inside the wheel, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "targets"
    return inside if inside.is_dir() else package.parent / "targets"


def known_targets() -> dict[str, Path]:
    return {path.stem: path for path in sorted(targets_folder().glob("*.yaml"))}


def load_target(name: str) -> Target:
    """Load a target by its name, or from a YAML file of one's own.

    Raises:
        ConfigError: problems in the file. InputError: no such target.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    elif name in known_targets():
        path = known_targets()[name]
    else:
        raise InputError(
            f"--target: no target {name!r}",
            hint=f"{suggestion(name, list(known_targets()))}; or give a .yaml file",
        )
    document = Document(path)
    if isinstance(document.data, dict):
        defaults: dict[str, Any] = {"name": path.stem}
        document.data = {**defaults, **document.data}
    return parse(document, Target)
