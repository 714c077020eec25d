"""The names of lukemelas-style EfficientNet-Lite weights, as timm has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.errors import WeightsError

if TYPE_CHECKING:
    import torch

    StateDict = dict[str, torch.Tensor]


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
