"""A small world that is built many times: images, a target, a recipe that trains in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import write_images

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch}
data: {source: imagefolder, path: images, image_size: 32}
stages:
  - finetune: {epochs: 2, batch_size: 12, learning_rate: 3.0e-3}
  - quantize: {method: ptq, samples: 8, every_class: false, max_float_macs: 1.0}
allow_untrained: true
"""
BOARD = "description: for tests\nruntimes: [onnxruntime]\ncpu: made-up\nthreads: 4\n"


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/, board.yaml, recipe.yaml and a store that all tests share."""
    root = tmp_path_factory.mktemp("world")
    write_images(root / "images", count=24)
    (root / "board.yaml").write_text(BOARD)
    (root / "recipe.yaml").write_text(RECIPE)
    return root
