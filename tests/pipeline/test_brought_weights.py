"""What a plan says of the weights that a recipe names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.engine import _kernel
from edgekit.pipeline.brought_weights import check_weights
from edgekit.spec.recipe import load_recipe
from tests.models.test_input_size import onnx_file

RECIPE = """\
model: {weights: m.onnx, input_range: 0..1}
data: {source: imagefolder, path: images, image_size: 32}
stages: [export]
"""


@pytest.mark.parametrize(
    ("missing", "said"), [([], {}), (["using the network"], {"model": "using the network"})]
)
def test_what_a_machine_cannot_keep_a_model_from_is_told(
    write_recipe: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    missing: list[str],
    said: dict[str, str],
) -> None:
    onnx_file(write_recipe(RECIPE).parent, 1, 3, 32, 32)
    monkeypatch.setattr(_kernel, "missing", lambda: missing)
    found = check_weights(load_recipe(write_recipe(RECIPE)))
    assert found.keys() == said.keys()
    assert all(words in found[setting] for setting, words in said.items())
