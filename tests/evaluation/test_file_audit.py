"""What a compiled file is held to."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.evaluation.file_audit import audit, complaint
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.compiled_metadata import Audit
from edgekit.runtimes.contract.description import Description, Operator, Port
from edgekit.runtimes.contract.settings import Precision

PORT = Port(name="image", shape=(1, 8, 8, 3), dtype="uint8")


def found(*operators: tuple[str, str, int], per_channel: bool = True) -> Audit:
    """An audit of operators given as kind, precision and multiply-accumulates; 0 for light ones."""
    made = tuple(
        Operator(name=f"layer{i}", kind=kind, precision=precision, heavy=macs > 0, macs=macs)
        for i, (kind, precision, macs) in enumerate(operators)
    )
    return audit(Description(input=PORT, output=PORT, operators=made, per_channel=per_channel))


def test_the_share_of_int8_is_one_of_work_not_of_operators() -> None:
    mixed = found(("Conv", "int8", 900), ("Conv", "float32", 100), ("Softmax", "float32", 0))
    assert mixed.quantized_macs == pytest.approx(0.9)
    assert mixed.float_heavy == ("layer1",)


def test_what_computes_in_float_is_counted_and_conversions_are_not() -> None:
    mixed = found(
        ("SOFTMAX", "float32", 0), ("SOFTMAX", "float32", 0), ("QUANTIZE", "float32", 0),
        ("CONV_2D", "int8", 10), ("CONV_2D", "float16", 1),
    )  # fmt: skip
    assert mixed.left_in_float == {"SOFTMAX": 2, "CONV_2D": 1}


@pytest.mark.parametrize(
    ("operators", "precision", "says"),
    [
        ([("Conv", "int8", 94), ("Conv", "float32", 6)], "int8", "6.0 % of the multiply"),
        ([("Add", "int8", 0)], "int8", "no convolution or matrix product was found"),
        ([("Conv", "float32", 9)], "float16", "no operator has such weights"),
        ([("Conv", "int8", 9)], "int16x8", "no layer has 16-bit activations"),
        ([("Conv", "int16x8", 9), ("Conv", "float32", 1)], "int16x8", "10.0 % of the multiply"),
    ],
)
def test_what_is_not_as_asked_is_named_with_its_mend(
    operators: list[tuple[str, str, int]], precision: Precision, says: str
) -> None:
    wrong = complaint(found(*operators), precision, True, 0.05)
    assert wrong
    assert says in wrong[0]
    assert wrong[1]


@pytest.mark.parametrize(
    ("operators", "precision"),
    [
        ([("Conv", "int8", 95), ("Conv", "float32", 5)], "int8"),
        ([("Conv", "int16x8", 95), ("Conv", "float32", 5)], "int16x8"),
        ([("Conv", "float16", 9), ("Add", "float32", 0)], "float16"),
    ],
)
def test_what_is_as_asked_passes(
    operators: list[tuple[str, str, int]], precision: Precision
) -> None:
    assert complaint(found(*operators), precision, True, 0.05) is None


def coded(reads: str, stored: str, macs: int) -> Operator:
    layer = Operator(name=reads, kind="Conv", precision="float32", heavy=True, macs=macs)
    return layer.model_copy(update={"reads": reads, "stored": stored})


def test_float_between_sixteen_bit_codes_is_int16x8_and_not_integers() -> None:
    made = (coded("uint16", "int8", 90), coded("", "float32", 10))
    of_it = audit(Description(input=PORT, output=PORT, operators=made, per_channel=True))
    assert of_it.quantized_macs == 0
    assert of_it.of_wide_codes == "1 of 2 layers compute in float between 16-bit codes"
    assert complaint(of_it, "int16x8", True, 0.1) is None
    wrong = complaint(of_it, "int16x8", True, 0.05)
    assert wrong
    assert "10.0 % of the multiply-accumulates stayed in float" in wrong[0]


@pytest.mark.parametrize(("reads", "stored"), [("uint8", "int8"), ("uint16", "float32")])
def test_other_codes_are_no_int16x8(reads: str, stored: str) -> None:
    made = (coded(reads, stored, 9),)
    of_it = audit(Description(input=PORT, output=PORT, operators=made, per_channel=True))
    assert not of_it.between_wide_codes


def test_weights_with_one_scale_are_not_per_channel() -> None:
    wrong = complaint(found(("Conv", "int8", 9), per_channel=False), "int8", True, 0.05)
    assert wrong
    assert "per_channel: True asked, False found" in wrong[0]


def test_weights_that_a_session_makes_int8_are_no_int8_of_the_file(tmp_path: Path) -> None:
    """A convolution behind fake quantisation runs in int8, and its file is as large as in float."""
    import onnx
    from onnx import helper, numpy_helper

    constants = {
        "w": np.random.default_rng(0).normal(0, 0.1, (4, 3, 1, 1)).astype(np.float32),
        "scale": np.float32(0.02), "u": np.uint8(128), "i": np.int8(0),
    }  # fmt: skip
    nodes = []
    for name, zero in (("image", "u"), ("w", "i"), ("y", "u")):
        ends = ["scale", zero]
        nodes.append(helper.make_node("QuantizeLinear", [name, *ends], [f"{name}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *ends], [f"{name}_d"]))
    nodes.insert(4, helper.make_node("Conv", ["image_d", "w_d"], ["y"], "conv"))
    ports = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, 8, 8])
        for name, channels in (("image", 3), ("y_d", 4))
    ]
    tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    read = audit(find_runtimes()["onnxruntime"]().describe(tmp_path / "m.onnx"))
    assert read.quantized_macs == 1
    assert read.float_weights == ("conv (float32)",)
    wrong = complaint(read, "int8", False, 0.05)
    assert wrong
    assert (
        "the file holds the weights of 1 of 1 convolutions and matrix products in float" in wrong[0]
    )
