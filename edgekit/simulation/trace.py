"""The functions a torch model calls for one image, in order, and where each result goes.

Seen at the level of torch's functions, not of modules: a residual sum or an attention's product
is a call like any other, whatever the architecture is written like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

IMAGE = -1
"""Stands for the model's input where a call's inputs are listed."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a torch function whose result depends on the image."""

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


ACTIVATIONS = {
    "relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "mish", "sigmoid", "tanh", "softplus",
    "hardswish", "hardsigmoid", "prelu",
}  # fmt: skip


@dataclass(frozen=True)
class Trace:
    """All calls of one run of a model in eval mode."""

    calls: tuple[Call, ...]

    def consumers(self, index: int) -> list[Call]:
        return [call for call in self.calls if index in call.inputs]

    def only_consumer(self, index: int) -> Call | None:
        """The call that alone takes a result; None where there are several, or none."""
        found = self.consumers(index)
        return found[0] if len(found) == 1 else None


Visit = Callable[[Call, "torch.Tensor"], "torch.Tensor"]
"""Sees each call with its result, and says what the model goes on with."""


def trace(model: Any, image_size: int) -> Trace:
    """Run a model once on an empty image.

    Args:
        model: a torch model that takes (1, 3, image_size, image_size), float32.
    """
    import torch

    calls: list[Call] = []

    def note(call: Call, result: torch.Tensor) -> torch.Tensor:
        calls.append(call)
        return result

    mode = model.training
    with torch.no_grad():
        run(model.eval(), torch.zeros(1, 3, image_size, image_size), note)
    model.train(mode)
    return Trace(tuple(calls))


def run(model: Any, x: torch.Tensor, visit: Visit) -> torch.Tensor:
    """Run a model and let `visit` see, and replace, the result of each call that depends on `x`.

    A call that returns several tensors (chunk, split) is seen and never replaced.
    """
    from torch.overrides import TorchFunctionMode

    names = {id(t): name for name, t in (*model.named_parameters(), *model.named_buffers())}
    # Results are held until the end, or a new tensor could take the identity of one that is gone.
    made: dict[int, tuple[int, torch.Tensor]] = {id(x): (IMAGE, x)}
    count = 0
    running: list[str] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal count
            taken = list(_tensors((args, kwargs or {})))
            inputs = tuple(made[id(t)][0] for t in taken if id(t) in made)
            result = func(*args, **(kwargs or {}))
            results = list(_tensors(result)) if inputs else []
            if not results:  # a shape, a constant
                return result
            call = Call(
                index=count,
                function=func.__name__.strip("_"),
                module=running[-1] if running else "",
                parameters=tuple(names[id(t)] for t in taken if id(t) in names),
                inputs=inputs,
                settings=tuple(_numbers((args, kwargs or {}))),
            )
            count += 1
            replaced = visit(call, results[0])
            if len(results) == 1 and replaced is not results[0]:
                result, results = replaced, [replaced]
            made.update({id(t): (call.index, t) for t in results})
            return result

    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda *_, n=name: running.append(n)))
        handles.append(module.register_forward_hook(lambda *_: (running.pop(), None)[1]))
    try:
        with Watch():
            scores: torch.Tensor = model(x)
            return scores
    finally:
        for handle in handles:
            handle.remove()


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
