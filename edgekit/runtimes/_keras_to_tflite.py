"""A Keras model to a float32 .tflite, by TensorFlow's own converter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.data.size import Size
from edgekit.errors import InputError, Unsupported, WeightsError
from edgekit.runtimes._litert_tools import library, need


def convert(source: Path, size: Size, target: Path, name: str) -> None:
    """Convert a .keras or .h5 file, or a folder with a SavedModel, for one image.

    Args:
        name: of the model, as the user knows it.

    Raises:
        WeightsError: the file cannot be read as a Keras model.
        InputError: the model takes something else than [images, height, width, 3].
        Unsupported: an operator that TensorFlow's converter does not know.
    """
    tensorflow, keras, names = need("tensorflow"), need("keras"), {source: name}
    with library(f"{name} cannot be read as a Keras model", WeightsError, names=names):
        if source.is_dir():
            layer: Any = keras.layers.TFSMLayer(str(source), call_endpoint="serving_default")
        else:
            # What compile() left in old files, optimisers and losses, may not be known any more.
            layer = keras.models.load_model(source, compile=False)
            _check_input(name, layer, size)
    with library(f"{name} cannot be converted to LiteRT", Unsupported, names=names):
        # A fixed batch: a free one leaves operators that only compute shapes.
        # Given names: Keras would number them, and the bytes would differ from run to run.
        image = keras.Input(batch_shape=(1, *size, 3), name="image")
        scores = layer(image)
        if isinstance(scores, dict | list):  # of a SavedModel; of a file of Keras 2
            (scores,) = scores.values() if isinstance(scores, dict) else scores
        if len(scores.shape) != 2:  # of a SavedModel; files are kept with a row of scores
            scores = keras.layers.Flatten(name="row")(scores)
        whole = keras.Model(image, scores, name="model")
        converted = tensorflow.lite.TFLiteConverter.from_keras_model(whole).convert()
    target.write_bytes(converted)


def _check_input(name: str, model: Any, size: Size) -> None:
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    fits = len(shapes) == 1 and len(shapes[0]) == 4
    if not fits or any(
        have not in (None, want) for have, want in zip(shapes[0][1:], (*size, 3), strict=True)
    ):
        raise InputError(
            f"{name} takes {', '.join(map(str, shapes))}, not one image {(1, *size, 3)}",
            hint="set data.image_size to the size the model was made for",
        )
