"""Bundles of a TFLite file for a phone, with the scores that the host's LiteRT gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgekit.devices.bench.benchmark_scores import OutputHead
from edgekit.devices.bundle.bundle import Bundle, write_bundle
from edgekit.devices.bundle.bundled_model import Subject
from edgekit.devices.bundle.info import Info
from edgekit.devices.bundle.protocol import Protocol
from edgekit.engine.artifact import sha256_of
from edgekit.runtimes.contract.input_form import InputForm

COUNT = 6
RAW = InputForm(dtype="uint8", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def phone_bundle(into: Path, model: Path, seed: int = 3) -> Bundle:
    from ai_edge_litert.interpreter import Interpreter

    images = np.random.default_rng(seed).integers(0, 256, (COUNT, 16, 16, 3)).astype(np.uint8)
    interpreter, head = Interpreter(str(model)), OutputHead.read(model)
    interpreter.allocate_tensors()
    rows = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tobytes())
    return make(into, model, images, head.scores(b"".join(rows)))


def make(into: Path, model: Path, images: Any, scores: Any, runtime: str = "litert") -> Bundle:
    subject = Subject(
        file=model.name, sha256=sha256_of(model), bytes=model.stat().st_size, format="tflite",
        precision="int8", operators=None, macs=None, parameters=None, lineage=None,
    )  # fmt: skip
    info = Info(
        name="figures", target=None, machine=None, cpu=None, threads=1, runtime=runtime, form=RAW,
        subject=subject, classes=tuple("abcde"), images=COUNT, labelled=True,
        input_source="random images", input_sha256="0" * 64,
        protocol=Protocol(warmup_seconds=0.0, runs=20, seconds=0.0, processes=2, threads=(1,)),
    )  # fmt: skip
    into.mkdir()
    labels = scores.argmax(axis=1)
    return write_bundle(into, info, {model.name: model}, images, labels, scores)
