"""A float model in an .onnx file: check it, keep it as one file that takes RGB, run it."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import packages
from edgekit.data.size import Size
from edgekit.engine.confinement import one_image
from edgekit.errors import WeightsError
from edgekit.models import _onnx_plain as plain
from edgekit.models._input_shape import DEPTHS
from edgekit.models._one_score import count_scores, widen_onnx
from edgekit.models._onnx_checks import (
    check_operators,
    check_weights,
    fix_size,
    float_types,
    has_open_sides,
    layouts,
    only_input,
)
from edgekit.models.kept import Kept, words_of
from edgekit.models.source import Channels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "model.onnx"
LIBRARIES = ("onnx", "onnxruntime")


def companions(path: Path) -> list[Path]:
    """The files beside an .onnx file that hold its weights.

    Raises:
        WeightsError: it is no ONNX file, or one of these files is missing or lies elsewhere.
    """
    onnx = _need("onnx", path.name)
    names: set[str] = set()
    # Private, and the only function that finds the tensors in attributes and subgraphs too.
    for tensor in onnx.external_data_helper._get_all_tensors(parse(path)):
        if onnx.external_data_helper.uses_external_data(tensor):
            names |= {entry.value for entry in tensor.external_data if entry.key == "location"}
    files = [path.parent / name for name in sorted(names)]
    for file in files:
        try:
            beside, there = file.resolve().is_relative_to(path.parent.resolve()), file.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, a zero byte, a circle of links
            beside = there = False
        if not beside:
            raise WeightsError(
                f"model.weights: {path} keeps weights in {str(file)[:200]!r}, outside its folder"
            )
        if not there:
            raise WeightsError(
                f"model.weights: {path} keeps its weights in {file.name}, which is not there",
                hint=f"copy {file.name} beside it, or export the model again into one file",
            )
    return files


def keep(path: Path, size: Size, classes: int, channels: Channels, into: Path) -> Kept:
    """Check an .onnx file and write it in a plain form, which takes one RGB image of this size
    and gives one row of scores.

    Raises:
        WeightsError: it is no float model from such images to a score for each class.
    """
    onnx = _need("onnx", path.name)
    check_operators(parse(path), path)  # before the checker, which does not know them all
    try:
        model = onnx.load(path)
        plain.free_constants(model)
        model = plain.in_order(model)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf, the checker and the file system have no common base
        raise WeightsError(
            f"model.weights: {path} is not a valid ONNX file: {words_of(error, {})}"
        ) from error
    was_half = plain.widen(model)
    value = only_input(model.graph, path)
    _choose_layout(model, value, layouts(size, DEPTHS[channels]))
    batch = fix_size(value, size, channels, path)
    check_weights(model.graph, path)
    if batch > 1:
        model = _one_at_a_time(model, batch, path)
        value = model.graph.input[0]
    if channels == "bgr":
        plain.swap_channels(model.graph, value)
    if channels == "grey":
        plain.take_rgb(model.graph, value)
    plain.one_row(model.graph)
    del model.graph.value_info[:]  # inferred from the shapes as they were
    onnx.save(model, into / FILE)
    one_score = None
    if count_scores(_scores_of(into / FILE, size, path), classes, path) == 1:
        one_score = widen_onnx(model.graph, path)
        onnx.save(model, into / FILE)
    sizes = [math.prod(i.dims) for i in model.graph.initializer if i.data_type in float_types()]
    return Kept(FILE, sum(sizes), _remark(was_half, batch), one_score)


def _choose_layout(model: Any, value: Any, layouts: tuple[list[int], list[int]]) -> None:
    """Where an input leaves all sides open, set those of the one layout that the graph runs on."""
    import numpy as np

    shape = value.type.tensor_type.shape
    if not has_open_sides(value):
        return
    runs = []
    for layout in layouts:
        for dim, length in zip(shape.dim, layout, strict=True):
            dim.dim_value = length
        # Those of onnxruntime have no common base.
        with one_image(), contextlib.suppress(Exception):
            _session(model.SerializeToString())[0](np.zeros(layout, np.float32))
            runs.append(layout)
    chosen = runs[0] if len(runs) == 1 else [0] * 4
    for dim, length in zip(shape.dim, chosen, strict=True):
        dim.dim_value = length


def _remark(was_half: bool, batch: int) -> str | None:
    lines = ["its float16 weights are computed with in float32, exactly"] * was_half
    lines += [f"it was made for {batch} images at a time, and takes one now"] * (batch > 1)
    return "; ".join(lines) or None


def opened(path: Path) -> Any:
    """A function from float32 images, NHWC, to scores (images, classes)."""
    import numpy as np

    run_one, planar = _session(path)

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        planes = images.transpose(0, 3, 1, 2) if planar else images
        # One by one: a file that is kept takes one image.
        return np.stack([run_one(planes[i : i + 1]).reshape(-1) for i in range(len(planes))])

    return run


def _session(model: Path | bytes) -> tuple[Any, bool]:
    """What runs a model on its one input, and whether channels come first in it."""
    onnxruntime = _need("onnxruntime", "an ONNX file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    return lambda images: session.run(None, {source.name: images})[0], source.shape[1] == 3


def _need(module: str, what: str) -> Any:
    import importlib

    with packages.told(f"model.weights: {what}", "onnxruntime"):
        return importlib.import_module(module)


def parse(path: Path) -> Any:
    """The file without the weights it keeps elsewhere."""
    onnx = _need("onnx", path.name)
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, which has no public base
        raise WeightsError(f"model.weights: {path} is not an ONNX file") from error
    if not model.ir_version or not model.graph.node:  # protobuf reads anything short as empty
        raise WeightsError(f"model.weights: {path} is not an ONNX file: it holds no graph")
    return model


def _scores_of(kept: Path, size: Size, path: Path) -> NDArray[np.float32]:
    """Of a black image, (1, scores).

    Raises:
        WeightsError: ONNX Runtime cannot run the file.
    """
    import numpy as np

    try:
        with one_image():
            scores: NDArray[np.float32] = opened(kept)(np.zeros((1, *size, 3), np.float32))
    except Exception as error:  # the exceptions of onnxruntime have no common base of their own
        raise WeightsError(
            f"model.weights: ONNX Runtime cannot run {path}: {words_of(error, {kept: path.name})}",
            hint="export it with operators of ONNX's own",
        ) from error
    return scores


def _one_at_a_time(model: Any, batch: int, path: Path) -> Any:
    """A model for `batch` images as one for a single image, held to the scores it gave before.

    Raises:
        WeightsError: its graph runs on so many images alone.
    """
    import numpy as np

    single = type(model).FromString(model.SerializeToString())
    held = plain.set_batch(single, batch)
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    images = np.random.default_rng(0).random((batch, *shape[1:]), np.float32)
    with one_image():
        run_all, _ = _session(model.SerializeToString())
        wanted = run_all(images).reshape(batch, -1)
    failure = f"it holds {', '.join(held[:3])}" if held else "another operator holds the batch"
    try:
        run, _ = _session(single.SerializeToString())
        found = np.stack([run(images[i : i + 1]).ravel() for i in range(batch)])
        if found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-3, atol=1e-4):
            return single
    except Exception as error:  # the exceptions of onnxruntime have no common base of their own
        failure = words_of(error, {})
    raise WeightsError(
        f"model.weights: {path} runs on {batch} images at a time alone: {failure}",
        hint="export it for one image at a time, or with an open batch",
    )
