"""Target: where a model must run. A YAML file; adding one that reuses a runtime is no code."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edgekit.data.framing import Framing
from edgekit.data.size import Size
from edgekit.engine.user_paths import at_home
from edgekit.errors import InputError
from edgekit.evaluation.gates import Gates
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import TakesOver
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.yamlfile import named_document, parse, suggestion

ANDROID_ABIS = ("arm64-v8a", "armeabi-v7a")


class Target(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    """Names the folder under build/<recipe>; the file's name unless given."""
    description: str
    """What it is, for a person."""
    runtimes: tuple[str, ...] = Field(min_length=1, strict=False)
    """Runtimes to build for; all must pass the gates."""
    alternatives: tuple[Variant, ...] = Field((), strict=False)
    """Other ways to build for it, each measured and left out with its reason where it fails. The
    fastest of all that pass is named the choice."""
    cpu: str
    """The processor, as compilers and emulators name it, e.g. cortex-a76."""
    isa: str | None = None
    """Its instruction set, with the extensions that int8 kernels use: stands in the report."""
    device: Literal["CPU", "GPU", "NPU"] = "CPU"
    """What the model runs on. A file it would refuse is a failure at build time."""
    engine: str | None = Field(None, pattern=r"^[a-z0-9-]+==[0-9.]+$")
    """An older library that runs the model there, e.g. tflite-runtime==2.14.0."""
    memory_mb: int | None = Field(None, ge=1, le=2**30)
    """Of the device: stands in the report."""
    threads: int = Field(ge=1, le=1024)
    """Threads an application on the device gives to inference: stands in the report. Host ratios
    are measured at one thread."""
    gates: Gates = Gates()
    """Limits besides the recipe's; of two the stricter holds."""
    use: str = ""
    """What to do with the files: Markdown, at the end of the report, in which {{ recipe }},
    {{ height }}, {{ width }} (pixels), {{ fit }}, {{ crop }} (data.crop_pct), {{ interpolation }},
    {{ orientation }}, {{ classes }} (how many) and {{ variants }} (names of those that shipped) are
    filled in."""

    @property
    def is_android(self) -> bool:
        """Its devices are reached by adb: Android's name of the processor's ABI gives it away."""
        return self.cpu in ANDROID_ABIS

    def use_for(self, recipe: str, framing: Framing, classes: int, variants: list[str]) -> str:
        """`use` with a build's own names in it."""
        import jinja2.sandbox

        environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined)
        template = environment.from_string(self.use)
        height, width = framing.size
        size = {"size": framing.size.plain, "height": height, "width": width}
        how = {"crop": framing.crop_pct, **framing.way._asdict()}
        return template.render(recipe=recipe, **size, **how, classes=classes, variants=variants)

    @model_validator(mode="after")
    def _use_can_be_filled_in(self) -> Target:
        import jinja2

        try:
            self.use_for("recipe", Framing(Size.square(224)), 2, list(self.runtimes))
        except jinja2.TemplateError as error:
            raise ValueError(f"use: {error}") from error
        return self

    @property
    def variants(self) -> tuple[Variant, ...]:
        return (*self.required, *self.alternatives)

    @property
    def required(self) -> tuple[Variant, ...]:
        """Those that must pass."""
        return tuple(Variant(runtime=name) for name in self.runtimes)

    def only(self, variant: str) -> Target:
        """This target, built in one way alone.

        Args:
            variant: the name of one of its variants.
        """
        required = tuple(name for name in self.runtimes if name == variant)
        others = tuple(each for each in self.alternatives if each.name == variant)
        return self.model_copy(update={"runtimes": required, "alternatives": others})

    @field_validator("alternatives")
    @classmethod
    def _can_be_made(cls, value: tuple[Variant, ...]) -> tuple[Variant, ...]:
        for variant in value:
            _check(variant)
        names = [variant.name for variant in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return value

    @field_validator("device")
    @classmethod
    def _runs_there(cls, value: str, info: ValidationInfo) -> str:
        """Else figures of another device would pass for the target's."""
        others = [variant.runtime for variant in info.data.get("alternatives", ())]
        for name in (*info.data.get("runtimes", ()), *others):
            known = find_runtimes()[name].devices
            if value not in known:
                raise ValueError(f"{name} does not run on the {value}, only on {', '.join(known)}")
        return value

    @field_validator("engine")
    @classmethod
    def _engine_is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        own = [find_runtimes()[name] for name in info.data.get("runtimes", find_runtimes())]
        known = [engine for runtime in own for engine in runtime.older_engines] or ["none"]
        if value is not None and value not in known:
            raise ValueError(f"nothing is known of {value}; known: {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _not_required_as_well(self) -> Target:
        both = [v.name for v in self.alternatives if v.name in self.runtimes]
        if both:
            raise ValueError(f"alternatives: {', '.join(both)} stands under runtimes already")
        return self

    @field_validator("runtimes")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in find_runtimes():
                raise ValueError(f"no runtime {name!r}; {suggestion(name, list(find_runtimes()))}")
        if len(set(value)) < len(value):
            raise ValueError("a runtime is named twice")
        return value


def machine_of(isa: str | None) -> str | None:
    """The architecture of an instruction set, as `uname -m` says it; None where it is not named."""
    known = {"armv8": "aarch64", "armv9": "aarch64", "armv7": "armv7l", "x86-64": "x86_64"}
    return next((m for start, m in known.items() if isa and isa.startswith(start)), None)


def _check(variant: Variant) -> None:
    """Raise ValueError for what a runtime does not offer."""
    known = find_runtimes()
    for name in (variant.runtime, variant.via):
        if name is not None and name not in known:
            raise ValueError(f"no runtime {name!r}; {suggestion(name, list(known))}")
    runtime = known[variant.runtime]
    takes = runtime.takes_over_from if issubclass(runtime, TakesOver) else ()
    if variant.via and variant.via not in takes:
        offer = ", ".join(takes) or "none"
        raise ValueError(f"{variant.runtime} takes over files of {offer}, not of {variant.via}")
    maker = known[variant.via or variant.runtime]
    offers = {"precision": maker.precisions, "quantizer": maker.quantizers}
    for key, values in offers.items():
        asked = getattr(variant, key)
        if asked is not None and asked not in values:
            raise ValueError(f"{maker.name} offers the {key} {', '.join(values)}, not {asked}")


def targets_folder() -> Path:
    """The targets that come with edgekit: inside the wheel, or beside it in a checkout."""
    package = Path(str(resources.files("edgekit")))
    inside = package / "targets"
    return inside if inside.is_dir() else package.parent / "targets"


def known_targets() -> dict[str, Path]:
    return {path.stem: path for path in sorted(targets_folder().glob("*.yaml"))}


def load_target(name: str, note: Callable[[str], None] = lambda line: None) -> Target:
    """Load a target by its name, or from a YAML file of one's own.

    Args:
        note: takes a line for the user about a name that is not the file's.

    Raises:
        ConfigError: problems in the file. InputError: no such target.
    """
    if name.lower().endswith((".yaml", ".yml")):
        try:
            path = at_home(Path(name))
        except ValueError as error:
            raise InputError(f"--target: {error}") from None
    elif name in known_targets():
        path = known_targets()[name]
    else:
        raise InputError(
            f"--target: no target {name!r}",
            hint=f"did you mean {name}.yaml?"
            if Path(f"{name}.yaml").is_file()
            else f"{suggestion(name, list(known_targets()))}; or give a .yaml file",
        )
    return parse(named_document(path, note), Target)
