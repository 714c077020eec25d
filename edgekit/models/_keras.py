"""A float model of Keras: check it without running code from its file, keep it, run it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import packages
from edgekit.data.size import Size
from edgekit.engine.confinement import one_image
from edgekit.errors import WeightsError
from edgekit.models import _keras_config, _saved_model
from edgekit.models._input_shape import DEPTHS, LUMA, advice
from edgekit.models._keras_modern import modernise
from edgekit.models._one_score import count_scores, widen_keras
from edgekit.models._tensorflow import STREAMS, make_way
from edgekit.models.kept import Kept, words_of
from edgekit.models.source import Channels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIBRARIES = ("tensorflow", "keras", "tf2onnx")


def keep(path: Path, size: Size, classes: int, channels: Channels, into: Path) -> Kept:
    """Check a .keras or .h5 file or the folder of a SavedModel, and keep it, taking RGB images.

    Raises:
        WeightsError: it holds code, or is no model from one image of this size to a score for
            each class.
    """
    if path.is_dir():
        kept = into / "saved_model"
        if channels != "rgb":
            raise _unchangeable(path, f"channels: {channels}")
        _need("tensorflow")
        _saved_model.keep(path, kept)
        shape, weights = _saved_model_facts(kept, path)
        remarks = []
    else:
        refuse_code(path)
        kept = into / ("model.keras" if path.suffix.lower() == ".keras" else "model.h5")
        remarks = _copy(path, kept)
        model = _load(kept, path)
        shape, weights = _shape(model, path), model.count_params()
        _check_finite(model, path)
        check_shape(shape, size, channels, path)
        if channels != "rgb":
            model = _taking_rgb(model, size, channels)
            kept = _replaced(kept, model)
        if len(model.outputs[0].shape) != 2:
            kept = _replaced(kept, _in_row(model))
    check_shape(shape, size, channels, path)
    one_score = None
    if count_scores(_scores_of(kept, size), classes, path) == 1:
        if path.is_dir():
            raise _unchangeable(path, "its one score made two")
        whole, one_score = widen_keras(_need("keras"), _load(kept, path), path)
        kept = _replaced(kept, whole)
    return Kept(kept.name, weights, "; ".join(remarks) or None, one_score=one_score)


def _unchangeable(path: Path, change: str) -> WeightsError:
    return WeightsError(
        f"model.weights: {path} is a SavedModel, which cannot be changed ({change})",
        hint="give the .keras or .h5 file it was exported from",
    )


def _replaced(kept: Path, model: Any) -> Path:
    kept.unlink()
    _save(model, kept.with_name("model.keras"))
    return kept.with_name("model.keras")


def _copy(path: Path, kept: Path) -> list[str]:
    """Copy a file, with a configuration that this Keras reads; what was changed of it."""
    shutil.copyfile(path, kept)
    config = _keras_config.read(kept)
    before = json.dumps(config)
    remarks = modernise(config)
    if json.dumps(config) != before:
        _keras_config.write(config, kept)
    return remarks


def opened(path: Path) -> Any:
    """A function from float32 images, NHWC, to scores (images, classes)."""
    import numpy as np

    if path.is_dir():
        call = _signature(path, path)
    else:
        model = _load(path, path)

        def call(images: Any) -> Any:
            return _need("keras").ops.convert_to_numpy(model(images, training=False))

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = [call(images[i : i + 32]) for i in range(0, len(images), 32)]
        return np.concatenate([np.asarray(row).reshape(len(row), -1) for row in rows])

    return run


def refuse_code(path: Path) -> None:
    """Read what layers a .keras or .h5 file asks for, and refuse those that are code (pure but for
    reading).

    Raises:
        WeightsError: it is no Keras model, or holds a Lambda layer or a class of somebody's own.
    """
    config = _keras_config.read(path)
    modernise(config)  # as Keras reads it
    _keras_config.refuse_code(config, path)


def _need(module: str) -> Any:
    with packages.told("model.weights: a Keras model"), _quiet():
        make_way()
        return importlib.import_module(module)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep TensorFlow's greetings off the terminal: its C++ half writes to the file descriptor."""
    with STREAMS:
        sys.stderr.flush()
        saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)


def _load(file: Path, path: Path) -> Any:
    """Load a copy of `path`."""
    _need("tensorflow")
    keras = _need("keras")
    try:
        with _quiet():  # what it says of the processor with its first tensor
            # What compile() left in old files, optimisers and losses, may not be known any more.
            return keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # TypeError, ValueError and others, by the layer
        # A layer's error stands at the end of those of the models that hold it.
        innermost = str(error).rpartition("Exception encountered: ")[2]
        reason = words_of(innermost, {file: path.name})
        raise WeightsError(
            f"model.weights: {path} cannot be loaded by Keras: {reason}",
            hint="save it with Keras 3, of Keras's own layers, or export it to ONNX",
        ) from error


def _signature(kept: Path, path: Path) -> Any:
    """The function that the SavedModel `kept`, taken from `path`, serves: from images to its only
    output."""
    tensorflow = _need("tensorflow")
    try:
        with _quiet():
            loaded = tensorflow.saved_model.load(str(kept))
        serve = loaded.signatures["serving_default"]
    except Exception as error:  # OSError, KeyError and TensorFlow's own
        raise WeightsError(
            f"model.weights: {path} is not a SavedModel that can be served: {words_of(error, {})}",
            hint="make it with keras: model.export(folder)",
        ) from error
    inputs = serve.structured_input_signature[1]
    _only(sorted(inputs), "input", path)
    _only(sorted(serve.structured_outputs), "output", path)
    (name,) = inputs

    def call(images: Any) -> Any:
        # The signature lives as long as the model it belongs to.
        (scores,) = loaded.signatures["serving_default"](
            **{name: tensorflow.constant(images)}
        ).values()
        return scores.numpy()

    call.__dict__.update(shape=inputs[name].shape, variables=serve.variables)
    return call


def _saved_model_facts(kept: Path, path: Path) -> tuple[tuple[int | None, ...], int]:
    call = _signature(kept, path)
    weights = sum(int(v.shape.num_elements()) for v in call.variables)
    return tuple(call.shape.as_list()), weights


def _shape(model: Any, path: Path) -> tuple[int | None, ...]:
    inputs, outputs = model.inputs or [], model.outputs or []
    _only([tensor.name for tensor in inputs], "input", path)
    _only([tensor.name for tensor in outputs], "output", path)
    return tuple(inputs[0].shape)


def _only(names: list[str], kind: str, path: Path) -> None:
    if len(names) != 1:
        raise WeightsError(
            f"model.weights: {path} has {len(names)} {kind}s ({', '.join(names) or 'none'}), one "
            "expected",
            hint="save the part that goes from one image to one row of scores",
        )


def check_shape(shape: tuple[int | None, ...], size: Size, channels: Channels, path: Path) -> None:
    """
    Raises:
        WeightsError: an input of this shape does not take such images.
    """
    wanted = (1, *size, DEPTHS[channels])
    fits = len(shape) == 4 and all(
        have in (None, want) for have, want in zip(shape, wanted, strict=True)
    )
    if not fits or shape[3] != wanted[3]:
        raise WeightsError(
            f"model.weights: {path} takes the shape {['?' if d is None else d for d in shape]}, "
            f"{list(wanted)} expected",
            hint=advice(shape[1], shape[2], shape[3], size, channels)
            if len(shape) == 4
            else "give a model that takes images: four dimensions",
        )


def _check_finite(model: Any, path: Path) -> None:
    import numpy as np

    names = [w.path for w in model.weights if not np.isfinite(np.asarray(w)).all()]
    if names:
        raise WeightsError(
            f"model.weights: {path}: {len(names)} tensors hold NaN or infinity: "
            f"{', '.join(names[:5])}"
        )


def _scores_of(kept: Path, size: Size) -> NDArray[np.float32]:
    """Of a black image, (1, scores)."""
    import numpy as np

    with one_image():
        scores: NDArray[np.float32] = opened(kept)(np.zeros((1, *size, 3), np.float32))
    return scores


def _in_row(model: Any) -> Any:
    """The model with its scores in one row."""
    keras = _need("keras")
    row = keras.layers.Flatten(name="row")(model.outputs[0])
    return keras.Model(model.inputs, row, name="in_row")


def _taking_rgb(model: Any, size: Size, channels: Channels) -> Any:
    """A model of BGR or grey images behind a 1 x 1 convolution that swaps or weighs the channels: a
    layer that every converter and quantiser knows."""
    import numpy as np

    keras = _need("keras")
    kernel = np.eye(3)[::-1] if channels == "bgr" else np.array(LUMA)
    kernel = kernel.reshape(1, 1, 3, -1).astype(np.float32)
    swap = keras.layers.Conv2D(kernel.shape[3], 1, use_bias=False, name=f"rgb_to_{channels}")
    image = keras.Input((*size, 3), name="rgb")
    whole = keras.Model(image, model(swap(image)), name="taking_rgb")
    swap.set_weights([kernel])
    return whole


def _save(model: Any, path: Path) -> None:
    """Save as .keras without the time of day, so that equal builds give equal bytes."""
    made = path.with_name("dated.keras")
    model.save(made)
    with zipfile.ZipFile(made) as dated, zipfile.ZipFile(path, "w") as plain:
        for name in sorted(dated.namelist()):
            content = dated.read(name)
            if name == "metadata.json":
                facts = json.loads(content)
                content = json.dumps({**facts, "date_saved": ""}, sort_keys=True).encode()
            plain.writestr(zipfile.ZipInfo(name), content)
    made.unlink()
