"""Which channels must be cut together: the dependency groups of a network, by torch-pruning.

A channel that one layer no longer makes is read by no other: a residual sum ties the layers on both
of its sides, a depthwise convolution its input to its output, squeeze-and-excitation the channels
it scales (Fang et al. 2023, DepGraph).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgekit import packages
from edgekit.data.size import Size
from edgekit.errors import NotAsAsked
from edgekit.models.channel_widths import kind_of
from edgekit.pruning.attention_heads import LINEAR_ATTENTION, heads_of, whole_layers
from edgekit.pruning.members import Group, Member, is_depthwise

WINDOW_ATTENTION = "LocalWindowAttention"
"""Of timm's EfficientViT m. Tracing enters neither it nor the linear attention of b: their reshapes
are no layers."""


class Dependencies:
    """The groups of a network, which can be cut."""

    def __init__(self, model: Any, image_size: Size) -> None:
        """Trace a torch model for one image, (1, 3, height, width).

        Raises:
            NotAsAsked: torch-pruning cannot trace the architecture.
        """
        self.model = model
        self._names = {module: name for name, module in model.named_modules()}
        self._graph = _trace(model, image_size)
        self._roots: dict[str, tuple[Any, Any]] = {}
        self._heads = {heads.group.name: heads for heads in heads_of(model)}
        self.groups = (*self._read(), *(heads.group for heads in self._heads.values()))

    def cut(self, dropped: Mapping[str, Sequence[int]]) -> None:
        """Remove channels in place.

        Args:
            dropped: by the group's name its channels, or heads, counted as they are now.
        """
        for name, channels in dropped.items():
            if name in self._heads:
                self._heads[name].cut(channels)
            elif channels:
                module, function = self._roots[name]
                self._graph.get_pruning_group(module, function, list(channels)).prune()

    def _read(self) -> Iterator[Group]:
        import torch

        frozen = [
            self.model.get_classifier(),
            *_of_kind(self.model, WINDOW_ATTENTION),
            *whole_layers(self.model),
        ]
        roots = (torch.nn.Conv2d, torch.nn.Linear)
        for found in self._graph.get_all_groups(ignored_layers=frozen, root_module_types=roots):
            members = [m for item in found for m in self._members(item)]
            if not all(self._is_cuttable(item.dep.target.module) for item in found):
                continue
            root = found[0].dep
            name = self._names[root.target.module]
            self._roots[name] = (root.target.module, root.handler)
            yield Group(name=name, width=len(found[0].idxs), members=tuple(members))

    def _members(self, item: Any) -> Iterator[Member]:
        """The layers of one entry of a group; reshapes and additions are none."""
        module, own, root = item.dep.target.module, tuple(item.idxs), tuple(item.root_idxs)
        kind, name = _kind(module), self._names.get(module)
        if name is None or kind is None:
            return
        if kind == LINEAR_ATTENTION:
            yield Member(f"{name}.qkv.conv", "in", own, root)
            yield from (Member(f"{name}.proj.{part}", "out", own, root) for part in _ends(module))
        elif kind in ("BatchNorm2d", "LayerNorm") or is_depthwise(module):
            yield Member(name, "both", own, root)
        else:
            outwards = self._graph.is_out_channel_pruning_fn(item.dep.handler)
            yield Member(name, "out" if outwards else "in", own, root)

    def _is_cuttable(self, module: Any) -> bool:
        """Whether a layer can be cut and described; grouped convolutions cannot be cut evenly."""
        import torch

        if isinstance(module, torch.nn.Conv2d):
            return module.groups == 1 or is_depthwise(module)
        if isinstance(module, torch.nn.Module):
            own = [*module.parameters(), *module.buffers()]
            return not own or _kind(module) is not None
        return not isinstance(module, torch.Tensor)  # reshapes and sums; a parameter has no width


def _trace(model: Any, image_size: Size) -> Any:
    with packages.told():
        import torch_pruning
    import torch

    graph = torch_pruning.DependencyGraph()
    image = torch.zeros(1, 3, *image_size)
    blocks = [*_of_kind(model, LINEAR_ATTENTION), *_of_kind(model, WINDOW_ATTENTION)]
    attention = {type(block): _attention_pruner() for block in blocks}
    try:
        with _passing_through(model), torch.enable_grad():
            graph.build_dependency(model, image, customized_pruners=attention, verbose=False)
    except Exception as error:  # whatever tracing stumbles over, it is the architecture's
        arch = model.pretrained_cfg["architecture"]
        raise NotAsAsked(
            f"prune: torch-pruning cannot trace {arch}: {type(error).__name__}: {error}",
            hint="the MobileNet, EfficientNet, EfficientViT and ViT families can be pruned",
        ) from error
    return graph


@contextlib.contextmanager
def _passing_through(model: Any) -> Iterator[None]:
    """Attention blocks that give back what they are given, so that tracing does not enter them."""
    import torch

    class Pass(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
            return gradients[0]

    blocks = [*_of_kind(model, LINEAR_ATTENTION), *_of_kind(model, WINDOW_ATTENTION)]
    for block in blocks:
        block.forward = Pass.apply
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _attention_pruner() -> Any:
    """How a linear attention follows a cut: what it reads and what it gives are channels of the
    same residual sum; its heads are a group of their own. (A window attention is known by it, and
    never cut.)"""
    from torch_pruning.ops import OPTYPE
    from torch_pruning.pruner.function import BasePruningFunc, PrunerBox

    class AttentionPruner(BasePruningFunc):  # type: ignore[misc]
        def prune_out_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
            PrunerBox[OPTYPE.CONV].prune_in_channels(layer.qkv.conv, idxs)
            PrunerBox[OPTYPE.CONV].prune_out_channels(layer.proj.conv, idxs)
            if "norm" in _ends(layer):
                PrunerBox[OPTYPE.BN].prune_out_channels(layer.proj.norm, idxs)
            return layer

        prune_in_channels = prune_out_channels

        def get_out_channels(self, layer: Any) -> int:
            linear = type(layer).__name__ == LINEAR_ATTENTION
            return int(layer.proj.conv.out_channels if linear else layer.dim)

        get_in_channels = get_out_channels

    return AttentionPruner()


def _ends(attention: Any) -> tuple[str, ...]:
    """The layers at the end of a linear attention that have its width."""
    return tuple(name for name in ("conv", "norm") if _kind(getattr(attention.proj, name, None)))


def _of_kind(model: Any, kind: str) -> list[Any]:
    return [module for module in model.modules() if type(module).__name__ == kind]


def _kind(module: Any) -> str | None:
    """What can be described by widths; a group that reaches any other layer is left alone."""
    return LINEAR_ATTENTION if type(module).__name__ == LINEAR_ATTENTION else kind_of(module)
