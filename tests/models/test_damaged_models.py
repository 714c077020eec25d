"""Model files of any content: what a plan and `init` read of them is read or refused in words."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from edgekit.engine.confined import ConfinedProcess
from edgekit.engine.confined_call import _call
from edgekit.engine.confinement import Confinement
from edgekit.errors import WeightsError
from edgekit.models import _keras_config
from edgekit.models.model_file import read_model
from edgekit.models.weights_choice import chosen
from tests.mutations import damaged, fuzz, refusals

ENDLESS = Path(__file__).with_name("endless.h5.gz")
TENSORS = {"conv.weight": torch.zeros(2, 3), "fc.weight": torch.ones(2, 2).half()}


def _checkpoint(folder: Path, name: str) -> bytes:
    path = folder / name
    content = {"state_dict": TENSORS, "epoch": 3, "args": {"lr": 0.1}}
    if name.endswith(".safetensors"):
        save_file(TENSORS, path, {"format": "pt"})
    else:
        torch.save(content, path, _use_new_zipfile_serialization=name != "old.pth")
    return path.read_bytes()


def _onnx(folder: Path) -> bytes:
    from tests.brought.test_fit import ends_of, save_model

    save_model(folder / "m.onnx", ends_of(4, 4))
    return (folder / "m.onnx").read_bytes()


def _keras(folder: Path, name: str) -> bytes:
    keras = pytest.importorskip("keras")
    layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    keras.Sequential([*layers, keras.layers.Dense(2)]).save(folder / name)
    return (folder / name).read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("name", ["new.pth", "old.pth", "m.safetensors"])
@fuzz
@given(data=st.data())
def test_a_damaged_checkpoint(folder: Path, name: str, data: st.DataObject) -> None:
    path = folder / f"damaged-{name}"
    path.write_bytes(data.draw(damaged(_kept(folder, name))))
    with refusals():
        chosen(path, None)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Confined calls share a process: each file in one of its own would take a second."""
    with ConfinedProcess(tmp_path_factory.mktemp("confined")) as process:

        def call(limits: Confinement, function: Any, arguments: Any, kind: Any) -> Any:
            return process.run(limits, _call, (function, *arguments), kind, left, lambda *_: None)

        left = tmp_path_factory.mktemp("left")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_keras_config, "call_confined", call)
            patch.setenv("EDGEKIT_MODEL_MINUTES", "1")
            yield


def test_a_file_that_hdf5_reads_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Keras file of which 340 bytes were blanked."""
    pytest.importorskip("h5py")
    path = tmp_path / "model.h5"
    path.write_bytes(gzip.decompress(ENDLESS.read_bytes()))
    monkeypatch.setenv("EDGEKIT_MODEL_MINUTES", "1")
    with pytest.raises(WeightsError, match="takes longer than 3 s") as refused:
        read_model(path)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", ["m.onnx", "m.keras", "m.h5"])
@fuzz
@given(data=st.data())
def test_a_damaged_model(folder: Path, one_process: None, name: str, data: st.DataObject) -> None:
    path = folder / f"damaged-{name}"
    path.write_bytes(data.draw(damaged(_kept(folder, name))))
    with refusals():
        read_model(path)


def _kept(folder: Path, name: str) -> bytes:
    """A sound file, made once."""
    path = folder / name
    if path.exists():
        return path.read_bytes()
    if name == "m.onnx":
        return _onnx(folder)
    return _keras(folder, name) if name in ("m.keras", "m.h5") else _checkpoint(folder, name)
