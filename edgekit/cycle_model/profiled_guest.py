"""Runs a model in the emulator as its runtime profiles it, so that the counting plugin sees where
each operator begins and ends.

    python profiled_guest.py job.json events.json

The job is guest.py's. LiteRT's Python module has no profiler; the C interface in its wheel has one,
which runs the same kernels. What was recorded of the counted run, in the order of the profiler:
LiteRT: [tag, type, begin in microseconds, duration]; ONNX Runtime: [name, category, kind].
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p
from typing import Any

import numpy as np

PREPARE, STOP, WRITE, LAPS = 0x5E01, 0x5E03, 0x5E04, 0x5E05
Profiled = tuple[Callable[[], object], Callable[[], None], Callable[[], list[Any]]]
"""What runs the model once, what is called before the counted run, and what was recorded of it."""


def main(path: str, events: str) -> None:
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    file, runtime = job["model"]["path"], job["model"]["runtime"]
    opened = {"litert": litert, "onnxruntime": onnxruntime}[runtime]
    run, begin, recorded = opened(file, os.path.dirname(events), job)
    gc.disable()
    mark = ctypes.CDLL(None).sched_get_priority_max
    mark(PREPARE)
    run()
    begin()
    mark(LAPS)
    run()
    mark(STOP)
    mark(WRITE)
    with open(events, "w", encoding="utf-8") as out:
        json.dump(recorded(), out)


def onnxruntime(path: str, folder: str, job: dict[str, Any]) -> Profiled:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_profiling = True
    options.profile_file_prefix = os.path.join(folder, "profile")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    image = {session.get_inputs()[0].name: np.zeros(job["shape"], job["dtype"])}

    def recorded() -> list[Any]:
        with open(session.end_profiling(), encoding="utf-8") as file:
            events = json.load(file)
        kept = [
            [event["name"], event["cat"], event.get("args", {}).get("op_name", "")]
            for event in events
        ]
        first = [event[0] for event in kept].index("model_run")
        return kept[first + 1 :]

    return lambda: session.run(None, image), lambda: None, recorded


class MemoryUsage(ctypes.Structure):
    _fields_ = [(name, c_size_t) for name in ("total", "in_use", "private")]


class LiteRtEvent(ctypes.Structure):
    """ProfiledEventData of litert/c/litert_profiler_event.h."""

    _fields_ = [
        ("tag", c_char_p), ("type", c_int), ("begin", c_uint64), ("elapsed", c_uint64),
        ("memory_before", MemoryUsage), ("memory_after", MemoryUsage), ("metadata", c_uint64 * 2),
        ("source", c_int),
    ]  # fmt: skip


class LiteRt:
    """The C interface of the wheel, as far as it is needed."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("ai_edge_litert")
        folder = os.path.dirname(str(spec and spec.origin))
        self._library = ctypes.CDLL(os.path.join(folder, "libLiteRt.so"))
        self._kept: list[object] = []

    def call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, f"LiteRt{name}")(*arguments)
        if status:
            raise RuntimeError(f"LiteRt{name} ended with status {status}")

    def made(self, name: str, *arguments: object) -> c_void_p:
        """What a function gives by its last argument."""
        made = c_void_p()
        self.call(name, *arguments, byref(made))
        return made

    def say(self, options: c_void_p, whom: str, text: str) -> None:
        payload = ctypes.create_string_buffer(text.encode())
        nothing = ctypes.CFUNCTYPE(None, c_void_p)(lambda _: None)
        self._kept += [payload, nothing]
        whom_bytes = c_char_p(whom.encode())
        opaque = self.made("CreateOpaqueOptions", whom_bytes, payload, nothing)
        self.call("AddOpaqueOptions", options, opaque)


def litert(path: str, folder: str, job: dict[str, Any]) -> Profiled:
    api, cpu, none = LiteRt(), 1, c_size_t(0)
    environment = api.made("CreateEnvironment", 0, None)
    model = api.made("CreateModelFromFile", environment, c_char_p(path.encode()))
    options = api.made("CreateOptions")
    api.call("SetOptionsHardwareAccelerators", options, cpu)
    api.say(options, "xnnpack", "num_threads = 1\n")
    api.say(options, "runtime_options_string", "enable_profiling = true\n")
    compiled = api.made("CreateCompiledModel", environment, model, options)
    main_graph = c_size_t()
    api.call("GetMainModelSubgraphIndex", model, byref(main_graph))
    graph = api.made("GetModelSubgraph", model, main_graph)

    def buffers(which: str) -> Any:
        count = c_size_t()
        api.call(f"GetNumSubgraph{which}s", graph, byref(count))
        found = (c_void_p * count.value)()
        for i in range(count.value):
            tensor = api.made(f"GetSubgraph{which}", graph, c_size_t(i))
            kind = ctypes.create_string_buffer(1024)  # a LiteRtRankedTensorType
            api.call("GetRankedTensorType", tensor, kind)
            needs = f"GetCompiledModel{which}BufferRequirements"
            required = api.made(needs, compiled, none, c_size_t(i))
            make = "CreateManagedTensorBufferFromRequirements"
            found[i] = api.made(make, environment, kind, required).value
        return found

    given, out = buffers("Input"), buffers("Output")
    profiler = api.made("CompiledModelGetProfiler", compiled)

    def run() -> None:
        api.call("RunCompiledModel", compiled, none, c_size_t(len(given)), given,
                 c_size_t(len(out)), out)  # fmt: skip

    def begin() -> None:
        api.call("ResetProfiler", profiler)
        api.call("StartProfiler", profiler)

    def recorded() -> list[Any]:
        count = c_int()
        api.call("GetNumProfilerEvents", profiler, byref(count))
        events = (LiteRtEvent * count.value)()
        api.call("GetProfilerEvents", profiler, count, events)
        return [[e.tag.decode(errors="replace"), e.type, e.begin, e.elapsed] for e in events]

    return run, begin, recorded


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
