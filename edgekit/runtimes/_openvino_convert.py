"""A torch model, an .onnx file or a Keras model as an OpenVINO model that takes NHWC."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.data.size import Size
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import EdgekitError, Unsupported
from edgekit.models._tensorflow import make_way
from edgekit.models.card import Card
from edgekit.models.kept import words_of
from edgekit.runtimes import _openvino_graph as graph
from edgekit.runtimes import _openvino_read as read


def from_torch(model: Any, card: Card) -> Any:
    """The torch model as an OpenVINO model that takes NHWC.

    Raises:
        Unsupported: an operator that the converter does not know, by its name.
    """
    import openvino
    import torch

    class TracedNhwc(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> Any:
            return self.model(image.permute(0, 3, 1, 2))

    shape = [1, *card.image_size, 3]
    try:
        with torch.no_grad():
            trace: Any = torch.jit.trace  # untyped
            traced = trace(TracedNhwc().eval(), torch.zeros(shape), check_trace=False)
        with _tensorflow_out_of_sight():
            converted = openvino.convert_model(traced, input=shape)
    except Exception as error:  # the library's exceptions have no common base of their own
        raise _unsupported(card.arch, error) from error
    modules: dict[str, str] = {}
    made_by = traced.inlined_graph  # held: its nodes live no longer than it
    for node in made_by.nodes():
        module = node.scopeName().rpartition("__module.model.")[2]
        modules |= {output.debugName(): module for output in node.outputs()}
    return _finish(converted, card.arch, set(), modules)


@contextmanager
def _tensorflow_out_of_sight() -> Iterator[None]:
    """Convert a torch model as if TensorFlow were not loaded.

    Where it is, OpenVINO 2026.4 asks it first whether the model is one of its own, by a function
    that runs `exec("del tensorflow")`. Since Python 3.13 (PEP 667) that is a NameError, and no
    torch model could be converted after one for LiteRT.
    """
    held = sys.modules.pop("tensorflow", None)
    try:
        yield
    finally:
        if held is not None:
            sys.modules["tensorflow"] = held


def from_file(path: Path, card: Card | None) -> Any:
    """An .onnx file or a Keras model as an OpenVINO model that takes NHWC, one float32 image.

    Raises:
        Unsupported: the converter does not take it, or it is no classifier of RGB images.
    """
    import openvino
    from openvino.preprocess import PrePostProcessor

    try:
        with temporary_folder() as folder:
            file = _saved_model(path, folder) if _is_keras_file(path) else path
            known = {op.get_friendly_name() for op in read.core().read_model(file).get_ops()}
            converted = openvino.convert_model(file)
    except EdgekitError:
        raise
    except Exception as error:  # the library's exceptions have no common base of their own
        raise _unsupported(card.arch if card else path.name, error) from error
    if len(converted.inputs) != 1 or len(converted.outputs) != 1:
        found = f"{len(converted.inputs)} inputs and {len(converted.outputs)} outputs"
        raise Unsupported(f"{path.name} has {found}: a classifier has one of each")
    layout, shape = _layout(converted.input(0).get_partial_shape(), path, card)
    converted.reshape(shape)
    if layout == "NCHW":
        prepared = PrePostProcessor(converted)
        prepared.input().tensor().set_layout(openvino.Layout("NHWC"))
        prepared.input().model().set_layout(openvino.Layout("NCHW"))
        converted = prepared.build()
    # Names that OpenVINO's own counter gave differ from one reading to the next.
    again = {op.get_friendly_name() for op in converted.get_ops()}
    return _finish(converted, path.name, known & again, {})


def _is_keras_file(path: Path) -> bool:
    return path.suffix in {".keras", ".h5"}


def _saved_model(path: Path, folder: Path) -> Path:
    """A Keras file as the SavedModel that OpenVINO reads."""
    make_way()
    keras = read.need("keras", "compile a Keras model")
    model = keras.models.load_model(path, compile=False)
    model.export(folder / "saved", verbose=False)
    return folder / "saved"


def _layout(shape: Any, path: Path, card: Card | None) -> tuple[str, list[int]]:
    """Where the channels of an image input are, and its static shape.

    Raises:
        Unsupported: it takes no RGB image, or not of the size that the card names.
    """
    found = [d.get_length() if d.is_static else 0 for d in shape] if shape.rank.is_static else []
    size = card.image_size if card else None
    for layout, channels in (("NHWC", 3), ("NCHW", 1)):
        static = _static(found, channels, size)
        if static:
            return layout, static
    wanted = f"one image of {size.height}x{size.width} pixels" if size else "one image"
    raise Unsupported(
        f"{path.name} takes {shape}, not {wanted} with three channels",
        hint="give the image size that the model was made for",
    )


def _static(shape: list[int], channels: int, size: Size | None) -> list[int] | None:
    """The shape of one RGB image, if a shape with `channels` at that place can be one.

    Args:
        shape: with 0 for what is not fixed.
        size: of the image, None where it is not known.
    """
    if len(shape) != 4 or shape[0] not in (0, 1) or shape[channels] != 3:
        return None
    sides = [shape[i] for i in (1, 2, 3) if i != channels]
    wanted = [*size] if size else sides
    if 0 in wanted or any(have not in (0, want) for have, want in zip(sides, wanted, strict=True)):
        return None
    return [1, *wanted, 3] if channels == 3 else [1, 3, *wanted]


def _finish(model: Any, name: str, known: set[str], scopes: dict[str, str]) -> Any:
    """Fold what is constant now that shapes are, check the output, name the operators."""
    from openvino.passes import ConstantFolding, Manager

    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    model.validate_nodes_and_infer_types()
    shape = model.output(0).get_partial_shape()
    if shape.is_dynamic or len(shape) != 2 or shape[0] != 1:
        raise Unsupported(f"{name} gives {shape}, not scores of shape [1,classes]")
    graph.tidy(model, known, scopes)
    model.set_friendly_name(name)
    return model


def _unsupported(name: str, error: Exception) -> Unsupported:
    text = str(error)
    culprit = re.search(r"(?:aten|prim)::\w+|No translator found for (\S+)", text)
    first = words_of(error, {})
    return Unsupported(
        f"{name} cannot be converted to OpenVINO: {first}",
        hint=f"the converter stopped at {culprit[0]}; choose an architecture without it"
        if culprit
        else "choose another architecture, or another version of openvino",
    )
