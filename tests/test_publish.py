"""What a build leaves for a person to copy."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.action import Context
from edgekit.artifact import Store
from edgekit.plan import PRECOMPILE, make_plan
from edgekit.publish import publish
from edgekit.recipe import load_recipe
from edgekit.run import Silent, execute
from edgekit.stages.base import Precompile
from edgekit.target import Target

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages: [{finetune: {epochs: 1}}, {quantize: {samples: 8, max_float_macs: 1.0}}, export]
"""


def test_a_blob_lies_beside_the_file_it_was_compiled_from(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store
) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino comes with [intel-npu]")
    from edgekit.runtimes.openvino import OpenVino

    recipe = write_recipe(RECIPE)
    board = Target(name="npu", description="", runtimes=("openvino",), cpu="x86-64", threads=1)
    build = execute(make_plan(load_recipe(recipe), recipe.parent, [board], store), store, Silent())
    ((_, folder),) = publish(build, recipe.parent / "build")
    assert not (folder / "openvino/model.blob").exists()

    # As on a machine with the device, here the CPU, whose plug-in exports as the NPU's does.
    action = Precompile(OpenVino(), "CPU")
    context = Context(progress=lambda *_: None, partial=store.partial("blob"), base=recipe.parent)
    with store.workspace() as work:
        metadata = action.run({"model": build.artifacts["npu/openvino/export"]}, work, context)
        blob = store.commit("blob", work, metadata, (), 0.0)
    with_blob = replace(build, artifacts={**build.artifacts, f"npu/openvino/{PRECOMPILE}": blob})
    publish(with_blob, recipe.parent / "build")
    manifest = json.loads((folder / "openvino/manifest.json").read_text())
    assert manifest["compiled_for"]["device"] == "CPU"
    assert manifest["files"]["model.blob"]["bytes"] > 0
    assert openvino.Core().import_model((folder / "openvino/model.blob").read_bytes(), "CPU")
