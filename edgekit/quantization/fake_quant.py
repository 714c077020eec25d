"""Int8 arithmetic simulated in float, as it will be deployed, so that a network can train under it.

Weights: symmetric int8, one scale for each output channel, its largest weight over 127. All three
runtimes' quantisers choose exactly this, so that weights which lie on the grid survive them.
Activations: eight bits, one scale and zero point for each tensor of the graph that is deployed
(quantizer_placement.py).
Rounding passes gradients straight through; the ends of the ranges learn with the weights
(Esser et al. 2020, "Learned step size quantization"; both ends as in Jain et al. 2020, "TQT").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError
from edgekit.quantization.quantizer_placement import LAYERS, quantizer_positions
from edgekit.quantization.ranges import Range, choose, collect
from edgekit.quantization.trace import IMAGE, Call, Trace, watch

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgekit.runtimes.contract.settings import CalibrationMethod

MAX_CODE = 255
"""The largest of an activation's codes."""
MAX_WEIGHT = 127
"""The largest of a weight's integers; -128 is left out, so that the grid is symmetric."""
RANGE_RATE_FACTOR = 10.0
"""How much faster the ends of ranges learn than weights, relative to their size."""
MIN_RANGE = 1e-12
"""Nothing smaller is a range or a step of its own: it would be divided by."""


def simulator(model: Any, seen: Trace, ranges: dict[str, Range]) -> Any:
    """A torch module that gives a model's scores under int8, and trains.

    Args:
        model: folded (fold_batch_norm.py), in eval mode; it is trained in place, and stays in eval
            mode: its statistics are frozen.
        seen: its trace.
        ranges: of activations, by the names that `quantizer_positions` gives. One that is missing
            stays float.

    Returns:
        a module that takes what the model takes. `ends()` are its ranges; `learn_ranges` says
        whether they learn too.
    """
    import torch

    named = [(index, name) for index, name in quantizer_positions(seen).items() if name in ranges]
    place = {index: i for i, (index, _) in enumerate(named)}
    held = weight_names(model, seen)

    class Simulator(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.learn_ranges = True
            start = torch.tensor([ranges[name] for _, name in named], dtype=torch.float32)
            self.register_buffer("start", start.reshape(-1, 2))
            self.start: torch.Tensor
            # Of one dimension, which optimizers spare from weight decay.
            self.moved = torch.nn.Parameter(torch.zeros(2 * len(named)))

        def train(self, mode: bool = True) -> Simulator:
            return super().train(False)

        def ends(self) -> dict[str, Range]:
            """The ranges whose ends are codes, and zero too."""
            with torch.no_grad():
                scales, zeros = self._grid()
            codes = zeros.round().clamp(0, MAX_CODE)
            low, high = -codes * scales, (MAX_CODE - codes) * scales
            return {name: (float(low[i]), float(high[i])) for i, (_, name) in enumerate(named)}

        def _grid(self) -> tuple[torch.Tensor, torch.Tensor]:
            low, high = (self.start * (RANGE_RATE_FACTOR * self.moved.view(-1, 2)).exp()).unbind(1)
            scales = (high - low) / MAX_CODE
            return scales, -low / scales

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weights = dict(self.model.named_parameters())
            swapped = {name: fake_weight(weights[name]) for name in held}
            learns = self.learn_ranges and torch.is_grad_enabled()
            with torch.set_grad_enabled(learns):
                scales, zeros = (torch.split(values, 1) for values in self._grid())

            def visit(call: Call, result: torch.Tensor) -> torch.Tensor:
                known = seen.calls[call.index] if call.index < len(seen.calls) else None
                if known is None or known.function != call.function:
                    raise EdgekitError(
                        f"the network calls {call.function} where its trace has "
                        f"{known.function if known else 'ended'}: it depends on what it is given"
                    )
                i = place.get(call.index)
                return result if i is None else fake_activation(result, scales[i], zeros[i])

            if IMAGE in place:
                x = fake_activation(x, scales[place[IMAGE]], zeros[place[IMAGE]])
            with watch(x, visit):
                scores: torch.Tensor = torch.func.functional_call(self.model, swapped, (x,))
            return scores

    return Simulator().eval()


def weight_names(model: Any, seen: Trace) -> list[str]:
    """Names of the parameters that convolutions and linear layers take as weights."""
    shapes = {name: parameter.dim() for name, parameter in model.named_parameters()}
    found = [
        name
        for call in seen.calls
        if call.function in LAYERS - {"conv_transpose2d"}
        for name in call.parameters[:1]
        if shapes.get(name, 0) > 1
    ]
    return list(dict.fromkeys(found))


def fake_weight(weight: torch.Tensor) -> torch.Tensor:
    """A weight rounded to its grid, gradients straight through; output channels come first."""
    import torch

    scales = weight_scales(weight)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    rounded: torch.Tensor = torch.fake_quantize_per_channel_affine(
        weight, scales, zeros, 0, -MAX_WEIGHT, MAX_WEIGHT
    )
    return rounded


def weight_scales(weight: torch.Tensor) -> torch.Tensor:
    """One for each output channel: its largest absolute weight over 127."""
    return weight.detach().flatten(1).abs().amax(1).clamp(min=MIN_RANGE) / MAX_WEIGHT


def snap(model: Any, names: Iterable[str]) -> None:
    """Put weights on their grids, in place. A channel's largest weight stays what it is, so that
    any symmetric per-channel quantiser finds the same grid and the same integers again."""
    import torch

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in names:
            parameters[name].copy_(fake_weight(parameters[name]))


def fake_activation(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    """A tensor rounded to the 256 codes of a scale and a zero point, both of shape (1,)."""
    import torch

    if scale.requires_grad:
        learned: torch.Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            x, scale, zero, 0, MAX_CODE, 1.0
        )
        return learned
    code = zero.round().clamp(0, MAX_CODE).to(torch.int32)
    fixed: torch.Tensor = torch.fake_quantize_per_tensor_affine(x, scale, code, 0, MAX_CODE)
    return fixed


def observe(
    model: Any, seen: Trace, images: Iterable[torch.Tensor], method: CalibrationMethod
) -> dict[str, Range]:
    """Ranges of a float model's activations, by quantizer position.

    Args:
        images: normalised, each (1, 3, size, size).
        method: of `ranges.choose`.
    """
    found = collect(tensors(model, seen, images))
    chosen = {name: choose(histogram, method) for name, histogram in found.items()}
    # What was zero for every image has no range, and no use.
    return {name: ends for name, ends in chosen.items() if ends[1] - ends[0] > MIN_RANGE}


def tensors(
    model: Any, seen: Trace, images: Iterable[torch.Tensor]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """What a float model holds at each quantizer position, one image after the other."""
    import torch

    names = quantizer_positions(seen)
    for x in images:
        held = {names[IMAGE]: x.numpy()}

        def note(call: Call, result: torch.Tensor, held: dict[str, Any] = held) -> torch.Tensor:
            if call.index in names:
                held[names[call.index]] = result.clone().numpy()
            return result

        with torch.no_grad(), watch(x, note):
            model(x)
        yield held
