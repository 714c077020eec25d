"""NNCF on an ONNX model, such that ONNX Runtime's int8 kernels take what it writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgekit.errors import Unsupported
from edgekit.runtimes import _onnx_graph as graph
from edgekit.runtimes._quiet import without_nncf_bars
from edgekit.runtimes.contract.input_form import InputForm, PixelGrid
from edgekit.runtimes.contract.settings import Quantization

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def quantize(
    model: Any,
    images: NDArray[np.uint8],
    form: InputForm,
    settings: Quantization,
    grid: PixelGrid | None,
    report: Callable[[int], None],
) -> Any:
    """An int8 QDQ model of a float model; nodes named in `settings.float_ops` are ignored.

    Raises:
        Unsupported: ranges are given, which NNCF does not take here.
    """
    import nncf

    float_ops, done = list(settings.float_ops), 0

    def feed(index: int) -> dict[str, Any]:
        nonlocal done
        done = min(done + 1, len(images))  # bias correction reads the images a second time
        report(done)
        return {graph.INPUT: form.prepare(images[index : index + 1])}

    with without_nncf_bars():
        quantized = nncf.quantize(
            model,
            nncf.Dataset(range(len(images)), feed),
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=float_ops) if float_ops else None,
            advanced_parameters=_parameters(settings),
        )
    unsign_activations(quantized.graph)
    if grid:
        pin_input(quantized.graph, grid)
    return quantized


def _parameters(settings: Quantization) -> Any:
    """Settings that ONNX Runtime's kernels need.

    By default NNCF gives the input of a depthwise convolution one scale a channel, which no
    kernel of ONNX Runtime takes: the convolution then runs in float, between conversions. The
    overflow fix halves the range of weights for x86 without VNNI; Arm has no use for it.
    """
    from nncf import AdvancedQuantizationParameters, OverflowFix
    from nncf.quantization import advanced_parameters as advanced
    from nncf.quantization import range_estimator as ranges

    if settings.ranges is not None:
        raise Unsupported(
            "quantize: nncf takes no ranges for an ONNX model",
            hint="choose one of its own calibrations, or the quantizer onnxruntime",
        )
    known = ranges.RangeEstimatorParametersSet
    estimators = {"minmax": known.MINMAX, "moving_average": known.MEAN_MINMAX}
    return AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.DISABLE,
        activations_quantization_params=advanced.QuantizationParameters(per_channel=False),
        weights_quantization_params=advanced.QuantizationParameters(
            per_channel=settings.per_channel
        ),
        activations_range_estimator_params=estimators[settings.calibration],
    )


def unsign_activations(model_graph: Any) -> None:
    """Turn activations of int8 codes into uint8 codes: 128 more, and so the zero point; exact.

    NNCF writes int8 where a value can be negative and uint8 elsewhere. ONNX Runtime's convolution
    takes and gives one type only, so one that does both would run in float.
    """
    import numpy as np
    from onnx import TensorProto, numpy_helper

    constants = {i.name: i for i in model_graph.initializer}
    added: dict[str, str] = {}
    for node in model_graph.node:
        if node.op_type not in graph.QDQ or node.input[0] in constants:
            continue
        point = constants[node.input[2]]
        if point.data_type != TensorProto.INT8:
            continue
        if point.name not in added:
            shifted = numpy_helper.to_array(point).astype(np.int16) + 128
            added[point.name] = f"{point.name}_u8"
            tensor = numpy_helper.from_array(shifted.astype(np.uint8), added[point.name])
            model_graph.initializer.append(tensor)
        node.input[2] = added[point.name]
    codes = {n.output[0] for n in model_graph.node if n.op_type == graph.QDQ[0]}
    graph.forget(model_graph, codes)
    graph.drop_unread(model_graph)


def pin_input(model_graph: Any, grid: PixelGrid) -> None:
    """Put the pixels' grid into the quantisers that read the input."""
    import numpy as np
    from onnx import numpy_helper

    names = {graph.INPUT, graph.pixels(model_graph)}
    first = [n for n in model_graph.node if n.op_type == graph.QDQ[0] and n.input[0] in names]
    codes = {n.output[0] for n in first}
    readers = [n for n in model_graph.node if n.op_type == graph.QDQ[1]]
    scale = numpy_helper.from_array(np.float32(grid.scale), "pixel_grid_scale")
    point = numpy_helper.from_array(np.uint8(grid.zero_point), "pixel_grid_zero_point")
    model_graph.initializer.extend([scale, point])
    for node in [*first, *(n for n in readers if n.input[0] in codes)]:
        node.input[1], node.input[2] = scale.name, point.name
    graph.forget(model_graph, codes)
    graph.drop_unread(model_graph)
