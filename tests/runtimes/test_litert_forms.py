"""The forms of a LiteRT file: float16 weights, what it takes and gives, and where it comes from."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import EdgekitError, InputError, Unsupported, WeightsError
from edgekit.models.card import Card
from edgekit.models.timm_models import create
from edgekit.runtimes import _tflite, _tflite_edit
from edgekit.runtimes.contract.input_form import InputForm, Io
from tests.runtimes.litert_models import HALF, LABELS, RUNTIME, card, compiled, quantized, scores

pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_quantizer")

SIZE = 64
CARD = card("mobilenetv4_conv_small", SIZE)
APART = CARD.model_copy(update={"std": (0.5, 0.5, 0.4)})
FLOAT = InputForm(dtype="float32", mean=HALF, std=HALF)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3), np.uint8)


@dataclass
class Files:
    """One network in float, float16 and int8."""

    folder: Path
    forms: dict[str, InputForm]

    def path(self, name: str) -> Path:
        return self.folder / name / RUNTIME.file


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("forms")
    source = compiled(create(CARD.arch, len(LABELS)), CARD, folder / "float")
    forms = {
        "int8": quantized(source, CARD, IMAGES, folder / "int8"),
        "apart": quantized(source, APART, IMAGES, folder / "apart"),
        "float16": quantized(source, CARD, IMAGES, folder / "float16", precision="float16"),
    }
    return Files(folder, {"float": FLOAT, **forms})


def bake(files: Files, name: str, io: Io, into: Path, its_card: Card = CARD) -> Path:
    into.mkdir(exist_ok=True)
    RUNTIME.bake(files.path(name), its_card, files.forms[name], LABELS, into, io)
    return into / RUNTIME.file


def facts(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("edgekit.json"))


def test_float16_weights_are_in_the_file_and_seen(files: Files) -> None:
    assert files.forms["float16"] == FLOAT
    before, after = (RUNTIME.describe(files.path(name)) for name in ("float", "float16"))
    layers = {o.precision for o in after.operators if o.heavy}
    assert layers == {"float16"}
    assert [o.kind for o in after.operators] == [o.kind for o in before.operators]
    assert after.outside_delegate == ()
    small, large = (files.path(name).stat().st_size for name in ("float16", "float"))
    assert 0.45 < small / large < 0.6


def test_float16_scores_are_nearly_the_float_ones(files: Files) -> None:
    expected = scores(files.path("float"), FLOAT, IMAGES)
    found = scores(files.path("float16"), FLOAT, IMAGES)
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02 * abs(expected).max())


def test_float16_ships_like_any_other(files: Files, tmp_path: Path) -> None:
    path = bake(files, "float16", "uint8", tmp_path)
    raw = FLOAT.model_copy(update={"dtype": "uint8"})
    found, expected = scores(path, raw, IMAGES), scores(files.path("float16"), FLOAT, IMAGES)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_float_file_only_gains_names_and_labels(files: Files, tmp_path: Path) -> None:
    path = bake(files, "int8", "float", tmp_path)
    before, after = RUNTIME.describe(files.path("int8")), RUNTIME.describe(path)
    assert (after.input.name, after.output.name) == ("image", "scores")
    assert after.operators == before.operators
    assert after.input.dtype == after.output.dtype == "float32"
    form = files.forms["int8"]
    expected = scores(files.path("int8"), form, IMAGES)
    np.testing.assert_array_equal(scores(path, form, IMAGES), expected)
    assert facts(path)["dtype"] == "float32"
    assert facts(path)["scores"] == {"dtype": "float32"}


def test_an_integer_file_has_no_float_at_either_end(files: Files, tmp_path: Path) -> None:
    path = bake(files, "int8", "integer", tmp_path / "integer")
    description = RUNTIME.describe(path)
    assert (description.input.dtype, description.output.dtype) == ("uint8", "int8")
    assert {o.precision for o in description.operators} == {"uint8", "int8"}
    assert description.operators[-1].kind == "FULLY_CONNECTED"
    # The agent gives what the codes stand for: the same scores as with a DEQUANTIZE inside.
    raw = files.forms["int8"].model_copy(update={"dtype": "uint8"})
    ordinary = bake(files, "int8", "uint8", tmp_path / "uint8")
    found = scores(path, raw, IMAGES)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, scores(ordinary, raw, IMAGES))
    assert facts(path)["scores"]["dtype"] == "int8"
    steps = found / np.float32(facts(path)["scores"]["scale"])
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


@pytest.mark.parametrize("name", ["float", "float16"])
def test_a_float_model_is_not_passed_off_as_integer(
    files: Files, name: str, tmp_path: Path
) -> None:
    with pytest.raises(Unsupported, match="input is not quantised"):
        bake(files, name, "integer", tmp_path)


def test_channels_normalised_apart_have_no_integer_input(files: Files, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="normalised apart"):
        bake(files, "apart", "integer", tmp_path, APART)


def test_a_version_too_new_for_an_old_interpreter_is_named(files: Files, tmp_path: Path) -> None:
    assert RUNTIME.unsupported_reasons(files.path("int8"), "CPU", "tflite-runtime==2.14.0") == ()
    model = _tflite.read(files.path("int8"))
    code = model.operatorCodes[model.subgraphs[0].operators[1].opcodeIndex]
    kind = _tflite.kinds(model)[1]
    code.version = 99
    doctored = tmp_path / "model.tflite"
    _tflite_edit.write(model, doctored)
    (line,) = RUNTIME.unsupported_reasons(doctored, "CPU", "tflite-runtime==2.14.0")
    assert line.startswith(f"{kind} is in the file in version 99, tflite-runtime==2.14.0 knows")
    assert RUNTIME.unsupported_reasons(doctored, "CPU", "ai-edge-litert==2.3.0") == ()


@pytest.fixture(scope="module")
def keras_models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One small network that has learnt bright from dark, saved in every form, and its scores."""
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    keras.utils.set_random_seed(0)
    images = np.concatenate([IMAGES[:4] // 3, IMAGES[4:] // 2 + 128])[:, :32, :32]
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.ReLU(6)(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.DepthwiseConv2D(3)(x))
    logits = keras.layers.Dense(4)(x)
    model = keras.Model(image, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(FLOAT.prepare(images), np.arange(8) // 4, epochs=40, verbose=0)
    folder = tmp_path_factory.mktemp("keras")
    model.save(folder / "net.keras")
    model.save(folder / "net.h5")
    model.export(str(folder / "saved"), verbose=False)
    keras.Model(image, keras.layers.Softmax()(logits)).save(folder / "softmax.keras")
    return folder, images, model.predict(FLOAT.prepare(images), verbose=0)


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "saved"])
def test_keras_models_go_the_same_way(keras_models: Any, name: str, tmp_path: Path) -> None:
    folder, images, expected = keras_models
    its_card = card("keras", 32)
    source = compiled(folder / name, its_card, tmp_path / "float")
    np.testing.assert_allclose(scores(source, FLOAT, images), expected, rtol=1e-3, atol=1e-4)
    assert RUNTIME.describe(source).input.shape == (1, 32, 32, 3)
    form = quantized(source, its_card, images, tmp_path / "int8")
    path = tmp_path / "int8" / RUNTIME.file
    description = RUNTIME.describe(path)
    assert description.float_heavy == []
    assert description.per_channel
    assert description.outside_delegate == ()
    found = scores(path, form, images)
    assert (found.argmax(1) == np.arange(8) // 4).all()
    (tmp_path / "baked").mkdir()
    RUNTIME.bake(path, its_card, form, LABELS, tmp_path / "baked", "integer")
    raw = form.model_copy(update={"dtype": "uint8"})
    np.testing.assert_array_equal(scores(tmp_path / "baked" / RUNTIME.file, raw, images), found)


def test_a_keras_conversion_gives_the_same_bytes_again(keras_models: Any, tmp_path: Path) -> None:
    made = [
        compiled(keras_models[0] / "net.keras", card("keras", 32), tmp_path / name).read_bytes()
        for name in ("one", "two")
    ]
    assert made[0] == made[1]


def test_a_softmax_at_the_end_stays_in_float(keras_models: Any, tmp_path: Path) -> None:
    folder, images, _ = keras_models
    its_card = card("keras", 32)
    source = compiled(folder / "softmax.keras", its_card, tmp_path / "float")
    form = quantized(source, its_card, images, tmp_path / "int8")
    path = tmp_path / "int8" / RUNTIME.file
    assert RUNTIME.describe(path).count()["SOFTMAX float32"] == 1
    with pytest.raises(Unsupported, match="SOFTMAX, in float"):
        RUNTIME.bake(path, its_card, form, LABELS, tmp_path, "integer")


def test_what_is_wrong_with_a_keras_model_is_told(keras_models: Any, tmp_path: Path) -> None:
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(WeightsError, match="cannot be read as a Keras model"):
        RUNTIME.compile(tmp_path / "text.keras", card("keras", 32), tmp_path, lambda *_: None)
    with pytest.raises(InputError, match=r"not one image \(1, 48, 48, 3\)"):
        compiled(keras_models[0] / "net.keras", card("keras", 48), tmp_path / "float")


def test_a_model_that_cannot_be_converted_is_the_users_to_change(tmp_path: Path) -> None:
    import torch

    class Odd(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.linalg.eigvalsh(x[0] @ x[0].transpose(1, 2))

    with pytest.raises(EdgekitError) as caught:
        compiled(Odd(), CARD, tmp_path / "float")
    assert type(caught.value) is Unsupported
    assert caught.value.exit_code == 2
