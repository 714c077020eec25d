"""Android's benchmark_model on a device: the latency, memory and delegate of a TFLite file, and its
scores on a slice of images.

The binary is the user's; its sha256 is recorded. There are two of that name: the classic tool of
TensorFlow Lite, and LiteRT's, which takes no inputs and gives no outputs.
"""

from __future__ import annotations

import shlex
import tempfile
import uuid
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgekit.artifact import sha256_of
from edgekit.devices.android import fast_mask
from edgekit.devices.benchmark_output import Output, Tool, parse
from edgekit.devices.device import Device, Progress
from edgekit.devices.raw import Delegate, Part
from edgekit.errors import DeviceError, Fault, InputError

Engine = Literal["CPU", "GPU", "NPU"]
FLAGS: dict[tuple[Tool, Engine], tuple[str, ...]] = {
    ("classic", "CPU"): ("--use_xnnpack=true",),
    ("classic", "GPU"): ("--use_gpu=true",),
    ("litert", "CPU"): ("--use_cpu=true",),
    ("litert", "GPU"): ("--use_gpu=true",),
    ("litert", "NPU"): ("--use_npu=true",),
}
MARKS: dict[Tool, bytes] = {"litert": b"dispatch_library_path", "classic": b"output_filepath"}
"""Names of flags that only one of the tools has, as they stand in the binary."""
ENOUGH = 10
"""A run is cut at so many times the seconds asked, where single inferences are that slow."""
INPUT = "image"
"""The name of the input in the flags; the tool warns where the model has another, and goes on."""


class Benchmark(Part):
    """What is asked of the tool; its runs last until `runs` and `seconds` are both reached."""

    binary: Path
    engine: Engine = "CPU"
    threads: int = Field(4, ge=1)
    warmup_runs: int = 10
    warmup_seconds: float = 2.0
    runs: int = 100
    seconds: float = 10.0
    pin: bool = True

    @property
    def tool(self) -> Tool:
        """
        Raises:
            InputError: the file is neither of the two tools, or has no such delegate.
        """
        content = self.binary.read_bytes() if self.binary.is_file() else b""
        tool = next((name for name, mark in MARKS.items() if mark in content), None)
        if tool is None:
            raise InputError(
                f"{self.binary} is no benchmark_model",
                hint="the binaries: https://ai.google.dev/edge/litert/models/measurement",
            )
        if (tool, self.engine) not in FLAGS:
            raise InputError(
                f"{self.binary} is the {tool} benchmark_model, which has no {self.engine}",
                hint="LiteRT's benchmark_model runs models on an NPU",
            )
        return tool

    def command(self, binary: str, model: str, mask: str | None, extra: tuple[str, ...]) -> str:
        """A line of shell."""
        limit = max(150.0, ENOUGH * self.seconds)
        words = [
            *(["taskset", mask] if mask else []),
            binary,
            f"--graph={model}",
            f"--num_threads={self.threads}",
            f"--warmup_runs={self.warmup_runs}",
            f"--warmup_min_secs={self.warmup_seconds:g}",
            f"--num_runs={self.runs}",
            f"--min_secs={self.seconds:g}",
            f"--max_secs={limit:g}",
            *FLAGS[self.tool, self.engine],
            *extra,
        ]
        return shlex.join(words)


class BenchmarkResult(Part):
    binary_sha256: str
    mask: str | None
    """The cores it was bound to, as taskset takes them; None where their clocks are hidden."""
    command: str
    output: Output
    delegate: Delegate


class Head(Part):
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
    def of(cls, model: Path) -> Head:
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


def measure(device: Device, benchmark: Benchmark, model: Path) -> BenchmarkResult:
    """Time a TFLite file.

    Raises:
        InputError: the binary is none of the two tools.
        DeviceError: it does not run there, or the delegate asked for executes nothing.
    """
    tool = benchmark.tool
    binary = _installed(device, benchmark.binary)
    mask = fast_mask(device, benchmark.threads) if benchmark.pin else None
    command = benchmark.command(binary, device.ensure(model), mask, ())
    limit = benchmark.warmup_seconds + 2 * ENOUGH * max(15.0, benchmark.seconds) + 120
    # Which of the two streams tells what differs between builds: they are made one.
    done = device.transport.run(f"{command} 2>&1", timeout=limit)
    if done.code:
        raise _failure(device.name, benchmark.engine, done.code, done.out + done.err)
    output = parse(done.out, device.name)
    assert output.tool == tool, f"{benchmark.binary} was taken for the {tool} tool"
    return BenchmarkResult(
        binary_sha256=sha256_of(benchmark.binary),
        mask=mask,
        command=command,
        output=output,
        delegate=_applied(device.name, benchmark.engine, output),
    )


def scores(
    device: Device,
    benchmark: Benchmark,
    model: Path,
    inputs: NDArray[Any],
    progress: Progress,
) -> NDArray[np.float32]:
    """Scores of a TFLite file on the device, by the classic tool.

    The tool writes the outputs of its last run only, and runs on one input: it is called once for
    each image, in a loop on the device, and all outputs are pulled together.

    Args:
        inputs: (images, height, width, 3), as the model takes them.

    Returns:
        float32 (images, classes).

    Raises:
        InputError: LiteRT's tool, or inputs of another shape than the model's.
        DeviceError: it does not run there, the delegate asked for executes nothing, or there are
            more or fewer scores than images.
    """
    if benchmark.tool != "classic":
        raise InputError(
            f"{benchmark.binary} is LiteRT's benchmark_model, which gives no outputs",
            hint="for accuracy name the classic one: "
            "https://ai.google.dev/edge/litert/models/measurement",
        )
    head = Head.of(model)
    if list(inputs.shape[1:]) != head.shape[1:] or inputs.dtype.name != head.takes:
        raise InputError(
            f"{model} takes {head.takes} inputs of {head.shape}, not {inputs.dtype.name} of "
            f"{list(inputs.shape)}"
        )
    folder = f"{device.home}/work/{uuid.uuid4().hex[:12]}"
    binary, there = _installed(device, benchmark.binary), device.ensure(model)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as here:
        raw = Path(here) / "inputs.raw"
        raw.write_bytes(inputs.tobytes())
        once = benchmark.model_copy(
            update={"warmup_runs": 0, "warmup_seconds": 0.0, "runs": 1, "seconds": 0.0}
        )
        command = once.command(binary, there, None, _files(folder, head))
        loop = _loop(folder, device.ensure(raw), len(inputs), inputs[0].nbytes, command)
        device.sh(f"mkdir -p {shlex.quote(folder)}")
        try:
            log = _run_loop(device, benchmark.engine, loop, len(inputs), progress)
            device.transport.pull(f"{folder}/outputs.raw", Path(here) / "outputs.raw")
        finally:
            device.transport.run(f"rm -rf {shlex.quote(folder)}")
        _applied(device.name, benchmark.engine, parse(log, device.name))
        content = (Path(here) / "outputs.raw").read_bytes()
    expected = len(inputs) * head.classes * np.dtype(head.dtype).itemsize
    if len(content) != expected:
        raise DeviceError(
            f"{device.name}: benchmark_model wrote {len(content)} bytes of scores, not {expected}",
            hint="an old build without --output_filepath? name a newer one",
            fault=Fault.WRONG_RESULT,
        )
    return head.scores(content)


def _installed(device: Device, binary: Path) -> str:
    there = device.ensure(binary)
    device.sh(f"chmod 755 {shlex.quote(there)}")
    return there


def _files(folder: str, head: Head) -> tuple[str, ...]:
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
        f"cd {shlex.quote(folder)} && i=0 && while [ $i -lt {count} ]; do "
        f"dd if={shlex.quote(inputs)} of=input.raw bs={size} skip=$i count=1 2>/dev/null && "
        f"{command} >log 2>&1 && cat output.raw >>outputs.raw && rm output.raw || "
        "{ code=$?; cat log; exit $code; }; "
        "i=$((i + 1)); echo image $i; done; cat log"
    )


def _run_loop(device: Device, engine: Engine, loop: str, count: int, progress: Progress) -> str:
    def said(line: str) -> None:
        words = line.split()
        if len(words) == 2 and words[0] == "image" and words[1].isdigit():
            progress(int(words[1]), count, f"{device.name}: scores")

    done = device.transport.run(loop, timeout=None, said=said)
    if done.code:
        raise _failure(device.name, engine, done.code, done.out + done.err)
    return done.out


def _applied(name: str, engine: Engine, output: Output) -> Delegate:
    """What ran the model; refuses what ran elsewhere than asked."""
    delegate = output.delegate(engine)
    if delegate.applied != engine:
        raise _fall_back(name, engine, output.unknown_flags)
    return delegate


def _fall_back(name: str, engine: Engine, flags: str | None) -> DeviceError:
    why = f"; this build does not know {flags}" if flags else ""
    return DeviceError(
        f"{name}: {engine} was asked to run the model, and the CPU ran it{why}",
        hint=f"the model or the device does not suit the {engine}'s delegate; ask for the CPU",
        fault=Fault.FALL_BACK,
    )


def _failure(name: str, engine: Engine, code: int, words: str) -> DeviceError:
    """What an exit code and the last words of the tool mean."""
    lines = words.strip().splitlines() or ["nothing was said"]
    if any("CPU fallback" in line or "Failed to apply" in line for line in lines):
        return _fall_back(name, engine, None)
    if code == 126 or any(sign in words for sign in ("Exec format", "not executable", "EM_")):
        return DeviceError(
            f"{name}: this benchmark_model is built for another processor: {lines[-1]}",
            hint="adb shell getprop ro.product.cpu.abi says which one it must be built for",
            fault=Fault.WRONG_ARCHITECTURE,
        )
    errors = [line for line in lines if "ERROR" in line or "error" in line]
    return DeviceError(
        f"{name}: benchmark_model ended with {code}: {(errors or lines)[-1]}",
        hint="--debug shows all it said",
        fault=Fault.CRASHED,
    )
