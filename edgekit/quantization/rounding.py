"""How weights are rounded to int8, and what rounding does to a layer's mean output.

All runtimes' quantisers give an output channel the step of its largest weight. Weights that lie on
that grid already, each channel's largest one where it was, pass through them unchanged: so what is
decided here about a weight holds in every runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.data.size import Size
from edgekit.quantization.fake_quant import MAX_WEIGHT, weight_scales
from edgekit.quantization.fold_batch_norm import pairs

if TYPE_CHECKING:
    import torch

    Batches = Iterable[torch.Tensor]
    """Normalised images, float32 (n, 3, height, width), the same ones at each turn."""

SAMPLED_POSITIONS = 64
"""Of a feature map that are sampled from each image."""
STEPS = 300
WARM_UP = 0.2
"""Share of the steps before directions are pushed to a decision."""
DECISION_WEIGHT = 0.1
"""Of the loss that pushes directions to up or down, against the layer's own: the paper's lambda."""
SIGMOID_ENDS = (-0.1, 1.1)
"""The sigmoid of a direction is stretched to these ends, so that 0 and 1 are reached."""


def layers(model: Any) -> dict[str, Any]:
    """The convolutions and linear layers of a model, by name."""
    from torch import nn

    kinds = (nn.Conv2d, nn.Linear)
    return {name: m for name, m in model.named_modules() if isinstance(m, kinds)}


def grid(weight: torch.Tensor) -> torch.Tensor:
    """The step of each output channel's codes, shape (channels, 1, ...)."""
    return weight_scales(weight).view(-1, *[1] * (weight.dim() - 1))


def nearest(weight: torch.Tensor) -> torch.Tensor:
    """The weights as plain rounding leaves them."""
    import torch

    step = grid(weight)
    return torch.round(weight / step).clamp(-MAX_WEIGHT, MAX_WEIGHT) * step


def correct_bias(
    model: Any, image_size: Size, batches: Batches, original: dict[str, torch.Tensor]
) -> int:
    """Give each layer's bias what rounding its weights takes from its mean output, in place
    (Nagel et al. 2019, "Data-free quantization", measured on images instead of derived).

    The errors of rounding do not average out over inputs that are all positive, as those behind a
    ReLU are: each channel's output is shifted, and the shifts add up from layer to layer.

    Args:
        model: folded, so that a layer's bias is its BatchNorm's or its own.
        original: the weights as they were before any rounding, by layer.

    Returns:
        how many layers were corrected; one without any bias cannot be.
    """
    import torch

    modules = dict(model.named_modules())
    holders = {p.name: modules[p.norm or p.name] for p in pairs(model, image_size)}
    holders = {name: m for name, m in holders.items() if getattr(m, "bias", None) is not None}
    lost = {name: original[name] - nearest(modules[name].weight.data) for name in holders}
    shifts: dict[str, torch.Tensor] = {}
    rows: dict[str, int] = {}

    def add(name: str, module: Any, x: torch.Tensor) -> None:
        shift = _output_of(module, lost[name], x)
        channel = shift.dim() - 1 if isinstance(module, torch.nn.Linear) else 1
        others = [i for i in range(1, shift.dim()) if i != channel]
        means = shift.double().mean(dim=others) if others else shift.double()
        shifts[name] = shifts.get(name, 0) + means.sum(dim=0)
        rows[name] = rows.get(name, 0) + len(means)  # of windows or positions, not always images

    for batch in batches:
        _watch(model, {name: modules[name] for name in lost}, batch, add)
    with torch.no_grad():
        for name, shift in shifts.items():
            holders[name].bias.add_((shift / rows[name]).float())
    return len(shifts)


def _output_of(module: Any, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What a layer would give with other weights and no bias, its own padding included."""
    own, bias = module.weight.data, module.bias
    module.weight.data, module.bias = weight, None
    try:
        result: torch.Tensor = module.forward(x)
        return result
    finally:
        module.weight.data, module.bias = own, bias


def _watch(
    model: Any, watched: dict[str, Any], batch: torch.Tensor, see: Callable[[str, Any, Any], None]
) -> None:
    """Run a batch and show each watched layer's input."""
    import torch

    def hook(name: str) -> Any:
        return lambda module, arguments: see(name, module, arguments[0])

    hooks = [m.register_forward_pre_hook(hook(name)) for name, m in watched.items()]
    try:
        with torch.no_grad():
            model(batch)
    finally:
        for handle in hooks:
            handle.remove()


@dataclass
class Moments:
    """Of what one layer multiplies its weights with, patch by patch."""

    second: torch.Tensor
    """float64 (groups, inputs, inputs): sum of x x^T."""
    first: torch.Tensor
    """float64 (groups, inputs): sum of x."""
    patches: int = 0

    @property
    def covariance(self) -> torch.Tensor:
        """Float32 (groups, inputs, inputs), about the mean: a shift of the mean output is for the
        bias to correct."""
        mean = self.first / self.patches
        return (self.second / self.patches - mean[:, :, None] * mean[:, None, :]).float()


def observe(model: Any, batches: Batches, seed: int = 0) -> dict[str, Moments]:
    """Moments of the inputs of every layer that is not dilated."""
    import torch

    found: dict[str, Moments] = {}
    generator = torch.Generator().manual_seed(seed)

    def add(name: str, module: Any, x: torch.Tensor) -> None:
        seen = _patches(module, x, generator)
        second, first = (seen.transpose(1, 2) @ seen).double(), seen.double().sum(dim=1)
        known = found.setdefault(name, Moments(torch.zeros_like(second), torch.zeros_like(first)))
        known.second += second
        known.first += first
        known.patches += seen.shape[1]

    wanted = {n: m for n, m in layers(model).items() if set(getattr(m, "dilation", (1,))) == {1}}
    for batch in batches:
        _watch(model, wanted, batch, add)
    return found


def _patches(module: Any, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A sample of what the layer's weights are multiplied with: (groups, patches, inputs).

    The border of the padding is left out: it is a few positions, and timm's layers with
    TensorFlow's padding do not say how they pad.
    """
    import torch

    if isinstance(module, torch.nn.Linear):
        rows = x.reshape(-1, x.shape[-1])
        return rows[torch.randperm(len(rows), generator=generator)[: len(x) * SAMPLED_POSITIONS]][
            None
        ]
    (height, width), (down, right) = module.kernel_size, module.stride
    if min(x.shape[2] - height, x.shape[3] - width) < 0:  # the padding is most of what it sees
        x = torch.nn.functional.pad(x, (width // 2, width // 2, height // 2, height // 2))
    windows = x.unfold(2, height, down).unfold(3, width, right)  # a view: nothing is copied yet
    down, across = windows.shape[2:4]
    chosen = torch.randperm(down * across, generator=generator)[:SAMPLED_POSITIONS]
    taken = windows[:, :, chosen // across, chosen % across]  # (n, channels, chosen, h, w)
    n, channels = taken.shape[:2]
    split = taken.reshape(n, module.groups, channels // module.groups, len(chosen), -1)
    return split.permute(1, 0, 3, 2, 4).flatten(3).flatten(1, 2)


def round_weights(
    model: Any, batches: Batches, report: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Put every layer's weights on their int8 grid, rounded by AdaRound, in place."""
    import torch

    moments, found = observe(model, batches), layers(model)
    for done, (name, layer) in enumerate(found.items(), start=1):
        weight = layer.weight.data
        rounded = adaround(weight, moments[name]) if name in moments else nearest(weight)
        with torch.no_grad():
            layer.weight.copy_(rounded)
        report(done, len(found))


def adaround(weight: torch.Tensor, moments: Moments, steps: int = STEPS) -> torch.Tensor:
    """Weights on their int8 grid, each rounded up or down such that the layer's output changes
    least (Nagel et al. 2020, "Up or down? Adaptive rounding").

    Rounding to the nearest code is best for one weight, and not for a sum of thousands, in which
    errors of weights whose inputs rise and fall together should cancel. The layer is linear in its
    weights, so the change is a quadratic form of its input's covariance: directions are learned
    without running an image again.

    Args:
        weight: float32 (outputs, inputs / groups, ...).
        moments: of the layer's input, with as many groups.
    """
    import torch

    step, covariance = grid(weight), moments.covariance
    scaled = (weight / step).reshape(len(covariance), -1, covariance.shape[-1])
    floor = torch.floor(scaled)
    rest = scaled - floor
    low, high = SIGMOID_ENDS
    # Errors are counted in codes; with inputs of mean power 1, all layers weigh alike.
    covariance = covariance / covariance.diagonal(dim1=1, dim2=2).mean().clamp_min(1e-12)
    direction = torch.logit((rest.clamp(1e-4, 1 - 1e-4) - low) / (high - low)).requires_grad_()
    optimizer = torch.optim.Adam([direction], lr=0.1)
    for i in range(steps):
        up = (torch.sigmoid(direction) * (high - low) + low).clamp(0, 1)
        loss = _change(up - rest, covariance).sum()
        if i > WARM_UP * steps:
            power = 20 - 18 * (i / steps - WARM_UP) / (1 - WARM_UP)
            loss = loss + DECISION_WEIGHT * (1 - (2 * up - 1).abs().pow(power)).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    with torch.no_grad():
        learned = (floor + (direction >= 0)).clamp(-MAX_WEIGHT, MAX_WEIGHT)
        learned = torch.where(rest == 0, scaled, learned)
        plain = torch.round(scaled).clamp(-MAX_WEIGHT, MAX_WEIGHT)
        gains = _change(learned - scaled, covariance) < _change(plain - scaled, covariance)
        codes = torch.where(gains[..., None], learned, plain)
        return codes.reshape(weight.shape) * step


def _change(error: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Mean squared change of each output channel, (groups, outputs / groups), in codes."""
    return ((error @ covariance) * error).sum(dim=-1)
