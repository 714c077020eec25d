"""What is found out of a device, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field


class PythonThere(BaseModel):
    """The Python that would run the agent."""

    model_config = ConfigDict(extra="forbid")

    path: str
    version: str
    bits: int
    machine: str
    glibc: str | None
    part: str | None = None
    """Of an Arm processor, the number of its core."""
    packages: dict[str, str]
    """numpy and the runtimes that are installed for it, with their versions."""

    @property
    def release(self) -> tuple[int, ...]:
        """(3, 11)"""
        return tuple(map(int, self.version.split(".")[:2]))


class Throttling(BaseModel):
    """`vcgencmd get_throttled` of a Raspberry Pi, decoded."""

    model_config = ConfigDict(extra="forbid")

    now: list[str]
    since_boot: list[str]


class Trial(BaseModel):
    """What came of a runtime that ran a tiny model in float and in int8 on a device."""

    model_config = ConfigDict(extra="forbid")

    library: str
    """Distribution and version."""
    fault: str | None
    """How it failed; None where it gave the scores it should."""
    fix: str | None

    def __str__(self) -> str:
        return f"{self.library}: {'fails' if self.fault else 'runs'}"


class DeployedRelease(BaseModel):
    """One release of a model on a device."""

    model_config = ConfigDict(extra="forbid")

    release: str
    in_use: bool
    damaged: list[str]
    """Its files that are not what they were, or not there."""


class DeployedModel(BaseModel):
    """A model that was deployed on a device."""

    model_config = ConfigDict(extra="forbid")

    name: str
    current: str | None
    previous: str | None
    releases: list[DeployedRelease]
    """The newest first."""

    @property
    def is_lost(self) -> bool:
        """Whether the release in use is gone: `current` leads nowhere."""
        return self.current is not None and not any(one.in_use for one in self.releases)

    @property
    def is_whole(self) -> bool:
        """Whether something is in use, and nothing of it is damaged."""
        return any(one.in_use and not one.damaged for one in self.releases)

    def damage(self) -> Iterator[tuple[str, bool]]:
        """What is wrong, and whether that is in use."""
        if self.is_lost:
            yield f"the release in use is gone: {str(self.current)[:16]}", True
        for release in self.releases:
            if release.damaged:
                yield f"{', '.join(release.damaged)} damaged", release.in_use


class Checked(BaseModel):
    """A device as it was found; None and a reason in `unread` where it does not tell."""

    model_config = ConfigDict(extra="forbid")

    name: str
    address: str
    home: str
    architecture: str | None = None
    bits: int | None = None
    """Of its programs: a Raspberry Pi OS of 32 bits can have a kernel of 64."""
    os: str | None = None
    kernel: str | None = None
    board: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    free_bytes: int | None = None
    """In `home`."""
    temperature_c: float | None = None
    governors: list[str] | None = None
    throttling: Throttling | None = None
    programs: list[str] | None = None
    """Of what edgekit calls there, what it has."""
    python: PythonThere | None = None
    trials: list[Trial] | None = None
    """Of each runtime that its Python has."""
    models: list[DeployedModel] | None = None
    unread: dict[str, str] = Field(default={})
    problems: list[DeviceProblem] = Field(default=[])

    @property
    def is_fit(self) -> bool:
        """Whether nothing is missing; advice is none of it."""
        return not any(problem.blocks for problem in self.problems)


class DeviceProblem(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True
    )

    what: str
    fix: str = Field(alias="mend")
    """A command, or what to do."""
    blocks: bool = True
    """Whether it must be fixed before models run there; False for advice."""
