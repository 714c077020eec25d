"""Scale channels between two layers, such that 256 codes serve all of them alike.

A channel that reaches a tenth of the largest one's values has a tenth of its codes. Where nothing
but a ReLU lies between two layers, a factor can move from the first one's output to the second
one's input without changing what the model computes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from edgekit.data.size import Size
from edgekit.quantization.fold_batch_norm import pairs
from edgekit.quantization.trace import Call, Trace, trace, watch

if TYPE_CHECKING:
    import torch

DEAD_CHANNEL = 1e-6
"""What a channel reaches that never lives."""
MAX_FACTOR = 8.0
"""Beyond it, weights of the second layer would lose more than activations win."""


class Link(NamedTuple):
    """A tensor whose channels can be scaled."""

    makers: tuple[str, ...]
    """Modules whose weight (if it has one a channel) and bias scale with it: a layer and its
    BatchNorm, or a LayerNorm."""
    takers: tuple[str, ...]
    """Layers that read it, all of them."""
    call: int
    """The call of the trace that gives it."""
    channel: int
    """Its axis of channels."""


def layer_links(model: Any, image_size: Size) -> list[Link]:
    """Layer, BatchNorm and ReLU in front of one other layer: cross-layer equalisation (Nagel et
    al. 2019). ReLU6 is not among them: its limit would have to be scaled as well."""
    seen, modules = trace(model, image_size), dict(model.named_modules())
    links = []
    for layer in pairs(model, image_size):
        if layer.activation not in (None, "relu"):
            continue
        end = _end(seen, layer.name, layer.norm)
        takers = _layers_behind(seen, end, modules) if end else ()
        if end and len(takers) == 1:
            makers = tuple(filter(None, (layer.name, layer.norm)))
            channel = 1 if end.function != "linear" else -1
            links.append(Link(makers, takers, end.index, channel))
    return links


def norm_links(model: Any, image_size: Size) -> list[Link]:
    """LayerNorms in front of linear layers: SmoothQuant (Xiao et al. 2023)."""
    seen, modules = trace(model, image_size), dict(model.named_modules())
    links = []
    for call in seen.calls:
        takers = _layers_behind(seen, call, modules) if call.function == "layer_norm" else ()
        if takers and call.owner and len(call.parameters) == 2:
            links.append(Link((call.owner,), takers, call.index, -1))
    return links


def _end(seen: Trace, name: str, norm: str | None) -> Call | None:
    """The call whose result is the layer's, BatchNorm and activation included; None where the
    layer runs more than once."""
    calls = [call for call in seen.calls if call.owner == name]
    if len(calls) != 1:
        return None
    end = calls[0]
    after = seen.only_consumer(end.index)
    while after and ((norm and after.owner == norm) or after.activation == "relu"):
        end, after = after, seen.only_consumer(after.index)
        if end.activation:
            break
    return end


def _layers_behind(seen: Trace, call: Call, modules: dict[str, Any]) -> tuple[str, ...]:
    """Names of the layers that read a result; nothing where anything else reads it too."""
    from torch import nn

    readers = [c for c in seen.consumers(call.index) if c.function not in ("dropout", "identity")]
    names = tuple(str(reader.owner) for reader in readers)
    once = all([c.owner for c in seen.calls].count(name) == 1 for name in names)
    known = all(isinstance(modules.get(name), nn.Conv2d | nn.Linear) for name in names)
    return names if names and once and known else ()


def equalise(model: Any, links: list[Link], batches: Iterable[torch.Tensor]) -> None:
    """Scale the channels of each link, in place: half of the way between equal activations and
    equal columns of the weights behind them; a depthwise layer's weights have a step of their own
    for each channel, and so take all of it.

    Args:
        model: folded; what it computes stays the same but for rounding of floats.
        batches: normalised images, float32 (n, 3, height, width).
    """
    import torch

    modules = dict(model.named_modules())
    reach = _reach(model, links, batches)
    with torch.no_grad():
        for link in links:
            takers = [modules[name] for name in link.takers]
            depthwise = any(getattr(taker, "groups", 1) > 1 for taker in takers)
            plain = all(t.groups == t.in_channels == t.out_channels for t in takers if depthwise)
            if not plain:
                continue
            alive = reach[link.call] > DEAD_CHANNEL
            if not alive.any():
                continue
            size = reach[link.call].clamp_min(DEAD_CHANNEL)
            factor = size if depthwise else (size / _columns(takers)).sqrt()
            factor = factor / factor[alive].log().mean().exp()
            factor = factor.clamp(1 / MAX_FACTOR, MAX_FACTOR)
            factor = torch.where(alive, factor, torch.ones_like(factor))
            _scale(modules, link, takers, factor, depthwise)


def _reach(model: Any, links: list[Link], batches: Iterable[torch.Tensor]) -> dict[int, Any]:
    """The largest size of each channel of each link."""
    import torch

    axes = {link.call: link.channel for link in links}
    found: dict[int, Any] = {}

    def see(call: Call, result: torch.Tensor) -> torch.Tensor:
        if call.index in axes:
            largest = result.abs().movedim(axes[call.index], 0).flatten(1).amax(dim=1)
            known = found.get(call.index, largest)
            found[call.index] = torch.maximum(known, largest)
        return result

    with torch.no_grad():
        for batch in batches:
            with watch(batch, see):
                model(batch)
    return found


def _columns(takers: list[Any]) -> torch.Tensor:
    """The largest weight that reads each channel, over all takers."""
    import torch

    largest = [t.weight.abs().transpose(0, 1).flatten(1).amax(dim=1) for t in takers]
    return torch.stack(largest).amax(dim=0).clamp_min(1e-6)


def _scale(
    modules: dict[str, Any], link: Link, takers: list[Any], factor: torch.Tensor, depthwise: bool
) -> None:
    first, *norms = (modules[name] for name in link.makers)
    first.weight.div_(factor.view(-1, *[1] * (first.weight.dim() - 1)))
    for module in (first, *norms):  # a folded BatchNorm only adds its bias
        if module.bias is not None:
            module.bias.div_(factor)
    for taker in takers:
        shape = (-1, 1, 1, 1) if depthwise else (1, -1, *[1] * (taker.weight.dim() - 2))
        taker.weight.mul_(factor.view(shape))
