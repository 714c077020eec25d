from typing import Any

import pytest
import torch
from torch import nn

from edgekit.data.size import Size
from edgekit.models import timm_models
from edgekit.quantization.fold_batch_norm import NormalizedLayer, fold_batch_norm, is_trivial, pairs

ARCHITECTURES = [
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "efficientnet_b0",
    "tf_efficientnet_lite0",
    "efficientvit_b0",
]


def lived_in(model: Any) -> Any:
    """With statistics and weights as training leaves them: nothing is 0 or 1."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def norms(model: Any) -> list[Any]:
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_folded_network_gives_the_same_scores(arch: str) -> None:
    model = lived_in(timm_models.create(arch, 5))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded = fold_batch_norm(model, Size.square(96))
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        before, after = model(x), folded(x)
    assert (before - after).norm() < 1e-4 * before.norm()
    assert before.std() > 1e-3
    assert len(norms(folded)) > 20
    assert all(is_trivial(norm) for norm in norms(folded))
    assert not any(is_trivial(norm) for norm in norms(model))
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    again = timm_models.create(arch, 5)
    again.load_state_dict(folded.state_dict())
    with torch.no_grad():
        assert torch.equal(again(x), after)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_folding_twice_changes_no_bit(arch: str) -> None:
    folded = fold_batch_norm(lived_in(timm_models.create(arch, 5)), Size.square(96))
    twice = fold_batch_norm(folded, Size.square(96))
    state = folded.state_dict()
    assert all(torch.equal(t, state[name]) for name, t in twice.state_dict().items())


def test_pairs_name_what_follows_each_layer() -> None:
    found = pairs(timm_models.create("mobilenetv3_small_100", 5), Size.square(64))
    assert found[0] == NormalizedLayer("conv_stem", "bn1", "hardswish")
    assert NormalizedLayer("blocks.0.0.conv_dw", "blocks.0.0.bn1", "relu") in found
    assert NormalizedLayer("blocks.0.0.se.conv_reduce", None, "relu") in found
    assert NormalizedLayer("blocks.0.0.se.conv_expand", None, "hardsigmoid") in found
    assert NormalizedLayer("blocks.1.0.conv_pwl", "blocks.1.0.bn3", None) in found
    assert found[-1] == NormalizedLayer("classifier", None, None)
    lite = pairs(timm_models.create("tf_efficientnet_lite0", 5), Size.square(64))
    assert lite[0] == NormalizedLayer("conv_stem", "bn1", "relu6")


class Standardised(nn.Conv2d):
    """Whose weight is computed before it is used."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight - self.weight.mean(), self.bias)


class Odd(nn.Module):
    """Each way in which a BatchNorm does not simply belong to the layer before it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.shared = nn.Conv2d(3, 3, 3, padding=1)
        self.after_shared = nn.BatchNorm2d(3)
        self.tapped = nn.Conv2d(3, 4, 1)
        self.after_tapped = nn.BatchNorm2d(4)
        self.plain = nn.Conv2d(4, 4, 1, bias=False)
        self.after_plain = nn.BatchNorm2d(4, affine=False)
        self.deep = nn.Conv2d(4, 4, 3, groups=4)
        self.after_deep = nn.BatchNorm2d(4)
        self.computed = Standardised(4, 4, 1)
        self.after_computed = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 6)
        self.after_fc = nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.after_shared(self.shared(self.shared(self.first(x))))
        x = self.tapped(x)
        x = self.after_tapped(x) + x
        x = torch.relu_(self.after_deep(self.deep(self.after_plain(self.plain(x)))))
        x = self.after_computed(self.computed(x))
        y: torch.Tensor = self.after_fc(self.fc(x.mean((2, 3))))
        return y


def test_a_batch_norm_that_does_not_belong_to_one_layer_is_left() -> None:
    model = lived_in(Odd())
    found = {layer.name: layer for layer in pairs(model, Size.square(16))}
    assert found["shared"] == NormalizedLayer("shared", None, None)
    assert found["tapped"] == NormalizedLayer("tapped", None, None)
    assert found["plain"] == NormalizedLayer("plain", None, None)
    assert found["deep"] == NormalizedLayer("deep", "after_deep", "relu")
    assert found["fc"] == NormalizedLayer("fc", "after_fc", None)
    assert "computed" not in found
    folded = fold_batch_norm(model, Size.square(16))
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-5)
    assert is_trivial(folded.after_deep)
    assert is_trivial(folded.after_fc)
    assert not folded.deep.bias.any()
    assert torch.equal(folded.first.weight, model.first.weight)
    assert torch.equal(folded.after_tapped.running_var, model.after_tapped.running_var)
    assert torch.equal(folded.after_computed.weight, model.after_computed.weight)
    assert torch.equal(folded.after_plain.running_var, model.after_plain.running_var)
