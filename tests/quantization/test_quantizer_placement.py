from collections import Counter

import pytest
import torch
from torch import nn

from edgekit.data.size import Size
from edgekit.models import timm_models
from edgekit.quantization.quantizer_placement import quantizer_positions
from edgekit.quantization.trace import IMAGE, trace


def named(arch: str, size: int = 64) -> set[str]:
    return set(quantizer_positions(trace(timm_models.create(arch, 5), Size.square(size))).values())


def test_a_hard_swish_network_has_tensors_before_and_after_each_activation() -> None:
    found = named("mobilenetv3_small_100")
    assert {"image", "bn1.batch_norm", "bn1.act.hardswish"} <= found
    # A ReLU becomes one with its convolution, and so does the BatchNorm between.
    assert "blocks.0.0.bn1.act.relu" in found
    assert not {"conv_stem.conv2d", "blocks.0.0.bn1.batch_norm"} & found
    squeeze = {f"blocks.0.0.se.{op}" for op in ("mean", "gate.hardsigmoid", "mul")}
    assert squeeze | {"blocks.1.1.add", "classifier.linear"} <= found


def test_a_linear_attention_stays_float_up_to_its_quotient() -> None:
    found = named("efficientvit_b0")
    inside = {n for n in found if ".context_module.main." in n and n.endswith((".matmul", ".cat"))}
    assert not inside
    quotients = [n for n in found if n.endswith(".div")]
    assert len(quotients) == 4
    assert sum(n.endswith("aggreg.0.1.conv2d") for n in found) == 4


@pytest.mark.parametrize("arch", ["mobilenetv4_conv_small", "efficientvit_m0", "convnext_atto"])
def test_no_two_points_share_a_name(arch: str) -> None:
    names = Counter(
        quantizer_positions(trace(timm_models.create(arch, 5), Size.square(96))).values()
    )
    assert max(names.values()) == 1


class Forms(nn.Module):
    """The same function several times in one module, in place and through operators."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.drop = nn.Dropout()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.drop(self.conv(x))
        y += x
        y = torch.relu_(y)
        y = y + x
        y = 2 * y
        return y.flatten(2).transpose(1, 2).mean(1)


def test_operators_in_place_and_twice_are_told_apart() -> None:
    seen = trace(Forms(), Size.square(8))
    assert [c.function for c in seen.calls] == [
        "conv2d", "add", "relu", "add", "mul", "flatten", "transpose", "mean",
    ]  # fmt: skip
    assert seen.calls[1].inputs == (0, IMAGE)
    assert seen.calls[3].inputs == (2, IMAGE)
    # The sum takes the ReLU with it; moving data makes no tensor of its own.
    assert quantizer_positions(seen) == {
        IMAGE: "image", 0: "conv.conv2d", 2: "relu", 3: "add", 4: "mul", 7: "mean",
    }  # fmt: skip


def test_a_trace_leaves_the_model_as_it_was() -> None:
    model = timm_models.create("test_efficientnet", 2).train()
    state = {name: t.clone() for name, t in model.state_dict().items()}
    trace(model, Size.square(32))
    assert model.training
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
