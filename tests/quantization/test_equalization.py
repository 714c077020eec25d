import copy
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.data.size import Size
from edgekit.models import timm_models
from edgekit.quantization.equalization import equalise, layer_links, norm_links
from edgekit.quantization.fold_batch_norm import fold_batch_norm


class Chain(nn.Module):
    """Two convolutions with a ReLU between them; of the second two things read the result."""

    def __init__(self, act: nn.Module, groups: int = 1) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 8, 3)
        self.act = act
        self.two = nn.Conv2d(8, 8, 3, groups=groups)
        self.three = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = self.two(self.act(self.one(x)))
        scores: torch.Tensor = self.head((middle + self.three(middle)).mean((2, 3)))
        return scores


def uneven(act: nn.Module, groups: int = 1) -> Any:
    torch.manual_seed(0)
    model = Chain(act, groups).eval()
    with torch.no_grad():
        model.one.weight[3] *= 30
    return model


BATCHES = [torch.rand(4, 3, 12, 12)]


@pytest.mark.parametrize("groups", [1, 8])
def test_channels_reach_alike_and_the_scores_stay(groups: int) -> None:
    model = uneven(nn.ReLU(), groups)
    links = layer_links(model, Size.square(12))
    assert [(link.makers, link.takers) for link in links] == [(("one",), ("two",))]
    scaled = copy.deepcopy(model)
    equalise(scaled, links, BATCHES)

    def spread(m: Any) -> float:
        with torch.no_grad():
            reach = m.act(m.one(BATCHES[0])).amax(dim=(0, 2, 3))
        alive = reach[reach > 0]
        return float(alive.max() / alive.median())

    assert spread(scaled) < 0.6 * spread(model)
    with torch.no_grad():
        assert torch.allclose(scaled(BATCHES[0]), model(BATCHES[0]), rtol=1e-4, atol=1e-5)
    assert not torch.equal(scaled.one.weight, model.one.weight)


def test_relu6_is_left_alone_since_its_limit_cannot_be_scaled() -> None:
    assert layer_links(uneven(nn.ReLU6()), Size.square(12)) == []
    assert layer_links(uneven(nn.Hardswish()), Size.square(12)) == []


def test_layer_norm_is_smoothed_in_front_of_attention() -> None:
    model = timm_models.create("vit_tiny_patch16_224", 3, image_size=Size.square(32))
    links = norm_links(model, Size.square(32))
    assert len(links) == 24
    assert links[0].makers == ("blocks.0.norm1",)
    assert links[0].takers == ("blocks.0.attn.qkv",)
    scaled, x = copy.deepcopy(model), [torch.rand(2, 3, 32, 32)]
    equalise(scaled, links, x)
    with torch.no_grad():
        assert torch.allclose(scaled(x[0]), model(x[0]), rtol=1e-3, atol=1e-4)
    assert not torch.equal(scaled.blocks[0].norm1.weight, model.blocks[0].norm1.weight)


@pytest.mark.parametrize(
    ("arch", "linked"), [("mobilenetv4_conv_small", 20), ("tf_efficientnet_lite0", 0)]
)
def test_what_real_networks_offer(arch: str, linked: int) -> None:
    model = fold_batch_norm(timm_models.create(arch, 3), Size.square(64))
    links = layer_links(model, Size.square(64))
    assert len(links) >= linked
    x = torch.rand(2, 3, 64, 64)
    scaled = copy.deepcopy(model)
    equalise(scaled, links, [x])
    with torch.no_grad():
        before, after = model(x), scaled(x)
    assert (before - after).norm() < 1e-3 * before.norm() + 1e-5
