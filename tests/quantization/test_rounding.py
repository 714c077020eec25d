import copy
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.data.size import Size
from edgekit.models import timm_models
from edgekit.quantization.fake_quant import MAX_WEIGHT
from edgekit.quantization.fold_batch_norm import fold_batch_norm
from edgekit.quantization.rounding import (
    Moments,
    adaround,
    correct_bias,
    grid,
    layers,
    nearest,
    observe,
    round_weights,
)


def moments_of(x: torch.Tensor) -> Moments:
    """Of inputs (groups, patches, inputs)."""
    x = x.double()
    return Moments(x.transpose(1, 2) @ x, x.sum(dim=1), x.shape[1])


def codes(weight: torch.Tensor) -> torch.Tensor:
    return weight / grid(weight)


def test_nearest_keeps_the_largest_weight_and_the_grid() -> None:
    weight = torch.randn(6, 4, 3, 3)
    rounded = nearest(weight)
    assert torch.equal(grid(rounded), grid(weight))
    assert torch.allclose(codes(rounded), codes(rounded).round(), atol=1e-4)
    assert torch.equal(nearest(rounded), rounded)


@pytest.mark.parametrize("groups", [1, 8])
def test_adaround_changes_the_output_less_than_rounding_to_the_nearest(groups: int) -> None:
    torch.manual_seed(0)
    inputs = 48 // groups
    # Few causes behind many inputs: their errors can cancel.
    x = torch.randn(groups, 400, 5) @ torch.randn(groups, 5, inputs)
    weight = torch.randn(16, inputs)
    rounded = adaround(weight, moments_of(x))

    def change(candidate: torch.Tensor) -> float:
        error = (candidate - weight).reshape(groups, -1, inputs)
        return float((error @ x.transpose(1, 2)).var(dim=-1).sum())

    assert change(rounded) < 0.5 * change(nearest(weight))
    assert torch.equal(grid(rounded), grid(weight))
    assert torch.allclose(codes(rounded), codes(rounded).round(), atol=1e-4)
    assert float((codes(rounded) - weight / grid(weight)).abs().max()) <= 1.0001
    assert float(codes(rounded).abs().max()) <= MAX_WEIGHT + 1e-4


class Net(nn.Module):
    """A convolution with BatchNorm and ReLU, a depthwise one with a bias, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU()
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, groups=8)
        self.head = nn.Linear(8, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(
            self.depthwise(self.act(self.norm(self.conv(x)))).mean((2, 3))
        )
        return scores


@pytest.fixture
def net() -> Any:
    torch.manual_seed(0)
    model = Net().eval()
    assert model.norm.running_mean is not None
    assert model.norm.running_var is not None
    model.norm.running_mean.normal_(std=0.3)
    model.norm.running_var.uniform_(0.5, 2)
    return fold_batch_norm(model, Size.square(16))


@pytest.fixture
def batches() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(4, 3, 16, 16) for _ in range(3)]


def test_moments_are_those_of_the_patches(net: Any, batches: list[torch.Tensor]) -> None:
    found = observe(net, batches)
    assert set(found) == {"conv", "depthwise", "head"}
    assert found["conv"].second.shape == (1, 27, 27)
    assert found["depthwise"].second.shape == (8, 9, 9)
    images = torch.cat(batches)
    mean = images.mean(dim=(0, 2, 3))  # of each channel; every tap of the kernel sees about that
    seen = (found["conv"].first / found["conv"].patches).reshape(3, 9)
    assert torch.allclose(seen.mean(dim=1).float(), mean, atol=0.03)


def test_the_mean_output_is_the_float_one_again(net: Any, batches: list[torch.Tensor]) -> None:
    images = torch.cat(batches)
    meant = {name: layer.weight.data.clone() for name, layer in layers(net).items()}
    coarse = copy.deepcopy(net)
    with torch.no_grad():
        coarse.conv.weight[:] *= 1 + 0.05 * torch.rand_like(coarse.conv.weight)

    def mean(model: Any) -> torch.Tensor:
        with torch.no_grad():
            normed: torch.Tensor = model.norm(model.conv(images))
            return normed.mean(dim=(0, 2, 3))

    corrected = copy.deepcopy(coarse)
    count = correct_bias(corrected, Size.square(16), batches, meant)
    for model in (coarse, corrected):
        model.conv.weight.data = nearest(model.conv.weight.data)
    assert count == 2  # the head has no bias that could be corrected
    before = (mean(coarse) - mean(net)).abs().max()
    assert (mean(corrected) - mean(net)).abs().max() < 0.05 * before
    assert "head.bias" not in corrected.state_dict()


def test_rounding_leaves_weights_that_plain_rounding_keeps(
    net: Any, batches: list[torch.Tensor]
) -> None:
    told = []
    round_weights(net, batches, lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    for layer in layers(net).values():
        assert torch.allclose(nearest(layer.weight), layer.weight, atol=1e-7)


@pytest.mark.parametrize("arch", ["tf_efficientnet_lite0", "efficientvit_b0", "efficientnet_b0"])
def test_every_layer_of_a_real_network_is_seen(arch: str) -> None:
    model = fold_batch_norm(timm_models.create(arch, 4), Size.square(64))
    found = observe(model, [torch.rand(2, 3, 64, 64)])
    assert set(found) == set(layers(model))
    for name, layer in layers(model).items():
        inputs = layer.weight[0].numel()
        assert found[name].second.shape == (getattr(layer, "groups", 1), inputs, inputs)
