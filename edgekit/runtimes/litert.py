"""LiteRT (formerly TensorFlow Lite), by way of litert-torch and ai-edge-quantizer."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError, InputError
from edgekit.models import Card
from edgekit.runtimes import _tflite as tflite
from edgekit.runtimes._litert_tools import library, need
from edgekit.runtimes.base import (
    Description,
    InputForm,
    Operator,
    PixelGrid,
    Port,
    Progress,
    Quantization,
    Runtime,
    batches,
    pixel_grid,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEAVY = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV"}
LEFT_IN_FLOAT = ("HARD_SWISH", "DIV")
"""XNNPACK takes neither in int8. Each HARD_SWISH would cut its partition in two, which makes
MobileNetV3 slower than in float; the int8 DIV of linear attention divides by codes that stand
for zero, and stops at invoke."""
PRECISIONS = ("float32", "float16", "uint8", "int8", "int16", "int32", "int64")
"""The first of an operator's operand types is that of its arithmetic: one float operand makes it
a float operator; beside int8, the wide integers are biases, shapes and axes."""
UPDATES = {"minmax": "min_max_update", "moving_average": "moving_average_update"}
"""How ai-edge-quantizer joins the ranges of two images; the average is its own default. Its MSE
and OCTAV concern weights alone: activations fall back to their range."""


class LiteRT(Runtime):
    """Runs .tflite files, on the CPU through XNNPACK."""

    name = "litert"
    file = "model.tflite"
    libraries = ("litert-torch", "ai-edge-quantizer", "ai-edge-litert", "torch")
    engine = "ai-edge-litert"
    calibrations = ("minmax", "moving_average")
    example = """\
import sys, zipfile
import numpy as np
from ai_edge_litert.interpreter import Interpreter

labels = zipfile.ZipFile("model.tflite").read("labels.txt").decode().splitlines()
run = Interpreter("model.tflite").get_signature_runner()
image = np.load(sys.argv[1] if len(sys.argv) > 1 else "golden_input.npy")  # uint8 [1, H, W, 3]
scores = run(image=image)["scores"][0]
for i in np.argsort(-scores)[:5]:
    print(f"{labels[i]} {scores[i]:.3f}")
"""

    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        progress(0, 1, "converting to LiteRT")
        with library(f"{card.arch} cannot be converted to LiteRT"):
            torch, litert_torch = need("torch"), need("litert_torch")
            # A copy in torch's default layout: channels-last weights would leave transposes.
            own = copy.deepcopy(model).cpu().eval().to(memory_format=torch.contiguous_format)
            nhwc = litert_torch.to_channel_last_io(own, args=[0]).eval()
            sample = torch.zeros(1, card.image_size, card.image_size, 3)
            litert_torch.convert(nhwc, (sample,)).export(str(into / self.file))
        progress(1, 1, "converted to LiteRT")
        return InputForm(dtype="float32", mean=card.mean, std=card.std)

    def quantize(
        self,
        source: Path,
        card: Card,
        images: NDArray[np.uint8],
        settings: Quantization,
        into: Path,
        progress: Progress,
    ) -> InputForm:
        _check_images(images, card.image_size)
        grid = pixel_grid(card)
        form = grid.form if grid else InputForm(dtype="float32", mean=card.mean, std=card.std)
        with library("ai-edge-quantizer cannot be used"):
            recipe = _recipe(settings.per_channel)
        ranges = _calibrate(source, images, form, recipe, settings, progress)
        if grid:
            model = tflite.read(source)
            ranges[model.subgraphs[0].tensors[tflite.input_index(model)].name.decode()] = _range_of(
                grid
            )
        with library("ai-edge-quantizer cannot quantise the model"):
            module = need("ai_edge_quantizer.quantizer")
            quantizer = module.Quantizer(str(source), recipe.get_quantization_recipe())
            result = quantizer.quantize(ranges, enable_progress_report=False)
        (into / self.file).write_bytes(result.quantized_model)
        return form

    def bake(
        self, source: Path, card: Card, form: InputForm, labels: tuple[str, ...], into: Path
    ) -> None:
        model = tflite.read(source)
        graph = model.subgraphs[0]
        scores = graph.tensors[graph.outputs[0]].shape[-1]
        if len(labels) != scores:
            raise InputError(f"{len(labels)} labels for a model of {scores} scores")
        if tflite.dtype(graph.tensors[tflite.input_index(model)]) != "float32":
            raise EdgekitError(f"{source} takes raw pixels already: its input is baked in")
        grid = pixel_grid(card)
        if not (grid and tflite.retype_input(model, grid)):
            tflite.normalize_in_front(model, form)
        signature = model.signatureDefs[0]
        signature.inputs[0].name, signature.outputs[0].name = b"image", b"scores"
        target = into / self.file
        tflite.write(model, target)
        tflite.append_files(target, card, form, labels)

    def describe(self, path: Path) -> Description:
        """Read a model file back.

        A delegate can be told to take each operator by itself; the tensors that its nodes write
        then tell which operators it took, so `outside_delegate` is observed, not guessed.
        """
        model = tflite.read(path)
        graph, signature = model.subgraphs[0], model.signatureDefs[0]
        kinds = tflite.kinds(model)
        with library(f"LiteRT cannot load {path}"):
            interpreter = need("ai_edge_litert.interpreter").Interpreter(
                str(path), experimental_disable_delegate_node_fusion=True
            )
            interpreter.allocate_tensors()
            nodes = interpreter._get_ops_details()[len(graph.operators) :]
        delegated = {int(tensor) for node in nodes for tensor in node["outputs"]}
        operators = [
            Operator(
                name=_layer(graph.tensors[op.outputs[0]].name.decode()),
                kind=kind,
                precision=_precision([graph.tensors[i] for i in op.inputs if i >= 0]),
                heavy=kind in HEAVY,
            )
            for op, kind in zip(graph.operators, kinds, strict=True)
        ]
        return Description(
            input=_port(signature.inputs[0], graph),
            output=_port(signature.outputs[0], graph),
            operators=tuple(operators),
            per_channel=_per_channel(graph, kinds),
            outside_delegate=tuple(
                f"{operator.kind} {operator.name}"
                for operator, op in zip(operators, graph.operators, strict=True)
                if not delegated.intersection(op.outputs)
            ),
        )


def _check_images(images: NDArray[np.uint8], size: int) -> None:
    """Refuse another size: the quantizer would resize the model to whatever it is given."""
    if not len(images) or images.shape[1:] != (size, size, 3):
        wanted = f"(images, {size}, {size}, 3)"
        raise InputError(f"calibration images are {images.shape}, the model takes {wanted}")


def _recipe(per_channel: bool) -> Any:
    """Static int8 for all that can be, float at both ends and for LEFT_IN_FLOAT."""
    qtyping = need("ai_edge_quantizer.qtyping")
    names, granularity = qtyping.TFLOperationName, qtyping.QuantGranularity
    recipe = need("ai_edge_quantizer.recipe_manager").RecipeManager()
    weights = granularity.CHANNELWISE if per_channel else granularity.TENSORWISE
    recipe.add_static_config(".*", names.ALL_SUPPORTED, 8, 8, weights)
    for name in ("INPUT", "OUTPUT", *LEFT_IN_FLOAT):
        recipe.add_quantization_config(".*", names[name], algorithm_key="no_quantize")
    return recipe


def _calibrate(
    source: Path,
    images: NDArray[np.uint8],
    form: InputForm,
    recipe: Any,
    settings: Quantization,
    progress: Progress,
) -> dict[str, Any]:
    """The range of every activation by tensor name."""
    signature = tflite.read(source).signatureDefs[0]
    key, argument = signature.signatureKey.decode(), signature.inputs[0].name.decode()
    with library("ai-edge-quantizer cannot calibrate the model"):
        module = need("ai_edge_quantizer.calibrator")
        updates = need("ai_edge_quantizer.utils.qsv_utils")
        calibrator = module.Calibrator(
            str(source),
            num_threads=1,
            # The same ranges as the default mode, which walks the operators in Python.
            mode=module.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=getattr(updates, UPDATES[settings.calibration]),
        )
    for done, image in enumerate(batches(images, form), start=1):
        with library(f"calibration image {done} cannot be run"):
            calibrator.calibrate({key: [{argument: image}]}, recipe)
        progress(done, len(images), "calibrating")
    ranges: dict[str, Any] = calibrator.get_model_qsvs()
    return ranges


def _range_of(grid: PixelGrid) -> dict[str, Any]:
    """The range from which the quantizer derives exactly this grid."""
    import numpy as np

    ends = [grid.scale * (pixel - grid.zero_point) for pixel in (0, 255)]
    return {"min": np.array([ends[0]]), "max": np.array([ends[1]])}


def _precision(operands: list[Any]) -> str:
    types = [tflite.dtype(tensor) for tensor in operands]
    return next((kind for kind in PRECISIONS if kind in types), "none")


def _per_channel(graph: Any, kinds: list[str]) -> bool:
    """Whether every weight of a heavy operator has one scale for each output channel."""
    found = []
    for op, kind in zip(graph.operators, kinds, strict=True):
        weight = graph.tensors[op.inputs[1]] if kind in HEAVY - {"BATCH_MATMUL"} else None
        if weight is not None:
            codes = weight.quantization
            scales = 0 if codes is None or codes.scale is None else len(codes.scale)
            found.append(scales > 0 and scales == weight.shape[codes.quantizedDimension])
    return bool(found) and all(found)


def _port(entry: Any, graph: Any) -> Port:
    tensor = graph.tensors[entry.tensorIndex]
    shape = tuple(int(size) for size in tensor.shape)
    return Port(name=entry.name.decode(), shape=shape, dtype=tflite.dtype(tensor))


def _layer(tensor: str) -> str:
    """The torch path inside a converted tensor's name.

    `...Net_wrapped/torch...Sequential_blocks/torch...Conv2d_conv;...` is blocks.conv.
    """
    _, found, path = tensor.split(";")[0].partition("_wrapped/")
    if not found:
        return tensor
    return ".".join(part.rpartition(".")[2].partition("_")[2] for part in path.split("/"))
