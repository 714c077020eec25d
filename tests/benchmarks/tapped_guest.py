"""Run a file and keep what every operator gives: python tapped_guest.py FILE IMAGES OUT.npz

Runs under the emulator as well: numpy and the file's runtime, nothing of edgekit. Keys are the
operators' places in the order they run; LiteRT's are followed by their kind. What XNNPACK keeps to
itself is missing.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def of_litert(path: str, images: Any) -> dict[str, Any]:
    from ai_edge_litert import interpreter as litert

    running = litert.Interpreter(path, num_threads=1, experimental_preserve_all_tensors=True)
    plain = litert.Interpreter(
        path,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    running.allocate_tensors()
    source = running.get_input_details()[0]["index"]
    kept: dict[str, list[Any]] = {}
    for image in images:
        running.set_tensor(source, image[np.newaxis])
        running.invoke()
        for place, operator in enumerate(plain._get_ops_details()):
            for tensor in operator["outputs"]:
                try:
                    value = np.array(running.get_tensor(tensor))
                except ValueError:
                    continue
                kept.setdefault(f"{place:05d} {operator['op_name']}", []).append(value)
    return kept


def of_onnxruntime(path: str, images: Any) -> dict[str, Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    runs = [session.run(None, {name: image[np.newaxis]}) for image in images]
    return {f"{place:05d}": list(values) for place, values in enumerate(zip(*runs))}  # noqa: B905


if __name__ == "__main__":
    file, pixels, out = sys.argv[1:]
    tap = of_litert if file.endswith(".tflite") else of_onnxruntime
    found = tap(file, np.load(pixels))
    arrays: dict[str, Any] = {
        k: np.concatenate([v.ravel() for v in one]) for k, one in found.items()
    }
    np.savez(out, **arrays)
