"""What every operator of an IR makes, and made of each image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import DeviceError, EdgekitError
from edgekit.runtimes import _openvino_graph as graph
from edgekit.runtimes import _openvino_read as read
from edgekit.runtimes.contract.description import Activation
from edgekit.runtimes.contract.input_form import InputForm, fed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FLOATS = ("f32", "f16")
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
    found: dict[str, Any] = {}
    for name, output in names(model).values():
        # A second FakeQuantize is that of another branch.
        if name not in found or _kind(found[name]) != "FakeQuantize":
            found.pop(name, None)
            found[name] = output
    return found


def names(model: Any) -> dict[tuple[str, int], tuple[str, Any]]:
    """What each float output that depends on the input is called in the float file, by its port,
    in the order they run; what FakeQuantize makes is called as what it reads."""
    live, in_front = graph.computed(model), _normalised(model)
    found: dict[tuple[str, int], tuple[str, Any]] = {}
    for op in model.get_ordered_ops():
        if op.get_name() not in live or op.get_type_name() == "Result":
            continue
        for i, output in enumerate(op.outputs()):
            own = op.get_friendly_name() + (f".{i}" if i else "")
            name = in_front.get(op.get_name(), own)
            if op.get_type_name() == "FakeQuantize":
                name = found.get(_port(op.input_value(0)), (name, None))[0]
            if output.get_element_type().get_type_name() in FLOATS:
                found[_port(output)] = (name, output)
    return found


def activations(path: Path) -> tuple[Activation, ...]:
    """See `Reader.activations`."""
    model = read.load_for_one(path)
    called, live = names(model), graph.computed(model)
    found = []
    for name, output in passed_on(model).items():
        grid = _codes(output)
        while _kind(output) == "FakeQuantize":
            output = output.get_node().input_value(0)
        op = output.get_node()
        if name == graph.INPUT:  # what stands in front of it, the float file lacks
            where = {"operator": "", "layer": name, "kind": "input"}
            found.append(Activation(name=name, inputs=(), has_weights=False, **where, **grid))
            continue
        read_ = [_port(port) for port in op.input_values()]
        computed = [source for source in graph.sources(op) if source.get_name() in live]
        made = Activation(
            name=name,
            operator=op.get_friendly_name(),
            layer=op.get_friendly_name(),
            kind=op.get_type_name(),
            inputs=tuple(dict.fromkeys(called[port][0] for port in read_ if port in called)),
            has_weights=graph.is_heavy(op) and len(computed) == 1,
            **grid,
        )
        found.append(made)
    return tuple(found)


def weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """See `Reader.weights`. OpenVINO itself turns codes into what they stand for."""
    import numpy as np

    model = read.load_for_one(path)
    live, layers = graph.computed(model), {}
    for op in model.get_ordered_ops():
        constant = [port for port in op.input_values() if port.get_node().get_name() not in live]
        if graph.is_heavy(op) and op.get_name() in live and len(constant) == 1:
            layers[op.get_friendly_name()] = constant[0]
    model.add_outputs([*layers.values()])
    results = {_port(result.input_value(0)): i for i, result in enumerate(model.get_results())}
    request = _request(path, model)
    image = model.input(0)
    request.infer({0: np.zeros(tuple(image.shape), image.get_element_type().to_dtype())})
    return {
        name: np.array(request.get_output_tensor(results[_port(output)]).data, np.float32)
        for name, output in layers.items()
    }


def _request(path: Path, model: Any) -> Any:
    read.need("openvino", "inspect")
    try:
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
        return read.core().compile_model(model, "CPU", options).create_infer_request()
    except Exception as error:  # the library's exceptions have no common base of their own
        raise EdgekitError(f"OpenVINO cannot load {path}: {error}") from error


def _codes(output: Any) -> dict[str, float]:
    """The numbers that the levels of a FakeQuantize stand for; empty of any other output."""
    if _kind(output) != "FakeQuantize":
        return {}
    quantizer = output.get_node()
    low, high = (source.get_data().ravel() for source in graph.sources(quantizer)[3:5])
    if low.size != 1 or high.size != 1:
        return {}
    ends = float(low[0]), float(high[0])
    step = (ends[1] - ends[0]) / (quantizer.get_attributes()["levels"] - 1)
    return {"low": ends[0], "high": ends[1], "step": step}


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
    """See `Reader.tensors`. The CPU plug-in runs it, in float32 where it is not quantised."""
    import numpy as np

    model = read.load_for_one(path)
    wanted = passed_on(model)
    feed = fed(path, tuple(model.input(0).shape), images, form)
    parameter = model.get_parameters()[0].output(0)
    image_is_fed = graph.INPUT in wanted and _port(wanted[graph.INPUT]) == _port(parameter)
    if image_is_fed:
        del wanted[graph.INPUT]
    model.add_outputs([*wanted.values()])
    results = {_port(result.input_value(0)): i for i, result in enumerate(model.get_results())}
    request = _request(path, model)
    for number, image in enumerate(feed, start=1):
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
