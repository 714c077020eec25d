"""A bundle that is made in milliseconds: scores are the means of an image's channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgekit.devices.bundle.bundle import Bundle, write_bundle
from edgekit.devices.bundle.bundled_model import subject_of
from edgekit.devices.bundle.info import Info
from edgekit.devices.bundle.protocol import Protocol
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.input_form import InputForm

RAW = InputForm(dtype="float32", mean=(0.0,) * 3, std=(1.0,) * 3)
QUICK = Protocol(
    warmup_runs=2, warmup_seconds=0.05, runs=20, seconds=0.2, processes=2, threads=(1,)
)
IMAGES = 128


def write_model(path: Path, size: int = 8) -> Path:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["image", "axes"], ["scores"], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, size, size, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(made, path)
    return path


def tiny_bundle(
    folder: Path,
    machine: str | None = None,
    off_by: float = 0.0,
    protocol: Protocol = QUICK,
    seed: int = 0,
    beside_float: bool = False,
    needs: tuple[str, str] = ("onnxruntime", "CPU"),
) -> Bundle:
    """
    Args:
        beside_float: the model is timed against itself, as against its float twin.
        off_by: added to the scores that the host is said to have had.
        needs: the runtime and the processor that it asks for.
        seed: another one gives another bundle.
    """
    folder.mkdir(parents=True)
    runtime = find_runtimes()["onnxruntime"]()
    model = write_model(folder.parent / f"{folder.name}-means.onnx")
    images = np.random.default_rng(seed).integers(0, 256, (IMAGES, 8, 8, 3), np.uint8)
    scores = (images.mean(axis=(1, 2)) / 255).astype(np.float32)
    labels = scores.argmax(axis=1)
    info = Info(
        name="means",
        target="board",
        machine=machine,
        cpu=None,
        threads=1,
        runtime=needs[0],
        device=needs[1],
        form=RAW,
        subject=subject_of(
            model, runtime, runtime.describe(model).operators, "float32", None, None
        ),
        classes=("red", "green", "blue"),
        images=IMAGES,
        labelled=True,
        input_source="random images",
        input_sha256="0" * 64,
        protocol=protocol,
    )
    wrong = scores + np.float32(off_by) * np.arange(3, dtype=np.float32)
    twin = (model.name, RAW) if beside_float else None
    return write_bundle(folder, info, {model.name: model}, images, labels, wrong, twin)
