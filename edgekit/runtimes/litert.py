"""LiteRT (formerly TensorFlow Lite), by way of litert-torch and ai-edge-quantizer."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgekit.data.size import Size
from edgekit.engine.action import Progress
from edgekit.engine.confinement import one_image
from edgekit.errors import EdgekitError, InputError, Unsupported
from edgekit.models.card import Card
from edgekit.runtimes import _tflite as tflite
from edgekit.runtimes import _tflite_edit as edit
from edgekit.runtimes import _tflite_operator_times, _tflite_single_layer
from edgekit.runtimes import _tflite_versions as versions
from edgekit.runtimes._keras_to_tflite import convert
from edgekit.runtimes._litert_large_weights import large_weights
from edgekit.runtimes._litert_tools import library, need
from edgekit.runtimes._tflite_describe import describe
from edgekit.runtimes._tflite_tensors import activations, tensors, weights
from edgekit.runtimes.base import TimesOperators
from edgekit.runtimes.contract.description import Activation, Description
from edgekit.runtimes.contract.input_form import (
    InputForm,
    Io,
    PixelGrid,
    batches,
    pixel_grid,
    preprocessing,
)
from edgekit.runtimes.contract.microbenchmark import Layer
from edgekit.runtimes.contract.operator_times import OperatorTimes
from edgekit.runtimes.contract.settings import Quantization

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEFT_IN_FLOAT = ("HARD_SWISH", "DIV", "SOFTMAX", "BATCH_MATMUL")
"""XNNPACK takes none of them in int8, and each would cut its partition in two: MobileNetV3 is then
slower than in float, and softmax attention no faster. Besides, the int8 DIV of linear attention
divides by codes that stand for zero, and stops at invoke; and codes of an int8 softmax are 1/256
apart, whatever the scores are."""
UPDATES = {"minmax": "min_max_update", "moving_average": "moving_average_update"}
"""How ai-edge-quantizer joins the ranges of two images; the average is its own default. Its MSE
and OCTAV concern weights alone: activations fall back to their range."""


class LiteRT(TimesOperators):
    """Runs .tflite files, on the CPU through XNNPACK."""

    version = 2
    name = "litert"
    file = "model.tflite"
    libraries = ("litert-torch", "ai-edge-quantizer", "ai-edge-litert", "torch", "tensorflow")
    extra = "litert"
    engine = "ai-edge-litert"
    engine_modules: ClassVar[Mapping[str, str]] = {
        "ai-edge-litert": "ai_edge_litert.interpreter",
        "tflite-runtime": "tflite_runtime.interpreter",
    }
    older_engines = ("tflite-runtime==2.14.0",)
    reads = ("torch", "keras")
    precisions = ("int8", "int16x8", "float16")
    quantizers = ("ai-edge-quantizer",)
    channel_axis = 3
    calibrations = ("minmax", "moving_average")
    names_suspects = True

    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        progress(0, 1, "converting to LiteRT")
        if isinstance(model, Path):
            convert(model, card.image_size, into / self.file, card.arch)
        else:
            _from_torch(model, card, into / self.file)
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
        if settings.precision == "float16":
            self._quantize(source, _float16_recipe(), None, into)
            return InputForm(dtype="float32", mean=card.mean, std=card.std)
        _check_images(images, card.image_size)
        model, wide = tflite.read(source), settings.precision == "int16x8"
        grid = None if wide else pixel_grid(card)
        form = grid.form if grid else InputForm(dtype="float32", mean=card.mean, std=card.std)
        recipe = _static_recipe(16 if wide else 8, settings.per_channel)
        graph = model.subgraphs[0]
        beyond = (tflite.name(graph, graph.operators[i]) for i in tflite.beyond_int8(model))
        _leave_in_float(recipe, model, (*settings.float_ops, *beyond))
        if settings.ranges is None:
            ranges = _calibrate(source, images, form, recipe, settings, progress)
        else:
            ranges = {name: _ends(*ends) for name, ends in settings.ranges.items()}
        if grid:
            ranges[tflite.input_name(model)] = _range_of(grid)
        self._quantize(source, recipe, ranges, into)
        return form

    def _quantize(
        self, source: Path, recipe: Any, ranges: dict[str, Any] | None, into: Path
    ) -> None:
        with library("ai-edge-quantizer cannot quantise the model", Unsupported):
            module = need("ai_edge_quantizer.quantizer")
            quantizer = module.Quantizer(str(source), recipe.get_quantization_recipe())
            with large_weights():
                result = quantizer.quantize(ranges, enable_progress_report=False)
        (into / self.file).write_bytes(result.quantized_model)

    def bake(
        self,
        source: Path,
        card: Card,
        form: InputForm,
        labels: tuple[str, ...],
        into: Path,
        io: Io = "uint8",
    ) -> None:
        model = tflite.read(source)
        graph = model.subgraphs[0]
        scores = graph.tensors[graph.outputs[0]].shape[-1]
        if len(labels) != scores:
            raise InputError(f"{len(labels)} labels for a model of {scores} scores")
        if tflite.dtype(graph.tensors[tflite.input_index(model)]) != "float32":
            raise EdgekitError(f"{source} takes raw pixels already: its input is baked in")
        grid = pixel_grid(card)
        baked = io != "float" and grid is not None and edit.retype_input(model, grid)
        if io == "integer":
            _check_integer(baked, edit.quantised_output(model))
        elif io == "uint8" and not baked:
            edit.normalize_in_front(model, form)
        signature = model.signatureDefs[0]
        signature.inputs[0].name, signature.outputs[0].name = b"image", b"scores"
        target = into / self.file
        edit.write(model, target)
        facts = preprocessing(card, form, labels, io)
        edit.append_files(target, {**facts, "scores": edit.scores_of(model)}, labels)

    def float_ops(self, source: Path) -> tuple[str, ...]:
        model = tflite.read(source)
        graph = model.subgraphs[0]
        return tuple(tflite.name(graph, graph.operators[i]) for i in tflite.float_ops(model))

    def unsupported_reasons(self, path: Path, device: str, engine: str | None) -> tuple[str, ...]:
        return versions.unsupported_reasons(tflite.read(path), engine)

    def describe(self, path: Path) -> Description:
        return describe(path)

    def activations(self, path: Path) -> tuple[Activation, ...]:
        return activations(path)

    def weights(self, path: Path) -> dict[str, NDArray[np.float32]]:
        return weights(path)

    def tensors(
        self, path: Path, form: InputForm, images: NDArray[np.uint8]
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        return tensors(path, form, images)

    def operator_times(self, path: Path, seconds: float) -> OperatorTimes:
        return _tflite_operator_times.operator_times(path, seconds)

    def single_layer_model(self, layer: Layer, integer: bool, into: Path) -> None:
        _tflite_single_layer.write(layer, integer, into / self.file)


def _from_torch(model: Any, card: Card, target: Path) -> None:
    with library(f"{card.arch} cannot be converted to LiteRT", Unsupported):
        torch, litert_torch = need("torch"), need("litert_torch")
        # A copy in torch's default layout: channels-last weights would leave transposes.
        own = copy.deepcopy(model).cpu().eval().to(memory_format=torch.contiguous_format)
        nhwc = litert_torch.to_channel_last_io(own, args=[0]).eval()
        sample = torch.zeros(1, *card.image_size, 3)
        litert_torch.convert(nhwc, (sample,)).export(str(target))


def _check_integer(baked: bool, float_end: str | None) -> None:
    """Refuse to call a model integer whose input or scores are not codes.

    Args:
        baked: the input is raw pixels, without an operator in front.
        float_end: the kind of the operator that makes float scores.
    """
    if not baked:
        raise Unsupported(
            "the file cannot take pixels without float arithmetic: its input is not quantised, or "
            "its channels are normalised apart",
            hint="quantise to int8, with one number for model.mean and one for model.std",
        )
    if float_end:
        raise Unsupported(
            f"the file cannot give quantised scores: they come from {float_end}, in float",
            hint="end the model in its last linear layer, without a softmax",
        )


def _check_images(images: NDArray[np.uint8], size: Size) -> None:
    """Refuse another size: the quantizer would resize the model to whatever it is given."""
    if not len(images) or images.shape[1:] != (*size, 3):
        wanted = f"(images, {size.height}, {size.width}, 3)"
        raise InputError(f"calibration images are {images.shape}, the model takes {wanted}")


def _static_recipe(activation_bits: int, per_channel: bool) -> Any:
    """Integers for all that can be, float at both ends and for LEFT_IN_FLOAT."""
    with library("ai-edge-quantizer cannot be used"):
        qtyping = need("ai_edge_quantizer.qtyping")
        recipe = need("ai_edge_quantizer.recipe_manager").RecipeManager()
    names, granularity = qtyping.TFLOperationName, qtyping.QuantGranularity
    weights = granularity.CHANNELWISE if per_channel else granularity.TENSORWISE
    recipe.add_static_config(".*", names.ALL_SUPPORTED, activation_bits, 8, weights)
    for name in ("INPUT", "OUTPUT", *LEFT_IN_FLOAT):
        recipe.add_quantization_config(".*", names[name], algorithm_key="no_quantize")
    return recipe


def _float16_recipe() -> Any:
    """Weights of layers in float16, unpacked as the model is loaded; the arithmetic is float."""
    with library("ai-edge-quantizer cannot be used"):
        everything = need("ai_edge_quantizer.qtyping").TFLOperationName.ALL_SUPPORTED
        recipe = need("ai_edge_quantizer.recipe_manager").RecipeManager()
    recipe.add_weight_only_config(".*", everything, 16, algorithm_key="float_casting")
    return recipe


def _leave_in_float(recipe: Any, model: Any, float_ops: tuple[str, ...]) -> None:
    """Except single operators from the recipe."""
    graph = model.subgraphs[0]
    scopes = {tflite.name(graph, op): tflite.scope(graph, op) for op in graph.operators}
    everything = need("ai_edge_quantizer.qtyping").TFLOperationName.ALL_SUPPORTED
    for name in float_ops:
        if name not in scopes:
            raise InputError(f"no operator of the model is called {name}")
        only = f"^{re.escape(scopes[name])}$"
        recipe.add_quantization_config(only, everything, algorithm_key="no_quantize")


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
        with library(f"calibration image {done} cannot be run"), one_image():
            calibrator.calibrate({key: [{argument: image}]}, recipe)
        progress(done, len(images), "calibrating")
    ranges: dict[str, Any] = calibrator.get_model_qsvs()
    return ranges


def _range_of(grid: PixelGrid) -> dict[str, Any]:
    """The range from which the quantizer derives exactly this grid."""
    low, high = (grid.scale * (pixel - grid.zero_point) for pixel in (0, 255))
    return _ends(low, high)


def _ends(low: float, high: float) -> dict[str, Any]:
    """A range as the quantizer takes it."""
    import numpy as np

    return {"min": np.array([low]), "max": np.array([high])}
