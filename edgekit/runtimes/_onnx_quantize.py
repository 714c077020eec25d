"""Static int8 by ONNX Runtime's own quantiser, in QDQ form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.engine.confinement import one_image
from edgekit.engine.temporary import temporary_folder
from edgekit.runtimes import _onnx_graph as graph
from edgekit.runtimes._onnx_hard_sigmoid import (
    fold_scales,
    ranges_of_written_out,
    write_out_hard_sigmoid,
)
from edgekit.runtimes.contract.input_form import InputForm, PixelGrid, batches
from edgekit.runtimes.contract.settings import Quantization

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


AVERAGES = {"minmax": False, "moving_average": True}


def quantize(
    model: Any,
    images: NDArray[np.uint8],
    form: InputForm,
    settings: Quantization,
    grid: PixelGrid | None,
    report: Callable[[int], None],
) -> Any:
    """A QDQ model of a float model; nodes named in `settings.float_ops` stay as they are.

    Weights are int8. Activations are uint8: with int8 activations ONNX Runtime leaves additions,
    and on x86 convolutions too, in float. Those of int16x8 are uint16, which Qualcomm's NPUs take;
    ONNX has them from opset 21 on, to which the library then raises the model.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    written = write_out_hard_sigmoid(model)
    wide = settings.precision == "int16x8"
    kept = [part for name in settings.float_ops for part in written.get(name, [name])]
    with temporary_folder() as folder:
        plain, ready, ranges, done = (
            folder / name for name in ("plain.onnx", "ready.onnx", "ranges.json", "done.onnx")
        )
        onnx.save(model, plain)
        # `compile` has optimised the graph: once more could give nodes other names. Shapes are
        # static, so the symbolic pass (which needs sympy) has nothing to add.
        shape_inference.quant_pre_process(
            plain, ready, skip_optimization=True, skip_symbolic_shape=True
        )
        if settings.ranges is None:
            _calibrate(ready, images, form, settings, ranges, report)
        else:
            parts = ranges_of_written_out(model, written, settings.ranges)
            _write_ranges(settings.ranges | parts, ranges)
        quantization.quantize_static(
            ready,
            done,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            calibration_cache_path=ranges,
            per_channel=settings.per_channel,
            activation_type=quantization.QuantType.QUInt16
            if wide
            else quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=kept,
            extra_options=_options(model, grid),
        )
        quantized = onnx.load(done)
    fold_scales(quantized.graph, (parts[-1] for parts in written.values()))
    return quantized


def _write_ranges(ranges: dict[str, tuple[float, float]], into: Path) -> None:
    """What a calibration would have left."""
    import numpy as np
    from onnxruntime.quantization import calibrate

    ends = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    data = calibrate.TensorsData(calibrate.CalibrationMethod.MinMax, ends)
    calibrate.save_tensors_data(data, into)


class _Reader:
    """What a calibrator reads from: the prepared images, one by one."""

    def __init__(
        self, images: NDArray[np.uint8], form: InputForm, report: Callable[[int], None]
    ) -> None:
        self.feed = iter(enumerate(batches(images, form), 1))
        self.report = report

    def get_next(self) -> dict[str, Any] | None:
        done, image = next(self.feed, (0, None))
        if image is None:
            return None
        self.report(done)
        return {graph.INPUT: image}


def _calibrate(
    model: Path,
    images: NDArray[np.uint8],
    form: InputForm,
    settings: Quantization,
    into: Path,
    report: Callable[[int], None],
) -> None:
    """Measure the range of every activation and write the ranges to `into`.

    The library's percentile and entropy are not used: they hold all activations of several images,
    and take minutes and gigabytes where `edgekit.quantization.ranges` takes seconds.
    """
    from onnxruntime.quantization import calibrate

    calibrator = calibrate.create_calibrator(
        model,
        sorted(_operator_types()),
        augmented_model_path=str(into.with_suffix(".augmented.onnx")),
        calibrate_method=calibrate.CalibrationMethod.MinMax,
        extra_options={"moving_average": AVERAGES[settings.calibration]},
    )
    with one_image() as begin:

        def begun(done: int) -> None:
            begin()
            report(done)

        calibrator.collect_data(_Reader(images, form, begun))
    calibrate.print = lambda *_: None  # redirecting sys.stdout would hide the caller's output too
    calibrate.save_tensors_data(calibrator.compute_data(), into)


def _operator_types() -> set[str]:
    """What quantize_static quantises by default. Clip must stay in: without it ReLU6 networks
    lose more than 10 dB."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return {*QDQRegistry, *QLinearOpsRegistry}


def _options(model: Any, grid: PixelGrid | None) -> dict[str, Any]:
    """Leave the scores in float (8 bits tie the classes), pin the input to the pixels' grid."""
    import numpy as np

    options: dict[str, Any] = {"OpTypesToExcludeOutputQuantization": ["Gemm"]}
    if grid:
        codes = {
            "scale": np.array(grid.scale, np.float32),
            "zero_point": np.array(grid.zero_point, np.uint8),
        }
        options["TensorQuantOverrides"] = {graph.pixels(model.graph): [codes]}
    return options
