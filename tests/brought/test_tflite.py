"""TensorFlow Lite files as converters leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.agent import classify
from edgekit.models._tensorflow import make_way
from edgekit.runtimes import _tflite as tflite
from edgekit.runtimes._tflite_edit import write
from tests.brought import brought
from tests.brought.classifiers import SIZE, Desk
from tests.models.test_foreign import colours, keras_model, net, pixels

__all__ = ["colours", "keras_model", "net", "pixels"]

make_way()
tensorflow = pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


def converted(model: Any, path: Path, change: Callable[[Any], None] = lambda _: None) -> Path:
    """A file of TensorFlow's converter, whose options `change` sets."""
    keras = __import__("keras")
    image = keras.Input(batch_shape=(1, SIZE, SIZE, 3), name="image")
    whole = keras.Model(image, model(image), name="whole")
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(whole)
    change(converter)
    path.write_bytes(converter.convert())
    return path


def to_int8(converter: Any) -> None:
    def images() -> Any:
        rng = np.random.default_rng(0)
        return ([rng.random((1, SIZE, SIZE, 3), np.float32)] for _ in range(8))

    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = images


def to_dynamic_range(converter: Any) -> None:
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]


def to_float16(converter: Any) -> None:
    to_dynamic_range(converter)
    converter.target_spec.supported_types = [tensorflow.float16]


def without_signature(path: Path) -> Path:
    model = tflite.read(path)
    model.signatureDefs = []
    write(model, path)
    return path


@brought("TensorFlow Lite files", "no signature, in inspect, estimate and bundle", "read")
def test_no_signature(desk: Desk, keras_model: Any) -> None:
    original = without_signature(converted(keras_model, desk.root / "float.tflite"))
    file = without_signature(converted(keras_model, desk.root / "int8.tflite", to_int8))
    said = desk.commands(file, original)
    assert {answer.code for answer in said.values()} == {0}, said
    assert "The scores have" in said["inspect"].words
    assert json.loads(said["estimate"].words)["precision"] == "int8"


@brought(
    "TensorFlow Lite files", "channels first, as litert-torch writes them, in every command", "read"
)
def test_channels_first(desk: Desk, net: torch.nn.Module) -> None:
    litert_torch = pytest.importorskip("litert_torch")
    file = desk.root / "planar.tflite"
    litert_torch.convert(net.eval(), (torch.zeros(1, 3, SIZE, SIZE),)).export(str(file))
    said = desk.commands(file, file)
    assert {answer.code for answer in said.values()} == {0}, said


@pytest.mark.parametrize(
    ("change", "precision", "words"),
    [
        (to_float16, "float16", "no operator runs in int8: float16 (float16 weights)"),
        (to_dynamic_range, "int8 weights", "float32 (int8 weights)"),
    ],
)
@brought("TensorFlow Lite files", "float16 or dynamic range, given as int8", "told: what it is")
def test_what_is_no_int8(
    desk: Desk, keras_model: Any, change: Callable[[Any], None], precision: str, words: str
) -> None:
    original = converted(keras_model, desk.root / "float.tflite")
    file = converted(keras_model, desk.root / "called_int8.tflite", change)
    said = desk.commands(file, original)
    assert {answer.code for answer in said.values()} == {0}, said
    assert words in said["inspect"].words
    info = json.loads((desk.root / f"bundle-{file.name}/bundle.json").read_text())
    assert info["subject"]["precision"] == precision


def to_uint8_ends(converter: Any) -> None:
    to_int8(converter)
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tensorflow.uint8


@brought("TensorFlow Lite files", "scores as uint8 codes, for a bundle's classify.py", "read")
def test_scores_in_codes(desk: Desk, keras_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file, bundle = converted(keras_model, desk.root / "codes.tflite", to_uint8_ends), "codes"
    assert desk.run("bundle", file, "--out", desk.root / bundle).code == 0
    facts = classify.facts_beside(desk.root / bundle)
    assert facts["scores"] == "logits"
    codes = np.array([[91, 90]], np.uint8)
    port = facts["output"]
    logits = (codes[0].astype(float) - port["zero_point"]) * port["scale"]
    capsys.readouterr()  # what TensorFlow says
    classify.show(codes, facts, 2)
    first = float(capsys.readouterr().out.split()[2])
    assert first == pytest.approx(1 / (1 + np.exp(logits[1] - logits[0])), abs=0.001)
    assert first != pytest.approx(1 / (1 + np.exp(-1)), abs=0.01)  # softmax of the codes
