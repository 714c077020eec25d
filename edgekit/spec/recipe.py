"""Recipe: what to do to a model. Parsed from YAML, checked as a whole before anything runs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny

from edgekit.data.sources import find_sources
from edgekit.data.sources.base import Source
from edgekit.errors import ConfigError, InputError
from edgekit.evaluation.gates import Gates
from edgekit.models.input_size import input_size
from edgekit.models.source import CHECKPOINTS, FORMATS, NAMES, ModelSource
from edgekit.printable import shortened
from edgekit.runtimes import find_runtimes
from edgekit.spec.docstrings import DescribedSchema
from edgekit.spec.search_settings import SearchSettings
from edgekit.spec.yaml_document import Document, Location
from edgekit.spec.yamlfile import REQUIRED, named_document, parse, suggestion
from edgekit.stages import find_stages
from edgekit.stages.base import Stage


def _tagged(entry: Any) -> Any:
    """`- quantize: {...}` as pydantic's discriminated unions want it."""
    if isinstance(entry, Stage):
        return entry
    name, below = _stage_entry(entry)
    if name not in find_stages():
        known = suggestion(str(name), list(find_stages()))
        raise ValueError(f"no stage {shortened(name)!r}; {known}")
    return {"stage": name, **_stage_fields(name, below)}


def _stage_entry(entry: Any) -> tuple[Any, Any]:
    """The name of a stage and what stands below it."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, dict) and len(entry) == 1:
        return next(iter(entry.items()))
    if isinstance(entry, dict) and entry and not next(iter(entry.values())):
        first, second = list(entry)[:2]
        raise ValueError(f"{second} stands beside {first}: indent it, so that it stands below")
    raise ValueError("one stage expected here, e.g. `- quantize: {precision: int8}`")


def _stage_fields(name: str, below: Any) -> dict[str, Any]:
    if below is not None and not isinstance(below, dict):
        raise ValueError(f"a mapping of keys expected under {name}, not {shortened(repr(below))}")
    if below and "stage" in below:
        raise ValueError(f"unknown key 'stage' under {name}")
    return below or {}


def _known_source(value: Any) -> Any:
    if isinstance(value, dict):
        name = value.get("source")
        known = list(find_sources())
        if "source" in value and str(name) not in known:
            given = shortened(repr(name))
            raise ValueError(f"no data source {given}; {suggestion(str(name), known)}")
    return value


# The unions are made of the plug-ins that are found; a type checker sees their base class.
if TYPE_CHECKING:
    AnyStage = Stage
    AnySource = Source
else:
    AnyStage = Annotated[
        Union[tuple(find_stages().values())],  # noqa: UP007
        Field(discriminator="stage"),
        BeforeValidator(_tagged),
    ]
    AnySource = Annotated[
        Union[tuple(find_sources().values())],  # noqa: UP007
        Field(discriminator="source"),
        BeforeValidator(_known_source),
    ]


class ReportSettings(BaseModel):
    """What the report of a build shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    thumbnails: bool = True
    """Small pictures of the images whose answer changed. With false none is written anywhere."""


class Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    """Names the folder under build/; the file's name unless given."""
    model: ModelSource
    """The network and its weights."""
    data: SerializeAsAny[AnySource]
    """The labelled images, and how they become the model's input."""
    stages: tuple[SerializeAsAny[AnyStage], ...] = Field(min_length=1, strict=False)
    """What is done to the model, in this order."""
    gates: Gates = Gates()
    """Limits on what is measured; a stage beyond one stops the build."""
    report: ReportSettings = ReportSettings()
    """What the report shows."""
    search: SearchSettings | None = None
    """What `edgekit search` may vary; a build does not read it."""
    allow_untrained: bool = False
    """Build what is no better than naming the commonest class, too. Its verdict is "untrained" all
    the same."""


def conflicts(recipe: Recipe) -> list[tuple[Location, str]]:
    """Settings that are right alone and cannot work together, each with its place (pure)."""
    return [
        *_order(recipe),
        *_untrained(recipe),
        *_without_torch(recipe),
        *_corrected(recipe),
        *_strange_runtimes(recipe),
    ]


def _order(recipe: Recipe) -> Iterator[tuple[Location, str]]:
    names = [stage.stage for stage in recipe.stages]
    for i, stage in enumerate(recipe.stages):
        before = recipe.stages[:i]
        where = ("stages", i)
        if stage.scope == "trunk":
            if any(other.scope == "runtime" for other in before):
                yield (
                    where,
                    f"{stage.stage} works on the torch model, so it comes before quantize "
                    "and export",
                )
            for settled in (other.stage for other in before if other.is_final):
                yield where, f"{stage.stage} would undo what {settled} leaves: let it come before"
            continue
        if stage.stage in names[:i]:
            yield where, f"{stage.stage} stands {names.count(stage.stage)} times, once is enough"
        elif any(other.stage == "export" for other in before):
            yield where, f"{stage.stage} comes after export, which must be the last one"


def _corrected(recipe: Recipe) -> Iterator[tuple[Location, str]]:
    """Corrections and a grid of its own change the same weights."""
    settled = [stage.stage for stage in recipe.stages if stage.is_final]
    for i, stage in enumerate(recipe.stages):
        given = ", ".join(getattr(stage, "corrections", ()))
        where = ("stages", i, stage.stage)
        if given and recipe.model.format != "torch":
            kind = NAMES[recipe.model.format]
            yield (*where, "corrections"), f"{given} change a timm model, and this is {kind}"
        for name in settled if stage.scope == "runtime" else ():
            if given:
                yield (*where, "corrections"), f"{given} would undo what {name} has trained"
            if not getattr(stage, "per_channel", True):
                yield (
                    (*where, "per_channel"),
                    f"{name} trains weights on a grid with a step for each channel",
                )


def _untrained(recipe: Recipe) -> Iterator[tuple[Location, str]]:
    if any(stage.trains for stage in recipe.stages):
        return
    if recipe.model.weights == "scratch":
        yield ("model", "weights"), "scratch needs a finetune stage to train it"
    if recipe.model.head == "new":
        yield ("model", "head"), "new needs a finetune stage to train it"


def _without_torch(recipe: Recipe) -> Iterator[tuple[Location, str]]:
    """Trunk stages change a torch model, which a file from elsewhere is not."""
    if recipe.model.format == "torch":
        return
    for i, stage in enumerate(recipe.stages):
        if stage.scope == "trunk":
            kind = NAMES[recipe.model.format]
            yield (
                ("stages", i),
                f"{stage.stage} needs a timm model, and {recipe.model.weights_name} is {kind}: "
                "remove the stage, or give model.arch and its weights",
            )


def _strange_runtimes(recipe: Recipe) -> Iterator[tuple[Location, str]]:
    known = list(find_runtimes())
    for i, stage in enumerate(recipe.stages):
        if stage.scope != "runtime":
            continue
        named = [(key, name) for key, value in stage if isinstance(value, dict) for name in value]
        for key, name in named:
            if name not in known:
                where = ("stages", i, stage.stage, key, name)
                yield where, f"no runtime {name!r}; {suggestion(name, known)}"


def load_recipe(path: Path, note: Callable[[str], None] = lambda line: None) -> Recipe:
    """Read a recipe.

    Args:
        note: takes a line for the user about each key that is read under its old name, and about a
            name that is not the file's.

    Raises:
        ConfigError: every problem in the file, with its line. InputError: it is no file, or a
            model.
    """
    try:
        document = named_document(path, note)
    except InputError as error:
        raise _refused(path, error) from None
    try:
        recipe = parse(document, Recipe, conflicts)
    except ConfigError as error:
        raise _with_image_size(error, document) from None
    for line in renamed_keys(document, recipe.stages):
        note(line)
    return recipe


def _refused(path: Path, error: InputError) -> InputError:
    """The same, or what to do with what is no recipe."""
    given = shlex.quote(str(path))
    if os.path.isdir(path):
        return InputError(f"{path}: this is a folder, not a recipe", hint=f"edgekit init {given}")
    if os.path.isfile(path) and path.suffix.lower() in (*FORMATS, *CHECKPOINTS):
        hint = f"edgekit init {given} --data PHOTOS"
        return InputError(f"{path}: this is a model, not a recipe", hint=hint)
    return error


def _with_image_size(error: ConfigError, document: Document) -> ConfigError:
    """The same, with the size that the model's file takes where the recipe says none."""
    lacking = [p for p in error.problems if (p.where, p.message) == ("data.image_size", REQUIRED)]
    model = document.data.get("model") if isinstance(document.data, dict) else None
    weights = model.get("weights") if isinstance(model, dict) else None
    if not lacking or not isinstance(weights, str) or Path(weights).suffix.lower() not in FORMATS:
        return error
    size = input_size(document.path.parent / weights)
    if size is None:
        return error
    takes = f"{Path(weights).name} takes {size.height} x {size.width} pixels"
    told = replace(lacking[0], message=f"{REQUIRED}: write image_size: {size.plain}, as {takes}")
    return ConfigError(document.path, [told if p in lacking else p for p in error.problems])


def renamed_keys(document: Document, stages: tuple[Stage, ...]) -> Iterator[str]:
    """A line for the user about each key of the stages that stands under its old name."""
    for i, stage in enumerate(stages):
        for old, new in stage.renamed.items():
            where = ("stages", i, stage.stage, old)
            if where in document.lines:
                line = document.line(where)
                yield f"{document.path}, line {line}: {stage.stage}.{old} is now {new}"


def recipe_schema() -> dict[str, Any]:
    """JSON Schema of the YAML form, in which a stage is a mapping with one key."""
    schema = Recipe.model_json_schema(schema_generator=DescribedSchema)
    definitions = schema["$defs"]
    forms = []
    for name, stage in find_stages().items():
        body = definitions[stage.__name__]
        del body["properties"]["stage"]
        body["required"] = [key for key in body.get("required", []) if key != "stage"]
        reference = {"anyOf": [{"$ref": f"#/$defs/{stage.__name__}"}, {"type": "null"}]}
        forms.append(
            {
                "type": "object",
                "properties": {name: reference},
                "required": [name],
                "additionalProperties": False,
            }
        )
    # `- export` alone stands for `- export: {}`.
    forms.append({"enum": list(find_stages())})
    schema["properties"]["stages"]["items"] = {"oneOf": forms}
    schema["required"] = [key for key in schema["required"] if key != "name"]
    return schema
