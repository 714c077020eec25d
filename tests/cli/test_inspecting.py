"""What a model file says when it is inspected alone."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.commands import edgekit
from tests.models.test_model_file import onnx_file


def test_an_onnx_file_alone_is_described(tmp_path: Path) -> None:
    onnx_file(tmp_path / "m.onnx", [1, 3, 32, 32], "Div", 255.0)
    done = edgekit("inspect", "m.onnx", cwd=tmp_path, store=tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert "takes x: float32 [1, 3, 32, 32]" in done.stdout
    assert "1 Div float32" in done.stdout
    told = edgekit("inspect", "m.onnx", "--json", cwd=tmp_path, store=tmp_path / "store").stdout
    found = json.loads(told)
    assert found["bytes"] == (tmp_path / "m.onnx").stat().st_size
    assert found["outputs"][0]["name"] == "scores"


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_keras_file_alone_is_described(tmp_path: Path, suffix: str) -> None:
    h5py = pytest.importorskip("h5py")
    layers = [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 64, 64, 3]}},
        {"class_name": "Dense", "config": {"units": 5, "kernel": {"class_name": "Zeros"}}},
        {"class_name": "Dense", "config": {"units": 5}},
    ]
    config = json.dumps({"class_name": "Sequential", "config": {"layers": layers}})
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        file.attrs["model_config"] = config
        file["dense/0"] = np.zeros((3, 5), np.float16)
        file["optimizer/vars/0"] = np.zeros((3, 5), np.float32)
    path = (tmp_path / "model.weights.h5").rename(tmp_path / "m.h5")
    if suffix == ".keras":
        path = tmp_path / "m.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", config)
            archive.write(tmp_path / "m.h5", "model.weights.h5")
    done = edgekit("inspect", path, "--json", cwd=tmp_path, store=tmp_path / "store")
    found = json.loads(done.stdout)
    assert found["inputs"][0]["shape"] == [-1, 64, 64, 3]
    assert found["operators"] == {"Dense": 2, "InputLayer": 1}
    assert found["weights"] == {"float16": 30}
    told = edgekit("inspect", path, cwd=tmp_path, store=tmp_path / "store").stdout
    assert "layers: 2 Dense, 1 InputLayer" in told


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite", "m.keras", "m.h5"])
def test_what_is_no_model_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no model")
    done = edgekit("inspect", name, cwd=tmp_path, store=tmp_path / "store")
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
