"""The functions a torch model calls for one image, in order, and where each result goes.

Seen at the level of torch's functions, not of modules: a residual sum or an attention's product
is a call like any other, whatever the architecture is written like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgekit.data.size import Size

if TYPE_CHECKING:
    import torch

IMAGE = -1
"""Stands for the model's input where a call's inputs are listed."""
ACTIVATIONS = {
    "relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "mish", "sigmoid", "tanh", "softplus",
    "hardswish", "hardsigmoid", "prelu",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a torch function whose result, of real numbers, depends on the image."""

    index: int
    function: str
    """conv2d, batch_norm, add, relu, ...: torch's name, without underscores."""
    module: str
    """The innermost module that was running."""
    parameters: tuple[str, ...]
    """Names of the parameters and buffers among its arguments."""
    inputs: tuple[int, ...]
    """Indices of the calls that made its inputs, or IMAGE."""
    settings: tuple[float, ...]
    """Plain numbers among its arguments, such as the limits of a hardtanh."""

    @property
    def owner(self) -> str | None:
        """The module whose parameters or buffers the function took."""
        return self.parameters[0].rpartition(".")[0] if self.parameters else None

    @property
    def activation(self) -> str | None:
        """relu, relu6, hardswish, silu, ...; None if it is not an activation."""
        if self.function == "hardtanh":
            return "relu6" if self.settings[:2] == (0, 6) else "hardtanh"
        return self.function if self.function in ACTIVATIONS else None


@dataclass(frozen=True)
class Trace:
    """All calls of one run of a model in eval mode."""

    calls: tuple[Call, ...]

    @cached_property
    def _consumers(self) -> dict[int, list[Call]]:
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            for index in dict.fromkeys(call.inputs):
                found.setdefault(index, []).append(call)
        return found

    def consumers(self, index: int) -> list[Call]:
        return self._consumers.get(index, [])

    def only_consumer(self, index: int) -> Call | None:
        """The call that alone takes a result; None where there are several, or none."""
        found = self.consumers(index)
        return found[0] if len(found) == 1 else None


Visit = Callable[[Call, "torch.Tensor"], "torch.Tensor"]
"""Sees each call with its result, and says what the model goes on with."""


def trace(model: Any, image_size: Size) -> Trace:
    """Run a model once on an empty image.

    Args:
        model: a torch model that takes (1, 3, *image_size), float32.
    """
    import torch

    calls: list[Call] = []

    def note(call: Call, result: torch.Tensor) -> torch.Tensor:
        calls.append(call)
        return result

    x = torch.zeros(1, 3, *image_size)
    names = {id(t): name for name, t in (*model.named_parameters(), *model.named_buffers())}
    running: list[str] = []
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda *_, n=name: running.append(n)))
        handles.append(module.register_forward_hook(lambda *_: (running.pop(), None)[1]))
    mode = model.training
    try:
        with torch.no_grad(), watch(x, note, names, running):
            model.eval()(x)
    finally:
        model.train(mode)
        for handle in handles:
            handle.remove()
    return Trace(tuple(calls))


def watch(
    x: torch.Tensor,
    visit: Visit,
    names: Mapping[int, str] | None = None,
    running: Sequence[str] = (),
) -> Any:
    """A context in which `visit` sees, and may replace, the result of each call that depends on
    `x`. A call that returns several tensors (chunk, split) is seen and never replaced.

    Args:
        names: of parameters and buffers, by their identity.
        running: the modules that are running, the innermost last.
    """
    from torch.overrides import TorchFunctionMode
    from torch.utils.weak import WeakTensorKeyDictionary

    made = WeakTensorKeyDictionary({x: IMAGE})
    named = names or {}
    count = 0

    class Recorder(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal count
            taken = list(_tensors((args, kwargs or {})))
            inputs = tuple(made[t] for t in taken if t in made)
            before = {id(t): t._version for t in taken}
            result = func(*args, **(kwargs or {}))
            results = [t for t in _tensors(result) if t.is_floating_point()] if inputs else []
            # A shape or a constant; or, as dropout does in eval mode, its own untouched input.
            if not results or before.get(id(results[0])) == results[0]._version:
                return result
            call = Call(
                index=count,
                function=func.__name__.strip("_"),
                module=running[-1] if running else "",
                parameters=tuple(named[id(t)] for t in taken if id(t) in named),
                inputs=inputs,
                settings=tuple(_numbers((args, kwargs or {}))),
            )
            count += 1
            replaced = visit(call, results[0])
            if len(results) == 1 and replaced is not results[0]:
                result, results = replaced, [replaced]
            for tensor in results:
                made[tensor] = call.index
            return result

    return Recorder()


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    import torch

    return (leaf for leaf in _leaves(value) if isinstance(leaf, torch.Tensor))


def _numbers(value: Any) -> Iterator[float]:
    return (float(leaf) for leaf in _leaves(value) if type(leaf) in (int, float))
