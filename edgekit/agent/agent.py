"""Run model files and time them: one file, the standard library, numpy and a runtime.

    python agent.py job.json result.json

The same file measures on the build machine and on a device, so that their figures mean the same.
A job names models and what to do with them, each part only if it is wanted:

    {"threads": 1,
     "models": [{"id": "int8", "path": "model.tflite", "runtime": "litert",
                 "form": {"dtype": "float32", "mean": [...], "std": [...]}}],
     "scores": {"images": "images.npy", "workers": 2, "out": {"int8": "scores.npy"}},
     "latency": {"images": "images.npy", "warmup_seconds": 0.5, "seconds": 5.0,
                 "rounds": 200, "runs_a_round": 3},
     "protocol": {"images": "images.npy", "threads": [4, 1, 2], "processes": 3,
                  "warmup_runs": 10, "warmup_seconds": 2, "runs": 100, "seconds": 10,
                  "pin": true, "sustained_seconds": 0},
     "operators": {"images": "images.npy", "files": [], "runs": 50}}

The first model is the subject: golden scores, protocol and scores without `out` are of it alone.
`latency` is interleaved: each round runs every model a few times, in random order, so that
whatever slows the machine slows all of them. `protocol` is for a device: the subject by itself, in
processes of their own, while temperature, clocks and throttling are watched; so they are for
`operators`, and with `"watch": true`. In an emulator nothing is timed. Scores without `out` are put
into the result. Paths are relative to the job. Progress goes to stdout, one JSON object a line.
"""

from __future__ import annotations  # Python 3.9 on older boards

import base64
import glob
import hashlib
import importlib
import importlib.util
import io
import json
import os
import platform
import random
import re
import resource
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

if TYPE_CHECKING:
    Json = dict[str, Any]
    Run = Callable[[Any], Any]


def open_onnxruntime(path: str, threads: int, exact: bool) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads that spin would steal time from the other model of an interleaved run.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if exact:
        # x86 without VNNI saturates u8 x s8 sums at 16 bits; Arm does not. Scores are computed
        # with exact sums, latency with the kernels that are the default.
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(image: Any) -> Any:
        return session.run(None, {name: image})[0]

    return run


def litert() -> Any:
    """The module of LiteRT, or of its predecessor where a board has only that.

    Raises:
        ModuleNotFoundError: it has neither.
    """
    if importlib.util.find_spec("ai_edge_litert"):
        return importlib.import_module("ai_edge_litert.interpreter")
    if importlib.util.find_spec("tflite_runtime"):
        return importlib.import_module("tflite_runtime.interpreter")
    raise ModuleNotFoundError("No module named 'ai_edge_litert'")


def open_litert(path: str, threads: int, exact: bool) -> Run:
    interpreter = litert().Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    sink = interpreter.get_output_details()[0]
    scale, zero_point = sink["quantization"]

    def run(image: Any) -> Any:
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        scores = interpreter.get_tensor(sink["index"])
        if scores.dtype == np.float32:
            return scores
        # Codes of two files mean different things; what they stand for can be compared.
        return np.float32(scale) * (scores.astype(np.float32) - zero_point)

    return run


def open_openvino(path: str, threads: int, exact: bool, device: str = "CPU") -> Run:
    """Raises RuntimeError where anything but the asked device would run the model."""
    import openvino

    if device.split(":")[0].split("(")[0] in ("AUTO", "HETERO", "MULTI", "BATCH"):
        raise RuntimeError(device + " may run the model anywhere: ask for one device, e.g. NPU")
    core = openvino.Core()
    try:
        compiled = core.compile_model(path, device, openvino_options(core, device, threads, exact))
    except RuntimeError as error:
        if "LP_TRANSFORMS_MODE" not in str(error):
            raise
        raise RuntimeError(
            "OpenVINO " + openvino.__version__ + " has no option LP_TRANSFORMS_MODE, without which "
            "int8 sums saturate on this processor: take the version that edgekit was tested with"
        ) from error
    got = compiled.get_property("EXECUTION_DEVICES")
    if not got or any(name != device and name.split(".")[0] != device for name in got):
        raise RuntimeError("asked for " + device + ", OpenVINO runs on " + ", ".join(got))
    request = compiled.create_infer_request()

    def run(image: Any) -> Any:
        return request.infer([image])[0]

    return run


def openvino_options(core: Any, device: str, threads: int, exact: bool) -> Json:
    options = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        # Without the hint float models run in bfloat16 where the processor has it, and scores
        # differ. Pinned threads of two models would sit on the same core.
        options["INFERENCE_PRECISION_HINT"] = "f32"
        options["INFERENCE_NUM_THREADS"] = str(threads)
        options["ENABLE_CPU_PINNING"] = "NO"
        if exact and not int8_instructions():
            # Its int8 sums saturate like ONNX Runtime's, and it has no exact kernels: what is
            # quantised is then computed in float, from the same codes.
            options["LP_TRANSFORMS_MODE"] = "NO"
    elif "NPU_BYPASS_UMD_CACHING" in core.get_property(device, "SUPPORTED_PROPERTIES"):
        # The driver keeps what it compiled: from the second time on, loading would be a look-up.
        options["NPU_BYPASS_UMD_CACHING"] = "YES"
    return options


def lacking(model: Json) -> list[str]:
    """What this machine lacks to run a model, and what to do about it; nothing if all is there."""
    name, device = model["runtime"], model.get("device", "CPU")
    package = {"litert": "ai-edge-litert"}.get(name, name)
    try:
        import_runtime(name)
    except ImportError as error:
        return [
            "%s cannot load the runtime %s: %s" % (sys.executable, name, error),
            "%s -m pip install %s" % (sys.executable, package),
        ]
    if name != "openvino" or device == "CPU":
        return []
    import openvino

    found = openvino.Core().available_devices
    if any(one == device or one.split(".")[0] == device for one in found):
        return []
    return [
        "this machine has no %s that OpenVINO can use: it finds %s" % (device, ", ".join(found)),
        "run it on a machine with one and its driver, or make a bundle of a CPU target",
    ]


def device_facts(device: str) -> Json:
    """What OpenVINO says of a device and of what compiles for it, or why it does not."""
    import openvino

    facts, core = {}, openvino.Core()
    for key in DEVICE_FACTS:
        try:
            facts[key] = str(core.get_property(device, key))
        except RuntimeError as error:
            facts[key] = "not available: " + str(error).strip().splitlines()[-1]
    return facts


DEVICE_FACTS = (
    "FULL_DEVICE_NAME", "NPU_DRIVER_VERSION", "NPU_COMPILER_VERSION", "NPU_COMPILER_TYPE"
)  # fmt: skip
# OpenVINO reports its import to its maker, unless the package it reports with is missing: None
# among the modules stands for one that cannot be imported.
modules: dict[str, Any] = sys.modules
modules.setdefault("openvino_telemetry", None)
LEAST_ROUNDS = 60
"""Of an interleaved run, however slow the models: with fewer the interval claims too much."""
OPENERS = {"onnxruntime": open_onnxruntime, "litert": open_litert, "openvino": open_openvino}


def prepare(images: Any, form: Json) -> Any:
    """Pixels as the model takes them: raw, or normalised where normalisation is not inside. What is
    `ready` is no image to us."""
    if form["dtype"] in ("uint8", "ready"):
        return images
    mean, std = np.asarray(form["mean"]), np.asarray(form["std"])
    return ((images - 255 * mean) / (255 * std)).astype(np.float32)


def open_model(model: Json, threads: int, exact: bool = False) -> Run:
    if model["runtime"] == "openvino":
        return open_openvino(model["path"], threads, exact, model.get("device", "CPU"))
    return OPENERS[model["runtime"]](model["path"], threads, exact)


def compute_scores(job: Json) -> Json:
    """Scores of every image by every model; images are spread over worker threads.

    Returns:
        those for which the job names no file: a .npy of float32 (images, classes), in base64.
    """
    images = np.load(job["scores"]["images"], mmap_mode="r")
    files = job["scores"].get("out")
    workers = min(job["scores"]["workers"], len(images))
    kept: Json = {}
    for model in job["models"]:
        if model["id"] not in (files or [job["models"][0]["id"]]):
            continue
        chunks = [range(w, len(images), workers) for w in range(workers)]
        runs = [open_model(model, 1, exact=True) for _ in chunks]
        # OpenVINO's Python module waits for itself if its first two runs come at the same time.
        runs[0](prepare(images[:1], model["form"]))
        done = [0]

        def work(chunk: range, run: Run, model: Json = model, done: list[int] = done) -> list[Any]:
            rows = []
            for i in chunk:
                rows.append(run(prepare(images[i : i + 1], model["form"])).reshape(-1))
                done[0] += 1
                if done[0] % 16 == 0:
                    say(stage="scores", model=model["id"], done=done[0], total=len(images))
            return rows

        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(work, chunks, runs))
        scores = np.empty((len(images), len(parts[0][0])), np.float32)
        for chunk, rows in zip(chunks, parts):
            scores[list(chunk)] = rows
        if files is not None:
            np.save(files[model["id"]], scores)
        else:
            stream = io.BytesIO()
            np.save(stream, scores)
            kept[model["id"]] = base64.b64encode(stream.getvalue()).decode()
    return kept


def measure_latency(job: Json) -> Json:
    """Interleaved latencies, in seconds, raw: one list a round for every model."""
    plan = job["latency"]
    shuffle = random.Random(0)
    runs: dict[str, Run] = {}
    inputs: dict[str, Any] = {}
    results: Json = {}
    for model in job["models"]:
        # Importing the runtime is not a part of loading the model.
        import_runtime(model["runtime"])
    for model in job["models"]:
        start = time.perf_counter()
        run = open_model(model, job["threads"])
        loaded = time.perf_counter()
        # A model of another input size has images of its own.
        images = np.load(model.get("images", plan["images"]), mmap_mode="r")[:8]
        prepared = [prepare(image[None], model["form"]) for image in images]
        begin = time.perf_counter()
        run(prepared[0])
        first = time.perf_counter() - begin
        runs[model["id"]], inputs[model["id"]] = run, prepared
        results[model["id"]] = {"load": loaded - start, "first": first, "rounds": []}
    warm = time.perf_counter() + plan["warmup_seconds"]
    while time.perf_counter() < warm:
        for name, run in runs.items():
            run(inputs[name][0])
    begin = time.perf_counter()
    for number in range(plan["rounds"]):
        order = list(runs)
        shuffle.shuffle(order)
        for name in order:
            image = inputs[name][number % len(inputs[name])]
            samples = []
            for _ in range(plan["runs_a_round"]):
                start = time.perf_counter()
                runs[name](image)
                samples.append(time.perf_counter() - start)
            results[name]["rounds"].append(samples)
        elapsed = time.perf_counter() - begin
        if number % 10 == 0:
            say(stage="latency", done=number, total=plan["rounds"])
        if elapsed > plan["seconds"] and number + 1 >= plan.get("least_rounds", LEAST_ROUNDS):
            break
    return results


def import_runtime(name: str) -> None:
    litert() if name == "litert" else importlib.import_module(name)


def follow_protocol(job: Json, watch: Watch) -> Json:
    """Several processes at the first number of threads, one at each of the others."""
    plan, model = job["protocol"], job["models"][0]
    found: Json = {}
    for threads in plan["threads"]:
        first = threads == plan["threads"][0]
        if not first and threads > (os.cpu_count() or 1):
            continue
        found[str(threads)] = []
        for number in range(plan["processes"] if first else 1):
            watch.enter("%d threads, process %d" % (threads, number + 1))
            spec = {**plan, "model": model, "threads": threads, "sustained_seconds": 0}
            found[str(threads)].append(run_process(spec, watch, plan["seconds"]))
    watch.enter("idle")
    return found


def run_process(spec: Json, watch: Watch, seconds: float = 0.0) -> Json:
    """Time something in a new process; what it says of its phases is passed on.

    Args:
        seconds: that it is timed, as far as that is known.
    """
    command = [sys.executable, os.path.abspath(__file__), "--alone"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(spec))
    process.stdin.close()
    name = watch.phase
    result: Json | None = None
    for line in process.stdout:
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if "result" in message:
            result = message["result"]
        else:
            timed = message["stage"] in ("timed", "latency")
            watch.enter(name + ": " + message["stage"], seconds if timed else None)
            sys.stdout.write(line)
            sys.stdout.flush()
    if process.wait() or result is None:
        # As a shell names a signal.
        print(
            "the process that measured %s ended with %s" % (name, process.returncode),
            file=sys.stderr,
        )
        sys.exit(128 - process.returncode if process.returncode < 0 else process.returncode or 1)
    return result


def interleave(job: Json) -> Json:
    """Interleaved latencies of a device: on the cores that the protocol runs on."""
    if job.get("protocol", {}).get("pin", True):
        os.sched_setaffinity(0, fastest_cores(job["threads"]))
    return measure_latency(job)


def time_alone(spec: Json) -> Json:
    """One model in this process: load, first run, warm-up, timed runs; seconds and bytes, raw."""
    model = spec["model"]
    images = np.load(spec["images"], mmap_mode="r")[:8]
    if spec["pin"]:
        os.sched_setaffinity(0, fastest_cores(spec["threads"]))
    import_runtime(model["runtime"])
    baseline = memory("VmRSS")
    start = time.perf_counter()
    run = open_model(model, spec["threads"])
    load = time.perf_counter() - start
    inputs = [prepare(image[None], model["form"]) for image in images]
    start = time.perf_counter()
    run(inputs[0])
    first = time.perf_counter() - start
    loaded = memory("VmRSS")
    say(stage="warm-up", done=0, total=1)
    repeat(run, inputs, spec["warmup_runs"], spec["warmup_seconds"])
    say(stage="timed", done=0, total=1)
    began = time.monotonic()
    samples = repeat(run, inputs, spec["runs"], spec["seconds"])
    ended = time.monotonic()
    windows = []
    if spec["sustained_seconds"]:
        say(stage="sustained", done=0, total=1)
        windows = sustain(run, inputs, spec["sustained_seconds"])
    return {
        "load": load, "first": first, "samples": samples, "began": began, "ended": ended,
        "windows": windows, "affinity": sorted(os.sched_getaffinity(0)),
        "memory": {"baseline": baseline, "loaded": loaded, "peak": memory("VmHWM")},
        "delegate": delegate(model),
    }  # fmt: skip


def delegate(model: Json) -> Json:
    """What was asked to run the model, what does, and how much of it."""
    if model["runtime"] == "litert":
        return litert_delegate(model["path"])
    asked = model.get("device", "CPU")
    if model["runtime"] == "onnxruntime":
        import onnxruntime as ort

        asked = "CPUExecutionProvider"
        applied = ort.InferenceSession(model["path"], providers=[asked]).get_providers()
        return {"asked": asked, "applied": ", ".join(applied)}
    return {"asked": asked, "applied": asked}  # open_openvino has refused anything else


def litert_delegate(path: str) -> Json:
    """XNNPACK's share: from each delegate node's outputs back to its inputs, all ran inside it."""
    interpreter = litert().Interpreter(model_path=path)
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()
    own = [node for node in nodes if node["op_name"] != "DELEGATE"]
    makers = {tensor: node for node in own for tensor in node["outputs"].tolist()}
    inside: set[int] = set()
    for part in nodes[len(own) :]:
        given = set(part["inputs"].tolist())
        queue = part["outputs"].tolist()
        while queue:
            tensor = queue.pop()
            node = makers.get(tensor)
            if tensor in given or node is None or node["index"] in inside:
                continue
            inside.add(node["index"])
            queue += node["inputs"].tolist()
    return {
        "asked": "XNNPACK",
        "applied": "XNNPACK" if inside else "none",
        "nodes_delegated": len(inside),
        "nodes_total": len(own),
    }


def repeat(run: Run, inputs: list[Any], runs: int, seconds: float) -> list[float]:
    """Run until both the number of runs and the seconds are reached."""
    samples: list[float] = []
    until = time.perf_counter() + seconds
    while len(samples) < runs or time.perf_counter() < until:
        image = inputs[len(samples) % len(inputs)]
        start = time.perf_counter()
        run(image)
        samples.append(time.perf_counter() - start)
    return samples


def sustain(run: Run, inputs: list[Any], seconds: float, window: float = 5.0) -> list[list[float]]:
    """Run without a pause; of each window when it ended, its median and its number of runs."""
    begin = time.perf_counter()
    windows = []
    while time.perf_counter() < begin + seconds:
        samples = repeat(run, inputs, 1, window)
        elapsed = time.perf_counter() - begin
        windows.append([elapsed, float(np.median(samples)), len(samples)])
        say(stage="sustained", done=int(min(elapsed, seconds)), total=int(seconds))
    return windows


def check_golden(job: Json) -> Json:
    """How far the subject is from the scores that the build kept of its own run."""
    plan, model = job["golden"], job["models"][0]
    images, expected = np.load(plan["input"]), np.load(plan["scores"])
    run = open_model(model, job["threads"], exact=True)
    rows = [
        run(prepare(images[i : i + 1], model["form"])).reshape(1, -1) for i in range(len(images))
    ]
    got = np.concatenate(rows)
    return {
        "max_abs_diff": float(np.max(np.abs(got - expected))),
        "spread": float(np.ptp(expected)),
        "same_top1": int(np.sum(got.argmax(axis=1) == expected.argmax(axis=1))),
        "images": len(images),
    }


def time_operators(job: Json) -> Json:
    """Seconds of each operator of the subject on one thread, as far as its runtime tells them:
    LiteRT's come as files of their own, and take turns with the whole one."""
    plan, model = job["operators"], job["models"][0]
    if model["runtime"] == "litert":
        return time_parts([model["path"], *plan["files"]], plan["runs"])
    image = prepare(np.load(plan["images"], mmap_mode="r")[:1], model["form"])
    profile = {"onnxruntime": profile_onnxruntime, "openvino": profile_openvino}[model["runtime"]]
    return profile(model["path"], image, plan["runs"])


def operator_seconds(rows: list[tuple[str, str, float]], inferences: list[float]) -> Json:
    names, kinds, seconds = zip(*rows) if rows else ((), (), ())
    return {
        "names": list(names), "kinds": list(kinds), "seconds": list(seconds),
        "inferences": inferences,
    }  # fmt: skip


def time_parts(paths: list[str], runs: int) -> Json:
    interpreters = []
    for path in paths:
        interpreter = litert().Interpreter(model_path=path, num_threads=1)
        interpreter.allocate_tensors()
        for entry in interpreter.get_input_details():
            is_index = entry["dtype"] in (np.int32, np.int64)  # 0 is within every axis
            value = np.full(entry["shape"], 0 if is_index else 1, entry["dtype"])
            interpreter.set_tensor(entry["index"], value)
        interpreters.append(interpreter)
    taken = np.zeros((runs, len(paths)))

    def once(row: Any) -> None:
        for number, interpreter in enumerate(interpreters):
            start = time.perf_counter()
            interpreter.invoke()
            row[number] = time.perf_counter() - start

    warm_up(once, taken[0])
    for row in taken:
        once(row)
    medians = np.median(taken, axis=0).tolist()
    return operator_seconds([(p, "", s) for p, s in zip(paths, medians)], taken[:, 0].tolist())


def profile_onnxruntime(path: str, image: Any, runs: int) -> Json:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_profiling = True
    options.profile_file_prefix = "profile"
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(image: Any) -> Any:
        return session.run(None, {name: image})

    warm_up(run, image)
    inferences = repeat(run, [image], runs, 0)
    with open(session.end_profiling()) as stream:
        events = json.load(stream)
    each: list[dict[str, float]] = [{}]
    kinds: dict[str, str] = {}
    for event in events:
        node = event["name"]
        if event["cat"] == "Node" and node.endswith("_kernel_time"):
            node = node[: -len("_kernel_time")]
            kinds[node] = event.get("args", {}).get("op_name", "")
            each[-1][node] = each[-1].get(node, 0.0) + 1e-6 * event["dur"]
        elif node == "model_run":
            each.append({})
    counted = [run for run in each if run][-runs:]
    rows = [(n, kinds[n], float(np.median([run.get(n, 0.0) for run in counted]))) for n in kinds]
    return operator_seconds(rows, inferences)


def profile_openvino(path: str, image: Any, runs: int) -> Json:
    import openvino

    core = openvino.Core()
    options = {**openvino_options(core, "CPU", 1, False), "PERF_COUNT": "YES"}
    request = core.compile_model(path, "CPU", options).create_infer_request()

    def counters() -> dict[str, tuple[str, float]]:
        return {
            one.node_name: (one.node_type, one.real_time.total_seconds())
            for one in request.get_profiling_info() if one.status.name == "EXECUTED"
        }  # fmt: skip

    warm = warm_up(lambda image: request.infer([image]), image)
    before = counters()
    inferences = repeat(lambda image: request.infer([image]), [image], runs, 0)
    rows, total = [], runs + warm
    for name, (kind, mean) in counters().items():
        # A mean is of all runs so far, of which the first ones are slow.
        first = before.get(name, (kind, 0.0))[1]
        rows.append((name, kind, max(0.0, total * mean - warm * first) / runs))
    return operator_seconds(rows, inferences)


def warm_up(run: Run, image: Any) -> int:
    """Run until the clock is up, and say that it is timed from now on; returns how many runs."""
    count = len(repeat(run, [image], OPERATORS_WARM_UP, WARM_UP_SECONDS))
    say(stage="timed", done=0, total=1)
    return count


OPERATORS_WARM_UP = 10
WARM_UP_SECONDS = 0.5


class Watch:
    """Samples the device's state once a second, beside what runs; `phase` says what that is. On a
    slow board less often: it must not be what the run is slowed down by. Where a timed phase
    begins, and shortly before its end, it looks whatever that costs."""

    def __init__(self, every: float = 1.0) -> None:
        self.phase = "idle"
        self.samples: list[Json] = []
        self.failure: str | None = None
        self.every = every
        self.cost = 0.0
        self.begin = time.monotonic()
        self.owed: list[float] = []
        self.over = threading.Event()
        self.woken = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.woken.set()
        self.thread.join(timeout=10)

    def enter(self, phase: str, seconds: float | None = None) -> None:
        """Begin a phase; `seconds`: how long a timed one lasts at least, 0 where nobody knows."""
        if phase == self.phase:
            return
        self.phase, began = phase, time.monotonic()
        # Not at the very end: the clock falls as soon as nothing runs.
        self.owed = [] if seconds is None else sorted({began, began + NEAR_THE_END * seconds})
        self.woken.set()

    def watch(self) -> None:
        due = time.monotonic() + self.every
        while not self.over.is_set():
            self.woken.wait(max(0.0, min([due, *self.owed]) - time.monotonic()))
            self.woken.clear()
            if self.over.is_set():
                return
            owed, now = self.owed, time.monotonic()  # another phase may bring another list
            is_owed = bool(owed) and owed[0] <= now
            if is_owed:
                owed.pop(0)
            if is_owed or now >= due:
                due = time.monotonic() + self.look()

    def look(self) -> float:
        """Take a sample; returns the seconds to the next one."""
        before = cpu_seconds()
        try:
            self.samples.append({"phase": self.phase, **state()})
        except Exception as error:
            self.failure = repr(error)
        spent = cpu_seconds() - before
        self.cost += spent
        return max(self.every, spent / MOST_WATCHING)

    def load(self) -> Json:
        """What watching itself took so far: CPU seconds, of how many."""
        return {"cpu_seconds": self.cost, "seconds": time.monotonic() - self.begin}


MOST_WATCHING = 0.02
"""Of one core, that watching may take."""
NEAR_THE_END = 0.9
"""Of a timed phase: where it is looked at once more."""
PROGRAMS_SECONDS = [0.0]
"""CPU seconds of the programs that were asked."""


def cpu_seconds() -> float:
    """Of this thread and of the programs that it asked."""
    return time.thread_time() + PROGRAMS_SECONDS[0]


def state() -> Json:
    """What may change during a run; None for what this device does not tell."""
    clocks = [read(path) for path in per_core("scaling_cur_freq")]
    bits, said = throttled()
    pages = numbers("/proc/vmstat")
    return {
        "at": time.monotonic(),
        "temperature_c": temperature(),
        "clocks_mhz": [int(clock) / 1000 for clock in clocks if clock],
        "arm_clock_mhz": arm_clock(),
        "governors": [read(path) for path in per_core("scaling_governor")],
        "throttled": bits,
        "throttled_unread": said,
        "fan": fan(),
        "load_average": list(os.getloadavg()),
        "available_bytes": available(),
        "swapped_pages": pages["pswpin"] + pages["pswpout"] if "pswpout" in pages else None,
        "watts": power(),
        "battery_percent": number(read("/sys/class/power_supply/battery/capacity")),
    }


def temperature() -> float | None:
    """Of the processor, in degrees Celsius."""
    millidegrees = read("/sys/class/thermal/thermal_zone0/temp")
    if millidegrees:
        return int(millidegrees) / 1000
    found = re.search(r"temp=([\d.]+)", ask("vcgencmd", "measure_temp") or "")
    return float(found[1]) if found else None


def arm_clock() -> float | None:
    """The clock that a Raspberry Pi's firmware really gives, in MHz: scaling_cur_freq there is the
    one that was asked for."""
    found = re.search(r"frequency\(\d+\)=(\d+)", ask("vcgencmd", "measure_clock", "arm") or "")
    return int(found[1]) / 1e6 if found else None


def throttled() -> tuple[int | None, str | None]:
    """The Raspberry Pi's bits: 0-3 now, 16-19 since it started; in place of bits what vcgencmd
    said, where there is one."""
    said = ask("vcgencmd", "get_throttled")
    # An old firmware answers with an error, and with the code 0.
    found = re.search(r"throttled=(0x[\da-fA-F]+)", said or "")
    paths = glob.glob("/sys/devices/platform/soc*/*firmware/get_throttled")
    word = found[1] if found else next(filter(None, map(read, paths)), None)
    if word:
        return int(word, 16), None
    return None, None if said is None else (said.strip().splitlines() or ["nothing"])[0][:80]


def fan() -> Json | None:
    """At which of its levels the kernel runs a fan, and how fast it turns; None without one."""
    for device in sorted(glob.glob("/sys/class/thermal/cooling_device*")):
        level, highest = number(read(device + "/cur_state")), number(read(device + "/max_state"))
        if "fan" in (read(device + "/type") or "") and level is not None:
            monitors = sorted(glob.glob("/sys/class/hwmon/hwmon*"))
            own = [path for path in monitors if read(path + "/name") == "pwmfan"]  # not a HAT's
            rpm = number(read(own[0] + "/fan1_input")) if own else None
            return {"level": level, "highest": highest, "rpm": rpm}
    return None


def power() -> float | None:
    """Of a Raspberry Pi 5: the sum over its rails of current by voltage, in watts. What hangs on
    its USB ports is not in it."""
    said = ask("vcgencmd", "pmic_read_adc")
    if "current" not in (said or ""):
        if said:  # an error: this board has no such chip
            SILENT.add("pmic_read_adc")
        return None
    assert said
    values: dict[str, dict[str, float]] = {}
    for rail, kind, value in re.findall(r"(\S+)_([AV]) .*=([\d.]+)[AV]", said):
        values.setdefault(rail, {})[kind] = float(value)
    whole = [rail["A"] * rail["V"] for rail in values.values() if {"A", "V"} <= set(rail)]
    return sum(whole) if whole else None


def ask(*command: str) -> str | None:
    """What a program says, of its errors too; None where it is missing, for which it is asked
    once."""
    if SILENT & set(command):
        return None
    before = children_seconds()
    began = time.monotonic()
    try:
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=5,
        ).stdout  # fmt: skip
    except OSError:
        SILENT.add(command[0])
    except subprocess.SubprocessError:
        return ""
    finally:
        # What measures may end meanwhile, and would count with all that it took.
        spent = children_seconds() - before
        PROGRAMS_SECONDS[0] += min(spent, time.monotonic() - began)
    return None


def children_seconds() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


SILENT: set[str] = set()
"""Programs that are not there, and questions that this board does not answer."""


def read(path: str) -> str | None:
    try:
        with open(path, errors="replace") as stream:
            return stream.read().strip("\0\n ")
    except OSError:
        return None


def number(text: str | None) -> int | None:
    return int(text) if text else None


def per_core(name: str) -> list[str]:
    paths = glob.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/" + name)
    return sorted(paths, key=lambda path: int(path.split("/cpu/cpu")[1].split("/")[0]))


def fastest_cores(threads: int) -> set[int]:
    """Of the cores this process may use those with the highest clocks: whole clusters, until there
    is one for each thread."""
    allowed = os.sched_getaffinity(0)
    clocks = {core: clock for core, clock in max_clocks().items() if core in allowed}
    chosen: set[int] = set()
    for clock in sorted(set(clocks.values()), reverse=True):
        if len(chosen) >= threads:
            break
        chosen |= {core for core in clocks if clocks[core] == clock}
    return chosen or allowed


def max_clocks() -> dict[int, int]:
    """The highest clock of each core, in kHz; nothing where they are hidden."""
    paths = per_core("cpuinfo_max_freq")
    return {int(path.split("/cpu/cpu")[1].split("/")[0]): int(read(path) or 0) for path in paths}


def memory(name: str) -> int | None:
    """Bytes of this process: VmRSS now, VmHWM at most so far."""
    for line in (read("/proc/self/status") or "").splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    return None


def numbers(path: str) -> dict[str, int]:
    """`name 12` and `name: 12 kB`, as /proc has them."""
    found = re.findall(r"^(\w+):?\s+(\d+)", read(path) or "", re.MULTILINE)
    return {name: int(value) for name, value in found}


def available() -> int | None:
    return times(1024, numbers("/proc/meminfo").get("MemAvailable"))


def times(factor: int, value: int | None) -> int | None:
    return None if value is None else factor * value


def emulator() -> str | None:
    """The user-mode emulator this runs in: its wall time says nothing about the processor it shows.
    qemu hides behind /proc/self/exe, not behind the thread's own."""
    try:
        program = os.path.basename(os.readlink("/proc/thread-self/exe"))
    except OSError:
        program = ""
    return program if program.startswith("qemu-") else os.environ.get("EDGEKIT_EMULATED")


def environment() -> Json:
    """The machine, its runtimes and how busy it is, as far as it can be read."""
    versions = {}
    for name in ("numpy", "onnxruntime", "ai-edge-litert", "tflite-runtime", "openvino"):
        try:
            from importlib.metadata import version

            versions[name] = version(name)
        except Exception:
            continue
    return {
        "machine": machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "int8_instructions": int8_instructions(),
        "cores": os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "versions": versions,
    }


def board() -> Json:
    """What a report names of a device beside `environment`; None for what it does not tell."""
    return {
        "emulator": emulator(),
        "board": read("/proc/device-tree/model") or read("/sys/class/dmi/id/product_name"),
        "soc": (read("/proc/device-tree/compatible") or "").split("\0")[-1] or None,
        "isa": isa_flags(),
        "ram_bytes": times(1024, numbers("/proc/meminfo").get("MemTotal")),
        "os": os_name(),
        "kernel": platform.release(),
        "page_size": os.sysconf("SC_PAGE_SIZE"),
        "max_clocks_mhz": [clock / 1000 for clock in max_clocks().values()],
    }


def os_name() -> str | None:
    for line in (read("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return None


def isa_flags() -> list[str]:
    for line in (read("/proc/cpuinfo") or "").splitlines():
        if line.startswith(("Features", "flags")):
            return line.split(":", 1)[1].split()
    return []


ARM_CORES = {"0xd03": "cortex-a53", "0xd05": "cortex-a55", "0xd08": "cortex-a72",
             "0xd0b": "cortex-a76", "0xd41": "cortex-a78"}  # fmt: skip


def cpu_name() -> str:
    """The processor as a compiler names it where it is an Arm core we know, the fastest of several
    kinds, else as it calls itself."""
    lines = (read("/proc/cpuinfo") or "").splitlines()
    parts = [line.split(":")[1].strip() for line in lines if line.startswith("CPU part")]
    if parts:
        clocks = max_clocks()
        core = max(range(len(parts)), key=lambda i: (clocks.get(i, 0), i))
        return ARM_CORES.get(parts[core], "arm part " + parts[core])
    for line in lines:
        if line.startswith(("model name", "Model", "Hardware")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine() -> str:
    """The architecture of this process, which on a 64-bit kernel may be of 32."""
    found = platform.machine()
    if struct.calcsize("P") == 4:
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(found, found)
    return found


def int8_instructions() -> list[str]:
    """The processor's int8 dot products, which decide what int8 gains on it."""
    known = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
    try:
        with open("/proc/cpuinfo") as stream:
            return sorted(known & set(stream.read().split()))
    except OSError:
        return []


def say(**message: Any) -> None:
    # One write: print() writes the end of the line apart, and another thread may come between.
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def sha256(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def take_times(job: Json) -> Json:
    """Everything that is timed, while the device is watched where the job wants it."""
    if not job.get("watch", "protocol" in job or "operators" in job):
        return {"latency": measure_latency(job)} if "latency" in job else {}
    result: Json = {"before": state()}
    with Watch() as watch:
        if "protocol" in job:
            result["protocol"] = follow_protocol(job, watch)
        if "latency" in job:
            watch.enter("interleaved")
            spec = {**job, "what": "latency"}
            result["latency"] = run_process(spec, watch, job["latency"]["seconds"])
        if "operators" in job:
            watch.enter("operators")
            result["operators"] = run_process({**job, "what": "operators"}, watch)
        watch.enter("idle")
        result["after"] = state()
        seconds = job["protocol"]["sustained_seconds"] if "protocol" in job else 0
        if seconds:  # last, for it heats the board
            watch.enter("without a pause")
            spec = {**job["protocol"], "model": job["models"][0], "threads": job["threads"]}
            result["sustained"] = run_process({**spec, "runs": 1, "seconds": 0}, watch)
    result.update(watched=watch.samples, watch_failure=watch.failure, watching=watch.load())
    return result


def main(job_path: str, result_path: str) -> None:
    with open(job_path) as stream:
        job = json.load(stream)
    result_path = os.path.abspath(result_path)
    if os.path.exists(result_path):
        os.remove(result_path)  # an older run's must not be taken for this one's
    os.chdir(os.path.dirname(os.path.abspath(job_path)))
    result: Json = {"environment": environment(), "started": now()}
    for device in {model.get("device", "CPU") for model in job["models"]} - {"CPU"}:
        result["environment"].setdefault("devices", {})[device] = device_facts(device)
    if "golden" in job:
        result["golden"] = check_golden(job)
    if not emulator():
        result.update(take_times(job))
    if "scores" in job:
        result["scores"] = compute_scores(job)
    result["agent"] = sha256(__file__)
    result["models"] = {model["id"]: sha256(model["path"]) for model in job["models"]}
    if any(model["runtime"] == "litert" for model in job["models"]):
        result["environment"]["litert"] = litert().__name__.split(".")[0]
    result.update(board=board(), ended=now(), id=job.get("id"))
    part = result_path + ".part"
    with open(part, "w") as stream:
        json.dump(result, stream)
    os.replace(part, result_path)


if __name__ == "__main__":
    if sys.argv[1:] == ["--alone"]:
        spec = json.load(sys.stdin)
        timing = {"latency": interleave, "operators": time_operators}
        say(result=timing.get(spec.get("what"), time_alone)(spec))
    else:
        main(*sys.argv[1:])
