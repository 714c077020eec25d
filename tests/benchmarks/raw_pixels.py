"""What taking raw pixels costs inside a LiteRT file, and what leaving them to the app costs.

    python tests/benchmarks/compression.py make --only efficientnet-lite0-imagenet --rows litert
    python tests/benchmarks/raw_pixels.py

edgekit's exported file takes uint8; ai-edge-quantizer's takes normalised floats, which an app has
to make. All in one interleaved run: both files with floats that were made before, edgekit's with
pixels, and the peer's with the normalisation in numpy.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # a script sees its own folder alone

from edgekit import stats
from edgekit.agent import agent
from edgekit.engine.artifact import Artifact
from edgekit.engine.store import Store, default_store
from edgekit.evaluation.latency_ratio import median_ratio
from edgekit.runtimes.contract.input_form import InputForm
from tests.benchmarks.comparison.making import read_facts

FOLDER = "efficientnet-lite0-imagenet"
OURS, PEER = "edgekit-method-auto-litert", "ai-edge-quantizer-litert"
ROUNDS, RUNS = 300, 3
FILE = "model.tflite"


def quantized(exported: Path, store: Store) -> Artifact:
    """The file before its export: the same integers behind a float input."""
    artifact = store.get(exported.parent.name)
    assert artifact
    parents = [store.get(digest) for digest in artifact.parents]
    return next(parent for parent in parents if parent and FILE in parent.files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/compression"))
    folder = parser.parse_args().work / FOLDER
    ours, peer = read_facts(folder / OURS), read_facts(folder / PEER)
    if not (ours and peer and ours.path and peer.path and ours.form and peer.form):
        raise SystemExit(f"no files in {folder}: run the first command of --help")
    before = quantized(Path(ours.path), Store(default_store()))
    form = InputForm.model_validate(before.metadata["form"])
    images = np.load(folder / "judge.npy", mmap_mode="r")[:8]
    way = Run(images)
    way.add("peer, floats", peer.path, peer.form, inside=False)
    way.add("edgekit before export, floats", str(before.file(FILE)), form, inside=False)
    way.add("edgekit, pixels", ours.path, ours.form, inside=False)
    way.add("peer, pixels normalised in numpy", peer.path, peer.form, inside=True)
    print("| from | median ms | against the peer on floats |\n|---|--:|--:|")
    for name, (median, ratio, interval) in way.measure().items():
        print(
            f"| {name} | {median:.2f} | {ratio:.3f} ({interval.low:.3f} to {interval.high:.3f}) |"
        )


class Run:
    """Files that are timed in one process, round by round in random order."""

    def __init__(self, images: Any) -> None:
        self.images = [image[None] for image in images]
        self.calls: dict[str, Callable[[int], Any]] = {}

    def add(self, name: str, path: str, form: InputForm, inside: bool) -> None:
        """Args: inside: whether the pixels are made ready within the time that is taken."""
        run, told = agent.open_litert(path, 1, False), form.model_dump()
        ready = [agent.prepare(image, told) for image in self.images]
        if inside:
            # As a careful app would write it: one pass in float32.
            mean, scale = (np.float32(value) for value in (255 * form.mean[0], 255 * form.std[0]))
            self.calls[name] = lambda i: run((self.images[i].astype(np.float32) - mean) / scale)
        else:
            self.calls[name] = lambda i: run(ready[i])

    def measure(self) -> dict[str, tuple[float, float, stats.Interval]]:
        shuffle, taken = random.Random(0), {name: np.empty(ROUNDS) for name in self.calls}
        for number in range(ROUNDS):
            names = list(self.calls)
            shuffle.shuffle(names)
            for name in names:
                samples = []
                for _ in range(RUNS):
                    start = time.perf_counter()
                    self.calls[name](number % len(self.images))
                    samples.append(time.perf_counter() - start)
                taken[name][number] = np.median(samples)
        first = taken[next(iter(taken))]
        return {
            name: (1e3 * float(np.median(rounds)), *median_ratio(rounds, first))
            for name, rounds in taken.items()
        }


if __name__ == "__main__":
    main()
