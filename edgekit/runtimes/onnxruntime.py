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

from edgekit.errors import EdgekitError, MissingPackage
from edgekit.models import Card
from edgekit.runtimes import _onnx_graph as graph
from edgekit.runtimes.base import (
    Calibration,
    Description,
    InputForm,
    PixelGrid,
    Port,
    Progress,
    Quantization,
    Runtime,
    batches,
    pixel_grid,
    preprocessing,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METHODS = {
    "minmax": "MinMax",
    "moving_average": "MinMax",
    "percentile": "Percentile",
    "entropy": "Entropy",
}
"""The library's name of each calibration."""

BINS = {"percentile": 2048, "entropy": 512}
"""With the library's 128 bins entropy has one candidate only, and is minmax without a word."""


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

    example: ClassVar[str] = """\
import json, sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
image = np.load(sys.argv[1] if len(sys.argv) > 1 else "golden_input.npy")  # uint8 [1, H, W, 3]
scores = session.run(["scores"], {"image": image})[0][0]
for i in np.argsort(-scores)[:5]:
    print(f"{labels[i]} {scores[i]:.3f}")
"""

    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        with _packages("compile"):
            import onnx
            import onnxslim

        progress(0, 2, "exporting")
        with _quiet():
            exported = _export(model, card)
            progress(1, 2, "simplifying")
            simple = onnxslim.slim(graph.pool_globally(exported))
        graph.strip_notes(simple)
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
        if not graph.take_codes(model.graph, pixel_grid(card)):
            graph.normalize_in_front(model.graph, form)
        about = json.dumps(preprocessing(card, form, labels))
        helper.set_model_props(model, {"labels": json.dumps(labels), "edgekit": about})
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, into / self.file)

    def describe(self, path: Path) -> Description:
        with _packages("describe"):
            import onnx

        running = _optimized(path)
        return Description(
            input=_port(running.input[0]),
            output=_port(running.output[0]),
            operators=graph.operators(running),
            per_channel=graph.is_per_channel(onnx.load(path).graph),
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
            input_names=[graph.INPUT],
            output_names=[graph.OUTPUT],
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
        return {graph.INPUT: image}


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
        options["TensorQuantOverrides"] = {graph.planes(model.graph).output[0]: [codes]}
    return options


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
