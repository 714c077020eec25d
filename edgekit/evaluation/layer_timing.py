"""Layers alone, timed on the runtime that will run them: each in a model of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.engine.action import Progress
from edgekit.engine.temporary import temporary_folder
from edgekit.evaluation.timing import Candidate, Machine, Timing
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.runtimes.contract.microbenchmark import Layer

RAW_INPUT = InputForm(dtype="uint8", mean=(0.0,) * 3, std=(1.0,) * 3)


def time_layers(
    layers: list[Layer], runtime: Runtime, integer: bool, machine: Machine, progress: Progress
) -> tuple[dict[Layer, Timing], dict[str, Any]]:
    """All in one process, interleaved, so that whatever slows the machine slows all.

    Returns:
        the timings, and the machine's environment.
    """
    candidates = []
    with temporary_folder() as folder:
        for number, layer in enumerate(layers):
            into = folder / str(number)
            into.mkdir()
            runtime.single_layer_model(layer, integer, into)
            candidates.append(Candidate(str(number), runtime.name, into / runtime.file, RAW_INPUT))
            progress(number + 1, len(layers), f"write probes for {runtime.name}")
        images = folder / "images.npy"
        np.save(images, np.zeros((8, 1, 1, 1), np.uint8))
        outcome = machine.time(candidates, images, progress)
    timings = {layer: outcome.timings[str(number)] for number, layer in enumerate(layers)}
    return timings, outcome.environment
