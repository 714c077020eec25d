"""Where a float model comes from, and how a torch model is kept: safetensors and a card."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

from edgekit.data.framing import Framing
from edgekit.data.splits import SplitsMetadata
from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Artifact, Json, sha256_of
from edgekit.errors import InputError, WeightsError
from edgekit.models.card import WEIGHTS_FILE, Card, read_card
from edgekit.models.channel_widths import Widths, resize
from edgekit.models.checkpoint import (
    NOTE,
    classifiers,
    load_into,
    read_state,
    rename_lite,
)
from edgekit.models.float_metadata import FloatMetadata
from edgekit.models.source import TORCHVISION, ModelSource, Triple

if TYPE_CHECKING:
    import torch

    StateDict = dict[str, torch.Tensor]


class LoadModel(Action):
    """Build the architecture, load the weights, check them."""

    libraries = ("torch", "timm")

    def __init__(self, source: ModelSource, framing: Framing) -> None:
        self.source = source
        self.file = source.weights_file()
        self.framing = framing

    def settings(self) -> Json:
        # The path does not matter, the content does: a moved file is the same model.
        chosen = self.source.model_dump(mode="json", exclude={"weights"})
        weights = sha256_of(self.file) if self.file else self.source.weights
        return {**chosen, "weights": weights, **asdict(self.framing)}

    def run(self, inputs: Inputs, into: Path, context: Context) -> FloatMetadata:
        import torch

        classes = inputs["splits"].described_by(SplitsMetadata).classes
        torch.manual_seed(0)  # an untrained head is the same in every build
        model, mean, std = load(self.source, self.file, classes, self.framing.size)
        card = Card(
            arch=self.source.arch,
            classes=classes,
            image_size=self.framing.size,
            mean=mean,
            std=std,
            fit=self.framing.fit,
            crop_pct=self.framing.crop_pct,
            parameters=sum(p.numel() for p in model.parameters()),
            macs=count_macs(model, self.framing.size),
            widths=_known_widths(self.source, self.file),
        )
        return save(model, card, into)


def load(
    source: ModelSource, file: Path | None, classes: tuple[str, ...], image_size: int
) -> tuple[Any, Triple, Triple]:
    """The torch model of a source for the data's classes, and its normalisation's mean and std.

    Args:
        file: where the source's weights are, from `weights_file`.

    Raises:
        WeightsError: the weights do not fit the architecture, or were trained on other classes.
    """
    model = create(source.arch, len(classes), source.weights == "pretrained", image_size)
    widths = _known_widths(source, file)
    if widths:
        resize(model, widths)
    if file:
        load_into(model, _state(source, file), source.weights_name, source.head == "new")
    if source.head == "new" or source.weights == "scratch":
        reset_head(model)
    elif not file:
        _refuse_untrained_head(model, classes, source.arch)
    known = read_card(file) if file else None
    if known and source.head == "keep" and known.classes != classes:
        raise WeightsError(
            f"{source.weights_name} was trained on the classes {', '.join(known.classes)}; "
            f"the data has {', '.join(classes)}",
            hint="use the data it was made for, or set model.head: new and finetune",
        )
    config = model.pretrained_cfg
    default = (known.mean, known.std) if known else (config["mean"], config["std"])
    return model, *source.normalisation(*default)


def _known_widths(source: ModelSource, file: Path | None) -> Widths | None:
    """What was cut of the architecture in a file of edgekit's own."""
    known = read_card(file) if file else None
    return known.widths if known and known.arch == source.arch else None


def load_backbone(
    source: ModelSource, file: Path | None, image_size: int
) -> tuple[Any, Triple, Triple]:
    """A timm model without its classifier, which gives features (images, features), and its
    normalisation's mean and std. The classes of its weights do not matter.

    Raises:
        WeightsError: the weights do not fit the architecture, or cannot be had.
    """
    model = create(source.arch, 0, source.weights == "pretrained")
    widths = _known_widths(source, file) or {}
    last = classifiers(model)
    resize(model, {name: sizes for name, sizes in widths.items() if name not in last})
    if file:
        load_into(model, _state(source, file), source.weights_name, new_head=True)
    if model.pretrained_cfg.get("fixed_input_size"):
        # After the weights, whose position embeddings are of the size they were trained at.
        model.set_input_size(img_size=(image_size, image_size))
    known = read_card(file) if file else None
    config = model.pretrained_cfg
    default = (known.mean, known.std) if known else (config["mean"], config["std"])
    return model, *source.normalisation(*default)


def _state(source: ModelSource, file: Path) -> StateDict:
    state = read_state(file)
    if source.weights.startswith("package:"):
        state = rename_lite(state, create(source.arch, 1000).state_dict())
    return state


def create(arch: str, classes: int, pretrained: bool = False, image_size: int | None = None) -> Any:
    """A timm model in eval mode, or torchvision's where the name begins with `torchvision/`.

    Args:
        image_size: pixels; needed by architectures that are built for one size, such as ViT.

    Raises:
        InputError: unknown architecture, with the nearest names.
        WeightsError: the hub's weights cannot be had.
    """
    import timm

    if arch.startswith(TORCHVISION):
        return _create_torchvision(arch.removeprefix(TORCHVISION), classes)
    if not timm.is_model(arch.split(".")[0]):
        raise _unknown(arch, arch.split(".")[0], timm.list_models(), "timm")
    try:
        config = timm.get_pretrained_cfg(arch)  # None for timm's deprecated names
        fixed = config and config.fixed_input_size
        sized = {"img_size": image_size} if fixed and image_size else {}
        return timm.create_model(arch, pretrained=pretrained, num_classes=classes, **sized).eval()
    except (RuntimeError, OSError, AssertionError) as error:
        if not pretrained:
            raise InputError(f"model.arch: timm cannot build {arch}: {error}") from error
        raise WeightsError(
            f"model.weights: the pretrained weights of {arch} cannot be had: {error}",
            hint="without a network, give a file, or point HF_HOME to a cache that holds them",
        ) from error


def _create_torchvision(name: str, classes: int) -> Any:
    """torchvision's model with what is read of timm's: its configuration and its classifier."""
    import torch
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise _unknown(TORCHVISION + name, name, known, "torchvision")
    model = torchvision.models.get_model(name, weights=None, num_classes=classes).eval()
    imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    linear = [n for n, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    if not linear:
        raise InputError(f"model.arch: {TORCHVISION}{name} does not end in a linear layer")
    facts = {"num_classes": 1000, "architecture": name, "classifier": linear[-1]}
    model.pretrained_cfg = {**imagenet, **facts}
    # A method, so that a copy of the network gives its own layer.
    model.get_classifier = MethodType(lambda self: self.get_submodule(linear[-1]), model)
    return model


def _unknown(arch: str, name: str, known: list[str], library: str) -> InputError:
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    return InputError(
        f"model.arch: {library} knows no architecture {arch!r}",
        hint=f"nearest: {', '.join(near)}" if near else f"{library} lists them: list_models()",
    )


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


def save(model: Any, card: Card, into: Path) -> FloatMetadata:
    """Write model.safetensors, its card inside, and return the metadata of the artifact."""
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, into / WEIGHTS_FILE, metadata={NOTE: card.model_dump_json()})
    return FloatMetadata(card=card)


def restore(artifact: Artifact) -> tuple[Any, Card]:
    """The float model of an artifact and its card: a torch model in eval mode, or the path of an
    .onnx file, a .keras or .h5 file or the folder of a SavedModel."""
    metadata = artifact.described_by(FloatMetadata)
    card = metadata.card
    if metadata.file is not None:
        return artifact.path / metadata.file, card
    return rebuild(card, artifact.file(WEIGHTS_FILE)), card


def rebuild(card: Card, path: Path) -> Any:
    """The torch model that `save` wrote, in eval mode, at the widths its card gives."""
    from safetensors.torch import load_file

    model = create(card.arch, len(card.classes), image_size=card.image_size)
    if card.widths:
        resize(model, card.widths)
    model.load_state_dict(load_file(path))
    return model.eval()


def count_macs(model: Any, image_size: int) -> int:
    """Multiply-accumulates for one image: half of torch's count of floating-point operations."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.zeros(1, 3, image_size, image_size))
    return int(counter.get_total_flops()) // 2
