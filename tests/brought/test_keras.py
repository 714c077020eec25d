"""Keras models as Keras 2 and 3 save them, and HDF5 files that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data.framing import Framing
from edgekit.data.images import decode
from edgekit.data.size import Size
from edgekit.errors import WeightsError
from edgekit.models import _keras
from tests.brought import brought
from tests.brought.classifiers import SIZE, Desk
from tests.models.test_foreign import Pixels, colours, kept, keras_model, net, pixels, scores_of

__all__ = ["colours", "keras_model", "net", "pixels"]

h5py = pytest.importorskip("h5py")
RUNTIMES = ("litert", "onnxruntime")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


def behind(keras: Any, model: Any, *layers: Any, dtype: str = "float32") -> Any:
    """The network with other layers in front, made by any Keras."""
    kinds = keras.layers
    keras.mixed_precision.set_global_policy(dtype)
    image = x = keras.Input((SIZE, SIZE, 3))
    for layer in layers:
        x = layer(x)
    for filters in (8, 16):
        x = kinds.Conv2D(filters, 3, strides=2, activation="relu")(x)
    whole = keras.Model(image, kinds.Dense(4, dtype="float32")(kinds.GlobalAveragePooling2D()(x)))
    keras.mixed_precision.set_global_policy("float32")
    fixed = [w for layer in layers for w in layer.get_weights()]
    whole.set_weights([*fixed, *model.get_weights()])
    return whole


def passed(desk: Desk, file: str) -> Any:
    answer = desk.build(file, *RUNTIMES)
    assert answer.code == 0, answer.words
    for runtime in RUNTIMES:
        for precision in ("float32", "int8"):
            assert min(answer.figures(runtime, precision)) > 90, answer.words
    return answer.report["remarks"].get("source")


@pytest.mark.slow
@brought("Keras models", "an adapted Normalization layer", "read, for every runtime")
def test_normalization(desk: Desk, keras_model: Any, pixels: Pixels) -> None:
    keras = _keras._need("keras")
    both = [keras.layers.Normalization(), keras.layers.Normalization(invert=True)]
    for layer in both:
        layer.adapt((pixels[0] / 255).astype(np.float32))
    behind(keras, keras_model, *both).save(desk.root / "norm.keras")
    assert passed(desk, "norm.keras") is None


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@brought("Keras models", "trained under mixed_float16 or mixed_bfloat16", "read: told, in float32")
def test_mixed_precision(desk: Desk, keras_model: Any, policy: str) -> None:
    keras = _keras._need("keras")
    behind(keras, keras_model, dtype=policy).save(desk.root / "mixed.keras")
    assert f"trained under {policy}, it computes in float32" in passed(desk, "mixed.keras")


def augmentation(old: Any) -> list[Any]:
    kinds = old.layers
    nested = old.Sequential([kinds.RandomFlip("horizontal"), kinds.RandomRotation(0.1)])
    return [nested, kinds.RandomZoom(0.1), kinds.RandomContrast(0.1), kinds.GaussianNoise(0.1)]


def nested(old: Any) -> list[Any]:
    image = old.Input((SIZE, SIZE, 3))
    return [old.Model(image, old.layers.DepthwiseConv2D(1)(image), name="backbone")]


def arithmetic(_: Any) -> list[Any]:
    """What applications.*.preprocess_input leaves in a model of Keras 2."""
    return [lambda x: x / 127.5, lambda x: x - 1.0, lambda x: x + 1.0, lambda x: x * 127.5]


FRONTS: dict[str, Callable[[Any], list[Any]]] = {
    "augmentation": augmentation,
    "nested": nested,
    "normalization": lambda old: [old.layers.Normalization(mean=[0.5] * 3, variance=[0.1] * 3)],
    "mixed": lambda old: [],
}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("front", FRONTS)
@brought("Keras models", "Keras 2: augmentation, nested models, mixed_float16", "read")
def test_keras_2(keras_model: Any, pixels: Pixels, tmp_path: Path, front: str, suffix: str) -> None:
    old = pytest.importorskip("tf_keras", reason="Keras 2 (tf_keras) comes with [test]")
    policy = "mixed_float16" if front == "mixed" else "float32"
    model = behind(old, keras_model, *FRONTS[front](old), dtype=policy)
    model.save(tmp_path / f"m{suffix}")
    artifact = kept(tmp_path / f"m{suffix}", tmp_path)
    images = (pixels[0] / 255).astype(np.float32)
    wanted = np.asarray(model(images, training=False), np.float32)
    at_most = 5e-2 if front == "mixed" else 1e-5
    np.testing.assert_allclose(scores_of(artifact, pixels[0]), wanted, atol=at_most)
    remark = str(artifact.metadata.get("remark"))
    assert ("layers for training alone are left out" in remark) == (front == "augmentation")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@brought("Keras models", "Keras 2: x / 127.5 - 1 in the graph (preprocess_input)", "read")
def test_arithmetic(keras_model: Any, pixels: Pixels, tmp_path: Path, suffix: str) -> None:
    old = pytest.importorskip("tf_keras", reason="Keras 2 (tf_keras) comes with [test]")
    image = x = old.Input((SIZE, SIZE, 3))
    for step in arithmetic(old):
        x = step(x)
    inner = behind(old, keras_model)
    model = old.Model(image, inner(x))
    model.save(tmp_path / f"m{suffix}")
    artifact = kept(tmp_path / f"m{suffix}", tmp_path)
    wanted = np.asarray(model((pixels[0] / 255).astype(np.float32)))
    # Subtracting 1 from numbers near 0 leaves four of seven digits, differently in each order.
    np.testing.assert_allclose(scores_of(artifact, pixels[0]), wanted, atol=1e-3)


@brought("Keras models", "a Sequential model without an Input", "read")
def test_no_input(keras_model: Any, pixels: Pixels, tmp_path: Path) -> None:
    keras = _keras._need("keras")
    model = keras.Sequential(keras_model.layers)
    model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    model.save(tmp_path / "m.keras")
    artifact = kept(tmp_path / "m.keras", tmp_path)
    wanted = np.asarray(keras_model((pixels[0] / 255).astype(np.float32)))
    np.testing.assert_allclose(scores_of(artifact, pixels[0]), wanted, atol=1e-5)


@brought("Keras models", "scores of the shape [1, 1, 1, n]", "read")
def test_scores_of_rank_4(tmp_path: Path) -> None:
    keras = _keras._need("keras")
    image = keras.Input((SIZE, SIZE, 3))
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    keras.Model(image, keras.layers.Conv2D(4, 1)(pooled)).save(tmp_path / "m.keras")
    artifact = kept(tmp_path / "m.keras", tmp_path)
    loaded = keras.models.load_model(artifact.path / "model.keras")
    assert loaded.output_shape == (None, 4)


def refusal(path: Path, tmp_path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        kept(path, tmp_path)
    said = f"{caught.value.message}\n{caught.value.hint}"
    assert path.name in said
    assert str(tmp_path / "store") not in said
    assert len(said) < 800
    return said


@brought("Keras models", "a layer that Keras does not know, in a large model", "refused: shortly")
def test_a_message_is_short(keras_model: Any, tmp_path: Path) -> None:
    keras_model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        extra = {"class_name": "Mystery", "config": {"name": "x", "notes": "long " * 4000}}
        config["config"]["layers"].insert(1, extra)
        file.attrs["model_config"] = json.dumps(config)
    assert "Mystery" in refusal(tmp_path / "m.h5", tmp_path)


def _attribute(value: Any) -> Callable[[Any], None]:
    return lambda file: file.attrs.__setitem__("model_config", value)


def _link(file: Any) -> None:
    file["elsewhere"] = h5py.ExternalLink("/etc/hostname", "/")


def _data(file: Any) -> None:
    file.create_dataset("raw", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset("seen", layout)


def _no_weights(file: Any) -> None:
    del file["model_weights"]


ODD: dict[str, tuple[Callable[[Any], None], str]] = {
    "a number": (_attribute(7), "configuration is not JSON"),
    "an array": (_attribute(np.arange(9)), "configuration is not JSON"),
    "no text": (_attribute(np.void(b"\xff\xfe\x00")), "configuration is not JSON"),
    "half": (_attribute('{"class_name": "Seq'), "configuration is not JSON"),
    "a list": (_attribute("[1, 2]"), "describes no model"),
    "deep": (_attribute("[" * 200_000), "configuration is not JSON"),
    "a link": (_link, "keeps parts of itself in other files, which are not read: elsewhere"),
    "data": (_data, "keeps parts of itself in other files, which are not read: raw"),
    "virtual": (_virtual, "keeps parts of itself in other files, which are not read: seen"),
    "no weights": (_no_weights, "cannot be loaded by Keras"),
}


@pytest.mark.parametrize("odd", ODD)
@brought("Keras models", ".h5 with an odd configuration, no weights or links elsewhere", "refused")
def test_odd_h5(keras_model: Any, tmp_path: Path, odd: str) -> None:
    change, words = ODD[odd]
    keras_model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        change(file)
    assert words in refusal(tmp_path / "m.h5", tmp_path)


@brought(
    "Keras models",
    "Accuracy as TensorFlow gives it, of JPEG photos",
    "read: a point or two apart. TensorFlow decodes JPEG faster and less exactly; with "
    '`dct_method="INTEGER_ACCURATE"` its pixels are edgekit\'s',
)
def test_pixels_of_tensorflows_exact_decoder_are_edgekits(tmp_path: Path) -> None:
    import tensorflow as tf

    ramp = np.linspace(0, 255, 160)[None, :, None]
    noisy = ramp + np.random.default_rng(0).normal(0, 25, (120, 160, 3))
    photo = tmp_path / "photo.jpg"
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(photo)
    own = decode(photo.read_bytes(), Framing(Size(120, 160), fit="squash"))
    theirs = {
        method: tf.io.decode_jpeg(photo.read_bytes(), 3, dct_method=method).numpy()
        for method in ("", "INTEGER_ACCURATE")
    }
    np.testing.assert_array_equal(own, theirs["INTEGER_ACCURATE"])
    assert (own != theirs[""]).mean() > 0.1
