"""A configuration of Keras as Keras 3 reads it, for a model that is not trained any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgekit.models._keras_config import entries

HALF = {"mixed_float16", "mixed_bfloat16", "float16", "bfloat16"}
OLD_POLICIES = {"Policy", "PolicyV1"}
TRAINING_ONLY = {
    *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast"),
    *("RandomBrightness", "RandomHeight", "RandomWidth", "RandomShear", "RandomHue"),
    *("RandomErasing", "RandomSaturation", "RandomSharpness", "RandomGrayscale", "RandomInvert"),
    *("RandomGaussianBlur", "RandomColorJitter", "RandomColorDegeneration", "RandomPerspective"),
    *("RandomPosterization", "RandomElasticTransform", "RandAugment", "AugMix", "MixUp", "CutMix"),
    *("GaussianNoise", "GaussianDropout"),
}
"""Layers that give what they are given unless the model is trained. RandomCrop is none: then it
resizes."""
RESCALES = {"truediv", "multiply", "subtract", "add"}
NESTED = {"Functional", "Model", "Sequential"}
OLD_MODULES = ("tf_keras.", "keras.engine.", "keras.src.engine.")
HOMES = {"Functional": "keras.src.models.functional", "Sequential": "keras", "Model": "keras"}


def modernise(config: Any) -> list[str]:
    """Change a configuration in place.

    - Policies of mixed precision become float32, in which the weights are stored.
    - Layers for training alone become Identity: converters need not know them, and their options
      differ between Keras 2 and 3.
    - What Keras 2 wrote and Keras 3 does not read: options of some layers, tf_keras's modules,
      arithmetic with a number (`x / 127.5`), and the places of nested models in the graph, which
      it counted from 1.

    Returns:
        what a user should know of it.
    """
    policies: set[str] = set()
    dropped: set[str] = set()
    for entry in entries(config):
        policies |= _take_float32(entry)
        kind, options = entry.get("class_name"), entry.get("config")
        if not isinstance(kind, str) or not isinstance(options, dict):
            continue
        if kind in TRAINING_ONLY:
            dropped.add(kind)
            _make_identity(entry, options)
        _renew_options(kind, options)
        if kind == "TFOpLambda":
            _rescale(entry, options)
        if kind in HOMES and str(entry.get("module")).startswith(OLD_MODULES):
            entry["module"] = HOMES[kind]
        if kind in NESTED and isinstance(options.get("layers"), list):
            _count_from_0(options)
    return _remarks(policies, dropped)


def _remarks(policies: set[str], dropped: set[str]) -> list[str]:
    # Under a mixed policy single tensors are float16.
    policies = {name for name in policies if name.startswith("mixed")} or policies
    lines = [f"trained under {name}, it computes in float32" for name in sorted(policies)]
    if dropped:
        lines.append(f"layers for training alone are left out: {', '.join(sorted(dropped))}")
    return lines


def _make_identity(entry: dict[str, Any], options: dict[str, Any]) -> None:
    entry["class_name"] = "Identity"
    entry["config"] = {key: options[key] for key in ("name", "dtype") if key in options}
    entry.pop("build_config", None)


def _renew_options(kind: str, options: dict[str, Any]) -> None:
    """Let a layer's options be those that Keras 3 reads."""
    if kind == "DepthwiseConv2D" and options.get("groups") == 1:
        del options["groups"]
    if kind == "BatchNormalization" and isinstance(options.get("axis"), list):
        options["axis"] = options["axis"][0]
    if kind == "Normalization":
        options.pop("batch_input_shape", None)
    if kind == "RandomCrop":
        options.pop("rng_type", None)


def _take_float32(entry: dict[str, Any]) -> set[str]:
    """Let what an entry says of its type be float32 where it was half; the policies it had."""
    found = set()
    for key, value in entry.items():
        if isinstance(value, dict):
            inner = value.get("config")
            name = inner.get("name") if isinstance(inner, dict) else None
            is_old = value.get("class_name") in OLD_POLICIES
            is_policy = is_old or value.get("class_name") == "DTypePolicy"
        else:
            name, is_old, is_policy = value, False, key == "dtype"
        if is_policy and isinstance(name, str) and (is_old or name in HALF):
            entry[key] = "float32" if name in HALF else name
            found |= {name} & HALF
    return found


def _rescale(entry: dict[str, Any], options: dict[str, Any]) -> None:
    """Write arithmetic of an image with a number as the layer Rescaling; other stays as it is."""
    function = str(options.get("function")).rpartition(".")[2]
    nodes = entry.get("inbound_nodes")
    if function not in RESCALES or not isinstance(nodes, list) or len(nodes) != 1:
        return
    node = nodes[0]
    number = node[3].get("y") if len(node) == 4 and isinstance(node[3], dict) else None
    if not isinstance(number, int | float) or not number:
        return
    scale = {"truediv": 1 / number, "multiply": number}.get(function, 1.0)
    offset = {"subtract": -number, "add": number}.get(function, 0.0)
    entry["class_name"], entry["module"] = "Rescaling", "keras.layers"
    entry["registered_name"] = None
    entry["config"] = {"name": options.get("name"), "scale": scale, "offset": offset}
    entry["inbound_nodes"] = [[[*node[:3], {}]]]
    entry.pop("build_config", None)


def _count_from_0(options: dict[str, Any]) -> None:
    """Keras 2 counted the call that built a nested model as its first, Keras 3 does not."""
    layers = [layer for layer in options["layers"] if isinstance(layer, dict)]
    names = [layer.get("name") for layer in layers if layer.get("class_name") in NESTED]
    used = [layer.get("inbound_nodes") for layer in layers]
    references = [*_references([used, options.get("output_layers")])]
    for name in names:
        calls = [reference for reference in references if reference[0] == name]
        first = min((reference[1] for reference in calls), default=0)
        for reference in calls:
            reference[1] -= first


def _references(value: Any) -> Iterator[list[Any]]:
    """The lists [layer, call, tensor, ...] by which Keras 2 wrote down a graph."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if not isinstance(here, list):
            continue
        if len(here) >= 3 and isinstance(here[0], str) and isinstance(here[1], int):
            yield here
        else:
            waiting += here
