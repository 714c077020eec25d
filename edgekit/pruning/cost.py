"""What a network costs at given widths: milliseconds by the table, operations, parameters, bytes.

All of them are sums over layers, so that what a slice saves is asked of a few layers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekit.pruning.network import LayerPart, Network, WidthList
from edgekit.runtimes.contract.microbenchmark import Layer

LayerCost = Callable[[Layer], float]
NORM_PARAMETERS = 2


@dataclass(frozen=True)
class Cost:
    """A budget's measure, as a share of the dense network's."""

    network: Network
    of_layer: LayerCost
    per_channel: float = 0.0
    """What a channel of a normalisation costs, and the bias of a layer: parameters alone."""
    fixed: float = 0.0
    """What no cut changes."""

    def total(self, widths: WidthList) -> float:
        network = self.network
        layers = sum(map(self.of_layer, network.layers(widths)))
        return self.fixed + layers + self.per_channel * self._channels(widths)

    def share(self, widths: WidthList) -> float:
        return self.total(widths) / self.total(self.network.dense)

    def saved(self, widths: WidthList, group: int, to: int) -> float:
        """What it saves to make one group narrower."""
        after = [*widths]
        after[group] = to
        layers = sum(
            self._of_part(part, widths) - self._of_part(part, after)
            for part in self.network.touching[group]
        )
        if not self.per_channel:
            return layers
        return layers + self.per_channel * (self._channels(widths) - self._channels(after))

    def _of_part(self, part: LayerPart, widths: WidthList) -> float:
        dense = self.network.dense
        return part.times.at(widths, dense) * self.of_layer(part.at(widths, dense))

    def _channels(self, widths: WidthList) -> int:
        if not self.per_channel:
            return 0
        network = self.network
        norms = sum(NORM_PARAMETERS * port.at(widths, network.dense) for port in network.norms)
        return norms + sum(
            part.per_channel
            * part.times.at(widths, network.dense)
            * part.makes.at(widths, network.dense)
            for part in network.parts
        )


def macs(network: Network) -> Cost:
    return Cost(network, lambda layer: layer.macs)


def parameters(network: Network) -> Cost:
    """Exact: weights, biases and normalisations; positions and other tensors are fixed."""
    counted = Cost(network, lambda layer: layer.weights, per_channel=1.0)
    rest = network.parameters - counted.total(network.dense)
    return Cost(network, counted.of_layer, per_channel=1.0, fixed=rest)


def latency(network: Network, seconds: LayerCost) -> Cost:
    return Cost(network, seconds)
