"""Android's benchmark_model on a device: the latency, memory and delegate of a TFLite file.

The binary is the user's; its sha256 is recorded. There are two of that name: the classic tool of
TensorFlow Lite, and LiteRT's, which takes no inputs and gives no outputs.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgekit.devices.agent_result import Delegate, ReportPart
from edgekit.devices.bench.android import fast_mask
from edgekit.devices.bench.benchmark_output import Output, Tool
from edgekit.devices.bench.benchmark_parser import parse
from edgekit.devices.device import Device
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, EdgekitError, Fault, InputError

Engine = Literal["CPU", "GPU", "NPU"]
FLAGS: dict[tuple[Tool, Engine], tuple[str, ...]] = {
    ("classic", "CPU"): ("--use_xnnpack=true",),
    ("classic", "GPU"): ("--use_gpu=true",),
    ("litert", "CPU"): ("--use_cpu=true",),
    ("litert", "GPU"): ("--use_gpu=true",),
    ("litert", "NPU"): ("--use_npu=true",),
}
SIGNATURES: dict[Tool, bytes] = {
    "litert": b"dispatch_library_path",
    "classic": b"input_layer_shape",
}
"""A flag by which a binary is known, LiteRT's first: its tool may know those of the other."""
MAX_STRETCH = 10
"""A run is cut at so many times the seconds requested, where single inferences are that slow."""
FALL_BACK_SIGNS = ("CPU fallback", "Failed to apply")
WRONG_PROCESSOR_SIGNS = ("Exec format", "not executable", "EM_")
"""Of the kernel, of the shell, and of the linker, which names the ELF machine it expected."""
CANNOT_EXECUTE = 126
"""The exit code of POSIX shells for a file that is there and cannot be run."""


class Benchmark(ReportPart):
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
        tool = next((name for name, signature in SIGNATURES.items() if signature in content), None)
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
        limit = max(150.0, MAX_STRETCH * self.seconds)
        arguments = [
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
        return shlex.join(arguments)


class BenchmarkResult(ReportPart):
    binary_sha256: str
    mask: str | None
    """The cores it was bound to, as taskset takes them; None where their clocks are hidden."""
    command: str
    output: Output
    delegate: Delegate


def measure(device: Device, benchmark: Benchmark, model: Path) -> BenchmarkResult:
    """Time a TFLite file.

    Raises:
        InputError: the binary is none of the two tools.
        DeviceError: it does not run there, or the delegate requested executes nothing.
    """
    tool = benchmark.tool
    binary = installed(device, benchmark.binary)
    mask = fast_mask(device, benchmark.threads) if benchmark.pin else None
    command = benchmark.command(binary, device.files.ensure(model), mask, ())
    limit = benchmark.warmup_seconds + 2 * MAX_STRETCH * max(15.0, benchmark.seconds) + 120
    # Which of the two streams tells what differs between builds: they are made one.
    done = device.transport.run(f"{command} 2>&1", timeout=limit)
    if done.code:
        raise failure(device.name, benchmark.engine, done.code, done.out + done.err)
    output = parse(done.out, device.name)
    assert output.tool == tool, f"{benchmark.binary} was taken for the {tool} tool"
    return BenchmarkResult(
        binary_sha256=sha256_of(benchmark.binary),
        mask=mask,
        command=command,
        output=output,
        delegate=applied(device.name, benchmark.engine, output),
    )


def installed(device: Device, binary: Path) -> str:
    """Where the binary lies on the device, ready to run."""
    there = device.files.ensure(binary)
    device.sh(f"chmod 755 {shlex.quote(there)}")
    return there


def applied(name: str, engine: Engine, output: Output) -> Delegate:
    """What ran the model.

    Raises:
        DeviceError: it ran elsewhere than requested.
    """
    delegate = output.delegate(engine)
    if delegate.applied != delegate.asked:
        raise _fall_back(name, delegate.asked, output.unknown_flags)
    return delegate


def _fall_back(name: str, requested: str, flags: str | None) -> DeviceError:
    why = f"; this build does not know {flags}" if flags else ""
    if requested == "XNNPACK":
        hint = "a newer benchmark_model may run it; models with strings or of variable shape run "
        hint += "without XNNPACK only"
    else:
        hint = f"the model or the device does not suit the {requested}'s delegate; ask for the CPU"
    return DeviceError(
        f"{name}: {requested} was asked to run the model, and the plain CPU ran it{why}",
        hint=hint,
        fault=Fault.FALL_BACK,
    )


def failure(name: str, engine: Engine, code: int, output: str) -> DeviceError:
    """What an exit code and the last lines of the tool mean."""
    lines = output.strip().splitlines() or ["nothing was said"]
    if _contains(output, FALL_BACK_SIGNS):
        return _fall_back(name, engine, None)
    if code == CANNOT_EXECUTE or _contains(output, WRONG_PROCESSOR_SIGNS):
        return DeviceError(
            f"{name}: this benchmark_model is built for another processor: {lines[-1]}",
            hint="adb shell getprop ro.product.cpu.abi says which one it must be built for",
            fault=Fault.WRONG_ARCHITECTURE,
        )
    errors = [line for line in lines if _contains(line, ("ERROR", "error"))]
    error = DeviceError(
        f"{name}: benchmark_model ended with {code}: {(errors or lines)[-1]}",
        hint="--debug shows all it said",
        fault=Fault.CRASHED,
    )
    error.__cause__ = EdgekitError(output.strip())
    return error


def _contains(text: str, signs: tuple[str, ...]) -> bool:
    return any(sign in text for sign in signs)
