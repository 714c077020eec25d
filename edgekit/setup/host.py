"""What of this machine changes results, and how quiet it is for timing."""

from __future__ import annotations

import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from edgekit.agent import agent
from edgekit.evaluation.measure import device_is_here
from edgekit.evaluation.timing import Timing
from edgekit.printable import shortened
from edgekit.runtimes import find_runtimes

HALF_FLOATS = ("avx512_bf16", "amx_bf16", "avx512_fp16", "amx_fp16", "bf16", "fphp", "sve_bf16")
"""Flags of processors that compute in sixteen bits where a library lets them."""
UNCHANGED = "f32"
"""What OpenVINO computes in where it does not round weights and sums to sixteen bits."""


class HostFacts(BaseModel):
    cpu: str
    cores: int
    int8: list[str]
    """Its int8 dot products."""
    half_floats: list[str]
    """Its instructions for bfloat16 and float16."""
    openvino_precision: str | None
    """What OpenVINO computes float models in, unless told; None where it is absent or broken."""
    openvino_fault: str | None = None
    """Why it is broken."""
    npu: bool
    memory_bytes: int | None
    """Available."""
    disk_bytes: int
    """Free where finished steps are kept."""
    disturbed: bool
    """Other jobs disturb timings."""
    load: float
    """Processes that wanted a core in the last minute."""


def host_facts(store: Path) -> HostFacts:
    precision, fault = _openvino_precision()
    return HostFacts(
        cpu=agent.cpu_name(),
        cores=os.cpu_count() or 1,
        int8=agent.int8_instructions(),
        half_floats=_half_floats(),
        openvino_precision=precision,
        openvino_fault=fault,
        npu=device_is_here("NPU"),
        memory_bytes=agent.available(),
        disk_bytes=shutil.disk_usage(_existing(store)).free,
        disturbed=probe().disturbed,
        load=os.getloadavg()[0],
    )


def host_remarks(host: HostFacts) -> list[str]:
    """What comes of it (pure)."""
    lines = []
    saturating = [name for name, runtime in find_runtimes().items() if runtime.saturates]
    if not host.int8:
        lines.append(
            "the processor has no int8 dot products: int8 gains less time here than on a board "
            f"that has them, and sums of {', '.join(saturating)} may saturate, which changes scores"
        )
    if host.openvino_precision not in (None, UNCHANGED):
        lines.append(
            f"OpenVINO computes float models in {host.openvino_precision} here; edgekit asks it "
            "for f32, other programs do not"
        )
    if host.openvino_fault:
        lines.append(f"OpenVINO is installed and does not run here: {host.openvino_fault}")
    if host.disturbed:
        lines.append(
            "other jobs disturb timings now: a build measures again, and gives no latency where "
            "that does not help"
        )
    return lines


def probe(seconds: float = 1.0) -> Timing:
    """Times of a small matrix product at one thread's pace, three runs a round."""
    matrix = np.ones((192, 192), np.float32)

    def run() -> float:
        start = time.perf_counter()
        matrix @ matrix
        return time.perf_counter() - start

    rounds: list[list[float]] = []
    first, end = run(), time.perf_counter() + seconds
    while time.perf_counter() < end or len(rounds) < 10:
        rounds.append([run() for _ in range(3)])
        time.sleep(0.002)
    return Timing(0.0, first, np.asarray(rounds))


def _half_floats() -> list[str]:
    words = set((agent.read("/proc/cpuinfo") or "").split())
    return sorted(words & set(HALF_FLOATS))


def _openvino_precision() -> tuple[str | None, str | None]:
    """And why it cannot be asked."""
    if find_spec("openvino") is None:
        return None, None
    try:
        return find_runtimes()["openvino"].float_precision(), None
    except Exception as error:  # of a library that is broken, or has no plug-in for the processor
        words = " ".join(str(error).split())  # where it was raised stands in its first line
        return None, shortened(f"{type(error).__name__}: {words}", 240)


def _existing(path: Path) -> Path:
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
