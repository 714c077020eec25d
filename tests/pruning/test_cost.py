"""Costs are what the cut network really has."""

from typing import Any

import pytest

from edgekit.data.size import Size
from edgekit.models import timm_models
from edgekit.pruning import cost
from edgekit.pruning.groups import Dependencies
from edgekit.pruning.network import read_network

SIZE = 64


@pytest.mark.parametrize(
    "arch", ["mobilenetv4_conv_small_050", "test_efficientnet", "efficientvit_b0", "test_resnet"]
)
def test_operations_and_parameters_of_a_cut_are_counted_exactly(arch: str) -> None:
    model: Any = timm_models.create(arch, 2)
    dependencies = Dependencies(model, Size.square(SIZE))
    network = read_network(model, Size.square(SIZE), dependencies.groups)
    weighed, counted = cost.parameters(network), cost.macs(network)
    attention = timm_models.count_macs(model, Size.square(SIZE)) - counted.total(network.dense)
    assert weighed.total(network.dense) == sum(p.numel() for p in model.parameters())
    widths = [group.width - group.width // 4 for group in network.groups]
    dependencies.cut(
        {g.name: range(g.width - w) for g, w in zip(network.groups, widths, strict=True)}
    )
    assert weighed.total(widths) == sum(p.numel() for p in model.parameters())
    # The products of an attention are no layers; a quarter of each attention's heads has gone.
    products = 0.75 * attention
    assert counted.total(widths) + products == timm_models.count_macs(model, Size.square(SIZE))
    assert "vit" in arch or not attention


def test_what_is_saved_is_the_difference_of_the_totals() -> None:
    model = timm_models.create("test_efficientnet", 2)
    network = read_network(model, Size.square(SIZE), Dependencies(model, Size.square(SIZE)).groups)
    for measure in (cost.macs(network), cost.parameters(network)):
        for g, group in enumerate(network.groups):
            after = list(network.dense)
            after[g] = group.width // 2
            saved = measure.saved(network.dense, g, group.width // 2)
            assert saved == measure.total(network.dense) - measure.total(after) > 0


def test_a_network_at_its_own_widths_costs_itself() -> None:
    model = timm_models.create("test_resnet", 2)
    network = read_network(model, Size.square(SIZE), Dependencies(model, Size.square(SIZE)).groups)
    assert cost.macs(network).share(network.dense) == 1
