"""How long each layer takes at several widths, measured on the runtime that will run it, and on the
device where there is one.

Multiply-accumulates do not tell time: a depthwise convolution waits for memory, a kernel works on
whole tiles of channels, and each runtime has other kernels. So every distinct layer of the network
is timed alone at a few widths, and between them time is interpolated.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgekit.engine.action import Action, Context, Inputs, Progress
from edgekit.engine.artifact import Artifact, Json, Metadata
from edgekit.evaluation.layer_timing import time_layers
from edgekit.evaluation.measure import HERE, Host
from edgekit.evaluation.timing import Machine
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.models.pruned import KernelPrecision
from edgekit.pruning.groups import Dependencies
from edgekit.pruning.network import LayerPart, Network, read_network
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.microbenchmark import Layer

WIDTH_SHARES = (0.25, 0.625, 1.0)
"""Of a layer's channels, the widths at which it is timed."""
WIDTH_STEP = 8
"""Measured widths are multiples of this: others may run in slower kernels."""
FRAME_SIZES = 5
"""Sizes at which the probe's own time is measured."""
TABLE_FILE = "table.json"


class TimedLayer(BaseModel):
    """Seconds of one layer; `seconds[i][j]` at `cins[i]` and `couts[j]` channels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: Layer
    cins: tuple[int, ...]
    couts: tuple[int, ...]
    seconds: tuple[tuple[float, ...], ...]

    def at(self, cin: int, cout: int) -> float:
        """Bilinear between the measured widths, and straight on below the least."""
        i, x = _place(self.cins, cin)
        j, y = _place(self.couts, cout)
        s = self.seconds
        rows = [s[k][j] + y * (s[k][j + 1] - s[k][j]) if y else s[k][j] for k in (i, i + bool(x))]
        return max(0.0, rows[0] + x * (rows[1] - rows[0]))


def _place(widths: tuple[int, ...], width: int) -> tuple[int, float]:
    """The position of the interval a width is in (or beside), and how far in it."""
    if width == widths[-1] or len(widths) == 1:
        return len(widths) - 1, 0.0
    i = min(max(bisect_right(widths, width) - 1, 0), len(widths) - 2)
    return i, (width - widths[i]) / (widths[i + 1] - widths[i])


class Table(BaseModel):
    """The time of a network's layers on one runtime."""

    model_config = ConfigDict(extra="forbid", ignored_types=(cached_property,))

    runtime: str
    precision: KernelPrecision
    entries: tuple[TimedLayer, ...]
    frame_seconds: float
    """What running a probe takes beside the layer, which is taken off: at no size at all."""
    frame_seconds_per_value: float
    rounds: int
    disturbed: int
    """Probes of which a tenth of the runs took more than twice the median."""
    environment: dict[str, Any]

    @cached_property
    def _by_place(self) -> dict[Layer, TimedLayer]:
        return {_place_of(entry.layer): entry for entry in self.entries}

    def seconds(self, layer: Layer) -> float:
        """The time of a layer of the network at whatever widths.

        Raises:
            KeyError: the table was not measured for a network with such a layer.
        """
        return self._by_place[_place_of(layer)].at(layer.cin, layer.cout)


class TableMetadata(Metadata):
    """Of a latency table."""

    layers: int
    disturbed: int
    """Probes that other jobs disturbed."""


class LatencyTable(Action):
    """Measure the table of a torch model's layers on a runtime of a machine."""

    version = 1

    def __init__(
        self, runtime: Runtime, precision: KernelPrecision, machine: Machine = HERE
    ) -> None:
        self.runtime = runtime
        self.precision: KernelPrecision = precision
        self.machine = machine

    def used_libraries(self) -> tuple[str, ...]:
        return (*self.runtime.libraries, self.runtime.engine, "torch-pruning")

    @property
    def times(self) -> bool:
        return isinstance(self.machine, Host)

    def settings(self) -> Json:
        own = {"runtime": self.runtime.name, "precision": self.precision}
        grid = {"shares": WIDTH_SHARES, "step": WIDTH_STEP, "frames": FRAME_SIZES}
        return {**own, **grid, **self.machine.identity()}

    def run(self, inputs: Inputs, into: Path, context: Context) -> TableMetadata:
        model, card = timm_models.restore(inputs["model"])
        network = network_of(model, card)
        table = measure_table(network, self.runtime, self.precision, self.machine, context.progress)
        (into / TABLE_FILE).write_text(table.model_dump_json(), encoding="utf-8")
        return TableMetadata(layers=len(table.entries), disturbed=table.disturbed)


def network_of(model: Any, card: Card) -> Network:
    dependencies = Dependencies(model, card.image_size)
    return read_network(model, card.image_size, dependencies.groups)


def read_table(artifact: Artifact) -> Table:
    return artifact.read(TABLE_FILE, Table)


def measure_table(
    network: Network,
    runtime: Runtime,
    precision: KernelPrecision,
    machine: Machine,
    progress: Progress,
) -> Table:
    grids = distinct(network)
    wanted = {layer for grid in grids for row in grid.layers() for layer in row}
    frames = _frames(wanted)
    timings, environment = time_layers(
        [*wanted, *frames], runtime, precision == "int8", machine, progress
    )
    seconds = {layer: timing.typical for layer, timing in timings.items()}
    fixed, slope = _line([(_values(frame), seconds[frame]) for frame in frames])
    entries = [
        TimedLayer(
            layer=grid.layer,
            cins=grid.cins,
            couts=grid.couts,
            seconds=tuple(
                tuple(max(0.0, seconds[at] - fixed - slope * _values(at)) for at in row)
                for row in grid.layers()
            ),
        )
        for grid in grids
    ]
    return Table(
        runtime=runtime.name,
        precision=precision,
        entries=tuple(entries),
        frame_seconds=fixed,
        frame_seconds_per_value=slope,
        rounds=min(len(timing.rounds) for timing in timings.values()),
        disturbed=sum(timing.disturbed for timing in timings.values()),
        environment=environment,
    )


class Grid(BaseModel):
    """A layer, and the widths it is to be timed at."""

    model_config = ConfigDict(frozen=True)

    layer: Layer
    cins: tuple[int, ...]
    couts: tuple[int, ...]

    def layers(self) -> list[list[Layer]]:
        """By rows of cin. A depthwise convolution has one width: what it reads it makes."""
        depthwise = self.layer.kind == "depthwise"
        return [
            [
                self.layer.model_copy(update={"cin": cin, "cout": cin if depthwise else cout})
                for cout in self.couts
            ]
            for cin in self.cins
        ]


def distinct(network: Network) -> list[Grid]:
    """Every distinct layer once, at the widths that cuts can give it."""
    found: dict[Layer, Grid] = {}
    for part in network.parts:
        found.setdefault(_place_of(part.layer), _grid(part))
        known = found[_place_of(part.layer)]
        own = _grid(part)
        found[_place_of(part.layer)] = Grid(
            layer=known.layer,
            cins=tuple(sorted({*known.cins, *own.cins})),
            couts=tuple(sorted({*known.couts, *own.couts})),
        )
    return list(found.values())


def _grid(part: LayerPart) -> Grid:
    layer = part.layer
    cins = _widths(layer.cin) if part.reads.owners else (layer.cin,)
    couts = _widths(layer.cout) if part.makes.owners else (layer.cout,)
    if layer.kind == "depthwise":
        couts = (layer.cout,)
    return Grid(layer=layer, cins=cins, couts=couts)


def _widths(channels: int) -> tuple[int, ...]:
    rounded = {
        max(WIDTH_STEP, round(share * channels / WIDTH_STEP) * WIDTH_STEP)
        for share in WIDTH_SHARES[:-1]
    }
    return tuple(sorted({width for width in rounded if width < channels} | {channels}))


def _place_of(layer: Layer) -> Layer:
    """A layer without its widths: all layers that differ in these alone share an entry."""
    return layer.model_copy(update={"cin": 0, "cout": 0})


def _values(layer: Layer) -> int:
    return layer.height * layer.width * layer.cin


def _frames(layers: set[Layer]) -> list[Layer]:
    """Probes without a layer, from the smallest input to the largest."""
    shapes = sorted({(a.height, a.width, a.cin) for a in layers}, key=lambda s: s[0] * s[1] * s[2])
    chosen = {round(i * (len(shapes) - 1) / (FRAME_SIZES - 1)) for i in range(FRAME_SIZES)}
    return [
        Layer(kind="frame", height=height, width=width, cin=cin, cout=cin)
        for height, width, cin in (shapes[i] for i in sorted(chosen))
    ]


def _line(points: list[tuple[int, float]]) -> tuple[float, float]:
    """The line through what the frames took; neither end of it can be negative."""
    sizes, seconds = np.array(points, float).T
    if len(points) < 2:
        return float(seconds[0]), 0.0
    slope, fixed = np.polyfit(sizes, seconds, 1)
    return max(0.0, float(fixed)), max(0.0, float(slope))
