"""What a checkpoint says of itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from edgekit.cli._checkpoint_lines import checkpoint_lines
from edgekit.errors import WeightsError
from edgekit.inspection.checkpoint import summarise_checkpoint
from edgekit.models.networks import create
from tests.commands import edgekit

ARCH = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return dict(create(ARCH, 3).state_dict())


def test_a_checkpoint_of_timms_train_py(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    names = ("crop_pct", "mean", "std", "input_size")
    args = argparse.Namespace(**dict.fromkeys(names), img_size=96, interpolation="bilinear")
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    content: dict[str, Any] = {"arch": ARCH, "epoch": 5, "args": args, "state_dict": wrapped}
    path = tmp_path / "checkpoint-5.pth.tar"
    torch.save(content | {"state_dict_ema": wrapped}, path)
    found = summarise_checkpoint(path)
    assert (found.taken, found.state, found.other) == ("state_dict_ema", "ema", "state_dict")
    assert found.prefix == "taken off the names in checkpoint-5.pth.tar: module."
    assert (found.arch, found.arch_is_said, found.classes) == (ARCH, True, 3)
    assert found.tensors == len(state)
    assert found.parameters == sum(p.numel() for p in create(ARCH, 3).parameters())
    floats = sum(tensor.is_floating_point() for tensor in state.values())
    assert found.dtypes == {"float32": floats, "int64": len(state) - floats}
    recipe = yaml.safe_load(found.recipe)
    assert recipe["model"] == {"weights": path.name, "arch": ARCH, "state": "ema"}
    assert recipe["data"].items() >= {"image_size": 96, "interpolation": "bilinear"}.items()
    told = "\n".join(checkpoint_lines(found))
    assert "the averaged (EMA) ones; state_dict holds the raw ones" in told


def test_bare_tensors_of_an_architecture_that_nobody_names(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"odd.weight": torch.zeros(2, 3, dtype=torch.float16)}, path)
    found = summarise_checkpoint(path)
    assert (found.taken, found.state, found.arch, found.classes) == ("", None, "", None)
    assert (found.parameters, found.dtypes) == (6, {"float16": 1})
    assert yaml.safe_load(found.recipe)["model"] == {"weights": "w.safetensors", "arch": "NAME"}


def test_the_command_tells_it_and_refuses_what_is_none(tmp_path: Path) -> None:
    torch.save({"state_dict": {"odd.weight": torch.zeros(2, 3)}}, tmp_path / "w.pth")
    told = edgekit("inspect", "w.pth", cwd=tmp_path, store=tmp_path / "store")
    assert told.returncode == 0
    assert "weights: state_dict" in told.stdout
    assert "next" not in told.stderr
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"bad\.pth"):
        summarise_checkpoint(tmp_path / "bad.pth")
