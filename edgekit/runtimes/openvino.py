"""OpenVINO: IR files (model.xml and model.bin) for Intel NPUs, GPUs and CPUs, int8 by NNCF."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

from edgekit.engine.action import Progress
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, EdgekitError, Unsupported
from edgekit.models.card import Card
from edgekit.models.source import Format
from edgekit.runtimes import _onnx_single_layer, _openvino_tensors
from edgekit.runtimes import _openvino_convert as convert
from edgekit.runtimes import _openvino_graph as graph
from edgekit.runtimes import _openvino_read as read
from edgekit.runtimes._openvino_unsupported import unsupported_reasons
from edgekit.runtimes.base import CompilesAhead, TakesOver
from edgekit.runtimes.contract.description import Activation, Description
from edgekit.runtimes.contract.input_form import InputForm, Io, batches, pixel_grid, preprocessing
from edgekit.runtimes.contract.microbenchmark import Layer
from edgekit.runtimes.contract.settings import CalibrationMethod, Precision, Quantization

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class OpenVino(TakesOver, CompilesAhead):
    """openvino's own converters to compile, NNCF for int8."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "openvino"
    file: ClassVar[str] = "model.xml"
    companions: ClassVar[tuple[str, ...]] = ("model.bin",)
    libraries: ClassVar[tuple[str, ...]] = ("openvino", "nncf", "torch", "keras", "tensorflow")
    engine: ClassVar[str] = "openvino"
    engine_modules: ClassVar[Mapping[str, str]] = {"openvino": "openvino"}
    set_up_unasked: ClassVar[bool] = False
    saturates: ClassVar[bool] = True
    devices: ClassVar[tuple[str, ...]] = ("CPU", "GPU", "NPU")
    blob: ClassVar[str] = "model.blob"
    reads: ClassVar[tuple[Format, ...]] = ("torch", "onnx", "keras")
    takes_over_from: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    precisions: ClassVar[tuple[Precision, ...]] = ("int8", "float16")
    quantizers: ClassVar[tuple[str, ...]] = ("nncf",)
    calibrations: ClassVar[tuple[CalibrationMethod, ...]] = (
        "minmax",
        "moving_average",
        "percentile",
    )
    corrects_bias: ClassVar[bool] = True

    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        progress(0, 1, "converting to OpenVINO")
        read.need("openvino", "compile")
        with _quiet():
            if isinstance(model, Path):
                converted = convert.from_file(model, card)
            else:
                converted = convert.from_torch(model, card)
        self._save(converted, into)
        progress(1, 1, "converted to OpenVINO")
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
        model = read.load(source)
        plain = InputForm(dtype="float32", mean=card.mean, std=card.std)
        if settings.precision == "float16":
            self._save(model, into, float16=True)
            return plain
        grid = pixel_grid(card)
        form = grid.form if grid else plain
        known = {op.get_friendly_name() for op in model.get_ops()}
        quantized = _quantize(model, images, form, settings, progress)
        graph.set_ranges(quantized, settings.ranges or {})
        quantizer = graph.input_quantizer(quantized)
        if grid and quantizer is not None:
            graph.pin(quantizer, grid)
        graph.halve_floats(quantized)
        graph.tidy(quantized, known)
        self._save(quantized, into)
        return form

    def bake(
        self,
        source: Path,
        card: Card,
        form: InputForm,
        labels: tuple[str, ...],
        into: Path,
        io: Io = "uint8",
    ) -> None:
        if io == "integer":
            raise Unsupported(
                "OpenVINO gives float scores: it has no quantised output",
                hint="leave io out, or ask for another runtime",
            )
        model = read.load(source)
        known = {op.get_friendly_name() for op in model.get_ops()}
        if io == "uint8":
            folds = graph.take_codes(model, pixel_grid(card))
            model = _take_pixels(model, None if folds else form)
        graph.tidy(model, known)
        about = preprocessing(card, form, labels, io)
        model.set_rt_info(json.dumps(about), ["edgekit", "preprocessing"])
        # What Open Model Zoo's demos and ModelAPI read; there a space separates labels.
        model.set_rt_info("Classification", ["model_info", "model_type"])
        joined = " ".join(label.replace(" ", "_") for label in labels)
        model.set_rt_info(joined, ["model_info", "labels"])
        self._save(model, into)

    def float_ops(self, source: Path) -> tuple[str, ...]:
        return graph.linear_attention(read.load(source))

    def take_over(self, source: Path, into: Path) -> None:
        """Read an int8 .onnx file of ONNX Runtime's, whose input is normalised float32 NHWC."""
        read.need("openvino", "take over")
        with _quiet():
            self._save(convert.from_file(source, None), into)

    def precompile(self, path: Path, device: str, into: Path) -> dict[str, str]:
        from edgekit.agent.agent import device_facts

        try:
            compiled = read.core().compile_model(read.load(path), device)
            (into / self.blob).write_bytes(compiled.export_model().getvalue())
        except RuntimeError as error:
            raise DeviceError(
                f"the {device} cannot compile {path.name}: {str(error).strip().splitlines()[-1]}",
                hint="see that the driver of the device is installed and fits this OpenVINO",
            ) from error
        return dict(device_facts(device))

    def unsupported_reasons(self, path: Path, device: str, engine: str | None) -> tuple[str, ...]:
        return unsupported_reasons(path, device)

    def describe(self, path: Path) -> Description:
        return read.describe(path)

    def activations(self, path: Path) -> tuple[Activation, ...]:
        return _openvino_tensors.activations(path)

    def weights(self, path: Path) -> dict[str, NDArray[np.float32]]:
        return _openvino_tensors.weights(path)

    def tensors(
        self, path: Path, form: InputForm, images: NDArray[np.uint8]
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        return _openvino_tensors.tensors(path, form, images)

    def single_layer_model(self, layer: Layer, integer: bool, into: Path) -> None:
        openvino = read.need("openvino", "a model of one layer")
        read.need("onnx", "a model of one layer")
        with _quiet(), temporary_folder() as folder:
            _onnx_single_layer.write(layer, integer, folder / "layer.onnx", float_frame=True)
            self._save(openvino.convert_model(folder / "layer.onnx"), into)

    def _save(self, model: Any, into: Path, float16: bool = False) -> None:
        import openvino

        openvino.save_model(model, into / self.file, compress_to_fp16=float16)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converters' remarks off the terminal.

    sys.stdout stays as it is, for the caller's progress display writes to it meanwhile.
    """
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _quantize(
    model: Any,
    images: NDArray[np.uint8],
    form: InputForm,
    settings: Quantization,
    progress: Progress,
) -> Any:
    nncf, openvino = read.need("nncf", "quantize"), read.need("openvino", "quantize")

    def feed(numbered: tuple[int, Any]) -> Any:
        number, image = numbered
        progress(number, len(images), "calibrating")
        return image

    prepared = list(enumerate(batches(images, form), start=1))
    presets = nncf.QuantizationPreset
    # NNCF makes a core for each model it runs, and they overlap.
    with _quiet(), _no_bars(), patch.object(openvino, "Core", return_value=read.core()):
        try:
            return nncf.quantize(
                model,
                nncf.Dataset(prepared, feed),
                preset=presets.MIXED if graph.is_asymmetric(model) else presets.PERFORMANCE,
                target_device=nncf.TargetDevice.NPU,
                subset_size=len(images),
                ignored_scope=nncf.IgnoredScope(names=list(settings.float_ops)),
                advanced_parameters=_advanced(nncf, settings),
            )
        except nncf.ValidationError as error:
            raise EdgekitError(
                f"NNCF cannot quantise the model: {error}",
                hint="float_ops are names of operators of the compiled float model",
            ) from error


def _advanced(nncf: Any, settings: Quantization) -> Any:
    """NNCF's parameters of the calibration: how ranges are read from an image, and joined.

    Its average is over the extremes of all images; its percentile is taken in each image, and
    averaged likewise.
    """
    import copy

    from nncf.quantization.advanced_parameters import QuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet as Estimators

    # With ranges given, whatever NNCF finds is replaced.
    calibration = "minmax" if settings.ranges else settings.calibration
    known = {
        "minmax": Estimators.MINMAX,
        "moving_average": Estimators.MEAN_MINMAX,
        "percentile": Estimators.MEAN_QUANTILE,
    }
    estimator = copy.deepcopy(known[calibration])
    if calibration == "percentile":
        left_out = 1 - settings.percentile / 100
        estimator.min.quantile_outlier_prob = estimator.max.quantile_outlier_prob = left_out
    return nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=estimator,
        weights_quantization_params=QuantizationParameters(per_channel=settings.per_channel),
    )


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """NNCF draws progress bars of its own, which no option turns off."""
    from functools import partialmethod

    from nncf.common.logging.track_progress import track

    original = track.__init__
    track.__init__ = partialmethod(original, disable=True)
    try:
        yield
    finally:
        track.__init__ = original


def _take_pixels(model: Any, form: InputForm | None) -> Any:
    """Make the input uint8; normalise behind it unless the quantiser does."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    prepared = PrePostProcessor(model)
    entry = prepared.input()
    entry.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    entry.model().set_layout(openvino.Layout("NHWC"))
    steps = entry.preprocess().convert_element_type(openvino.Type.f32)
    if form:
        steps.mean([255 * m for m in form.mean]).scale([255 * s for s in form.std])
    return prepared.build()
