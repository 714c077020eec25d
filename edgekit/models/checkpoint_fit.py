"""The tensors of a checkpoint, fitted to a model by name and shape."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from edgekit.errors import WeightsError
from edgekit.models.nearest_architecture import architecture_of

if TYPE_CHECKING:
    import torch

    StateDict = dict[str, torch.Tensor]


def classifiers(model: Any) -> list[str]:
    """The names of a timm model's last layers, whether it was built with them or not."""
    head = model.pretrained_cfg["classifier"]
    return [head] if isinstance(head, str) else list(head)


def load_into(
    model: Any, state: StateDict, where: str, new_head: bool = False, said: str = ""
) -> str:
    """Load a state dict into a timm model; with a new head, all but the classifier's tensors.

    Args:
        said: the architecture that the checkpoint says it is of.

    Returns:
        What was taken off the names and left out, for a person; empty where nothing was.

    Raises:
        WeightsError: naming the keys that are missing, unexpected or of another shape.
    """
    own = model.state_dict()
    heads = classifiers(model)
    if new_head:
        own = _without(own, heads)
    state, remark = unwrapped(state, own, where)
    if new_head:
        state = _without(state, heads)
    misfits = _misfits(state, own)
    if misfits:
        arch = model.pretrained_cfg["architecture"]
        faults = [f"  {what} ({len(k)}): {'; '.join(k[:5])}" for what, k in misfits.items()]
        raise WeightsError(
            f"{where} does not fit {arch}:\n" + "\n".join([*faults, *filter(None, [remark])]),
            hint=_hint(misfits, heads, state, arch, said),
        )
    model.load_state_dict(state, strict=False)
    return remark


OTHER_CLASSES = (
    "the classifier has other classes than the data: set model.head: new and add a finetune stage"
)


def _hint(
    misfits: dict[str, list[str]], heads: list[str], state: StateDict, arch: str, said: str
) -> str:
    if _is_head_alone(misfits, heads):
        return OTHER_CLASSES
    if [*misfits] == ["other type"]:
        return "give the weights as floats, as they were before they were quantised"
    advice = "give the architecture these weights were made for"
    if said and said != arch:
        return f"{advice}: the file says {said}"
    found = architecture_of({name: tuple(t.shape) for name, t in state.items()}, arch)
    return f"{advice}: they fit {found}" if found else advice


def unwrapped(state: StateDict, own: StateDict, where: str) -> tuple[StateDict, str]:
    """A state dict with the model's own names, where a training program put others before them
    (`module.`, `model.`, `_orig_mod.`), and what was done, for a person.

    Raises:
        WeightsError: there are two networks in it that fit.
    """
    required = _required(own)
    if required <= set(state):
        return state, ""
    bare = state
    prefixes = _prefixes(state, required)
    if not prefixes:
        bare = _without_wrappers(state, own)
        prefixes = _prefixes(bare, required)
    if len(prefixes) > 1:
        raise _several_networks(prefixes, where)
    # Without one that fits, what all names share: then the message is about the rest.
    prefix = prefixes[0] if prefixes else _shared(bare)
    result = _under(prefix, bare)
    if not prefixes and len(required & set(result)) <= len(required & set(state)):
        return state, ""
    wrappers = _wrappers_in(state) if bare is not state else []
    taken_off = ", ".join([*wrappers, *([prefix] if prefix else [])])
    left_out = _left_out([name for name in bare if not name.startswith(prefix)])
    return result, f"taken off the names in {where}: {taken_off}{left_out}"


def _several_networks(prefixes: list[str], where: str) -> WeightsError:
    return WeightsError(
        f"{where} holds several networks that fit: {', '.join(prefixes)}",
        hint="save the one to take alone: "
        f"{{n.removeprefix({prefixes[0]!r}): t for n, t in state.items() "
        f"if n.startswith({prefixes[0]!r})}}",
    )


def _left_out(names: list[str]) -> str:
    return f"; left out beside it: {', '.join(names[:5])} ({len(names)})" if names else ""


WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What DataParallel, torch.compile and others put before a name, or inside it."""
COUNTER = "num_batches_tracked"
"""Of a batch norm, which torch before 0.4.1 did not count. It is of no use to a trained network."""


def _under(prefix: str, state: StateDict) -> StateDict:
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def _required(own: StateDict) -> set[str]:
    return {name for name in own if not name.endswith(COUNTER)}


def _wrappers_in(state: StateDict) -> list[str]:
    parts = {part for name in state for part in name.split(".")}
    return [f"{wrapper}." for wrapper in WRAPPERS if wrapper in parts]


def _without_wrappers(state: StateDict, own: StateDict) -> StateDict:
    known = {part for name in own for part in name.split(".")}
    drop = {wrapper for wrapper in WRAPPERS if wrapper not in known}
    bare = {".".join(p for p in n.split(".") if p not in drop): t for n, t in state.items()}
    return bare if len(bare) == len(state) and list(bare) != list(state) else state


def _prefixes(state: StateDict, required: set[str]) -> list[str]:
    """What stands before all of the model's names."""
    anchor = max(required, key=lambda name: (len(name), name))
    ends = [n.removesuffix(anchor) for n in state if n.endswith(anchor)]
    possible = sorted({p for p in ends if not p or p.endswith(".")})
    return [p for p in possible if all(p + name in state for name in required)]


def _shared(state: StateDict) -> str:
    """The longest prefix, up to a dot, of all names."""
    levels = zip(*(name.split(".")[:-1] for name in state), strict=False)
    shared = takewhile(lambda parts: len(set(parts)) == 1, levels)
    return "".join(f"{parts[0]}." for parts in shared)


def _without(state: StateDict, modules: list[str]) -> StateDict:
    return {n: t for n, t in state.items() if n.rsplit(".", 1)[0] not in modules}


def _misfits(state: StateDict, own: StateDict) -> dict[str, list[str]]:
    """What of a state dict does not fit a model's own, by what is wrong; empty if all fits."""
    both = [name for name in own if name in state]
    found = {
        "missing": sorted(_required(own) - set(state)),
        "unexpected": sorted(set(state) - set(own)),
        "other shape": [
            f"{n} is {tuple(state[n].shape)}, expected {tuple(own[n].shape)}"
            for n in both
            if state[n].shape != own[n].shape
        ],
        # Integers would be taken for the values that they only stand for.
        "other type": [
            f"{n} is {state[n].dtype}, expected {own[n].dtype}"
            for n in both
            if own[n].is_floating_point() and not state[n].is_floating_point()
        ],
    }
    return {what: names for what, names in found.items() if names}


def _is_head_alone(misfits: dict[str, list[str]], heads: list[str]) -> bool:
    """Whether nothing but the shape of the classifier differs: it has other classes."""
    shapes = misfits.get("other shape", [])
    return [*misfits] == ["other shape"] and all(s.startswith(tuple(heads)) for s in shapes)
