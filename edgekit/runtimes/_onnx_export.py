"""A float model of any form `reads` names, as an ONNX graph from `image` (NHWC) to `scores`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.engine.temporary import temporary_folder
from edgekit.errors import InputError, Unsupported
from edgekit.models._tensorflow import make_way
from edgekit.models.card import Card
from edgekit.models.kept import words_of
from edgekit.runtimes import _onnx_graph as graph

OLDEST = 13
"""The first opset whose quantised weights may have one scale a channel."""
NEWER = 17
"""What models of older opsets are converted to."""
KERAS_OPSET = 18
"""The newest that tf2onnx writes."""


def from_torch(model: Any, card: Card) -> Any:
    """Export a torch model (NCHW).

    Raises:
        Unsupported: an operator that the exporter does not know, by its name.
    """
    import torch

    class Nhwc(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> Any:
            # Left in channels-last memory, global pooling is exported with a Gather behind it.
            return self.model(image.permute(0, 3, 1, 2).contiguous())

    example = torch.zeros(1, *card.image_size, 3)

    def export() -> Any:
        return torch.onnx.export(
            Nhwc().eval(),
            (example,),
            input_names=[graph.INPUT],
            output_names=[graph.OUTPUT],
            dynamo=True,
            external_data=False,
            verbose=False,
        )

    failures = (torch.onnx.OnnxExporterError, RuntimeError)
    try:
        program = export()
    except failures as error:
        # The memory layout that fused attention leaves can be one that the exporter loses.
        with _plain_attention(model) as changed:
            if not changed:
                raise _not_exported(card, error) from error
            try:
                program = export()
            except failures as again:
                raise _not_exported(card, again) from again
    assert program is not None
    return program.model_proto


@contextmanager
def _plain_attention(model: Any) -> Iterator[bool]:
    """timm's attention written out, where the model has any; the same numbers. Tells whether."""
    fused = [m for m in model.modules() if getattr(m, "fused_attn", False)]
    for module in fused:
        module.fused_attn = False
    try:
        yield bool(fused)
    finally:
        for module in fused:
            module.fused_attn = True


def _not_exported(card: Card, error: Exception) -> Unsupported:
    """By its cause: what the exporter says first is how to report a bug of its own."""
    cause = error.__cause__ or error
    culprit = re.search(r"aten[.:]+[\w.]+", str(cause))
    return Unsupported(
        f"{card.arch} cannot be exported to ONNX: {str(cause).strip().splitlines()[0]}",
        hint=f"the exporter stopped at {culprit[0]}; choose an architecture without it"
        if culprit
        else "choose another architecture, or another version of torch",
    )


def from_file(path: Path, card: Card) -> Any:
    """Read an .onnx file: one float32 image in, NCHW or NHWC, one row of scores out.

    Raises:
        InputError: the file is no ONNX model.
        Unsupported: another number of inputs or outputs, or other shapes.
    """
    import onnx

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf, checker and file errors have no common base
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} cannot be read as an ONNX model: {reason}") from error
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST:
        try:
            model = onnx.version_converter.convert_version(model, NEWER)
        except Exception as error:  # of the C++ converter
            raise Unsupported(
                f"{path} is of opset {opset}, and cannot be converted to opset {NEWER}: {error}",
                hint=f"export the model again with opset {OLDEST} or later",
            ) from error
    return _take(model, card, str(path))


def from_keras(model: Any, card: Card) -> Any:
    """Convert a Keras model (NHWC), a .keras or .h5 file of one, or the folder of a SavedModel, by
    way of tf2onnx.

    Raises:
        Unsupported: an operator that tf2onnx does not know; several inputs or outputs.
    """
    make_way()
    import keras
    import tensorflow
    import tf2onnx

    if isinstance(model, Path):
        try:
            if model.is_dir():
                model = _served(model)
            else:
                model = keras.saving.load_model(model, compile=False)
        except (OSError, ValueError) as error:
            reason = words_of(error, {Path(str(model)): card.arch})
            raise InputError(f"{card.arch} cannot be read as a Keras model: {reason}") from error
    what = f"the Keras model {card.arch}"
    value, _ = _only(model.inputs, "input", what), _only(model.outputs, "output", what)
    # A size that the model leaves open is the one that it is to run with.
    sides = (has or own for has, own in zip(value.shape[1:3], card.image_size, strict=True))
    shape = (1, *sides, *value.shape[3:])
    image = tensorflow.TensorSpec(shape, tensorflow.float32, name=graph.INPUT)
    run = tensorflow.function(lambda image: model(image, training=False))
    try:
        # Its from_keras fails on Keras 3's Sequential: it looks outputs up by Keras' names.
        converted, _ = tf2onnx.convert.from_function(
            run, input_signature=(image,), opset=KERAS_OPSET
        )
    except Exception as error:  # tf2onnx raises whatever its handlers do
        raise Unsupported(
            f"{what} cannot be converted to ONNX: {words_of(error, {})}",
            hint="replace the layer that tf2onnx stops at, or choose the runtime litert",
        ) from error
    _fill_captured(converted.graph, run.get_concrete_function(image).graph)
    return _take(converted, card, what)


def _fill_captured(onnx_graph: Any, function: Any) -> None:
    """Give the constants that a layer keeps outside its variables, as Normalization its mean and
    variance, to the graph: tf2onnx makes inputs of them."""
    from onnx import numpy_helper

    values = {inner.name: outer for outer, inner in function.captures}
    for value in [v for v in onnx_graph.input if v.name in values]:
        constant = numpy_helper.from_array(values[value.name].numpy(), value.name)
        onnx_graph.initializer.append(constant)
        onnx_graph.input.remove(value)


def _served(folder: Path) -> Any:
    """What a SavedModel serves, as a Keras model."""
    import keras

    layer = keras.layers.TFSMLayer(str(folder), call_endpoint="serving_default")
    (spec,) = layer.call_endpoint_fn.structured_input_signature[1].values()
    image = keras.Input(batch_shape=(1, *spec.shape[1:]))
    scores = layer(image)
    return keras.Model(image, list(scores.values()) if isinstance(scores, dict) else scores)


def _take(model: Any, card: Card, what: str) -> Any:
    """Fix the shapes of a model from elsewhere, and give it our input and output."""
    constants = {i.name for i in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    source, sink = _only(inputs, "input", what), _only(model.graph.output, "output", what)
    planar = _fix_input(source, card, what)
    del model.graph.value_info[:]  # inferred from the shapes as they were
    return graph.rename_ends(model, source.name, sink.name, planar)


def _only(values: Any, kind: str, what: str) -> Any:
    if len(values) != 1:
        names = ", ".join(value.name for value in values) or "none"
        raise Unsupported(
            f"{what} has {len(values)} {kind}s ({names}), one expected",
            hint="export the part that goes from one image to one row of scores",
        )
    return values[0]


def _fix_input(value: Any, card: Card, what: str) -> bool:
    """Set the batch to 1 and check the rest; whether channels come before height and width."""
    from onnx import TensorProto

    tensor, name, size = value.type.tensor_type, value.name, card.image_size
    if tensor.elem_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(tensor.elem_type)
        raise Unsupported(f"{what}: input {name} is {kind}, FLOAT expected")
    dims = tensor.shape.dim
    if len(dims) != 4:
        raise Unsupported(f"{what}: input {name} has {len(dims)} dimensions, 4 expected")
    for number, dim in enumerate(dims[1:], 1):
        if dim.dim_value <= 0:
            raise Unsupported(
                f"{what}: dimension {number} of input {name} is dynamic "
                f"({dim.dim_param or 'unnamed'}); only the batch may be",
                hint=f"export it for {size.height} x {size.width} pixels",
            )
    if dims[0].dim_value > 1:
        raise Unsupported(f"{what}: input {name} has a batch of {dims[0].dim_value}, 1 expected")
    dims[0].dim_value = 1
    shape = [dim.dim_value for dim in dims]
    if shape not in ([1, 3, *size], [1, *size, 3]):
        raise Unsupported(
            f"{what}: input {name} has the shape {shape}, "
            f"{[1, 3, *size]} or {[1, *size, 3]} expected",
            hint="set image_size to what the model was exported for",
        )
    return bool(shape[1] == 3)


def finish(model: Any, card: Card) -> Any:
    """Simplify and optimise a float model, as a session would do when it loads the file.

    Done here, the names of the nodes are those that the quantiser sees and that `describe` gives.

    Raises:
        Unsupported: onnxslim cannot simplify the model, or the optimised one is not valid.
    """
    import onnxslim

    try:
        simple = onnxslim.slim(graph.pool_globally(model))
    except Exception as error:  # shape inference and the simplifier have no common base
        raise Unsupported(
            f"{card.arch}: onnxslim cannot simplify the model: {str(error).strip()}"
        ) from error
    graph.strip_notes(simple)
    ready = _optimize(simple, card)
    graph.name_nodes(ready.graph)
    _check_scores(ready.graph.output[0], card)
    return ready


def _optimize(model: Any, card: Card) -> Any:
    import onnx
    import onnxruntime

    with temporary_folder() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folder / "optimized.onnx")
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library's exceptions have no common base of their own
            raise Unsupported(
                f"{card.arch}: ONNX Runtime cannot run the exported model: {error}",
                hint="choose another architecture, or another version of onnxruntime",
            ) from error
        ready = onnx.load(options.optimized_model_filepath)
    used = {node.domain for node in ready.graph.node}
    for opset in [o for o in ready.opset_import if o.domain not in used]:
        ready.opset_import.remove(opset)
    return ready


def _check_scores(value: Any, card: Card) -> None:
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    if shape != [1, len(card.classes)]:
        raise Unsupported(
            f"{card.arch} gives scores of the shape {shape}, {[1, len(card.classes)]} expected: "
            f"one for each of {len(card.classes)} classes"
        )
