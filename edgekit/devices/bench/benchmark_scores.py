"""Scores of a TFLite file on an Android device, by the classic benchmark_model.

The tool writes the outputs of its last run only, and runs on one input: it is called once for each
image, in a loop on the device, and all outputs are pulled together.
"""

from __future__ import annotations

import shlex
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.devices.agent_result import ReportPart
from edgekit.devices.bench.benchmark_model import Benchmark, Engine, applied, failure, installed
from edgekit.devices.bench.benchmark_parser import parse
from edgekit.devices.device import Device
from edgekit.engine.action import Progress
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, Fault, InputError

INPUT = "image"
"""The name of the input in the flags; the tool warns where the model has another, and goes on."""


class OutputHead(ReportPart):
    """How a TFLite file is fed and read."""

    shape: list[int]
    """Of its input, (1, height, width, 3)."""
    takes: str
    """The dtype of its input."""
    dtype: str
    """Of its output."""
    scale: float
    """Of its output; 0 where it is float32."""
    zero_point: int
    classes: int

    @classmethod
    def read(cls, model: Path) -> OutputHead:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(model))
        source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        scale, zero_point = sink["quantization"]
        return cls(
            shape=[int(n) for n in source["shape"]],
            takes=np.dtype(source["dtype"]).name,
            dtype=np.dtype(sink["dtype"]).name,
            scale=float(scale),
            zero_point=int(zero_point),
            classes=int(np.prod(sink["shape"])),
        )

    def scores(self, content: bytes) -> NDArray[np.float32]:
        """The tool's raw outputs, one after another, to float32 (images, classes)."""
        codes = np.frombuffer(content, self.dtype).reshape(-1, self.classes).astype(np.float32)
        scores = codes if self.dtype == "float32" else self.scale * (codes - self.zero_point)
        return np.asarray(scores, np.float32)


def scores(
    device: Device,
    benchmark: Benchmark,
    model: Path,
    inputs: NDArray[Any],
    progress: Progress,
    there: str | None = None,
) -> NDArray[np.float32]:
    """
    Args:
        inputs: (images, height, width, 3), as the model takes them.
        there: the model's file on the device; it is sent unless named.

    Returns:
        float32 (images, classes).

    Raises:
        InputError: LiteRT's tool, or inputs of another shape than the model's.
        DeviceError: it does not run there, the delegate asked for executes nothing, or there are
            more or fewer scores than images.
    """
    head = _head_for(inputs, benchmark, model)
    folder = f"{device.home}/work/{uuid.uuid4().hex[:12]}"
    binary, there = installed(device, benchmark.binary), there or device.files.ensure(model)
    with temporary_folder() as here:
        packed = here / "inputs.raw"
        packed.write_bytes(inputs.tobytes())
        once = benchmark.model_copy(
            update={"warmup_runs": 0, "warmup_seconds": 0.0, "runs": 1, "seconds": 0.0}
        )
        command = once.command(binary, there, None, _files(folder, head))
        device.sh(f"mkdir -p {shlex.quote(folder)}")
        try:
            loop = _loop(
                folder, device.files.ensure(packed), len(inputs), inputs[0].nbytes, command
            )
            log = _run_loop(device, benchmark.engine, loop, len(inputs), progress)
            device.transport.pull(f"{folder}/outputs.raw", here / "outputs.raw")
        finally:
            device.transport.run(f"rm -rf {shlex.quote(folder)}")
            device.files.drop(packed)
        applied(device.name, benchmark.engine, parse(log, device.name))
        content = (here / "outputs.raw").read_bytes()
    _check_size(content, len(inputs), head, device.name)
    return head.scores(content)


def _head_for(inputs: NDArray[Any], benchmark: Benchmark, model: Path) -> OutputHead:
    """
    Raises:
        InputError: the tool gives no outputs, or the model takes other inputs.
    """
    if benchmark.tool != "classic":
        raise InputError(
            f"{benchmark.binary} is LiteRT's benchmark_model, which gives no outputs",
            hint="for accuracy name the classic one: "
            "https://ai.google.dev/edge/litert/models/measurement",
        )
    head = OutputHead.read(model)
    if list(inputs.shape[1:]) != head.shape[1:] or inputs.dtype.name != head.takes:
        raise InputError(
            f"{model} takes {head.takes} inputs of {head.shape}, not {inputs.dtype.name} of "
            f"{list(inputs.shape)}"
        )
    return head


def _check_size(content: bytes, images: int, head: OutputHead, device: str) -> None:
    """
    Raises:
        DeviceError: there are more or fewer scores than images.
    """
    expected = images * head.classes * np.dtype(head.dtype).itemsize
    if len(content) != expected:
        raise DeviceError(
            f"{device}: benchmark_model wrote {len(content)} bytes of scores, not {expected}",
            hint="an old build without --output_filepath? name a newer one",
            fault=Fault.WRONG_RESULT,
        )


def _files(folder: str, head: OutputHead) -> tuple[str, ...]:
    return (
        f"--input_layer={INPUT}",
        f"--input_layer_shape={','.join(map(str, head.shape))}",
        # A colon ends the name; within a path it is doubled.
        f"--input_layer_value_files={INPUT}:{folder.replace(':', '::')}/input.raw",
        f"--output_filepath={folder}/output.raw",
    )


def _loop(folder: str, inputs: str, count: int, size: int, command: str) -> str:
    """Shell that runs the tool on each input and puts the outputs together; it says the last
    log, and the number of each image as it is done."""
    return (
        f"cd {shlex.quote(folder)} && : >outputs.raw && i=0 && while [ $i -lt {count} ]; do "
        f"dd if={shlex.quote(inputs)} of=input.raw bs={size} skip=$i count=1 2>/dev/null && "
        f"{command} >log 2>&1 || {{ code=$?; cat log; exit $code; }}; "
        # An old build does not know --output_filepath: that is seen in how much there is.
        "test -f output.raw || break; cat output.raw >>outputs.raw && rm output.raw || exit; "
        "i=$((i + 1)); echo image $i; done; cat log"
    )


def _run_loop(device: Device, engine: Engine, loop: str, count: int, progress: Progress) -> str:
    def on_line(line: str) -> None:
        kind, _, number = line.partition(" ")
        if kind == "image" and number.isdigit():
            progress(int(number), count, f"{device.name}: scores")

    done = device.transport.run(loop, timeout=None, on_line=on_line)
    if done.code:
        raise failure(device.name, engine, done.code, done.out + done.err)
    return done.out
