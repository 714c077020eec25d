"""The first operator of a file whose result has other bits on another machine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks import tapped_guest


def first_difference(
    file: Path, images: Path, python: list[str], other: list[str], folder: Path
) -> str | None:
    """
    Args:
        python, other: how an interpreter with the file's runtime is called, on each machine.

    Returns:
        its kind and how many of its values are other ones; None where no operator shows any.
    """
    kinds: list[str] = []
    if file.suffix == ".onnx":
        file, kinds = _tapped(file, folder / "tapped.onnx")
    here, there = (
        _kept(command, file, images, folder / f"{name}.npz")
        for name, command in (("here", python), ("there", other))
    )
    for key in sorted(here.keys() & there.keys()):
        one, two = here[key], there[key]
        differ = int((_bits(one) != _bits(two)).sum())
        if differ:
            kind = kinds[int(key)] if kinds else key.partition(" ")[2]
            return f"{kind} ({differ} of {one.size} values, {one.dtype})"
    return None


def _kept(python: list[str], file: Path, images: Path, into: Path) -> dict[str, NDArray[Any]]:
    subprocess.run(
        [*python, tapped_guest.__file__, str(file), str(images), str(into)],
        check=True,
        capture_output=True,
    )
    with np.load(into) as kept:
        return dict(kept)


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    return values.view(f"u{values.dtype.itemsize}")


def _tapped(file: Path, into: Path) -> tuple[Path, list[str]]:
    """The file as a session fuses it, with every result among its outputs.

    Returns:
        where it is, and the kind of operator behind each output.
    """
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Not the last level: its layouts are those of this processor alone.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(into)
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    model = onnx.load(into)
    made = [(name, node.op_type) for node in model.graph.node for name in node.output if name]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name, _ in made)
    onnx.save(model, into)
    return into, [kind for _, kind in made]
