"""What plain int8 breaks, and what rescues it: on purpose, without the rule for linear attention.

    python tests/benchmarks/rescue.py [onnxruntime litert openvino]

EfficientViT-B0 quantised throughout, and EfficientNet-B0 with one scale for a whole layer, each
three times: as it comes, by the search alone, and by the search with operators given back to
float. Prints a Markdown table; accuracy is on the validation split, which chose nothing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store, default_store
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import RowResult, execute
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import Target

RECIPES = Path(__file__).parents[2] / "recipes"
BROKEN: dict[str, dict[str, Any]] = {
    "efficientvit_int8": {"float_ops": "none", "samples": 64},
    "efficientnet_int8": {"per_channel": False},
}
WAYS: dict[str, dict[str, Any]] = {
    "ptq": {"method": "ptq"},
    "search": {"method": "auto", "mixed": "none", "stop_at": 99.5},
    "search and mixed precision": {"method": "auto", "mixed": "auto", "stop_at": 99.5},
}
COLUMNS = ("network", "runtime", "way", "top-1 %", "drop, points", "agreement %", "SQNR dB",
           "in float", "MACs in int8 %")  # fmt: skip


def build(name: str, settings: dict[str, Any], runtime: str) -> tuple[RowResult, Artifact] | str:
    """The int8 row and its artifact, or why there is none."""
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    recipe["stages"] = [stage for stage in recipe["stages"] if "finetune" in stage]
    recipe["stages"].append({"quantize": {"max_float_macs": 0.3, **settings}})
    del recipe["gates"]
    target = Target(name="host", description="", runtimes=(runtime,), cpu="host", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        store = Store(default_store())
        done = execute(make_plan(load_recipe(path), [target], store), store, Silent())
    result = done.targets[0]
    if result.faults:
        return result.faults[0]
    return result.rows[-1], result.rows[-1].artifact


def line(name: str, runtime: str, way: str) -> str:
    made = build(name, {**BROKEN[name], **WAYS[way]}, runtime)
    if isinstance(made, str):
        return f"| {name} | {runtime} | {way} | {made.replace('|', '/')} ||||||"
    row, artifact = made
    v, change = row.validation, row.validation.change
    assert change is not None
    drop = f"{change.drop.value:.1f} ({change.drop.low:.1f} to {change.drop.high:.1f})"
    kept = len(artifact.metadata["quantization"]["float_ops"])
    share = artifact.metadata["audit"]["quantized_macs"]
    return (
        f"| {name} | {runtime} | {way} | {v.top1.value:.1f} | {drop} | {v.agreement.value:.1f} "
        f"| {v.sqnr_db:.1f} | {kept} | {100 * share:.1f} |"
    )


def main(runtimes: list[str]) -> None:
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---|---|---|--:|--:|--:|--:|--:|--:|")
    for name in BROKEN:
        for runtime in runtimes:
            for way in WAYS:
                print(line(name, runtime, way), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["onnxruntime", "litert", "openvino"])
