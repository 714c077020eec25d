"""OpenVINO: IR files (model.xml and model.bin) for Intel NPUs, GPUs and CPUs, int8 by NNCF."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgekit.engine.action import Progress
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, Unsupported
from edgekit.models.card import Card
from edgekit.models.source import Format
from edgekit.runtimes import _onnx_single_layer, _openvino_operator_times, _openvino_tensors
from edgekit.runtimes import _openvino_convert as convert
from edgekit.runtimes import _openvino_graph as graph
from edgekit.runtimes import _openvino_ranges as ranges
from edgekit.runtimes import _openvino_read as read
from edgekit.runtimes._openvino_nncf import with_quantizers
from edgekit.runtimes._openvino_unsupported import unsupported_reasons
from edgekit.runtimes._quiet import quiet
from edgekit.runtimes.base import CompilesAhead, TakesOver, TimesOperators
from edgekit.runtimes.contract.description import Activation, Description
from edgekit.runtimes.contract.input_form import InputForm, Io, pixel_grid, preprocessing
from edgekit.runtimes.contract.int8_sums import sums_saturate
from edgekit.runtimes.contract.microbenchmark import Layer
from edgekit.runtimes.contract.operator_times import OperatorTimes
from edgekit.runtimes.contract.settings import CalibrationMethod, Precision, Quantization

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MADE_FOR = {
    7: "x86 processors with and without VNNI (7-bit weights but in depthwise layers)",
    8: "NPUs, GPUs, Arm, and x86 processors with VNNI or AMX (8-bit weights)",
}
"""What an int8 file says of itself, by the bits of its weights."""


class OpenVino(TakesOver, CompilesAhead, TimesOperators):
    """openvino's own converters to compile, NNCF for int8.

    Args:
        exact_sums: files are for processors that add products of int8 in 32 bits; for others
            weights get 7 bits (`contract/int8_sums.py`).
    """

    def __init__(self, exact_sums: bool = True) -> None:
        self.exact_sums = exact_sums

    version: ClassVar[int] = 5
    name: ClassVar[str] = "openvino"
    file: ClassVar[str] = "model.xml"
    companions: ClassVar[tuple[str, ...]] = ("model.bin",)
    libraries: ClassVar[tuple[str, ...]] = ("openvino", "nncf", "torch", "keras", "tensorflow")
    extra: ClassVar[str] = "intel-npu"
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
    calibrations: ClassVar[tuple[CalibrationMethod, ...]] = ("minmax",)
    calibrates_slowly: ClassVar[bool] = True

    def for_target(self, device: str, isa: str | None) -> OpenVino:
        return OpenVino(exact_sums=not sums_saturate(device, isa))

    @classmethod
    def float_precision(cls) -> str:
        hint = read.core().get_property("CPU", "INFERENCE_PRECISION_HINT")
        return str(hint.get_type_name())

    @property
    def weight_bits(self) -> int:
        return 8 if self.exact_sums else 7

    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        progress(0, 1, "converting to OpenVINO")
        read.need("openvino", "compile")
        with quiet():
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
        quantized = with_quantizers(source, images, form, settings, progress)
        if settings.ranges is not None:
            ranges.set_ranges(quantized, settings.ranges)
        quantizer = ranges.input_quantizer(quantized)
        if grid and quantizer is not None:
            ranges.pin(quantizer, grid)
        ranges.put_weights_on_grid(quantized, seven_bits=not self.exact_sums)
        quantized.set_rt_info(MADE_FOR[self.weight_bits], ["edgekit", "made_for"])
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
            folds = ranges.take_codes(model, pixel_grid(card))
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
        with quiet():
            model = convert.from_file(source, None)
        model.set_rt_info(MADE_FOR[8], ["edgekit", "made_for"])
        self._save(model, into)

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

    def operator_times(self, path: Path, seconds: float) -> OperatorTimes:
        return _openvino_operator_times.operator_times(path, seconds)

    def single_layer_model(self, layer: Layer, integer: bool, into: Path) -> None:
        openvino = read.need("openvino", "a model of one layer")
        read.need("onnx", "a model of one layer")
        with quiet(), temporary_folder() as folder:
            _onnx_single_layer.write(layer, integer, folder / "layer.onnx", float_frame=True)
            self._save(openvino.convert_model(folder / "layer.onnx"), into)

    def _save(self, model: Any, into: Path, float16: bool = False) -> None:
        import openvino

        openvino.save_model(model, into / self.file, compress_to_fp16=float16)


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
