"""LiteRT (formerly TensorFlow Lite), by way of litert-torch and ai-edge-quantizer.

A model file is a flatbuffer; `bake` edits its graph as objects and appends a ZIP archive with
the labels, where the TFLite metadata standard keeps a model's files: interpreters ignore it,
`zipfile` reads it.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError, InputError, MissingPackage, NotAsAsked
from edgekit.models import Card
from edgekit.runtimes.base import (
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

HEAVY = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV"}
LEFT_IN_FLOAT = ("HARD_SWISH", "DIV")
"""XNNPACK takes neither in int8. Each HARD_SWISH would cut its partition in two, which makes
MobileNetV3 slower than in float; the int8 DIV of linear attention divides by codes that stand
for zero, and stops at invoke."""
PRECISIONS = ("float32", "float16", "uint8", "int8", "int16", "int32", "int64")
"""The first of an operator's operand types is that of its arithmetic: one float operand makes it
a float operator; beside int8, the wide integers are biases, shapes and axes."""
UPDATES = {"minmax": "min_max_update", "moving_average": "moving_average_update"}
"""How ai-edge-quantizer joins the ranges of two images; the average is its own default. Its MSE
and OCTAV concern weights alone: activations fall back to their range."""


class LiteRT(Runtime):
    """Runs .tflite files, on the CPU through XNNPACK."""

    name = "litert"
    file = "model.tflite"
    libraries = ("litert-torch", "ai-edge-quantizer", "ai-edge-litert", "torch")
    engine = "ai-edge-litert"
    calibrations = ("minmax", "moving_average")

    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        progress(0, 1, "converting to LiteRT")
        with _library(f"{card.arch} cannot be converted to LiteRT"):
            torch, litert_torch = _need("torch"), _need("litert_torch")
            # A copy in torch's default layout: channels-last weights would leave transposes.
            own = copy.deepcopy(model).cpu().eval().to(memory_format=torch.contiguous_format)
            nhwc = litert_torch.to_channel_last_io(own, args=[0]).eval()
            sample = torch.zeros(1, card.image_size, card.image_size, 3)
            litert_torch.convert(nhwc, (sample,)).export(str(into / self.file))
        progress(1, 1, "converted to LiteRT")
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
        _check_calibration(settings, images, card.image_size)
        grid = pixel_grid(card)
        form = grid.form if grid else InputForm(dtype="float32", mean=card.mean, std=card.std)
        with _library("ai-edge-quantizer cannot be used"):
            recipe = _recipe(settings.per_channel)
        ranges = _calibrate(source, images, form, recipe, settings, progress)
        if grid:
            model = _read(source)
            ranges[model.subgraphs[0].tensors[_input(model)].name.decode()] = _range_of(grid)
        with _library("ai-edge-quantizer cannot quantise the model"):
            module = _need("ai_edge_quantizer.quantizer")
            quantizer = module.Quantizer(str(source), recipe.get_quantization_recipe())
            result = quantizer.quantize(ranges, enable_progress_report=False)
        target = into / self.file
        target.write_bytes(result.quantized_model)
        _refuse_float(self.describe(target))
        return form

    def bake(
        self, source: Path, card: Card, form: InputForm, labels: tuple[str, ...], into: Path
    ) -> None:
        model = _read(source)
        graph = model.subgraphs[0]
        scores = graph.tensors[graph.outputs[0]].shape[-1]
        if len(labels) != scores:
            raise InputError(f"{len(labels)} labels for a model of {scores} scores")
        if _dtype(graph.tensors[_input(model)]) != "float32":
            raise EdgekitError(f"{source} takes raw pixels already: its input is baked in")
        grid = pixel_grid(card)
        if not (grid and _retype_input(model, grid)):
            _normalize_in_front(model, form)
        signature = model.signatureDefs[0]
        signature.inputs[0].name, signature.outputs[0].name = b"image", b"scores"
        target = into / self.file
        _write(model, target)
        _append_files(target, card, labels)

    def describe(self, path: Path) -> Description:
        """Read a model file back.

        A delegate can be told to take each operator by itself; the tensors that its nodes write
        then tell which operators it took, so `outside_delegate` is observed, not guessed.
        """
        model = _read(path)
        graph, signature = model.subgraphs[0], model.signatureDefs[0]
        kinds = _kinds(model)
        with _library(f"LiteRT cannot load {path}"):
            interpreter = _need("ai_edge_litert.interpreter").Interpreter(
                str(path), experimental_disable_delegate_node_fusion=True
            )
            interpreter.allocate_tensors()
            nodes = interpreter._get_ops_details()[len(graph.operators) :]
        delegated = {int(tensor) for node in nodes for tensor in node["outputs"]}
        operators = [
            Operator(
                name=_layer(graph.tensors[op.outputs[0]].name.decode()),
                kind=kind,
                precision=_precision([graph.tensors[i] for i in op.inputs if i >= 0]),
                heavy=kind in HEAVY,
            )
            for op, kind in zip(graph.operators, kinds, strict=True)
        ]
        return Description(
            input=_port(signature.inputs[0], graph),
            output=_port(signature.outputs[0], graph),
            operators=tuple(operators),
            per_channel=_per_channel(graph, kinds),
            outside_delegate=tuple(
                f"{operator.kind} {operator.name}"
                for operator, op in zip(operators, graph.operators, strict=True)
                if not delegated.intersection(op.outputs)
            ),
        )


def _need(module: str) -> Any:
    """Import a library that may be absent."""
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackage(package.replace("_", "-"), "rpi", "the litert runtime") from error


@contextlib.contextmanager
def _library(failure: str) -> Iterator[None]:
    """Keep the libraries' chatter off the terminal; where they fail, say so with its last words.

    Their C++ half writes to the file descriptors, not to Python's streams.
    """
    with tempfile.TemporaryFile() as log:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        words = io.StringIO()
        try:
            with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
                yield
        except (EdgekitError, OSError):
            raise
        except Exception as error:
            log.seek(0)
            heard = words.getvalue() + log.read().decode(errors="replace")
            first = str(error).partition("\n")[0] or type(error).__name__
            raise EdgekitError(f"{failure}: {first}", hint=_blame(f"{error}\n{heard}")) from error
        finally:
            for number, kept in zip((1, 2), saved, strict=True):
                os.dup2(kept, number)
                os.close(kept)


def _blame(text: str) -> str:
    """A hint that names the operator, else the line of the model, else the last error heard."""
    operator = re.findall(r"(?:Lowering not found:|legalize operation) *'?([\w.:]+)", text)
    code = re.findall(r"line \d+, in \w+\n\s+(.+)", text)
    errors = [line.strip() for line in text.splitlines() if "rror" in line]
    if operator:
        return f"look at the layer that uses {operator[0]}"
    if code:
        return f"look at the code `{code[-1]}`"
    return errors[-1] if errors else "LiteRT's tools do not say which operator it is"


def _read(path: Path) -> Any:
    """The flatbuffer of a model as objects."""
    with path.open("rb") as stream:
        if stream.read(8)[4:] != b"TFL3":
            raise EdgekitError(f"{path} is not a LiteRT model")
    with _library(f"{path} cannot be read"):
        return _need("ai_edge_litert.tools.flatbuffer_utils").read_model(str(path))


def _write(model: Any, target: Path) -> None:
    """Pack the objects; the generated code alone would forget the schema's `force_align: 16`."""
    import numpy as np

    schema = _need("ai_edge_litert.schema_py_generated")

    class Aligned(schema.BufferT):  # type: ignore[misc,name-defined]
        data: Any

        def Pack(self, builder: Any) -> Any:
            if self.data is not None:
                self.data = np.frombuffer(self.data, np.uint8)  # other types go byte by byte
                builder.Prep(16, len(self.data))
            return super().Pack(builder)

    model.buffers = [Aligned(buffer.data) for buffer in model.buffers]
    with _library(f"{target} cannot be written"):
        _need("ai_edge_litert.tools.flatbuffer_utils").write_model(model, str(target))


def _check_calibration(settings: Quantization, images: NDArray[np.uint8], size: int) -> None:
    if settings.calibration not in UPDATES:
        raise InputError(
            f"quantize.calibration: ai-edge-quantizer offers no {settings.calibration}",
            hint=f"choose one of: {', '.join(UPDATES)}",
        )
    # Without this the quantizer would resize the model to whatever it is given.
    if not len(images) or images.shape[1:] != (size, size, 3):
        wanted = f"(images, {size}, {size}, 3)"
        raise InputError(f"calibration images are {images.shape}, the model takes {wanted}")


def _recipe(per_channel: bool) -> Any:
    """Static int8 for all that can be, float at both ends and for LEFT_IN_FLOAT."""
    qtyping = _need("ai_edge_quantizer.qtyping")
    names, granularity = qtyping.TFLOperationName, qtyping.QuantGranularity
    recipe = _need("ai_edge_quantizer.recipe_manager").RecipeManager()
    weights = granularity.CHANNELWISE if per_channel else granularity.TENSORWISE
    recipe.add_static_config(".*", names.ALL_SUPPORTED, 8, 8, weights)
    for name in ("INPUT", "OUTPUT", *LEFT_IN_FLOAT):
        recipe.add_quantization_config(".*", names[name], algorithm_key="no_quantize")
    return recipe


def _calibrate(
    source: Path,
    images: NDArray[np.uint8],
    form: InputForm,
    recipe: Any,
    settings: Quantization,
    progress: Progress,
) -> dict[str, Any]:
    """The range of every activation by tensor name."""
    signature = _read(source).signatureDefs[0]
    key, argument = signature.signatureKey.decode(), signature.inputs[0].name.decode()
    with _library("ai-edge-quantizer cannot calibrate the model"):
        module = _need("ai_edge_quantizer.calibrator")
        updates = _need("ai_edge_quantizer.utils.qsv_utils")
        calibrator = module.Calibrator(
            str(source),
            num_threads=1,
            # The same ranges as the default mode, which walks the operators in Python.
            mode=module.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=getattr(updates, UPDATES[settings.calibration]),
        )
    for done, image in enumerate(batches(images, form), start=1):
        with _library(f"calibration image {done} cannot be run"):
            calibrator.calibrate({key: [{argument: image}]}, recipe)
        progress(done, len(images), "calibrating")
    ranges: dict[str, Any] = calibrator.get_model_qsvs()
    return ranges


def _range_of(grid: PixelGrid) -> dict[str, Any]:
    """The range from which the quantizer derives exactly this grid."""
    import numpy as np

    ends = [grid.scale * (pixel - grid.zero_point) for pixel in (0, 255)]
    return {"min": np.array([ends[0]]), "max": np.array([ends[1]])}


def _refuse_float(description: Description) -> None:
    heavy = [operator for operator in description.operators if operator.heavy]
    if heavy and len(description.float_heavy) == len(heavy):
        raise NotAsAsked(
            "int8 was asked for, and every convolution and matrix product stayed in float",
            hint=f"the first is {heavy[0].kind} {heavy[0].name}",
        )


def _retype_input(model: Any, grid: PixelGrid) -> bool:
    """Make the input uint8 where it is only quantised, to the pixel grid; else change nothing.

    The QUANTIZE behind it then maps uint8 to int8: the same scale, the zero point less 128.
    """
    import numpy as np

    graph, here = model.subgraphs[0], _input(model)
    for op, kind in zip(graph.operators, _kinds(model), strict=True):
        if here not in op.inputs:
            continue
        codes = graph.tensors[op.outputs[0]].quantization
        if kind != "QUANTIZE" or codes.scale[0] != np.float32(grid.scale):
            return False
        if codes.zeroPoint[0] != grid.zero_point - 128:
            return False
    schema = _need("ai_edge_litert.schema_py_generated")
    pixels = graph.tensors[here]
    pixels.type = schema.TensorType.UINT8
    pixels.quantization = schema.QuantizationParametersT()
    pixels.quantization.scale = [grid.scale]
    pixels.quantization.zeroPoint = [grid.zero_point]
    return True


def _normalize_in_front(model: Any, form: InputForm) -> None:
    """Put CAST, MUL, ADD before the graph: float32(pixel) / (255 std) - mean / std."""
    import numpy as np

    schema = _need("ai_edge_litert.schema_py_generated")
    graph, normal = model.subgraphs[0], _input(model)
    types, shape = schema.TensorType, graph.tensors[normal].shape

    def tensor(name: str, kind: int, dims: Any, data: Any = None) -> int:
        made, buffer = schema.TensorT(), schema.BufferT()
        made.name, made.type, made.shape, made.buffer = name, kind, dims, len(model.buffers)
        if data is not None:
            buffer.data = np.float32(data).tobytes()
        model.buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def operator(kind: str, options: str, inputs: list[int], output: int) -> Any:
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = 1
        model.operatorCodes.append(code)
        made.opcodeIndex, made.inputs, made.outputs = len(model.operatorCodes) - 1, inputs, [output]
        made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        made.builtinOptions = getattr(schema, f"{options}T")()
        return made

    mean, std = np.array(form.mean), np.array(form.std)
    pixels = tensor("pixels", types.UINT8, shape)
    real, scaled = tensor("real", types.FLOAT32, shape), tensor("scaled", types.FLOAT32, shape)
    factor = tensor("factor", types.FLOAT32, [3], 1 / (255 * std))
    offset = tensor("offset", types.FLOAT32, [3], -mean / std)
    graph.operators[:0] = [
        operator("CAST", "CastOptions", [pixels], real),
        operator("MUL", "MulOptions", [real, factor], scaled),
        operator("ADD", "AddOptions", [scaled, offset], normal),
    ]
    graph.inputs = [pixels]
    model.signatureDefs[0].inputs[0].tensorIndex = pixels


def _append_files(target: Path, card: Card, labels: tuple[str, ...]) -> None:
    """Append labels.txt and edgekit.json as a ZIP archive, the same bytes every time."""
    facts = card.model_dump(mode="json", include={"image_size", "mean", "std", "crop_pct"})
    facts |= {"layout": "NHWC", "colour": "RGB", "dtype": "uint8", "classes": labels}
    with zipfile.ZipFile(target, "a") as archive:
        # A ZipInfo made by hand carries 1980-01-01, not the time of the build.
        archive.writestr(zipfile.ZipInfo("labels.txt"), "".join(f"{x}\n" for x in labels))
        archive.writestr(zipfile.ZipInfo("edgekit.json"), json.dumps(facts, indent=2))


def _input(model: Any) -> int:
    return int(model.signatureDefs[0].inputs[0].tensorIndex)


def _kinds(model: Any) -> list[str]:
    tools = _need("ai_edge_litert.tools.flatbuffer_utils")
    return [tools.opcode_to_name(model, op.opcodeIndex) for op in model.subgraphs[0].operators]


def _dtype(tensor: Any) -> str:
    tools = _need("ai_edge_litert.tools.flatbuffer_utils")
    return str(tools.type_to_name(tensor.type)).lower()


def _precision(operands: list[Any]) -> str:
    types = [_dtype(tensor) for tensor in operands]
    return next((kind for kind in PRECISIONS if kind in types), "none")


def _per_channel(graph: Any, kinds: list[str]) -> bool:
    """Whether every weight of a heavy operator has one scale for each output channel."""
    found = []
    for op, kind in zip(graph.operators, kinds, strict=True):
        weight = graph.tensors[op.inputs[1]] if kind in HEAVY - {"BATCH_MATMUL"} else None
        if weight is not None:
            codes = weight.quantization
            scales = 0 if codes is None or codes.scale is None else len(codes.scale)
            found.append(scales > 0 and scales == weight.shape[codes.quantizedDimension])
    return bool(found) and all(found)


def _port(entry: Any, graph: Any) -> Port:
    tensor = graph.tensors[entry.tensorIndex]
    shape = tuple(int(size) for size in tensor.shape)
    return Port(name=entry.name.decode(), shape=shape, dtype=_dtype(tensor))


def _layer(tensor: str) -> str:
    """The torch path inside a converted tensor's name.

    `...Net_wrapped/torch...Sequential_blocks/torch...Conv2d_conv;...` is blocks.conv.
    """
    _, found, path = tensor.split(";")[0].partition("_wrapped/")
    if not found:
        return tensor
    return ".".join(part.rpartition(".")[2].partition("_")[2] for part in path.split("/"))
