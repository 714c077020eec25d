"""Checkpoints: read their tensors without running their code, and check them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.engine.atomic import permitted
from edgekit.errors import WeightsError
from edgekit.models.checkpoint_contents import Contents, is_safetensors, look_into, unreadable
from edgekit.models.source import State
from edgekit.models.weights_choice import choose

if TYPE_CHECKING:
    import torch

    StateDict = dict[str, torch.Tensor]


NOTE = "edgekit"
"""Metadata of a safetensors file that edgekit wrote: one JSON text, as safetensors keeps several
entries in no fixed order. It is the model's card, and in a published file `seen`: the start of the
sha256 of every image the weights have learned from."""
SEEN_DIGITS = 16


def read_note(path: Path) -> dict[str, Any]:
    """What edgekit noted in a safetensors file; nothing for any other checkpoint."""
    from safetensors import SafetensorError, safe_open

    try:
        if not is_safetensors(path):
            return {}
        with safe_open(path, framework="numpy") as stream:
            text = (stream.metadata() or {}).get(NOTE, "{}")
    except (SafetensorError, OSError):
        return {}  # whoever reads the tensors says what is wrong with the file
    try:
        note = json.loads(text)
    except (ValueError, RecursionError):
        return {}  # of another program's
    return note if isinstance(note, dict) else {}


def seen_images(path: Path) -> set[str]:
    return set(str(read_note(path).get("seen", "")).split())


def write_checkpoint(source: Path, seen: Iterable[str], destination: Path) -> None:
    """Copy weights that edgekit keeps, whole or not at all, with the images they have learned from,
    so that no recipe judges by them."""
    from safetensors.numpy import load_file, save_file

    part = destination.with_name(f".{destination.name}.part")
    note = read_note(source) | {"seen": " ".join(sorted(seen))}
    save_file(load_file(source), part, metadata={NOTE: json.dumps(note)})
    part.chmod(permitted(0o666))
    part.replace(destination)


def read_state(path: Path, state: State | None = None) -> StateDict:
    """Tensors of a checkpoint by name, as float32. Never runs code from the file.

    Args:
        state: which weights, where it holds raw ones and their average; by default the average.

    Raises:
        WeightsError: not a checkpoint, nothing but pickled objects, not the state that is wanted,
            no plain tensors, or NaN inside.
    """
    contents = look_into(path)
    choose(contents.content, path, state)
    try:
        tensors = choose(_load(path, contents), path, state).tensors
        read = {name: _plain(tensor, name, path) for name, tensor in tensors.items()}
    except WeightsError:
        raise
    except Exception as error:  # of torch, on what is damaged
        raise unreadable(path, error) from error
    refuse_nan(read, str(path))
    return read


def _load(path: Path, contents: Contents) -> object:
    """What a file holds; of a pickle, tensors and plain containers alone. Any other class or
    function that it names is one that does nothing, so that none of it is imported or run."""
    import torch
    from safetensors.torch import load_file

    if is_safetensors(path):
        return load_file(path)
    idle: list[Any] = [(foreign, foreign.name) for foreign in contents.foreign]
    with torch.serialization.safe_globals(idle), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _plain(tensor: torch.Tensor, name: str, path: Path) -> torch.Tensor:
    """A tensor as float32, or whole numbers as they are.

    Raises:
        WeightsError: it has no such form.
    """
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
        raise WeightsError(f"{path}: {name} is no plain tensor of floats")
    if not tensor.is_floating_point():
        return tensor.contiguous()
    try:
        return tensor.float().contiguous()
    except (RuntimeError, NotImplementedError, TypeError) as error:
        raise WeightsError(
            f"{path}: {name} is of the type {tensor.dtype}, whose values torch cannot read",
            hint="save the weights as float32, float16 or bfloat16",
        ) from error


def refuse_nan(state: StateDict, where: str) -> None:
    """
    Raises:
        WeightsError: a tensor holds NaN or infinity, by its name.
    """
    bad = [n for n, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        raise WeightsError(
            f"{where}: {len(bad)} tensors hold NaN or infinity: {', '.join(bad[:5])}",
            hint="the training diverged: take an earlier checkpoint, or a lower learning rate",
        )
