"""Makes the models of edgekit/devices/trial/: python -m tests.devices.make_trial_models

A convolution, its mean and a dense layer of fixed weights, in float and in int8, for each runtime;
and the scores that they gave here. OpenVINO runs the ONNX files.
"""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from edgekit.agent import agent
from edgekit.devices.trial import FOLDER
from edgekit.models._tensorflow import make_way

SHAPE = [1, 8, 8, 3]
IMAGE = np.array([7 * i % 255 for i in range(192)], np.float32).reshape(SHAPE) / 255
"""What edgekit/devices/trial.py feeds them with."""
rng = np.random.default_rng(0)
KERNEL = rng.normal(0, 0.3, (3, 3, 3, 16)).astype(np.float32)
DENSE = rng.normal(0, 0.3, (16, 4)).astype(np.float32)


class One(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self.left = [{"image": IMAGE}]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None


def make_onnx() -> None:
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "trial",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4])],
        [
            numpy_helper.from_array(KERNEL.transpose(3, 2, 0, 1).copy(), "kernel"),
            numpy_helper.from_array(DENSE, "dense"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, FOLDER / "float32.onnx")
    quantize_static(
        FOLDER / "float32.onnx", FOLDER / "int8.onnx", One(), quant_format=QuantFormat.QDQ
    )


def make_tflite() -> None:
    make_way()
    import tensorflow as tf

    inputs = tf.keras.layers.Input(SHAPE[1:], batch_size=1)
    found = tf.keras.layers.Conv2D(16, 3, activation="relu", name="conv")(inputs)
    found = tf.keras.layers.GlobalAveragePooling2D()(found)
    network = tf.keras.Model(inputs, tf.keras.layers.Dense(4, name="dense")(found))
    network.get_layer("conv").set_weights([KERNEL, np.zeros(16, np.float32)])
    network.get_layer("dense").set_weights([DENSE, np.zeros(4, np.float32)])
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    (FOLDER / "float32.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: [[IMAGE]]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    (FOLDER / "int8.tflite").write_bytes(converter.convert())


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    make_onnx()
    make_tflite()
    scores = {}
    for suffix, runtime in (("onnx", "onnxruntime"), ("tflite", "litert")):
        for precision in ("float32", "int8"):
            name = f"{precision}.{suffix}"
            run = agent.open_model({"runtime": runtime, "path": str(FOLDER / name)}, 1, exact=True)
            scores[name] = run(IMAGE).reshape(-1).tolist()
    (FOLDER / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
