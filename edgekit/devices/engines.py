"""The distributions whose library runs a runtime's files on a device."""

from __future__ import annotations

from edgekit.engine.artifact import Json

ENGINES = {
    "litert": ("ai-edge-litert", "tflite-runtime"),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
}
"""Of a runtime, the distributions that give it; the latter where there is no former."""


def library_of(environment: Json, runtime: str) -> str | None:
    """What runs a runtime's files on a device, distribution and version; None if nothing does."""
    versions: dict[str, str] = environment["versions"]
    names = list(ENGINES[runtime])
    if environment.get(runtime) == "tflite_runtime":  # of two, the one that ran
        names.reverse()
    return next((f"{name} {versions[name]}" for name in names if name in versions), None)
