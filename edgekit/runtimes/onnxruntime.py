"""ONNX Runtime: float32 and static int8 .onnx files, run by its CPU kernels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgekit import packages
from edgekit.engine.action import Progress
from edgekit.errors import InputError, Unsupported
from edgekit.models._onnx import companions
from edgekit.models.card import Card
from edgekit.models.source import Format
from edgekit.runtimes import (
    _onnx_describe,
    _onnx_export,
    _onnx_float_ops,
    _onnx_nncf,
    _onnx_operator_times,
    _onnx_quantize,
    _onnx_single_layer,
    _onnx_tensors,
)
from edgekit.runtimes import _onnx_graph as graph
from edgekit.runtimes._quiet import quiet
from edgekit.runtimes.base import TimesOperators
from edgekit.runtimes.contract.description import Activation, Description
from edgekit.runtimes.contract.input_form import InputForm, Io, pixel_grid, preprocessing
from edgekit.runtimes.contract.microbenchmark import Layer
from edgekit.runtimes.contract.operator_times import OperatorTimes
from edgekit.runtimes.contract.settings import (
    CalibrationMethod,
    Precision,
    Quantization,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUANTIZERS = {"onnxruntime": _onnx_quantize.quantize, "nncf": _onnx_nncf.quantize}


class OnnxRuntime(TimesOperators):
    """torch.onnx and onnxslim to compile, onnxruntime.quantization or NNCF (both QDQ) for int8.

    Of int16x8 no operator fuses: its CPU kernels compute in float between 16-bit codes.
    """

    version: ClassVar[int] = 5
    name: ClassVar[str] = "onnxruntime"
    file: ClassVar[str] = "model.onnx"
    libraries: ClassVar[tuple[str, ...]] = (
        "torch",
        "onnx",
        "onnxruntime",
        "onnxslim",
        "onnxscript",
        "nncf",
    )
    reads: ClassVar[tuple[Format, ...]] = ("torch", "onnx", "keras")
    extra: ClassVar[str] = "onnxruntime"
    engine: ClassVar[str] = "onnxruntime"
    engine_modules: ClassVar[Mapping[str, str]] = {"onnxruntime": "onnxruntime"}
    saturates: ClassVar[bool] = True
    precisions: ClassVar[tuple[Precision, ...]] = ("int8", "int16x8")
    quantizers: ClassVar[tuple[str, ...]] = tuple(QUANTIZERS)
    calibrations: ClassVar[tuple[CalibrationMethod, ...]] = ("minmax", "moving_average")

    @classmethod
    def beside(cls, path: Path) -> list[Path]:
        """
        Raises:
            WeightsError: the file keeps its weights in one that is missing or lies elsewhere.
        """
        return companions(path)

    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        with _packages("compile"):
            import onnx
            import onnxscript  # noqa: F401 (the exporter of torch asks for it)
            import onnxslim  # noqa: F401

        progress(0, 2, "exporting")
        with quiet():
            exported = _read(model, card)
            progress(1, 2, "simplifying")
            onnx.save(_onnx_export.finish(exported, card), into / self.file)
        progress(2, 2, "simplifying")
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
        if settings.precision not in self.precisions:
            raise Unsupported(
                f"quantize.precision: {self.name} offers no {settings.precision}",
                hint=f"it offers {', '.join(self.precisions)}",
            )
        with _packages("quantize", "intel-npu" if settings.quantizer == "nncf" else "onnxruntime"):
            import onnx

            if settings.quantizer == "nncf":
                import nncf  # noqa: F401

        grid = None if settings.precision == "int16x8" else pixel_grid(card)
        form = grid.form if grid else InputForm(dtype="float32", mean=card.mean, std=card.std)
        model = onnx.load(source)
        unknown = set(settings.float_ops) - {node.name for node in model.graph.node}
        if unknown:
            raise InputError(
                f"quantize: {source} has no operators called {', '.join(sorted(unknown))}",
                hint="operators are called as `describe` lists them for the float model",
            )

        graph.part_constants(model.graph)

        def report(done: int) -> None:
            progress(done, len(images), "calibrating")

        with quiet():
            quantized = QUANTIZERS[settings.quantizer](model, images, form, settings, grid, report)
        graph.keep_layers_in_float(quantized.graph)
        onnx.save(quantized, into / self.file)
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
                f"{self.name} gives float scores: its last layer runs in int8 and adds up in float",
                hint="choose io: uint8 (or float), or the runtime litert",
            )
        with _packages("bake"):
            import onnx
            from onnx import TensorProto, helper

        model = onnx.load(source)
        if io == "uint8":
            model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
            if not graph.take_codes(model.graph, pixel_grid(card)):
                graph.normalize_in_front(model.graph, form)
        about = preprocessing(card, form, labels, io)
        helper.set_model_props(model, {"labels": json.dumps(labels), "edgekit": json.dumps(about)})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, into / self.file)

    def float_ops(self, source: Path) -> tuple[str, ...]:
        with _packages("quantize"):
            import onnx

        return _onnx_float_ops.linear_attention(onnx.load(source).graph)

    def describe(self, path: Path) -> Description:
        with _packages("describe", "run"):
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
        return _onnx_describe.describe(path)

    def activations(self, path: Path) -> tuple[Activation, ...]:
        with _packages("inspect", "run"):
            import onnx  # noqa: F401
        return _onnx_tensors.activations(path)

    def weights(self, path: Path) -> dict[str, NDArray[np.float32]]:
        with _packages("inspect", "run"):
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
        return _onnx_tensors.weights(path)

    def tensors(
        self, path: Path, form: InputForm, images: NDArray[np.uint8]
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        with _packages("inspect", "run"):
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
        return _onnx_tensors.tensors(path, form, images)

    def operator_times(self, path: Path, seconds: float) -> OperatorTimes:
        with _packages("profile", "run"):
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
        return _onnx_operator_times.operator_times(path, seconds)

    def single_layer_model(self, layer: Layer, integer: bool, into: Path) -> None:
        with _packages("write a layer"):
            import onnx  # noqa: F401
        _onnx_single_layer.write(layer, integer, into / self.file)


def _read(model: Any, card: Card) -> Any:
    """A float model of any of the formats in `reads`, as an ONNX graph."""
    kinds = {kind.__module__.split(".")[0] for kind in type(model).__mro__}
    is_file = isinstance(model, Path)
    if "keras" in kinds or (is_file and (model.suffix in {".keras", ".h5"} or model.is_dir())):
        with _packages("compile a Keras model", "keras"):
            return _onnx_export.from_keras(model, card)
    if is_file:
        return _onnx_export.from_file(model, card)
    return _onnx_export.from_torch(model, card)


def _packages(step: str, extra: str = "onnxruntime") -> AbstractContextManager[None]:
    return packages.told(f"{step} for ONNX Runtime", extra)
