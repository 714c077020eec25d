"""A model of two classes that gives one score, as one that gives a score for each.

The score is the second class's: labels of two classes are 0 and 1 in every framework. Behind a
sigmoid p becomes [1 - p, p]; a logit z becomes [-z / 2, z / 2], whose softmax are the same two.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import WeightsError
from edgekit.models.kept import OneScore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGMOIDS = {"Sigmoid", "HardSigmoid", "sigmoid", "hard_sigmoid"}
LINEAR = {"Gemm", "MatMul", "Conv", "BatchNormalization", "linear"}
"""What gives any number: operators of ONNX and activations of Keras."""
SHAPING = {
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Dropout"),
    *("GlobalAveragePool", "AveragePool", "ReduceMean"),
}
"""What leaves a score what it is: the mean of probabilities is one, that of logits is one."""


def columns(kind: OneScore) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The weights (1, 2) and the bias (2,) that make two scores of one."""
    import numpy as np

    weights, bias = ([-1, 1], [1, 0]) if kind == "probability" else ([-0.5, 0.5], [0, 0])
    return np.array([weights], np.float32), np.array(bias, np.float32)


def kind_of(last: str, path: Path) -> OneScore:
    """
    Args:
        last: the operator or the activation that makes the score.

    Raises:
        WeightsError: that does not tell what the score means.
    """
    if last in SIGMOIDS:
        return "probability"
    if last in LINEAR:
        return "logit"
    raise WeightsError(
        f"model.weights: {path} gives one score for 2 classes, made by {last}, which tells neither "
        "a probability nor a logit",
        hint="let it end in a sigmoid, in a dense layer alone, or in two scores",
    )


def count_scores(scores: NDArray[np.float32], classes: int, path: Path) -> int:
    """How many scores a model gives: one for each class, or one for two.

    Args:
        scores: (images, scores).

    Raises:
        WeightsError: another number.
    """
    count = int(scores.shape[1])
    if count not in (classes, *([1] if classes == 2 else [])):
        raise WeightsError(
            f"model.weights: {path} gives {count} scores, the data has {classes} classes",
            hint="one score tells two classes apart: give data of two, or another model"
            if count == 1
            else "use the data it was made for, in which every class has images",
        )
    return count


def widen_onnx(graph: Any, path: Path) -> OneScore:
    """Let a graph that gives [1, 1] give [1, 2]."""
    from onnx import TensorProto, helper, numpy_helper

    (end,) = graph.output
    made = {name: node for node in graph.node for name in node.output}
    last = made[end.name]
    while last.op_type in SHAPING and last.input[0] in made:
        last = made[last.input[0]]
    last = _layer_of_bias(last, made)
    kind, name = kind_of(last.op_type, path), end.name
    inputs = [f"{name}_of_two_{part}" for part in ("weights", "bias")]
    for tensor, values in zip(inputs, columns(kind), strict=True):
        graph.initializer.append(numpy_helper.from_array(values, tensor))
    both = f"{name}_of_two"
    graph.node.append(helper.make_node("Gemm", [name, *inputs], [both], both))
    end.CopyFrom(helper.make_tensor_value_info(both, TensorProto.FLOAT, [1, 2]))
    return kind


def _layer_of_bias(last: Any, made: dict[str, Any]) -> Any:
    """The linear layer before an Add that is its bias; any other operator itself."""
    before = [made[name] for name in last.input if name in made]
    is_bias = last.op_type == "Add" and len(before) == 1 and before[0].op_type in LINEAR
    return before[0] if is_bias else last


def widen_keras(keras: Any, model: Any, path: Path) -> tuple[Any, OneScore]:
    """A Keras model that gives (images, 1), as one that gives (images, 2)."""
    kind = kind_of(_last_activation(model), path)
    head = keras.layers.Dense(2, dtype="float32", name="score_of_each_class")
    image = keras.Input(model.inputs[0].shape[1:], name="image")
    whole = keras.Model(image, head(model(image)), name="two_scores")
    head.set_weights(columns(kind))
    return whole, kind


def _last_activation(model: Any) -> str:
    """What makes a Keras model's score: the activation of its last layer, at any depth."""
    layers = [layer for layer in model.layers if type(layer).__name__ not in SHAPING]
    last = layers[-1]
    if hasattr(last, "layers"):
        return _last_activation(last)
    activation = getattr(last, "activation", None)
    return str(getattr(activation, "__name__", type(last).__name__))
