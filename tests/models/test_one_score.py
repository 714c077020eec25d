"""What one score of an ONNX graph means, by the operators that make it."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edgekit.errors import WeightsError
from edgekit.models._one_score import widen_onnx


@pytest.mark.parametrize(
    ("operators", "kind"),
    [
        (["Conv", "Sigmoid", "Flatten"], "probability"),
        (["Conv", "Sigmoid", "GlobalAveragePool", "Flatten"], "probability"),
        (["Conv", "GlobalAveragePool", "Flatten"], "logit"),
        (["Conv", "Add"], "logit"),
        (["Sigmoid", "Add"], None),
        (["Relu"], None),
    ],
)
def test_pools_leave_a_score_what_it_is_and_a_bias_belongs_to_its_layer(
    operators: list[str], kind: str | None
) -> None:
    chain = [
        helper.make_node(
            operator, [f"x{i}", *(["constant"] if operator == "Add" else [])], [f"x{i + 1}"]
        )
        for i, operator in enumerate(operators)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in ("x0", f"x{len(chain)}")
    ]
    graph = helper.make_graph(chain, "one score", ends[:1], ends[1:])
    if kind is None:
        with pytest.raises(WeightsError, match=operators[-1]):
            widen_onnx(graph, Path("model.onnx"))
    else:
        assert widen_onnx(graph, Path("model.onnx")) == kind
