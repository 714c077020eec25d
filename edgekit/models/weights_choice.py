"""Which of the tensors in a checkpoint are the weights: training scripts wrap them in many ways,
and some keep two sets, as trained (raw) and averaged (EMA)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.errors import WeightsError
from edgekit.models.checkpoint_contents import SAVE_WEIGHTS, look_into
from edgekit.models.idle_unpickler import Foreign
from edgekit.models.source import KEY, State

RAW = (
    "state_dict", "model", "model_state_dict", "model_state", "module", "net", "net_state_dict",
    "network", "weights", "params",
)  # fmt: skip
EMA = (
    "state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema",
    "params_ema",
)  # fmt: skip
"""timm's train.py, torchvision's references, and names that other scripts use; timm's order."""
AVERAGED = {"averaging_state": "current_model_state", "message_hub": "ema_state_dict"}
"""What tells that state_dict is the average, and where the raw weights are then: Lightning's
WeightAveraging, and mmengine's EMAHook, which keeps the raw weights under the other's name."""
EMA_MODULE = re.compile(r"^(?:\w+_)?ema(?:_\w+)?\.")
"""How the names of a model's average begin where a module holds it beside the model."""
MAX_DEPTH = 4
"""Wrappers inside one another."""
OF_THE_AVERAGE = ("n_averaged", "num_updates", "decay", "steps")
"""Counters that lie beside averaged weights."""

Tensors = dict[str, Any]


@dataclass(frozen=True)
class WeightsChoice:
    """The tensors that were chosen of a checkpoint."""

    tensors: Tensors
    keys: tuple[str, ...] = ()
    """The wrappers around them, outermost first."""
    state: State | None = None
    """Which of the two sets, where there are two."""
    other: str = ""
    """The key of the other set."""
    arch: str = ""
    """The architecture that the checkpoint says it is of."""
    arguments: Mapping[Any, Any] = field(default_factory=dict)
    """Of the program that trained it, as its `args` have them."""

    def remark(self, file: str, setting: str = "model") -> str:
        """What a person should know of it; nothing for a file that leaves no choice."""
        if not self.state:
            return ""
        kinds = {"ema": "EMA", "raw": "raw"}
        contrary: State = "raw" if self.state == "ema" else "ema"
        return (
            f"{file} holds raw and EMA weights: the {kinds[self.state]} ones "
            f"({'.'.join(self.keys)}) are taken; {setting}.state: {contrary} takes the "
            f"{kinds[contrary]} ones ({self.other})"
        )


def chosen(path: Path, wanted: State | None, key: str = KEY) -> WeightsChoice:
    """What of a file `read_state` takes, as `StoredTensor`.

    Raises:
        WeightsError: as `choose` and `look_into` do, with the recipe's key in front.
    """
    try:
        return choose(look_into(path).content, path, wanted)
    except WeightsError as error:
        raise WeightsError(f"{key}: {error.message}", hint=error.hint) from error


def choose(content: Any, path: Path, wanted: State | None) -> WeightsChoice:
    """The weights in what a checkpoint holds.

    Args:
        wanted: which of two sets; None for EMA where there is one, as timm does.

    Raises:
        WeightsError: there are none, there is more than one candidate, or not the wanted set.
    """
    if not isinstance(content, Mapping):
        raise _nothing(content, path)
    raw, ema = _sets(content)
    if not (raw or ema):
        raw = _only(content, path)
    if wanted and not {"raw": raw, "ema": ema}[wanted]:
        raise _not_there(wanted, path)
    taken, left = (raw, ema) if wanted == "raw" or not ema else (ema, raw)
    assert taken is not None  # one of them is there
    _refuse_others(taken[1], path)
    state: State = "raw" if taken is raw else "ema"
    said, arguments = _said_architecture(content), _arguments(content.get("args"))
    if not left:
        return WeightsChoice(taken[1], taken[0], arch=said, arguments=arguments)
    return WeightsChoice(taken[1], taken[0], state, ".".join(left[0]), said, arguments)


def _not_there(wanted: State, path: Path) -> WeightsError:
    if wanted == "ema":
        return WeightsError(
            f"{path} holds no EMA weights, and the recipe asks for state: ema",
            hint="remove state, or give the checkpoint that holds them",
        )
    return WeightsError(
        f"{path} holds EMA weights alone, and the recipe asks for state: raw",
        hint="remove state, or give the checkpoint that holds the raw ones",
    )


def _said_architecture(content: Mapping[Any, Any]) -> str:
    return next((content[k] for k in ("arch", "model_name") if isinstance(content.get(k), str)), "")


def _arguments(args: object) -> Mapping[Any, Any]:
    found = args.attributes if isinstance(args, Foreign) else args
    return found if isinstance(found, Mapping) else {}


Found = tuple[tuple[str, ...], Tensors]
"""Tensors, and the keys under which they were found."""


def _sets(content: Mapping[Any, Any]) -> tuple[Found | None, Found | None]:
    """The raw and the averaged weights of a checkpoint, as far as it holds them."""
    raw, ema = _first(content, RAW), _first(content, EMA)
    for mark, key in AVERAGED.items():
        if mark in content and raw and (trained := _inside(content, key)):
            return trained, raw
    ema = ema or _kept_by_callback(content.get("callbacks"))
    if not raw and _is_state(content):
        raw = (), dict(content)
    return (raw, ema) if ema or not raw else _parted(raw)


def _kept_by_callback(callbacks: object) -> Found | None:
    """The averaged weights that one of Lightning's callbacks holds."""
    for name, state in callbacks.items() if isinstance(callbacks, Mapping) else ():
        if isinstance(state, Mapping) and (found := _first(state, EMA)):
            return ("callbacks", str(name), *found[0]), found[1]
    return None


def _parted(found: Found) -> tuple[Found | None, Found | None]:
    """A module that holds the model's average beside the model has both in one state dict."""
    keys, tensors = found
    ema = {n: t for n, t in tensors.items() if EMA_MODULE.match(n)}
    raw = {n: t for n, t in tensors.items() if n not in ema}
    weights = {n for n in ema if not n.endswith(OF_THE_AVERAGE)}
    if not weights or len(weights) != len(raw):
        return found, None
    heads = [(*keys, next(iter(part)).partition(".")[0]) for part in (raw, ema)]
    return (heads[0], raw), (heads[1], ema)


def _first(content: Mapping[Any, Any], names: tuple[str, ...]) -> Found | None:
    return next((found for name in names if (found := _inside(content, name))), None)


def _inside(content: Mapping[Any, Any], name: str, depth: int = 1) -> Found | None:
    """The tensors under a key, there or in wrappers of their own."""
    value = content.get(name)
    if not isinstance(value, Mapping):
        return None
    if _is_state(value):
        return (name,), dict(value)
    for inner in RAW if depth < MAX_DEPTH else ():
        if found := _inside(value, inner, depth + 1):
            return (name, *found[0]), found[1]
    return None


def _only(content: Mapping[Any, Any], path: Path) -> Found:
    """The one dictionary of tensors in a checkpoint, whatever its name."""
    states = [
        name for name, value in content.items() if isinstance(value, Mapping) and _is_state(value)
    ]
    if len(states) == 1:
        return (str(states[0]),), dict(content[states[0]])
    if states:
        raise WeightsError(
            f"{path} holds several state dicts: {', '.join(map(str, states[:5]))}",
            hint=SAVE_WEIGHTS,
        )
    raise _nothing(content, path)


def _is_state(value: Mapping[Any, Any]) -> bool:
    """Whether it holds tensors by name; what else it holds is for `_refuse_others`."""
    return any(isinstance(name, str) and hasattr(tensor, "shape") for name, tensor in value.items())


def _nothing(content: Any, path: Path) -> WeightsError:
    values = content.values() if isinstance(content, Mapping) else [content]
    whole = next((value.name for value in values if isinstance(value, Foreign)), None)
    if whole:
        what = f"pickled objects ({whole}), such as a whole model, that could run any code"
    elif isinstance(content, Mapping):
        what = f"no tensors but {', '.join(map(str, [*content][:5]))}" if content else "nothing"
    else:
        what = "one tensor" if hasattr(content, "shape") else f"a {type(content).__name__}"
    return WeightsError(f"{path} holds {what}; a state dict expected", hint=SAVE_WEIGHTS)


ODD = {
    "qtensor": "quantised", "sparse_tensor": "sparse", "sparse_csr_tensor": "sparse",
    "nested_tensor": "nested", "njt": "nested", "meta_tensor_no_storage": "without values",
    "wrapper_subclass": "of a class of their own",
}  # fmt: skip
"""What torch calls the functions that make them."""


def _refuse_others(state: Tensors, path: Path) -> None:
    others = {name: value for name, value in state.items() if not hasattr(value, "shape")}
    names = ", ".join(map(str, [*others][:5]))
    kinds = {ODD.get(getattr(v, "name", "").partition("_rebuild_")[2]) for v in others.values()}
    if odd := sorted(filter(None, kinds)):
        raise WeightsError(
            f"{path} holds tensors that are {', '.join(odd)}: {names}",
            hint="save the weights as they were before: plain tensors of floats",
        )
    if others:
        raise WeightsError(f"{path} holds more than tensors: {names}", hint=SAVE_WEIGHTS)
