"""What is read of a file about the images it takes, before anything of it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgekit.data.size import Size
from edgekit.errors import WeightsError
from edgekit.models.input_size import check_input, input_size
from edgekit.models.source import Channels

FLOAT = onnx.TensorProto.FLOAT


def onnx_file(folder: Path, *shape: Any) -> Path:
    image, same = (onnx.helper.make_tensor_value_info(name, FLOAT, shape) for name in "xy")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    path = folder / "m.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [image], [same])), path)
    return path


def keras_file(
    folder: Path, *shape: Any, key: str = "batch_shape", before: tuple[Any, ...] = ()
) -> Path:
    """
    Args:
        before: layers in front of the one that tells its shape.
    """
    h5py = pytest.importorskip("h5py")
    layers = [{"class_name": "InputLayer", "config": {key: shape}}]
    path = folder / "m.h5"
    with h5py.File(path, "w") as file:
        config = {"class_name": "Sequential", "config": {"layers": [*before, *layers]}}
        file.attrs["model_config"] = json.dumps(config)
    return path


@pytest.mark.parametrize("key", ["batch_shape", "batch_input_shape"])
def test_the_size_of_a_keras_file(tmp_path: Path, key: str) -> None:
    assert input_size(keras_file(tmp_path, None, 64, 80, 3, key=key)) == Size(64, 80)


def test_the_size_of_a_model_in_a_model(tmp_path: Path) -> None:
    inner = {"class_name": "InputLayer", "config": {"batch_shape": [None, 64, 80, 3]}}
    first = {"class_name": "Sequential", "config": {"layers": [inner]}}
    path = keras_file(tmp_path, None, 9, 9, 8, before=(first,))
    assert input_size(path) == Size(64, 80)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 3, 96, 96), Size(96, 96)), ((1, 64, 80, 1), Size(64, 80)), (("n", 3, "h", "w"), None)],
)
def test_the_size_of_an_onnx_file(tmp_path: Path, shape: Any, size: Size | None) -> None:
    assert input_size(onnx_file(tmp_path, *shape)) == size


@pytest.mark.parametrize(
    ("file", "shape", "channels"),
    [
        (onnx_file, (1, 3, 32, 48), "rgb"),
        (onnx_file, (4, 32, 48, 3), "bgr"),
        (onnx_file, ("n", 1, "h", "w"), "grey"),
        (onnx_file, (1, 3, 32, "w"), "rgb"),
        (onnx_file, ("n", "c", "h", "w"), "rgb"),  # its import tries both layouts
        (keras_file, (None, 32, 48, 3), "rgb"),
        (keras_file, (None, None, None, 1), "grey"),
    ],
)
def test_what_a_file_can_take_passes(
    tmp_path: Path, file: Any, shape: Any, channels: Channels
) -> None:
    check_input(file(tmp_path, *shape), Size(32, 48), channels)


def test_what_does_not_tell_passes(tmp_path: Path) -> None:
    first = {"class_name": "Conv2D", "config": {"filters": 8}}
    check_input(keras_file(tmp_path, None, 9, 9, 8, before=(first,)), Size(32, 48), "rgb")
    check_input(tmp_path, Size(32, 48), "rgb")  # as the folder of a SavedModel


@pytest.mark.parametrize("file", [onnx_file, keras_file])
@pytest.mark.parametrize(
    ("shape", "channels", "hint"),
    [
        ((1, 48, 32, 3), "rgb", "write image_size: [48, 32] in the recipe's data section"),
        ((1, 64, 64, 3), "rgb", "write image_size: 64 in the recipe's data section"),
        ((1, 32, 48, 1), "rgb", "write channels: grey in the recipe's model section"),
        ((1, 32, 48, 3), "grey", "leave channels: grey out of the recipe's model section"),
        ((1, 32, 48), "rgb", "four dimensions"),
    ],
)
def test_other_images_are_refused(
    tmp_path: Path, file: Any, shape: Any, channels: Channels, hint: str
) -> None:
    with pytest.raises(WeightsError, match=r"m\.(onnx|h5)") as caught:
        check_input(file(tmp_path, *shape), Size(32, 48), channels)
    assert hint in str(caught.value.hint)
