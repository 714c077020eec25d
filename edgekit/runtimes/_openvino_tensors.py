"""What every operator of an IR made, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import DeviceError, EdgekitError
from edgekit.runtimes import _openvino_graph as graph
from edgekit.runtimes import _openvino_read as read
from edgekit.runtimes.base import InputForm, batches, check_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NORMALISATION = ({"Convert"}, {"Subtract"}, {"Divide", "Multiply"})
"""What `bake` puts behind raw pixels where no quantiser takes them; a file may hold the division
by a constant as a multiplication."""


def passed_on(model: Any) -> dict[str, Any]:
    """Which output stands for which operator of the float file, in the order they run.

    A value that is quantised goes on as its FakeQuantize gives it.

    Returns:
        the operator's name in the float file (a second output is `name.1`), and the output port
        here; what does not depend on the input is not among them.
    """
    live = graph.computed(model)
    found: dict[str, Any] = {}
    stands_for = _normalised(model)
    for op in model.get_ordered_ops():
        kind, name = op.get_type_name(), op.get_friendly_name()
        if op.get_name() not in live or kind == "Result":
            continue
        for i, output in enumerate(op.outputs()):
            if output.get_element_type().get_type_name() not in ("f32", "f16"):
                continue
            called = stands_for.get(op.get_name(), f"{name}.{i}" if i else name)
            if kind == "FakeQuantize":
                before = op.input(0).get_source_output()
                port = before.get_index()
                source = before.get_node()
                called = source.get_friendly_name() + (f".{port}" if port else "")
                called = stands_for.get(source.get_name(), called)
                if called in found and _kind(found[called]) == "FakeQuantize":
                    continue  # another branch has quantised it as well
                found.pop(called, None)
            found[called] = output
    return found


def _kind(output: Any) -> str:
    return str(output.get_node().get_type_name())


def _normalised(model: Any) -> dict[str, str]:
    """The operators between raw pixels and the image that the float file takes, by unique name.

    All of them are called after the image: the last one is it.
    """
    op, found = model.get_parameters()[0], {}
    if op.get_element_type().get_type_name() != "u8":
        return {}
    for kinds in NORMALISATION:
        readers = [reader for reader, _ in graph.consumers(op)]
        if len(readers) != 1 or readers[0].get_type_name() not in kinds:
            break
        op = readers[0]
        found[op.get_name()] = graph.INPUT
    return found


def tensors(
    path: Path, form: InputForm, images: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """See `Runtime.tensors`. The CPU plug-in runs it, in float32 where it is not quantised."""
    import numpy as np

    openvino = read.need("openvino", "inspect")
    model = read.load(path)
    wanted = passed_on(model)
    check_size(path, tuple(model.input(0).shape), images)
    parameter = model.get_parameters()[0].output(0)
    image_is_fed = graph.INPUT in wanted and _port(wanted[graph.INPUT]) == _port(parameter)
    if image_is_fed:
        del wanted[graph.INPUT]
    model.add_outputs([*wanted.values()])
    results = {_port(result.input_value(0)): i for i, result in enumerate(model.get_results())}
    try:
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
        request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    except Exception as error:  # the library's exceptions have no common base of their own
        raise EdgekitError(f"OpenVINO cannot load {path}: {error}") from error
    for number, image in enumerate(batches(images, form), start=1):
        try:
            request.infer({0: image})
        except RuntimeError as error:
            raise DeviceError(f"{path} stops at image {number}: {error}") from error
        made = {graph.INPUT: image} if image_is_fed else {}
        for name, output in wanted.items():
            values = request.get_output_tensor(results[_port(output)]).data
            made[name] = np.array(values, np.float32)
        yield made


def _port(output: Any) -> tuple[str, int]:
    return str(output.get_node().get_name()), int(output.get_index())
