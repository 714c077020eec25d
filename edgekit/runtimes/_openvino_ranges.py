"""What the FakeQuantize operators of an OpenVINO graph span: the image, activations, weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.errors import Unsupported
from edgekit.runtimes._openvino_graph import computed, consumers, sources
from edgekit.runtimes.contract.input_form import PixelGrid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ends = float | NDArray[np.float32]

LEVELS = 256
WEIGHT_LEVELS = 255
"""From -127 to 127."""
INPUTS_OF_A_GROUP = {"GroupConvolution": 2, "GroupConvolutionBackpropData": 1}
"""Which axis of a grouped convolution's weights counts the inputs of a group."""
MIN_WEIGHT = 1e-12
"""No channel's largest weight is taken for less: its step is divided by."""


def input_quantizer(model: Any) -> Any:
    """The one FakeQuantize behind the input, a change of layout between them or not; or None."""
    op = model.get_parameters()[0]
    while True:
        readers = [reader for reader, _ in consumers(op)]
        if len(readers) != 1:
            return None
        op = readers[0]
        if op.get_type_name() == "FakeQuantize":
            return op
        if op.get_type_name() not in {"Transpose", "Convert"}:
            return None


def pin(quantizer: Any, grid: PixelGrid) -> None:
    """Make the quantiser's 256 levels the pixels themselves."""
    ends = [grid.scale * (pixel - grid.zero_point) for pixel in (0, 255)]
    _set_ends(quantizer, {1: ends[0], 2: ends[1], 3: ends[0], 4: ends[1]})


def set_ranges(model: Any, ranges: dict[str, tuple[float, float]]) -> None:
    """Let activation quantisers span what `ranges` says of the operator they quantise.

    A quantiser stays as it was made: symmetric where NNCF made it so, from zero where the values
    are, and zero is one of its levels.

    Raises:
        Unsupported: there is no range for one, which would keep what NNCF saw in a few images.
    """
    live = computed(model)
    for op in model.get_ops():
        if op.get_type_name() != "FakeQuantize" or op.get_name() not in live:
            continue
        if op.get_attributes()["levels"] != LEVELS:
            continue  # of a file that came with quantisers of its own
        before = op.input_value(0)
        port = before.get_index()
        source = before.get_node().get_friendly_name() + (f".{port}" if port else "")
        if source not in ranges:
            raise Unsupported(
                f"OpenVINO: NNCF quantises {source}, of which calibration saw no finite values",
                hint="choose another runtime or architecture",
            )
        low, high = _ends_like(op, *ranges[source])
        _set_ends(op, {1: low, 2: high, 3: low, 4: high})


def _ends_like(quantizer: Any, low: float, high: float) -> tuple[float, float]:
    """The least range that holds `low` to `high` and suits a quantiser.

    NNCF's symmetric ones have 128 levels below zero and 127 above it; in any other, the range is
    moved until zero is a level.
    """
    was_low, was_high = (float(end.get_data().min()) for end in sources(quantizer)[1:3])
    if was_low < 0 and abs(was_low * 127 / 128 + was_high) < 1e-4 * was_high:
        high = max(high, -low * 127 / 128) or 1e-6
        return -high * 128 / 127, high
    step = max(high - low, 1e-6) / (LEVELS - 1)
    zero_point = round(-low / step)
    return -zero_point * step, (LEVELS - 1 - zero_point) * step


def put_weights_on_grid(model: Any, seven_bits: bool = False) -> None:
    """Make weights int8 codes of the grid that `quantization/rounding.py` rounds for: symmetric,
    the step of an output channel its largest weight over 127.

    NNCF gives a channel of small weights a hundredth of the tensor's largest one at least: weights
    that were rounded for their own grid would be rounded again.

    Args:
        seven_bits: the step is twice as large, no code beyond 64, so that no sum of two
            products overflows 16 bits; but in depthwise layers, which add none in pairs.
    """
    import numpy as np
    from openvino._offline_transformations import compress_quantize_weights_transformation

    live = computed(model)
    for op in model.get_ordered_ops():
        is_weight = op.get_type_name() == "FakeQuantize" and op.get_name() not in live
        if not is_weight or op.get_attributes()["levels"] != WEIGHT_LEVELS:
            continue
        shape = op.input(1).get_shape()
        values = np.abs(sources(op)[0].get_data())
        shared = tuple(i for i in range(values.ndim) if not len(shape) or shape[i] == 1)
        high = np.maximum(values.max(axis=shared, keepdims=bool(len(shape))), MIN_WEIGHT)
        high *= 2 if seven_bits and not _is_depthwise(op) else 1
        _set_ends(op, {1: -high, 2: high, 3: -high, 4: high})
    compress_quantize_weights_transformation(model)


def _is_depthwise(quantizer: Any) -> bool:
    """Whether a group's outputs are of one input each."""
    axes = [INPUTS_OF_A_GROUP.get(op.get_type_name()) for op, _ in consumers(quantizer)]
    shape = tuple(quantizer.output(0).get_shape())
    return any(axis is not None and shape[axis] == 1 for axis in axes)


def take_codes(model: Any, grid: PixelGrid | None) -> bool:
    """Let the input's quantiser read pixels, where its levels are the pixels; else change nothing.

    It then maps 0 to 255 onto real values: the input's normalisation costs no operator.
    """
    import numpy as np

    quantizer = input_quantizer(model)
    if grid is None or quantizer is None or quantizer.get_attributes()["levels"] != LEVELS:
        return False
    ends = [grid.scale * (pixel - grid.zero_point) for pixel in (0, 255)]
    found = [source.get_data().ravel() for source in sources(quantizer)[1:]]
    # ONNX Runtime's file has them by way of its own roundings.
    if any(low.size > 1 for low in found) or not np.allclose(np.ravel(found), ends * 2, rtol=1e-5):
        return False
    _set_ends(quantizer, {1: 0.0, 2: 255.0})
    return True


def _set_ends(quantizer: Any, values: dict[int, Ends]) -> None:
    import numpy as np
    from openvino import opset13

    for index, value in values.items():
        shape = tuple(quantizer.input(index).get_shape())
        constant = opset13.constant(np.broadcast_to(np.float32(value), shape).copy())
        constant.set_friendly_name(f"{quantizer.get_friendly_name()}/{index}")
        quantizer.input(index).replace_source_output(constant.output(0))
