"""What a checkpoint of torch holds: which weights are taken of it, and the lines that load them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from edgekit.errors import InputError, WeightsError
from edgekit.models.card import read_card
from edgekit.models.checkpoint_contents import look_into
from edgekit.models.checkpoint_fit import COUNTER, unwrapped
from edgekit.models.model_file import ModelFile, read_model
from edgekit.models.networks import create
from edgekit.models.source import CHECKPOINTS, State
from edgekit.models.weights_choice import WeightsChoice, choose

STATISTICS = ("running_mean", "running_var", COUNTER)
"""Of a batch norm: kept with its parameters, and none."""


class CheckpointSummary(BaseModel):
    file: str
    bytes: int
    format: Literal["torch"] = "torch"
    taken: str
    """The keys under which the taken weights lie, with dots; empty of a bare state dict."""
    state: State | None
    """Which of two sets of weights that is; None where there is one."""
    other: str
    """Where the other set lies; empty where there is none."""
    prefix: str
    """What is taken off the names, in words; empty where nothing is, or the architecture is not
    known."""
    tensors: int
    parameters: int
    """Numbers that were trained; of a batch norm not its mean and variance."""
    dtypes: dict[str, int]
    """Tensors by the type of their numbers."""
    arch: str
    """Empty where the file does not say it, and none of the common ones fits."""
    arch_is_said: bool
    """The file names it; else its tensors tell it."""
    classes: int | None
    """Scores of the classifier; 0 where there is none, None where nobody knows."""
    recipe: str
    """Lines of a recipe that load it; NAME is to be filled in."""


def is_checkpoint(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in CHECKPOINTS


def summarise_checkpoint(path: Path) -> CheckpointSummary:
    """
    Raises:
        WeightsError: it is none, or holds more than tensors.
    """
    found = choose(look_into(path).content, path, None)
    known = _known(path)
    arch = known.arch if known else ""
    tensors = found.tensors
    return CheckpointSummary(
        file=str(path),
        bytes=path.stat().st_size,
        taken=".".join(found.keys),
        state=found.state,
        other=found.other,
        prefix=_prefix(tensors, arch, path),
        tensors=len(tensors),
        parameters=sum(prod(t.shape) for n, t in tensors.items() if not n.endswith(STATISTICS)),
        dtypes=dict(Counter(t.dtype or "unknown" for t in tensors.values()).most_common()),
        arch=arch,
        arch_is_said=bool(arch) and (found.arch == arch or read_card(path) is not None),
        classes=known.scores if known else None,
        recipe=_recipe(path, found, known),
    )


def _known(path: Path) -> ModelFile | None:
    try:
        return read_model(path)
    except (InputError, WeightsError):  # nobody says which architecture it is of
        return None


def _prefix(tensors: Mapping[str, Any], arch: str, path: Path) -> str:
    import torch

    if not arch:
        return ""
    try:
        with torch.device("meta"):
            own = create(arch, 1000).state_dict()
        _, remark = unwrapped(dict(tensors), own, path.name)
    except Exception:  # what cannot be built without memory; a build says what does not fit
        return ""
    return remark


def _recipe(path: Path, found: WeightsChoice, known: ModelFile | None) -> str:
    lines = ["model:", f"  weights: {json.dumps(path.name, ensure_ascii=False)}"]
    lines.append(f"  arch: {known.arch if known else 'NAME'}")
    if found.state:
        lines.append(f"  state: {found.state}")
    trained = known.trained if known else None
    for key, numbers in (("mean", trained and trained.mean), ("std", trained and trained.std)):
        if numbers:
            lines.append(f"  {key}: {[*numbers]}")
    framing = known.framing if known else None
    if framing:
        lines += ["data:", f"  image_size: {framing.size.plain}"]
        said = {**framing.way._asdict(), "crop_pct": framing.crop_pct}
        lines += [f"  {key}: {value}" for key, value in said.items()]
    return "\n".join(lines)
