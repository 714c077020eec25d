"""What every node of an .onnx file makes, and made of each image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import DeviceError, EdgekitError
from edgekit.runtimes import _onnx_graph as graph
from edgekit.runtimes._onnx_float_ops import LAYERS
from edgekit.runtimes.contract.description import Activation
from edgekit.runtimes.contract.input_form import InputForm, fed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIX = "_DequantizeLinear_Output"
"""How ONNX Runtime's quantiser calls what it passes on for a tensor; NNCF's names begin otherwise,
and its pairs of quantisers are followed back instead."""
FLOATS = ("tensor(float)", "tensor(float16)")
LEVELS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}
IN_FRONT = ("pixels", "pixel_scaling", "pixel_shifting")
"""The nodes that `bake` puts in front where normalisation costs some; the last makes the image."""


def passed_on(model_graph: Any) -> dict[str, str]:
    """Which tensor of the file stands for which of the float file, in the order they are made.

    A tensor that is quantised goes on as what its codes stand for.

    Returns:
        the name in the float file, and the name of the tensor here; constants are not among them.
    """
    view = _GraphView(model_graph)
    found: dict[str, str] = {}
    for name in view.computed:
        node = view.computed[name]
        if view.kind(name) == graph.QDQ[0] or (node is not None and node.name in IN_FRONT[:-1]):
            continue
        called = view.stands_for(name)
        if called in found and view.kind(found[called]) == graph.QDQ[1]:
            continue  # another branch has quantised it as well
        found.pop(called, None)
        found[called] = name
    return found


class _GraphView:
    """A graph's nodes by what they make, and the names its tensors have in the float file."""

    def __init__(self, model_graph: Any) -> None:
        self.constants = {i.name: i for i in model_graph.initializer}
        inputs = [v.name for v in model_graph.input if v.name not in self.constants]
        self.computed: dict[str, Any] = dict.fromkeys(inputs)
        """The node that makes each tensor, None for the input, in the order they are made."""
        for node in model_graph.node:
            if not self.computed.keys().isdisjoint(node.input):
                self.computed |= {name: node for name in node.output if name}

    def kind(self, name: str) -> str:
        node = self.computed[name]
        return str(node.op_type) if node is not None else ""

    def stands_for(self, name: str) -> str:
        """The float tensor whose values a tensor holds, in codes or not."""
        kind = self.kind(name)
        if kind == graph.QDQ[1] and name.endswith(SUFFIX):
            return name.removesuffix(SUFFIX)
        node = self.computed[name]
        if kind in graph.QDQ:
            return self.stands_for(str(node.input[0]))
        return graph.INPUT if node is not None and node.name == IN_FRONT[-1] else name

    def maker(self, name: str) -> Any:
        """The node that made a tensor before it was quantised; None for the input."""
        node = self.computed.get(name)
        while node is not None and node.op_type in graph.QDQ:
            node = self.computed.get(node.input[0])
        return node

    def activation(self, name: str, here: str) -> Activation:
        node = self.maker(here)
        grid = self.grid(here)
        if node is None or name == graph.INPUT:  # what stands in front of it, the float file lacks
            where = {"operator": "", "layer": name, "kind": "input"}
            return Activation(name=name, inputs=(), has_weights=False, **where, **grid)
        read = [i for i in node.input if i in self.computed]
        return Activation(
            name=name,
            operator=node.name,
            layer=node.name,
            kind=node.op_type,
            inputs=tuple(dict.fromkeys(map(self.stands_for, read))),
            has_weights=node.op_type in LAYERS and len(read) == 1,
            **grid,
        )

    def grid(self, name: str) -> dict[str, float]:
        """What the codes of a tensor stand for; empty for one that has none."""
        from onnx import numpy_helper

        node = self.computed[name]
        if node is None or node.op_type != graph.QDQ[1]:
            return {}
        scale, origin = (numpy_helper.to_array(self.constants[i]) for i in node.input[1:3])
        if scale.size != 1:
            return {}
        lowest, highest = LEVELS[str(origin.dtype)]
        step, zero = float(scale.ravel()[0]), int(origin.ravel()[0])
        return {"low": step * (lowest - zero), "high": step * (highest - zero), "step": step}


def activations(path: Path) -> tuple[Activation, ...]:
    """See `Reader.activations`."""
    model_graph = _read(path).graph
    view = _GraphView(model_graph)
    return tuple(view.activation(*pair) for pair in passed_on(model_graph).items())


def _read(path: Path) -> Any:
    import onnx

    try:
        return onnx.load(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # protobuf's, of which onnx does not tell the kinds
        raise EdgekitError(f"{path} is not an ONNX model: {error}") from error


def weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """See `Reader.weights`. ONNX Runtime itself turns codes into what they stand for."""
    import numpy as np
    from onnx import numpy_helper

    model = _read(path)
    view = _GraphView(model.graph)
    layers = _weights_of_layers(model.graph, view)
    stored = {n: numpy_helper.to_array(c) for n, c in view.constants.items()}
    found: dict[str, Any] = {
        op: np.float32(stored[name]) for op, name in layers.items() if name in stored
    }
    # What is no constant itself is dequantised from one.
    coded = {op: name for op, name in layers.items() if name not in stored}
    return found | _constants_made(path, model, coded)


def _weights_of_layers(model_graph: Any, view: _GraphView) -> dict[str, str]:
    """By layer the tensor of its weights: the one of its first two that no image changes."""
    layers = {}
    for node in model_graph.node:
        constant = [name for name in node.input[:2] if name and name not in view.computed]
        if node.op_type in LAYERS and len(constant) == 1:
            layers[node.name] = constant[0]
    return layers


def _constants_made(path: Path, model: Any, wanted: dict[str, str]) -> dict[str, Any]:
    """Tensors that nodes make of constants, by the same keys: the session is run on no image."""
    import numpy as np

    if not wanted:
        return {}
    session = _session(path, model, set(wanted.values()))
    source = session.get_inputs()[0]
    shape = [side if isinstance(side, int) else 1 for side in source.shape]
    blank = np.zeros(shape, np.uint8 if "uint8" in source.type else np.float32)
    values = session.run([*wanted.values()], {source.name: blank})
    return dict(zip(wanted, values, strict=True))


def _session(path: Path, model: Any, shown: set[str]) -> Any:
    """A session that gives the tensors `shown` besides its scores, with nothing fused."""
    import onnx
    import onnxruntime

    given = {value.name for value in (*model.graph.output, *model.graph.input)}
    for name in sorted(shown - given):
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the library's exceptions have no common base of their own
        raise EdgekitError(f"ONNX Runtime cannot load {path}: {error}") from error


def tensors(
    path: Path, form: InputForm, images: NDArray[np.uint8]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """See `Reader.tensors`. The graph runs as it is written: nothing is fused, and codes are
    turned back into real values at every DequantizeLinear."""
    import numpy as np

    model = _read(path)
    wanted = passed_on(model.graph)
    session = _session(path, model, {*wanted.values()})
    source = session.get_inputs()[0]
    feed = fed(path, tuple(source.shape), images, form)
    floats = [o.name for o in session.get_outputs() if o.type in FLOATS]
    shown = {name: here for name, here in wanted.items() if here in floats}
    for number, image in enumerate(feed, start=1):
        try:
            values = session.run(floats, {source.name: image})
        except Exception as error:
            raise DeviceError(f"{path} stops at image {number}: {error}") from error
        by_name = dict(zip(floats, values, strict=True))
        made = {name: np.asarray(by_name[here], np.float32) for name, here in shown.items()}
        if image.dtype == np.float32 and source.name in wanted.values():
            made = {source.name: image, **made}  # fed, and not quantised before it is read
        yield made
