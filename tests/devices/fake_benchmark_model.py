"""A benchmark_model for tests: honours the classic tool's flags with the host's LiteRT, and prints
its lines. It has no GPU: one that is asked for is applied and executes nothing."""

import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

flags = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[1:])
print("INFO: STARTING!", file=sys.stderr)
begin = time.perf_counter()
try:
    interpreter = Interpreter(flags["graph"], num_threads=int(flags["num_threads"]))
except ValueError:
    print(f"ERROR: Failed to mmap model {flags['graph']}")
    sys.exit(1)
interpreter.allocate_tensors()
init = 1e6 * (time.perf_counter() - begin)
source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
if flags.get("use_gpu") == "true":
    words = "Though GPU delegate is explicitly applied, the model graph will not be executed by the"
    print(f"INFO: {words} delegate.")
print("VERBOSE: Replacing 4 out of 5 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding")
if "input_layer_value_files" in flags:
    assert flags["input_layer_shape"] == ",".join(str(n) for n in source["shape"])
    name, _, path = flags["input_layer_value_files"].partition(":")
    assert name == flags["input_layer"]
    pixels = np.fromfile(path.replace("::", ":"), source["dtype"]).reshape(source["shape"])
else:
    pixels = np.random.default_rng().integers(0, 255, source["shape"]).astype(source["dtype"])
interpreter.set_tensor(source["index"], pixels)


def run(runs: int, seconds: float) -> list[int]:
    samples: list[int] = []
    start = time.perf_counter()
    while len(samples) < runs or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        interpreter.invoke()
        samples.append(int(1e6 * (time.perf_counter() - before)))
    print(f"INFO: {statistics(samples)}\n")
    return samples


def statistics(samples: list[int]) -> str:
    if not samples:
        return "count=0"
    if min(samples) == max(samples):
        return f"count={len(samples)} curr={samples[0]}(all same)"
    low, middle, high = (np.percentile(samples, p, method="lower") for p in (5, 50, 95))
    return (
        f"count={len(samples)} first={samples[0]} curr={samples[-1]} min={min(samples)} "
        f"max={max(samples)} avg={np.mean(samples):g} std={int(np.std(samples))} "
        f"p5={low} median={middle} p95={high}"
    )


warmup = run(int(flags["warmup_runs"]), float(flags["warmup_min_secs"]))
timed = run(int(flags["num_runs"]), float(flags["min_secs"]))
print(
    f"INFO: Inference timings in us: Init: {init:.0f}, First inference: {(warmup or [0])[0]}, "
    f"Warmup (avg): {np.mean(warmup) if warmup else np.nan:g}, "
    f"Inference (avg): {np.mean(timed):g}"
)
print("INFO: Memory footprint delta from the start of the tool (MB): init=4.21 overall=46.09")
if "output_filepath" in flags:
    interpreter.get_tensor(sink["index"]).tofile(flags["output_filepath"])
