"""How much each channel of a group matters.

magnitude  the squared weights that make and read it, each layer's held against its own mean
taylor     what the loss would change by without it, to first order, on training images
           (Molchanov et al. 2019)
bn_scale   the scale its batch normalisation gives it (Liu et al. 2017, network slimming)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.engine.user_paths import UserFunction
from edgekit.errors import InputError
from edgekit.models.card import Card
from edgekit.pruning.members import Group, Member

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Importance = dict[str, list[float]]
"""By the group's name one value a channel, 0 or more: the smaller, the sooner it goes."""
TAYLOR_IMAGES = 512
BATCH = 32
CRITERIA = ("magnitude", "taylor", "bn_scale")


def importance_of(
    name: str,
    model: Any,
    card: Card,
    groups: Sequence[Group],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    own: UserFunction | None = None,
) -> Importance:
    """The importance that a recipe names: one of `CRITERIA`, or a function of the user's.

    Args:
        images, labels: of the training split, uint8 (images, height, width, 3) and int64.
        own: the user's function, where `name` is none of `CRITERIA`.

    Raises:
        InputError: the user's function fails, or does not give every channel a number.
    """
    if name == "magnitude":
        return {group.name: _magnitude(model, group) for group in groups}
    if name == "bn_scale":
        return {group.name: _bn_scale(model, group) for group in groups}
    if name == "taylor":
        return _taylor(model, card, groups, images, labels)
    assert own is not None
    return _of_user(own, model, groups, images, labels)


def plugin_files(own: UserFunction) -> dict[str, Path]:
    """What a user's function may be read from: all modules and packages beside the recipe, since it
    may import any of them.

    Raises:
        InputError: it is not in the recipe's folder, where a change of it would be seen.
    """
    base, module = own.folder, own.module
    place = base.joinpath(*module.split("."))
    package = (place / "__init__.py").is_file()
    if not package and not place.with_suffix(".py").is_file():
        raise InputError(
            f"prune.importance: {own.name} is not in the recipe's folder: neither {place}.py nor "
            f"{place / '__init__.py'} is there",
            hint="put the module or the package beside the recipe, so that a change of it is seen",
        )
    packages = {path.parent for path in base.glob("*/*.py")} | {base / module.split(".")[0]}
    found = [*base.glob("*.py"), *(path for top in packages for path in top.rglob("*.py"))]
    return {f"importance/{path.relative_to(base).as_posix()}": path for path in sorted(found)}


def _magnitude(model: Any, group: Group) -> list[float]:
    rows = [
        _gather(group, member, _squares(model.get_submodule(member.module), member))
        for member in group.members
        if _weights(model, member) is not None
    ]
    return _mean_of_relative(rows, group.width)


def _squares(module: Any, member: Member) -> torch.Tensor:
    """Sum of the squared weights of each channel at one side of a layer."""
    weights = module.weight.detach().double() ** 2
    side = 1 if member.side == "in" else 0
    sums: torch.Tensor = weights.sum(dim=[d for d in range(weights.dim()) if d != side])
    return sums


def _bn_scale(model: Any, group: Group) -> list[float]:
    import torch

    rows = []
    for member in group.members:
        module = model.get_submodule(member.module)
        if isinstance(module, torch.nn.BatchNorm2d) and module.weight is not None:
            rows.append(_gather(group, member, module.weight.detach().double().abs()))
    # A group without batch normalisation has no scales to tell its channels apart.
    return _mean_of_relative(rows, group.width) if rows else _magnitude(model, group)


def _taylor(
    model: Any,
    card: Card,
    groups: Sequence[Group],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> Importance:
    """|sum of w dL/dw| over what makes a channel, averaged over batches: in units of the loss."""
    import torch
    from torch.nn import functional as F

    total = {group.name: torch.zeros(group.width, dtype=torch.double) for group in groups}
    model.eval()
    count = 0
    for x, y in _batches(card, images, labels):
        model.zero_grad(set_to_none=True)
        with torch.enable_grad():
            torch.autograd.backward(F.cross_entropy(model(x), y))
        for group in groups:
            total[group.name] += _first_order(model, group).abs()
        count += 1
    model.zero_grad(set_to_none=True)
    return {name: (values / count).tolist() for name, values in total.items()}


def _first_order(model: Any, group: Group) -> torch.Tensor:
    import torch

    change = torch.zeros(group.width, dtype=torch.double)
    for member in group.members:
        if member.side in ("in", "groups"):
            continue  # what reads a channel loses it where it is made
        for parameter in model.get_submodule(member.module).parameters(recurse=False):
            if parameter.grad is not None:
                product = (parameter.detach() * parameter.grad).double()
                change += _gather(group, member, product.reshape(len(product), -1).sum(dim=1))
    return change


def _batches(
    card: Card, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Some training images, in no order, as the network sees them: (batch, 3, height, width)."""
    import torch
    from torch.nn import functional as F

    chosen = np.random.default_rng(0).permutation(len(labels))[:TAYLOR_IMAGES]
    mean, std = torch.tensor(card.mean).view(3, 1, 1), torch.tensor(card.std).view(3, 1, 1)
    for start in range(0, len(chosen), BATCH):
        batch = chosen[start : start + BATCH]
        pixels = torch.from_numpy(np.array(images[batch])).permute(0, 3, 1, 2).float()
        resized = F.interpolate(pixels, tuple(card.image_size), mode="bilinear", antialias=True)
        yield (resized / 255 - mean) / std, torch.from_numpy(np.array(labels[batch]))


def _weights(model: Any, member: Member) -> Any:
    """The weights of a convolution or linear layer; None for normalisation, and for a convolution
    of which whole groups go."""
    import torch

    if member.side == "groups":
        return None
    module = model.get_submodule(member.module)
    return module.weight if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) else None


def _gather(group: Group, member: Member, values: torch.Tensor) -> torch.Tensor:
    """Values of a layer's channels, summed into the group's that they belong to."""
    import torch

    result = torch.zeros(group.width, dtype=torch.double)
    return result.index_add_(0, torch.tensor(member.root), values[list(member.own)].double())


def _mean_of_relative(rows: list[torch.Tensor], width: int) -> list[float]:
    """Each layer's values in units of their mean, averaged over layers: none outweighs another."""
    import torch

    scaled = [row / row.mean() if float(row.mean()) else torch.ones(width).double() for row in rows]
    means: list[float] = torch.stack(scaled).mean(dim=0).tolist()
    return means


def _of_user(
    own: UserFunction,
    model: Any,
    groups: Sequence[Group],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> Importance:
    try:
        values = own(model, groups, images, labels)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"prune.importance: {own.name} failed: {type(error).__name__}: {error}",
            hint=f"put {own.module}.py beside the recipe; the function takes (model, groups, "
            "images, labels) and returns for each group's name a number for each channel",
        ) from error
    return {group.name: _checked(own.name, group, values) for group in groups}


def _checked(name: str, group: Group, values: Any) -> list[float]:
    try:
        numbers = [float(value) for value in values[group.name]]
    except (KeyError, TypeError, ValueError):
        numbers = []
    if len(numbers) != group.width or not all(0 <= value < np.inf for value in numbers):
        raise InputError(
            f"prune.importance: {name} must give {group.width} finite numbers, 0 or more, for "
            f"{group.name}"
        )
    return numbers
