"""What people would use instead, each in the way its documentation shows.

A peer is a function from the trained torch model and the normalised calibration images to a file.
Its lines, and those of the helpers it calls, are what its users write: they are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.benchmarks.comparison.subjects import Given

Family = Literal["float", "ptq", "pruned", "qat"]
"""What a row may be compared with: files that were made by the same kind of work."""


@dataclass(frozen=True)
class Peer:
    name: str
    runtime: str
    make: Callable[[Given, Path], Path]
    """Writes into a folder and returns the file. It takes normalised float32 NHWC images."""
    helpers: tuple[Callable[..., Any], ...] = ()
    family: Family = "ptq"
    on: tuple[str, ...] | None = None
    """The models it is tried on; None for all."""
    floats: Callable[[Path], None] | None = None
    """Makes a file that takes codes take floats; no part of what its users write."""


def nhwc(model: Any) -> Any:
    """A model that takes images as cameras and decoders give them."""
    import torch

    class Nhwc(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.model(image.permute(0, 3, 1, 2))
            return scores

    return Nhwc().eval()


def float_onnx(given: Given, into: Path) -> Path:
    """https://docs.pytorch.org/docs/stable/onnx_export.html"""
    import torch

    image = torch.zeros(1, given.size, given.size, 3)
    path = into / "float.onnx"
    torch.onnx.export(
        nhwc(given.model), (image,), path, input_names=["image"], dynamo=True, external_data=False
    )
    return path


def convert_openvino(given: Given) -> Any:
    """https://docs.openvino.ai/2025/openvino-workflow/model-preparation/convert-model-pytorch.html"""
    import openvino
    import torch

    shape = [1, given.size, given.size, 3]
    return openvino.convert_model(
        nhwc(given.model), example_input=torch.zeros(shape), input=[shape]
    )


def float_openvino(given: Given, into: Path) -> Path:
    """Converted and saved in float32."""
    import openvino

    openvino.save_model(convert_openvino(given), into / "float.xml", compress_to_fp16=False)
    return into / "float.xml"


def float_litert(given: Given, into: Path) -> Path:
    """https://github.com/google-ai-edge/litert-torch/tree/main/docs/pytorch_converter"""
    import litert_torch
    import torch

    channels_last = litert_torch.to_channel_last_io(given.model, args=[0]).eval()
    image = torch.zeros(1, given.size, given.size, 3)
    litert_torch.convert(channels_last, (image,)).export(str(into / "float.tflite"))
    return into / "float.tflite"


def feed_onnx(given: Given) -> Any:
    """The calibration images as ONNX Runtime reads them."""

    class Reader:  # whatever has `get_next` is a CalibrationDataReader
        def __init__(self) -> None:
            self.rows = iter(given.calibration)

        def get_next(self) -> dict[str, Any] | None:
            row = next(self.rows, None)
            return None if row is None else {"image": row[None]}

    return Reader()


def feed_onnx_in_parts(given: Given) -> Any:
    """The same, so that quantize_static can ask for a part: the percentile keeps all activations
    of what it reads at once, 13 GB and more for 300 images."""

    class Reader:  # whatever has `get_next` is a CalibrationDataReader
        def __len__(self) -> int:
            return len(given.calibration)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.rows = iter(given.calibration[start_index:end_index])

        def get_next(self) -> dict[str, Any] | None:
            row = next(self.rows, None)
            return None if row is None else {"image": row[None]}

    return Reader()


def onnxruntime_defaults(given: Given, into: Path) -> Path:
    """https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html"""
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(float_onnx(given, into), into / "prepared.onnx")
    quantize_static(into / "prepared.onnx", into / "int8.onnx", feed_onnx(given))
    return into / "int8.onnx"


def onnxruntime_best(given: Given, into: Path) -> Path:
    """What the same page and the docstring of quantize_static offer, at its best: one scale a
    channel, uint8 activations for x86, ranges that leave 0.01 % of the values out."""
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(float_onnx(given, into), into / "prepared.onnx")
    quantize_static(
        into / "prepared.onnx",
        into / "int8.onnx",
        feed_onnx_in_parts(given),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.Percentile,
        extra_options={"CalibPercentile": 99.99, "CalibStridedMinMax": 4},
    )
    return into / "int8.onnx"


def nncf_onnx(given: Given, into: Path) -> Path:
    """https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training/basic-quantization-flow.html"""
    import nncf
    import onnx

    model = onnx.load(float_onnx(given, into))
    images = nncf.Dataset(given.calibration, lambda image: {"image": image[None]})
    quantized = nncf.quantize(model, images, subset_size=len(given.calibration))
    onnx.save(quantized, into / "int8.onnx")
    return into / "int8.onnx"


def nncf_openvino(given: Given, into: Path) -> Path:
    """The same page as for ONNX."""
    import nncf
    import openvino

    model = convert_openvino(given)
    images = nncf.Dataset(given.calibration, lambda image: image[None])
    quantized = nncf.quantize(model, images, subset_size=len(given.calibration))
    openvino.save_model(quantized, into / "int8.xml")
    return into / "int8.xml"


def ai_edge_quantizer(given: Given, into: Path) -> Path:
    """https://github.com/google-ai-edge/ai-edge-quantizer#readme"""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import qtyping, quantizer, recipe

    path = str(float_litert(given, into))
    key, ports = next(iter(Interpreter(path).get_signature_list().items()))
    images = [{ports["inputs"][0]: image[None]} for image in given.calibration]
    quantize = quantizer.Quantizer(path)
    quantize.load_quantization_recipe(recipe.static_wi8_ai8())
    # The file takes floats, as all others here do.
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        quantize.update_quantization_recipe(".*", end, algorithm_key="no_quantize")
    ranges = quantize.calibrate({key: images}, num_threads=1)
    quantize.quantize(ranges).export_model(str(into / "int8.tflite"))
    return into / "int8.tflite"


BEST_HELPERS = (float_onnx, nhwc, feed_onnx_in_parts)
FLOATS = (
    Peer("float", "onnxruntime", float_onnx, (nhwc,), "float"),
    Peer("float", "litert", float_litert, (), "float"),
    Peer("float", "openvino", float_openvino, (convert_openvino, nhwc), "float"),
)
QUANTIZERS = (
    Peer(
        "ONNX Runtime, defaults",
        "onnxruntime",
        onnxruntime_defaults,
        (float_onnx, nhwc, feed_onnx),
    ),
    Peer("ONNX Runtime, best", "onnxruntime", onnxruntime_best, BEST_HELPERS),
    Peer("NNCF on ONNX", "onnxruntime", nncf_onnx, (float_onnx, nhwc)),
    Peer("NNCF on OpenVINO", "openvino", nncf_openvino, (convert_openvino, nhwc)),
    Peer("ai-edge-quantizer", "litert", ai_edge_quantizer, (float_litert,)),
)
