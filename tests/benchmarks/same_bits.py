"""Whether int8 files give the same scores on x86 and on Arm cores, bit by bit.

    python -m tests.benchmarks.same_bits            # every architecture of the matrix
    python -m tests.benchmarks.same_bits resnet18   # some of them
    python -m tests.benchmarks.same_bits --page     # only prints what is there

For each architecture of recipes/matrix/architectures.yaml and each runtime: seeded random weights,
batch normalisation set by the calibration images, int8 by edgekit's default, a linear attention in
float, pixels in and scores out, as a build ships it. Its scores of a few images here, with the
exact sums that golden scores are computed with, are compared with those of the arm64 wheel on each
core under qemu-user. Where they part, the first operator whose results have other bits is named.
Nothing is trained: it is about arithmetic, and no figure here says anything of accuracy. A line of
JSON each is added to --out; what stands there is not done again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.agent import agent
from edgekit.cycle_model.counting import trees
from edgekit.data.size import Size
from edgekit.engine.store import default_store
from edgekit.engine.temporary import temporary_folder
from edgekit.model_search.matrix import MatrixEntry, load_matrix
from edgekit.models import networks
from edgekit.models.card import Card
from edgekit.printable import shortened
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.settings import Quantization
from edgekit.transports.emulation.cpus import CPUS, CpuName
from edgekit.transports.emulation.tree import build_tree
from tests.benchmarks.first_difference import first_difference

MATRIX = Path("recipes/matrix/architectures.yaml")
RUNTIMES = ("litert", "onnxruntime")
SIDE = 64
"""Pixels, where the matrix does not say a size of its own: small, as an emulator runs it."""
CLASSES, CALIBRATION, IMAGES = 10, 32, 4
Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architectures", nargs="*")
    parser.add_argument("--out", type=Path, default=default_store() / "same-bits.jsonl")
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    entries = [
        entry
        for entry in load_matrix(MATRIX).architectures
        if not options.architectures or entry.arch in options.architectures
    ]
    records = _read(options.out)
    for entry in entries if not options.page else ():
        for runtime in RUNTIMES:
            if (key := _key(entry, runtime)) not in records:
                records[key] = _compared(entry, runtime)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(records[key]) + "\n")
                print(json.dumps(records[key]), file=sys.stderr, flush=True)
    for line in page([r for e in entries for t in RUNTIMES if (r := records.get(_key(e, t)))]):
        print(line)


def _read(path: Path) -> dict[str, Record]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {record["key"]: record for record in map(json.loads, lines)}


def _key(entry: MatrixEntry, runtime: str) -> str:
    engine = find_runtimes()[runtime]().engine
    return f"{entry.arch} {_size(entry)} {engine} {version(engine)}"


def _size(entry: MatrixEntry) -> Size:
    return entry.image_size or Size.square(SIDE)


def _compared(entry: MatrixEntry, runtime: str) -> Record:
    begin = time.process_time()
    record: Record = {"key": _key(entry, runtime), "arch": entry.arch, "runtime": runtime,
                      "px": str(_size(entry))}  # fmt: skip
    try:
        with temporary_folder() as folder:
            record |= _scored(entry, runtime, folder)
    except Exception as error:  # of a library: a row, and no reason to stop the others
        record["fails"] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return record | {"cpu_seconds": round(time.process_time() - begin)}


def _scored(entry: MatrixEntry, runtime: str, folder: Path) -> Record:
    file, in_float = int8_file(entry.arch, _size(entry), runtime, folder)
    np.save(folder / "images.npy", _images(IMAGES, _size(entry), seed=1))
    here = _scores([sys.executable], file, runtime, folder)
    cores = {core: _difference(here, _emulated(core, file, runtime, folder)) for core in CPUS}
    record = {
        "in_float": in_float,
        "scores": int(here.size),
        "distinct": len(np.unique(here)),
        "cores": cores,
    }
    if parted := [core for core, found in cores.items() if found["other"]]:
        there = _python(parted[-1])
        images = folder / "images.npy"
        record["first"] = first_difference(file, images, [sys.executable], there, folder)
    return record


def int8_file(arch: str, size: Size, runtime_name: str, folder: Path) -> tuple[Path, list[str]]:
    """What edgekit would ship, and the kinds of operators in it that compute in float."""
    import torch

    torch.manual_seed(0)
    network = networks.create(arch, CLASSES, image_size=size)
    images = _images(CALIBRATION, size, seed=0)
    card = Card(arch=arch, classes=tuple(map(str, range(CLASSES))), image_size=size,
                mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=1.0, parameters=0, macs=0)  # fmt: skip
    _set_batch_norm(network, images)
    runtime = find_runtimes()[runtime_name]()
    steps = [folder / name for name in ("float", "int8", "shipped")]
    for step in steps:
        step.mkdir()
    compiled, quantized, shipped = steps
    runtime.compile(network, card, compiled, lambda *_: None)
    source = compiled / runtime.file
    # A build asks whether that helps the trained network; it is the files' usual form.
    in_float = runtime.float_ops(source)
    settings = Quantization(quantizer=runtime.quantizers[0], float_ops=in_float)
    form = runtime.quantize(source, card, images, settings, quantized, lambda *_: None)
    runtime.bake(quantized / runtime.file, card, form, card.classes, shipped)
    file = shipped / runtime.file
    operators = runtime.describe(file).operators
    return file, sorted({one.kind for one in operators if one.precision.startswith("float")})


def _set_batch_norm(network: Any, images: NDArray[np.uint8]) -> None:
    """As training would: fresh statistics leave all of a deep network's images nearly the same."""
    import torch

    norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # of all batches alike
        norm.train()
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        network(pixels)
    network.eval()


def _images(count: int, size: Size, seed: int) -> NDArray[np.uint8]:
    """Coloured noise, coarse and fine, of shape (count, height, width, 3)."""
    source = np.random.default_rng(seed)
    coarse = source.integers(0, 256, (count, 4, 4, 3)).astype(float)
    rows, columns = (np.arange(side) * 4 // side for side in size)
    fine = source.normal(0, 30, (count, *size, 3))
    return np.clip(coarse[:, rows][:, :, columns] + fine, 0, 255).astype(np.uint8)


def _scores(python: list[str], file: Path, runtime: str, folder: Path) -> NDArray[np.float32]:
    job = {
        "threads": 1,
        "models": [{"id": "int8", "path": str(file), "runtime": runtime,
                    "form": {"dtype": "uint8"}}],
        "scores": {"images": str(folder / "images.npy"), "workers": 1,
                   "out": {"int8": str(folder / "scores.npy")}},
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = [*python, agent.__file__, str(folder / "job.json"), str(folder / "result.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise RuntimeError(f"exit code {done.returncode}: {said}")
    found: NDArray[np.float32] = np.load(folder / "scores.npy")
    return found


def _emulated(core: CpuName, file: Path, runtime: str, folder: Path) -> NDArray[np.float32]:
    return _scores(_python(core), file, runtime, folder)


def _python(core: CpuName) -> list[str]:
    tree = build_tree(core, trees(), lambda line: print(line, file=sys.stderr))
    return [str(tree / "commands" / "python3")]


def _difference(here: NDArray[np.float32], there: NDArray[np.float32]) -> Record:
    """
    Returns:
        how many scores have other bits, the largest difference in percent of the range of scores
        here, and how many images change their first class.
    """
    largest = float(np.abs(there - here).max())
    return {
        "other": int((here.view(np.int32) != there.view(np.int32)).sum()),
        "percent": round(100 * largest / max(float(np.ptp(here)), 1e-9), 3),
        "top1": int((here.argmax(1) != there.argmax(1)).sum()),
    }


def page(records: list[Record]) -> Iterator[str]:
    """Markdown: a row for each file, then how many are the same."""
    cores = " | ".join(core.title() for core in CPUS)
    yield f"| architecture | px | runtime | {cores} | parts first | in float |"
    yield "|---|--:|---|" + "---|" * (len(CPUS) + 2)
    for record in records:
        cells = [_cell(record, core) for core in CPUS]
        in_float = ", ".join(record.get("in_float", [])) or "nothing"
        yield (
            f"| {record['arch']} | {record['px']} | {record['runtime']} | {' | '.join(cells)} | "
            f"{record.get('first') or ''} | {'' if 'fails' in record else in_float} |"
        )
    yield ""
    yield from _counts(records)


def _counts(records: list[Record]) -> Iterator[str]:
    for runtime in RUNTIMES:
        own = [r for r in records if r["runtime"] == runtime and "cores" in r]
        for core in CPUS:
            same = sum(not record["cores"][core]["other"] for record in own)
            yield f"{runtime} on {core.title()}: {same} of {len(own)} files give the same bits."


def _cell(record: Record, core: CpuName) -> str:
    if "fails" in record:
        return f"fails: {shortened(record['fails'])}"
    found = record["cores"][core]
    if not found["other"]:
        return "same"
    changed = f", {found['top1']} of {IMAGES} first classes" if found["top1"] else ""
    return (
        f"{found['other']} of {record['scores']} scores differ, by {found['percent']:g} % of their "
        f"range at most{changed}"
    )


if __name__ == "__main__":
    main()
