"""Zeros in the weights: refused where no runtime gains from them, and put where they belong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from pydantic import ValidationError

from edgekit.cli import cli
from edgekit.engine.action import Context
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.models import timm_models
from edgekit.models.card import WEIGHTS_FILE, Card
from edgekit.pipeline.plan import make_plan
from edgekit.runtimes import find_runtimes
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target
from edgekit.stages.sparsify import Sparsify, thin

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch}
data: {source: imagefolder, path: images, image_size: 32}
stages:
  - finetune: {epochs: 1}
  - sparsify: {pattern: "2:4"}
  - quantize: {method: ptq, samples: 8}
"""


@pytest.mark.parametrize("pattern", [{"pattern": "2:4"}, {"share": 0.75}], ids=str)
def test_a_stage_that_no_runtime_gains_from_is_refused(pattern: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="latency stays what it is") as caught:
        Sparsify(**pattern).check_targets(list(find_runtimes().values()))
    assert "prune" in str(caught.value.hint)


def test_one_runtime_that_gains_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    runtimes = list(find_runtimes().values())
    monkeypatch.setattr(runtimes[0], "gains_from", ("2:4",))
    Sparsify(pattern="2:4").check_targets(runtimes)
    with pytest.raises(InputError):
        Sparsify(pattern="4:8").check_targets(runtimes)


@pytest.mark.parametrize("command", ["plan", "build"])
def test_the_command_line_refuses_it_before_anything_runs(
    command: str,
    images_folder: Path,
    write_recipe: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe, places = write_recipe(RECIPE), ["--store", "store", "--build-dir", "build"]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, [command, str(recipe), "--target", "rpi", *places])
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2
    assert done.exception.message.startswith("rpi: sparsify gains nothing here: litert, onnx")
    assert not list((tmp_path / "store").glob("steps/*"))


def test_a_target_that_gains_does_not_excuse_another(
    images_folder: Path,
    write_recipe: Callable[..., Path],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(find_runtimes()["openvino"], "gains_from", ("2:4",))
    recipe = load_recipe(write_recipe(RECIPE))
    only = [load_target("intel-npu"), load_target("rpi")]
    steps: list[str] = [step.id for step in make_plan(recipe, only[:1], store).steps]
    assert steps.index("finetune") < steps.index("sparsify")
    with pytest.raises(InputError, match=r"^rpi: sparsify"):
        make_plan(recipe, only, store)


def test_the_smallest_weights_of_each_layer_become_zero() -> None:
    layer = torch.nn.Linear(40, 10)
    before = layer.weight.detach().clone()
    thin(layer, "unstructured", 0.75)
    zero = layer.weight == 0
    assert int(zero.sum()) == 300
    assert before[zero].abs().max() <= before[~zero].abs().min()
    assert torch.equal(layer.weight[~zero], before[~zero])


@pytest.mark.parametrize(
    ("pattern", "kept", "group"), [("2:4", 2, 4), ("1:4", 1, 4), ("4:8", 4, 8)]
)
def test_each_group_keeps_its_largest(pattern: str, kept: int, group: int) -> None:
    layer = torch.nn.Conv2d(16, 3, 3)

    def groups() -> torch.Tensor:
        weight = layer.weight.detach().movedim(1, -1)
        return torch.unflatten(weight, -1, (-1, group)).clone().abs()

    before = groups()
    thin(layer, pattern)
    assert torch.equal((groups() != 0).sum(-1), torch.full(before.shape[:-1], kept))
    assert torch.equal(groups().topk(kept).values, before.topk(kept).values)


def test_a_rest_that_fills_no_group_stays() -> None:
    layer = torch.nn.Linear(6, 2)
    before = layer.weight.detach().clone()
    thin(layer, "2:4")
    assert torch.equal(layer.weight[:, 4:], before[:, 4:])
    assert int((layer.weight == 0).sum()) == 4


def test_the_stage_leaves_a_model_with_zeros(store: Store, tmp_path: Path) -> None:
    card = Card(
        arch="test_efficientnet", classes=("a", "b"), image_size=32, mean=(0.5,) * 3,
        std=(0.5,) * 3, crop_pct=1.0, parameters=0, macs=0,
    )  # fmt: skip
    with store.workspace() as folder:
        metadata = timm_models.save(timm_models.create(card.arch, 2), card, folder)
        dense = store.commit("model", folder, metadata, (), 0)
    into = tmp_path / "sparse"
    into.mkdir()
    context = Context(progress=lambda *_: None, partial=tmp_path)
    metadata = Sparsify(share=0.5).run({"model": dense}, into, context)
    with store.workspace() as folder:
        (into / WEIGHTS_FILE).rename(folder / WEIGHTS_FILE)
        model, _ = timm_models.restore(store.commit("sparse", folder, metadata, (), 0))
    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert weights
    for weight in weights:
        assert float((weight == 0).float().mean()) == pytest.approx(0.5, abs=0.51 / weight.numel())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "needs a share"),
        ({"pattern": "4:4"}, "keeps every weight"),
        ({"pattern": "2:4", "share": 0.5}, "says the share itself"),
        ({"pattern": 124}, "quotation marks"),
        ({"pattern": "block"}, "pattern"),
        ({"share": 1.0}, "less than 1"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sparsify(**fields)
