"""An architecture without its swish is built again from its card."""

from pathlib import Path

import pytest
import torch
from torchvision.ops import SqueezeExcitation

from edgekit.data.size import Size
from edgekit.models import timm_models
from edgekit.models.card import WEIGHTS_FILE, Card, read_card
from edgekit.models.source import ModelSource
from edgekit.models.swish import SwishSubstitute, replace_swish
from edgekit.pruning.cutting import described
from edgekit.pruning.groups import Dependencies

ARCH = "test_efficientnet"
CARD = Card(
    arch=ARCH, classes=("dark", "bright"), image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3,
    crop_pct=1.0, parameters=0, macs=0,
)  # fmt: skip


@pytest.mark.parametrize("substitute", ["hard_swish", "relu6"])
def test_a_cut_network_without_swish_is_rebuilt_and_loaded(
    substitute: SwishSubstitute, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = timm_models.create(ARCH, 2)
    replace_swish(model, substitute)
    dependencies = Dependencies(model, Size.square(32))
    dependencies.cut({g.name: range(0, g.width // 2, 2) for g in dependencies.groups})
    card = described(model, CARD.model_copy(update={"activation": substitute}))
    timm_models.save(model, card, tmp_path)
    read = read_card(tmp_path / WEIGHTS_FILE)
    assert read == card
    file, image = tmp_path / WEIGHTS_FILE, torch.randn(2, 3, 32, 32)
    source = ModelSource(weights=WEIGHTS_FILE, arch=ARCH)
    loaded, *_ = timm_models.load(source, file, CARD.classes, Size.square(32))
    with torch.no_grad():
        expected = model.eval()(image)
        assert torch.equal(expected, timm_models.rebuild(read, file)(image))
        assert torch.equal(expected, loaded(image))


def test_torchvisions_swish_is_replaced_too() -> None:
    gated = SqueezeExcitation(8, 2, activation=torch.nn.SiLU)
    assert replace_swish(gated, "hard_swish") == (1, 1)
    assert isinstance(gated.scale_activation, torch.nn.Hardsigmoid)


def test_the_card_of_a_network_as_it_is_names_no_activation() -> None:
    assert "activation" not in CARD.model_dump()
