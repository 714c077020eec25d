"""Do the runtimes gain from zeros in the weights? Markdown, one row for each runtime and precision.

    python tests/benchmarks/sparsity.py [--arch ARCH] [--image-size PIXELS]

The same network dense, with 75 % of every layer's weights zero wherever they are, and with 2 of 4
input channels zero (2:4), in all convolutions and linear layers, as `sparsify` would leave it. The
files of a runtime and precision are timed in turn in one process; a latency is a ratio to the dense
file with its 95 % interval, taken on this machine (evidence: host). A second copy of the dense file
shows what a ratio of 1 looks like here. Weights are untrained: time does not depend on their
values, and what the zeros cost in accuracy is another question.

LiteRT's XNNPACK has kernels for sparse 1x1 convolutions in float, for files that store their
weights in TFLite's own sparse form; the converter that edgekit uses does not write it, so they are
not measured here.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.agent import agent
from edgekit.engine.action import library_versions
from edgekit.evaluation.measure import measure
from edgekit.evaluation.metrics import latency_of
from edgekit.evaluation.timing import Candidate
from edgekit.evidence import Evidence, interval
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.settings import Quantization
from edgekit.stages.sparsify import thin

PATTERNS: dict[str, tuple[Any, ...]] = {
    "unstructured 75 %": ("unstructured", 0.75),
    "2:4": ("2:4",),
}
DENSE, AGAIN = "dense", "dense again"


def silent(*_: object) -> None:
    pass


def card_of(arch: str, size: int) -> Card:
    half = (0.5, 0.5, 0.5)
    return Card(
        arch=arch, classes=tuple("abcdefghij"), image_size=size, mean=half, std=half, crop_pct=1.0,
        parameters=0, macs=0,
    )  # fmt: skip


def build(runtime: Runtime, precision: str, card: Card, pattern: tuple[Any, ...] | None,
          images: np.ndarray, into: Path) -> Candidate:  # fmt: skip
    """The network compiled, and quantised where int8 is asked for."""
    torch.manual_seed(0)
    model = timm_models.create(card.arch, len(card.classes), image_size=card.image_size)
    if pattern:
        thin(model, *pattern)
    float_folder = into / "float"
    float_folder.mkdir(parents=True)
    form = runtime.compile(model, card, float_folder, silent)
    folder = float_folder
    if precision == "int8":
        folder = into / "int8"
        folder.mkdir()
        asked = Quantization(
            quantizer=runtime.quantizers[0],
            calibration=runtime.calibrations[0],
            float_ops=runtime.float_ops(float_folder / runtime.file),
        )
        form = runtime.quantize(float_folder / runtime.file, card, images, asked, folder, silent)
    return Candidate(into.name, runtime.name, folder / runtime.file, form)


def sizes(runtime: Runtime, path: Path) -> tuple[int, int]:
    """Bytes of a model's files, as they are and after gzip."""
    contents = [(path.parent / name).read_bytes() for name in (runtime.file, *runtime.companions)]
    return sum(map(len, contents)), sum(len(gzip.compress(c, 9)) for c in contents)


def rows(runtime: Runtime, precision: str, card: Card, images: np.ndarray, folder: Path) -> None:
    np.save(folder / "images.npy", images)
    forms = {DENSE: None, **PATTERNS}
    candidates = [
        build(runtime, precision, card, pattern, images, folder / name)
        for name, pattern in forms.items()
    ]
    dense = candidates[0]
    shutil.copytree(dense.path.parent, folder / AGAIN)
    again = Candidate(AGAIN, runtime.name, folder / AGAIN / runtime.file, dense.form)
    timings = measure([*candidates, again], folder / "images.npy", silent).timings
    for candidate in [again, *candidates[1:]]:
        latency = latency_of(timings[candidate.id], timings[DENSE], Evidence.HOST)
        assert latency.ratio
        whole, packed = sizes(runtime, candidate.path)
        first, first_packed = sizes(runtime, dense.path)
        print(
            f"| {runtime.name} | {precision} | {candidate.id} "
            f"| {interval(latency.ratio, 2)} | {latency.ratio.evidence} "
            f"| {whole / first:.2f} | {packed / first_packed:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="mobilenetv2_100")
    parser.add_argument("--image-size", type=int, default=224)
    asked = parser.parse_args()
    card = card_of(asked.arch, asked.image_size)
    shape = (16, asked.image_size, asked.image_size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    engines = [runtime.engine for runtime in find_runtimes().values()]
    versions = ", ".join(f"{k} {v}" for k, v in library_versions(tuple(engines)).items())
    print(f"{asked.arch}, {asked.image_size} px, {agent.cpu_name()}, 1 thread; {versions}; "
          f"{datetime.date.today()}\n")  # fmt: skip
    print("| runtime | precision | weights | latency / dense (95 %) | evidence | size / dense "
          "| size after gzip / dense |\n|---|---|---|--:|---|--:|--:|")  # fmt: skip
    for runtime in find_runtimes().values():
        for precision in ("float32", "int8"):
            with tempfile.TemporaryDirectory() as folder:
                rows(runtime(), precision, card, images, Path(folder))


if __name__ == "__main__":
    main()
