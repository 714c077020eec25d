"""A network that was cut is built again from its architecture, its widths and its tensors."""

import doctest
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgekit.data.size import Size
from edgekit.errors import WeightsError
from edgekit.models import channel_widths, timm_models
from edgekit.models.card import WEIGHTS_FILE, Card, read_card
from edgekit.models.channel_widths import Widths, changed_widths, resize
from edgekit.models.source import ModelSource
from edgekit.pruning.groups import Dependencies

ARCH = "test_efficientnet"
CARD = Card(
    arch=ARCH, classes=("dark", "bright"), image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3,
    crop_pct=1.0, parameters=0, macs=0,
)  # fmt: skip


def pruned(arch: str = ARCH, size: int = 32) -> torch.nn.Module:
    """Every second channel of the lower half of each group is gone."""
    torch.manual_seed(0)
    model: torch.nn.Module = timm_models.create(arch, 2, image_size=Size.square(size))
    dependencies = Dependencies(model, Size.square(size))
    dependencies.cut({g.name: range(0, g.width // 2, 2) for g in dependencies.groups})
    return model.eval()


@pytest.mark.parametrize("arch", [ARCH, "efficientvit_b0", "test_resnet"])
def test_a_cut_network_is_rebuilt_to_the_last_bit(arch: str, tmp_path: Path) -> None:
    model = pruned(arch, 64)
    widths = changed_widths(model, timm_models.create(arch, 2))
    card = CARD.model_copy(update={"arch": arch, "image_size": Size.square(64), "widths": widths})
    timm_models.save(model, card, tmp_path)
    read = read_card(tmp_path / WEIGHTS_FILE)
    assert read == card
    again = timm_models.rebuild(read, tmp_path / WEIGHTS_FILE)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(image), again(image))


def test_a_network_that_was_not_cut_has_no_widths() -> None:
    assert changed_widths(timm_models.create(ARCH, 2), timm_models.create(ARCH, 2)) is None
    assert "widths" not in CARD.model_dump()
    assert "widths" not in CARD.model_dump_json()


def test_widths_name_only_what_was_cut() -> None:
    model = timm_models.create(ARCH, 2)
    dependencies = Dependencies(model, Size.square(32))
    group = next(g for g in dependencies.groups if g.name == "conv_head")
    dependencies.cut({group.name: [0, 1, 2]})
    widths = changed_widths(model, timm_models.create(ARCH, 2))
    assert widths == {
        "conv_head": {"out_channels": group.width - 3},
        "bn2": {"num_features": group.width - 3},
        "classifier": {"in_features": group.width - 3},
    }


def test_published_weights_of_a_pruned_network_are_loaded(tmp_path: Path) -> None:
    model = pruned()
    widths = changed_widths(model, timm_models.create(ARCH, 2))
    timm_models.save(model, CARD.model_copy(update={"widths": widths}), tmp_path)
    source = ModelSource(weights=WEIGHTS_FILE, arch=ARCH)
    loaded, *_ = timm_models.load(source, tmp_path / WEIGHTS_FILE, CARD.classes, Size.square(32))
    for name, tensor in load_file(tmp_path / WEIGHTS_FILE).items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_pruned_network_takes_a_head_for_other_classes(tmp_path: Path) -> None:
    model = pruned()
    widths = changed_widths(model, timm_models.create(ARCH, 2))
    timm_models.save(model, CARD.model_copy(update={"widths": widths}), tmp_path)
    source = ModelSource(weights=WEIGHTS_FILE, arch=ARCH, head="new")
    classes = ("a", "b", "c")
    loaded, *_ = timm_models.load(source, tmp_path / WEIGHTS_FILE, classes, Size.square(32))
    assert loaded(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"nowhere": {"out_channels": 8}}, "nowhere, which has no width"),
        ({"conv_stem": {"num_features": 8}}, "conv_stem, which has no num_features to cut"),
        ({"conv_stem": {"out_channels": 10_000}}, "conv_stem, which has no out_channels"),
        ({"conv_stem": {"out_channels": 0}}, "conv_stem, which has no out_channels"),
    ],
)
def test_widths_of_another_architecture_are_refused(widths: Widths, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        resize(timm_models.create(ARCH, 2), widths)


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(channel_widths)
    assert result.attempted
    assert not result.failed
