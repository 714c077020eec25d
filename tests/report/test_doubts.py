"""What a report says of itself that a reader might miss."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.build.plan import make_plan
from edgekit.build.run import Build, TargetResult, execute
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.evaluation.metrics import share_of
from edgekit.evidence import Evidence
from edgekit.report.doubts import doubts
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import Target
from tests.conftest import write_images

pytest.importorskip("onnxslim")

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages: [{finetune: {epochs: 1}}]
"""


def test_a_network_that_has_learned_nothing_is_told(tmp_path: Path) -> None:
    write_images(tmp_path / "images", 60)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    board = Target(name="board", description="", runtimes=("onnxruntime",), cpu="x86", threads=1)
    recipe, store = load_recipe(tmp_path / "tiny.yaml"), Store(tmp_path / "store")
    build = execute(make_plan(recipe, [board], store), store, Silent())
    target = build.targets[0]
    assert is_told(build, target)
    row = target.rows[0]
    learned = share_of(120, 120, Evidence.HOST)
    row.validation = row.validation.model_copy(update={"top1": learned})
    assert not is_told(build, target)


def is_told(build: Build, target: TargetResult) -> bool:
    return any("always naming the commonest class" in line for line in doubts(build, target))
