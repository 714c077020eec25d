"""Groups: what hangs together is cut together, and nothing else."""

import random
from typing import Any

import pytest
import torch

from edgekit.data.size import Size
from edgekit.errors import NotAsAsked
from edgekit.models import timm_models
from edgekit.models.channel_widths import changed_widths, resize
from edgekit.pruning.groups import Dependencies
from edgekit.pruning.members import Group
from edgekit.pruning.network import read_network
from edgekit.pruning.record import cuts_of

SIZE = 64
FAMILIES = (
    "mobilenetv2_050",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_050",
    "test_efficientnet",
    "efficientnet_lite0",
    "efficientvit_b0",
    "efficientvit_m0",
    "test_resnet",
    "test_vit",
)


def model_of(arch: str) -> tuple[Any, int]:
    torch.manual_seed(0)
    size = 224 if arch == "efficientvit_m0" else SIZE
    model = timm_models.create(arch, 2, image_size=Size.square(size))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as if it had been trained
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
    return model, size


def some_channels(group: Group) -> list[int]:
    some = min(max(1, group.width // 3), group.width - 1)
    return random.Random(group.name).sample(range(group.width), some)


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_group_can_be_cut(arch: str) -> None:
    model, size = model_of(arch)
    before = sum(p.numel() for p in model.parameters())
    dependencies = Dependencies(model, Size.square(size))
    assert len(dependencies.groups) > 4
    dropped = {group.name: some_channels(group) for group in dependencies.groups}
    network = read_network(model, Size.square(size), dependencies.groups)
    dependencies.cut(dropped)
    scores = model(torch.randn(2, 3, size, size))
    assert scores.shape == (2, 2)
    assert sum(p.numel() for p in model.parameters()) < 0.9 * before
    dense = timm_models.create(arch, 2, image_size=Size.square(size))
    widths = changed_widths(model, dense)
    assert widths
    for cut in cuts_of(network, model):
        assert cut.after == cut.before - len(dropped[cut.name])
        assert cut.name in widths or not dropped[cut.name]
    resize(dense, widths)
    dense.load_state_dict(model.state_dict())
    image = torch.randn(2, 3, size, size)
    torch.testing.assert_close(dense.eval()(image), model.eval()(image))


@pytest.mark.parametrize("arch", FAMILIES)
def test_channels_that_are_zero_are_not_missed(arch: str) -> None:
    """The whole of a group is found: its channels silenced, or cut, give the same scores."""
    model, size = model_of(arch)
    dependencies = Dependencies(model, Size.square(size))
    modules = dict(model.named_modules())
    dropped = {}
    for group in dependencies.groups:
        parts = [modules[m.module] for m in group.members]
        if any(isinstance(part, torch.nn.LayerNorm) for part in parts):
            continue  # it looks at all channels, silent ones too
        dropped[group.name] = some_channels(group)
        silence(group, modules, set(dropped[group.name]))
    image = torch.randn(2, 3, size, size)
    with torch.no_grad():
        silent = model.eval()(image)
        dependencies.cut(dropped)
        torch.testing.assert_close(model.eval()(image), silent, rtol=1e-3, atol=1e-5)


def silence(group: Group, modules: dict[str, Any], channels: set[int]) -> None:
    for member in group.members:
        if member.side == "in":
            continue
        own = [c for c, root in zip(member.own, member.root, strict=True) if root in channels]
        for parameter in modules[member.module].parameters(recurse=False):
            parameter.data[own] = 0


@pytest.mark.parametrize("arch", FAMILIES)
def test_the_classifier_keeps_its_classes(arch: str) -> None:
    model, size = model_of(arch)
    head = model.get_classifier()
    groups = Dependencies(model, Size.square(size)).groups
    outputs = {m.module for g in groups for m in g.members if m.side != "in"}
    assert not [n for n, module in model.named_modules() if module is head and n in outputs]


def test_a_linear_attention_is_cut_at_both_ends_and_keeps_its_heads() -> None:
    model, size = model_of("efficientvit_b0")
    attention = model.stages[3].blocks[1].context_module.main
    heads = attention.qkv.conv.out_channels
    dependencies = Dependencies(model, Size.square(size))
    group = next(g for g in dependencies.groups if "stages.3.blocks.0.main.point_conv" in g.name)
    dependencies.cut({group.name: range(16)})
    assert attention.qkv.conv.in_channels == group.width - 16
    assert attention.proj.conv.out_channels == attention.proj.norm.num_features == group.width - 16
    assert attention.qkv.conv.out_channels == heads
    assert "forward" not in vars(attention)  # tracing has put back what it replaced


@pytest.mark.parametrize("arch", ["test_vit", "efficientvit_b0"])
def test_heads_of_attentions_are_groups(arch: str) -> None:
    model, size = model_of(arch)
    heads = [g for g in Dependencies(model, Size.square(size)).groups if g.step == 1]
    assert heads
    assert all(".qkv" in group.name and group.width > 1 for group in heads)


@pytest.mark.parametrize("arch", ["eva02_tiny_patch14_224", "swin_tiny_patch4_window7_224"])
def test_other_attentions_keep_their_channels(arch: str) -> None:
    torch.manual_seed(0)
    model = timm_models.create(arch, 2, image_size=Size.square(224))
    dependencies = Dependencies(model, Size.square(224))
    dependencies.cut({group.name: some_channels(group) for group in dependencies.groups})
    assert not [g.name for g in dependencies.groups if ".attn." in g.name]
    assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 2)


def test_what_a_window_attention_reads_is_left_alone() -> None:
    model, size = model_of("efficientvit_m0")
    groups = Dependencies(model, Size.square(size)).groups
    cut = {m.module for g in groups for m in g.members if m.side != "in"}
    assert "stages.0.blocks.0.ffn0.m.pw1.conv" in cut
    # What patch_embed.conv4 makes goes through the residual sums to the first attention.
    assert not [name for name in cut if ".mixer." in name or "patch_embed.conv4" in name]


def test_grouped_convolutions_are_left_alone() -> None:
    model, size = model_of("resnext26ts")
    grouped = {
        name for name, module in model.named_modules()
        if isinstance(module, torch.nn.Conv2d) and 1 < module.groups < module.out_channels
    }  # fmt: skip
    assert grouped
    groups = Dependencies(model, Size.square(size)).groups
    assert not {m.module for g in groups for m in g.members} & grouped


def test_an_architecture_that_cannot_be_traced_is_named() -> None:
    model, _ = model_of("test_resnet")
    model.forward = lambda x: 1 / 0
    with pytest.raises(NotAsAsked, match="cannot trace test_resnet: ZeroDivisionError"):
        Dependencies(model, Size.square(SIZE))
