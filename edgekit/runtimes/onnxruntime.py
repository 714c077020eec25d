"""ONNX Runtime: float32 and static int8 .onnx files, run by its CPU kernels."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgekit.errors import EdgekitError, InputError, MissingPackage
from edgekit.models import Card
from edgekit.runtimes.base import (
    Calibration,
    Description,
    InputForm,
    Operator,
    PixelGrid,
    Port,
    Progress,
    Quantization,
    Runtime,
    batches,
    pixel_grid,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUT, OUTPUT = "image", "scores"

METHODS = {
    "minmax": "MinMax",
    "moving_average": "MinMax",
    "percentile": "Percentile",
    "entropy": "Entropy",
}
"""The library's name of each calibration; it has none that minimises the squared error."""

BINS = {"percentile": 2048, "entropy": 512}
"""With the library's 128 bins entropy has one candidate only, and is minmax without a word."""

FLOAT_HEAVY = {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm"}
FLOAT_HEAVY |= {"MatMul", "FusedMatMul"}
INT8_HEAVY = {"QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger"}
INT8_HEAVY |= {"MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
CONVERSIONS = {"Cast", "QuantizeLinear", "DequantizeLinear"}

EXAMPLE = """\
import json, sys
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
_, height, width, _ = session.get_inputs()[0].shape
image = Image.open(sys.argv[1]).convert("RGB").resize((width, height))
(scores,) = session.run(["scores"], {"image": np.asarray(image)[np.newaxis]})
print(labels[int(scores.argmax())])
"""


class OnnxRuntime(Runtime):
    """torch.onnx and onnxslim to compile, onnxruntime.quantization (QDQ) for int8."""

    name: ClassVar[str] = "onnxruntime"
    file: ClassVar[str] = "model.onnx"
    libraries: ClassVar[tuple[str, ...]] = (
        "torch",
        "onnx",
        "onnxruntime",
        "onnxslim",
        "onnxscript",
    )
    engine: ClassVar[str] = "onnxruntime"
    calibrations: ClassVar[tuple[Calibration, ...]] = (
        "minmax",
        "moving_average",
        "percentile",
        "entropy",
    )

    example: ClassVar[str] = EXAMPLE

    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        with _packages("compile"):
            import onnx
            import onnxslim

        progress(0, 2, "exporting")
        with _quiet():
            exported = _export(model, card)
            progress(1, 2, "simplifying")
            simple = onnxslim.slim(_pool_globally(exported))
        _strip_notes(simple)
        onnx.save(simple, into / self.file)
        progress(2, 2, "simplifying")
        return InputForm(dtype="float32", mean=card.mean, std=card.std)

    def quantize(
        self,
        source: Path,
        card: Card,
        images: NDArray[np.uint8],
        settings: Quantization,
        into: Path,
        progress: Progress,
    ) -> InputForm:
        with _packages("quantize"):
            import onnx
            from onnxruntime import quantization
            from onnxruntime.quantization import shape_inference

        if settings.calibration not in self.calibrations:
            raise InputError(
                f"{self.name} has no calibration {settings.calibration!r}",
                hint=f"it offers {', '.join(self.calibrations)}",
            )
        grid = pixel_grid(card)
        form = grid.form if grid else InputForm(dtype="float32", mean=card.mean, std=card.std)
        with tempfile.TemporaryDirectory() as folder, _quiet():
            ready, ranges = Path(folder) / "ready.onnx", Path(folder) / "ranges.json"
            # Shapes are static, so the symbolic pass (which needs sympy) has nothing to add.
            shape_inference.quant_pre_process(source, ready, skip_symbolic_shape=True)
            _calibrate(ready, images, form, settings, ranges, progress)
            quantization.quantize_static(
                ready,
                into / self.file,
                calibrate_method=quantization.CalibrationMethod[METHODS[settings.calibration]],
                calibration_cache_path=ranges,
                per_channel=settings.per_channel,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options=_options(onnx.load(ready), grid),
            )
        return form

    def bake(
        self, source: Path, card: Card, form: InputForm, labels: tuple[str, ...], into: Path
    ) -> None:
        with _packages("bake"):
            import onnx
            from onnx import TensorProto, helper

        model = onnx.load(source)
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
        if not _take_codes(model.graph, pixel_grid(card)):
            _normalise(model.graph, form)
        about = card.model_dump(mode="json", include={"image_size", "crop_pct"})
        about |= {"mean": form.mean, "std": form.std, "classes": len(labels)}
        about |= {"layout": "NHWC", "colour": "RGB", "dtype": "uint8"}
        helper.set_model_props(model, {"labels": json.dumps(labels), "edgekit": json.dumps(about)})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, into / self.file)

    def describe(self, path: Path) -> Description:
        with _packages("describe"):
            import onnx

        running = _optimized(path)
        return Description(
            input=_port(running.input[0]),
            output=_port(running.output[0]),
            operators=_operators(running),
            per_channel=_is_per_channel(onnx.load(path).graph),
        )


@contextlib.contextmanager
def _packages(step: str) -> Iterator[None]:
    """Turn a failing import into a `MissingPackage`."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "onnxruntime").split(".")[0]
        raise MissingPackage(package, "rpi", f"{step} for ONNX Runtime") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's and the quantiser's remarks off the terminal.

    sys.stdout stays as it is, for the caller's progress display writes to it meanwhile.
    """
    root, silent = logging.getLogger(), logging.NullHandler()
    level = root.manager.disable
    # Without a handler logging.warning() would install one on the terminal, for good.
    root.addHandler(silent)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        root.removeHandler(silent)


def _export(model: Any, card: Card) -> Any:
    """The torch model as an ONNX graph that takes NHWC."""
    import torch

    class Nhwc(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> Any:
            # Left in channels-last memory, global pooling is exported with a Gather behind it.
            return self.model(image.permute(0, 3, 1, 2).contiguous())

    example = torch.zeros(1, card.image_size, card.image_size, 3)
    try:
        program = torch.onnx.export(
            Nhwc().eval(),
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        culprit = re.search(r"aten[.:]+[\w.]+", str(error.__cause__ or error))
        raise EdgekitError(
            f"{card.arch} cannot be exported to ONNX: {str(error).strip().splitlines()[0]}",
            hint=f"the exporter stopped at {culprit[0]}; choose an architecture without it"
            if culprit
            else "choose another architecture, or another version of torch",
        ) from error
    assert program is not None
    return program.model_proto


def _pool_globally(model: Any) -> Any:
    """Write averages over height and width as GlobalAveragePool: ReduceMean has no int8 kernel."""
    from onnx import helper, numpy_helper, shape_inference

    inferred = shape_inference.infer_shapes(model).graph
    rank = {v.name: len(v.type.tensor_type.shape.dim) for v in inferred.value_info}
    constants = {i.name: i for i in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        axes = constants.get(node.input[1]) if len(node.input) > 1 else None
        spatial = axes and sorted(numpy_helper.to_array(axes).ravel() % 4) == [2, 3]
        if node.op_type != "ReduceMean" or rank.get(node.input[0]) != 4 or not spatial:
            nodes.append(node)
            continue
        keeps = all(a.i for a in node.attribute if a.name == "keepdims")
        (x, y), pooled = (node.input[0], node.output[0]), f"{node.output[0]}_pooled"
        pool = helper.make_node("GlobalAveragePool", [x], [y if keeps else pooled], node.name)
        nodes.append(pool)
        if not keeps:
            nodes.append(helper.make_node("Flatten", [pooled], [y], f"{node.name}_flatten"))
    _set_nodes(model.graph, nodes)
    return model


def _set_nodes(graph: Any, nodes: list[Any]) -> None:
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _strip_notes(model: Any) -> None:
    """Drop the exporter's stack traces: they hold paths of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


class _Reader:
    """What a calibrator reads from: the prepared images from `start` on, one by one."""

    def __init__(
        self, images: NDArray[np.uint8], form: InputForm, start: int, report: Callable[[int], None]
    ) -> None:
        self.feed = iter(enumerate(batches(images, form), start + 1))
        self.report = report

    def get_next(self) -> dict[str, Any] | None:
        done, image = next(self.feed, (0, None))
        if image is None:
            return None
        self.report(done)
        return {INPUT: image}


def _calibrate(
    model: Path,
    images: NDArray[np.uint8],
    form: InputForm,
    settings: Quantization,
    into: Path,
    progress: Progress,
) -> None:
    """Measure the range of every activation and write the ranges to `into`.

    Done here, and not in quantize_static, since that cannot pass the number of bins on.
    """
    from onnxruntime.quantization import calibrate

    name = settings.calibration
    options = {"percentile": settings.percentile, "symmetric": False, "num_bins": BINS.get(name)}
    options["moving_average"] = name == "moving_average"
    calibrator = calibrate.create_calibrator(
        model,
        sorted(_operator_types()),
        augmented_model_path=str(into.with_suffix(".augmented.onnx")),
        calibrate_method=calibrate.CalibrationMethod[METHODS[name]],
        extra_options=options,
    )
    # A reader's images are held together. Extremes are two numbers each, and their average needs
    # one reader; histograms hold whole activations. The first reader sets the width of the bins:
    # with fewer images in it larger values follow, and the time of entropy is bins squared.
    step = 8 if name in BINS else len(images)

    def report(done: int) -> None:
        progress(done, len(images), "calibrating")

    for start in range(0, len(images), step):
        part = images[start : start + step]
        calibrator.collect_data(_Reader(part, form, start, report))
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
        options["TensorQuantOverrides"] = {_planes(model.graph).output[0]: [codes]}
    return options


def _planes(graph: Any) -> Any:
    """The Transpose to NCHW that `compile` put behind the input; the quantiser follows it."""
    return next(node for node in graph.node if INPUT in node.input)


def _take_codes(graph: Any, grid: PixelGrid | None) -> bool:
    """Feed pixels to the first DequantizeLinear, where they are the codes it expects."""
    import numpy as np
    from onnx import numpy_helper

    transpose = _planes(graph)
    quantizers = [n for n in graph.node if transpose.output[0] in n.input]
    if grid is None or [n.op_type for n in quantizers] != ["QuantizeLinear"]:
        return False
    quantizer = quantizers[0]
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    scale, zero_point = (constants[name] for name in quantizer.input[1:3])
    if scale != np.float32(grid.scale) or zero_point != grid.zero_point:
        return False
    transpose.output[0] = quantizer.output[0]
    graph.node.remove(quantizer)
    known = [v for v in graph.value_info if v.name in (*quantizer.input, *quantizer.output)]
    for value in known:
        graph.value_info.remove(value)
    return True


def _normalise(graph: Any, form: InputForm) -> None:
    """Put (pixels / 255 - mean) / std in front, in float."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    mean, std = np.asarray(form.mean), np.asarray(form.std)
    constants = {"pixel_scale": 1 / (255 * std), "pixel_shift": -mean / std}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    transpose = _planes(graph)
    transpose.input[0] = "normalised"
    cast = helper.make_node("Cast", [INPUT], ["pixels"], "pixels", to=TensorProto.FLOAT)
    scale = helper.make_node("Mul", ["pixels", "pixel_scale"], ["scaled"], "pixel_scaling")
    shift = helper.make_node("Add", ["scaled", "pixel_shift"], ["normalised"], "pixel_shifting")
    _set_nodes(graph, [cast, scale, shift, *graph.node])


def _optimized(path: Path) -> Any:
    """The graph that runs here: what is left once the session has fused what it can."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # it warns that the dump fits this CPU only: we know
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        try:
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's exceptions have no common base of their own
            raise EdgekitError(f"ONNX Runtime cannot load {path}: {error}") from error
        return onnx.load(options.optimized_model_filepath).graph


def _port(value: Any) -> Port:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(d.dim_value for d in tensor.shape.dim)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return Port(name=value.name, shape=shape, dtype=dtype)


def _operators(graph: Any) -> tuple[Operator, ...]:
    """Every node; one that only moves data counts as what flows through it."""
    from onnx import TensorProto

    codes = {i.name for i in graph.input if i.type.tensor_type.elem_type == TensorProto.UINT8}
    operators = []
    for node in graph.node:
        kind, heavy = node.op_type, node.op_type in FLOAT_HEAVY | INT8_HEAVY
        moves = not heavy and kind not in CONVERSIONS and node.input and node.input[0] in codes
        int8 = moves or kind in INT8_HEAVY or kind.startswith("QLinear")
        # A QGemm with fewer than nine inputs has no output scale: it gives floats.
        if (
            moves
            or kind == "QuantizeLinear"
            or kind.startswith("QLinear")
            or (kind == "QGemm" and len(node.input) == 9)
        ):
            codes.update(node.output)
        operators.append(
            Operator(
                name=node.name or node.output[0],
                kind=kind,
                precision="int8" if int8 else "float32",
                heavy=heavy,
            )
        )
    return tuple(operators)


def _is_per_channel(graph: Any) -> bool:
    """Whether every int8 weight has more than one scale."""
    from onnx import TensorProto

    constants = {i.name: i for i in graph.initializer}
    scales = [
        constants[node.input[1]]
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and (weight := constants.get(node.input[0])) is not None
        and weight.data_type == TensorProto.INT8
        and len(weight.dims) > 1
    ]
    return bool(scales) and all(scale.dims and scale.dims[0] > 1 for scale in scales)
