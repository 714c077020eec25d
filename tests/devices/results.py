"""The result of a run of a bundle, as the agent writes it: every field, and few of each."""

from __future__ import annotations

import base64
from typing import Any

from edgekit.devices.bundle.bundle import SCORES, Bundle
from edgekit.engine.artifact import sha256_of

ENVIRONMENT = {
    "machine": "aarch64", "system": "Linux", "python": "3.11.2", "cpu": "cortex-a76",
    "int8_instructions": ["asimddp"], "cores": 4, "load_average": [0.1, 0.2, 0.3],
    "versions": {"numpy": "2.4.6", "onnxruntime": "1.22.0"},
}  # fmt: skip
BOARD = {
    "emulator": None, "board": "Raspberry Pi 5", "soc": "bcm2712", "isa": ["fp", "asimddp"],
    "ram_bytes": 4 * 10**9, "os": "Debian", "kernel": "6.6", "page_size": 16384,
    "max_clocks_mhz": [2400.0] * 2,
}  # fmt: skip
MEMORY = {"baseline": 10**7, "loaded": 2 * 10**7, "peak": 3 * 10**7}
DELEGATE = {
    "asked": "CPUExecutionProvider", "applied": "CPUExecutionProvider", "nodes_delegated": 3,
    "nodes_total": 3,
}  # fmt: skip


def state(at: float, phase: str) -> dict[str, Any]:
    return {
        "phase": phase, "at": at, "temperature_c": 50.0, "clocks_mhz": [2400.0, 2400.0],
        "arm_clock_mhz": 2400.0, "fan": {"level": 1, "highest": 4, "rpm": 2400},
        "governors": ["performance"] * 2, "throttled": 0, "throttled_unread": None,
        "load_average": [0.1, 0.2, 0.3],
        "available_bytes": 3 * 10**9, "swapped_pages": 0, "watts": 3.5, "battery_percent": None,
    }  # fmt: skip


def process(windows: list[list[float]]) -> dict[str, Any]:
    samples = [0.01 + 1e-6 * (7 * i % 20) for i in range(20)]
    return {
        "load": 0.1, "first": 0.02, "samples": samples, "began": 10.0, "ended": 11.0,
        "windows": windows, "affinity": [0, 1], "memory": MEMORY, "delegate": DELEGATE,
    }  # fmt: skip


def result_of(bundle: Bundle) -> dict[str, Any]:
    """Of a device that gives the host's scores, and was believed."""
    digest = bundle.info.subject.sha256
    scores = base64.b64encode((bundle.folder / SCORES).read_bytes()).decode()
    rounds = [[0.01, 0.0101]] * 12
    entry = {"load": 0.1, "first": 0.02, "rounds": rounds}
    return {
        "environment": ENVIRONMENT, "board": BOARD, "id": bundle.id,
        "agent": sha256_of(bundle.folder / "agent.py"),
        "started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:00+00:00",
        "golden": {"max_abs_diff": 1e-7, "spread": 0.2, "same_top1": 8, "images": 8},
        "before": state(9.0, "idle"), "after": state(20.0, "idle"),
        "watched": [
            state(10.5, "1 threads, process 1: timed"), state(10.6, "1 threads, process 1: timed"),
            state(10.7, "1 threads, process 2: timed"), state(10.8, "1 threads, process 2: timed"),
            state(11.5, "interleaved: latency"), state(11.9, "interleaved: latency"),
            state(12.0, "without a pause: sustained"), state(15.0, "without a pause: sustained"),
        ],
        "watch_failure": None, "watching": {"cpu_seconds": 0.01, "seconds": 11.0},
        "protocol": {"1": [process([]), process([])]},
        "sustained": process([[5.0, 0.01, 500], [10.0, 0.0101, 495]]),
        "latency": {"model": entry, "float": entry}, "models": {"model": digest, "float": digest},
        "scores": {"model": scores},
    }  # fmt: skip
