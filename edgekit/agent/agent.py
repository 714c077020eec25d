"""Run model files and time them: one file, the standard library, numpy and a runtime.

    python agent.py job.json result.json

The same file measures on the build machine and on a device, so that their figures mean the same.
A job names models and what to do with them:

    {"threads": 1,
     "models": [{"id": "int8", "path": "model.tflite", "runtime": "litert",
                 "form": {"dtype": "float32", "mean": [...], "std": [...]}}],
     "scores": {"images": "images.npy", "workers": 2, "out": {"int8": "scores.npy"}},
     "latency": {"images": "images.npy", "warmup_seconds": 0.5, "seconds": 5.0,
                 "rounds": 200, "runs_a_round": 3}}

Latency is interleaved: each round runs every model a few times, in random order, so that
whatever slows the machine slows all of them. Progress goes to stdout, one JSON object a line.
"""

from __future__ import annotations  # Python 3.9 on older boards

import importlib
import json
import os
import platform
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
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
    """The module of LiteRT, or of its predecessor where a board has only that."""
    try:
        return importlib.import_module("ai_edge_litert.interpreter")
    except ImportError:
        return importlib.import_module("tflite_runtime.interpreter")


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
    options = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        # Without the hint float models run in bfloat16 where the processor has it, and scores
        # differ. Pinned threads of two models would sit on the same core.
        options["INFERENCE_PRECISION_HINT"] = "f32"
        options["INFERENCE_NUM_THREADS"] = str(threads)
        options["ENABLE_CPU_PINNING"] = "NO"
    elif "NPU_BYPASS_UMD_CACHING" in core.get_property(device, "SUPPORTED_PROPERTIES"):
        # The driver keeps what it compiled: from the second time on, loading would be a look-up.
        options["NPU_BYPASS_UMD_CACHING"] = "YES"
    compiled = core.compile_model(path, device, options)
    got = compiled.get_property("EXECUTION_DEVICES")
    if not got or any(name != device and name.split(".")[0] != device for name in got):
        raise RuntimeError("asked for " + device + ", OpenVINO runs on " + ", ".join(got))
    request = compiled.create_infer_request()

    def run(image: Any) -> Any:
        return request.infer([image])[0]

    return run


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
# OpenVINO reports its import to its maker, unless the package it reports with is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
OPENERS = {"onnxruntime": open_onnxruntime, "litert": open_litert, "openvino": open_openvino}


def prepare(images: Any, form: Json) -> Any:
    """Pixels as the model takes them: raw, or normalised where normalisation is not inside."""
    if form["dtype"] == "uint8":
        return images
    mean, std = np.asarray(form["mean"]), np.asarray(form["std"])
    return ((images - 255 * mean) / (255 * std)).astype(np.float32)


def open_model(model: Json, threads: int, exact: bool = False) -> Run:
    if model["runtime"] == "openvino":
        return open_openvino(model["path"], threads, exact, model.get("device", "CPU"))
    return OPENERS[model["runtime"]](model["path"], threads, exact)


def compute_scores(job: Json) -> None:
    """Scores of every image by every model; images are spread over worker threads."""
    images = np.load(job["scores"]["images"], mmap_mode="r")
    workers = min(job["scores"]["workers"], len(images))
    for model in job["models"]:
        if model["id"] not in job["scores"]["out"]:
            continue
        chunks = [range(w, len(images), workers) for w in range(workers)]
        done = [0]

        def work(chunk: range, model: Json = model, done: list[int] = done) -> list[Any]:
            run = open_model(model, 1, exact=True)
            rows = []
            for i in chunk:
                rows.append(run(prepare(images[i : i + 1], model["form"])).reshape(-1))
                done[0] += 1
                if done[0] % 16 == 0:
                    say(stage="scores", model=model["id"], done=done[0], total=len(images))
            return rows

        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(work, chunks))
        scores = np.empty((len(images), len(parts[0][0])), np.float32)
        for chunk, rows in zip(chunks, parts):
            scores[list(chunk)] = rows
        np.save(job["scores"]["out"][model["id"]], scores)


def measure_latency(job: Json) -> Json:
    """Interleaved latencies, in seconds, raw: one list a round for every model."""
    plan = job["latency"]
    images = np.load(plan["images"], mmap_mode="r")[:8]
    shuffle = random.Random(0)
    runs: dict[str, Run] = {}
    inputs: dict[str, Any] = {}
    results: Json = {}
    for model in job["models"]:
        # Importing the runtime is not a part of loading the model.
        litert() if model["runtime"] == "litert" else importlib.import_module(model["runtime"])
    for model in job["models"]:
        start = time.perf_counter()
        run = open_model(model, job["threads"])
        loaded = time.perf_counter()
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
            image = inputs[name][number % len(images)]
            samples = []
            for _ in range(plan["runs_a_round"]):
                start = time.perf_counter()
                runs[name](image)
                samples.append(time.perf_counter() - start)
            results[name]["rounds"].append(samples)
        elapsed = time.perf_counter() - begin
        if number % 10 == 0:
            say(stage="latency", done=number, total=plan["rounds"])
        if elapsed > plan["seconds"] and number >= 29:
            break
    return results


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
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "int8_instructions": int8_instructions(),
        "cores": os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "versions": versions,
    }


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as stream:
            for line in stream:
                if line.startswith(("model name", "Model", "Hardware")):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


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


def main(job_path: str, result_path: str) -> None:
    with open(job_path) as stream:
        job = json.load(stream)
    result: Json = {"environment": environment()}
    for device in {model.get("device", "CPU") for model in job["models"]} - {"CPU"}:
        result["environment"].setdefault("devices", {})[device] = device_facts(device)
    if "latency" in job:
        result["latency"] = measure_latency(job)
    if "scores" in job:
        compute_scores(job)
    part = result_path + ".part"
    with open(part, "w") as stream:
        json.dump(result, stream)
    os.replace(part, result_path)


if __name__ == "__main__":
    main(*sys.argv[1:])
