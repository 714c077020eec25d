"""The planner, on networks drawn at random."""

from hypothesis import given
from hypothesis import strategies as st

from edgekit.pruning import cost
from edgekit.pruning.members import Group
from edgekit.pruning.network import ChannelPort, LayerPart, Network
from edgekit.pruning.planner import narrower, plan_cut
from edgekit.runtimes.contract.microbenchmark import Layer


def chain(widths: list[int], sizes: list[int]) -> Network:
    """A stem, then 1 x 1 convolutions one after another, then a classifier of two classes."""
    ports = [
        ChannelPort(3),
        *(ChannelPort(w, ((g, 1),)) for g, w in enumerate(widths)),
        ChannelPort(2),
    ]
    parts = [
        LayerPart(
            name=f"layer{i}",
            layer=Layer(kind="conv", height=size, width=size, cin=a.channels, cout=b.channels),
            reads=a,
            makes=b,
            per_channel=0,
        )
        for i, (a, b, size) in enumerate(zip(ports[:-1], ports[1:], sizes, strict=True))
    ]
    groups = tuple(Group(f"layer{g}", width, ()) for g, width in enumerate(widths))
    return Network(groups=groups, parts=tuple(parts), norms=(), parameters=0)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, dict[str, list[float]]]:
    widths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    sizes = draw(st.lists(st.integers(1, 9), min_size=len(widths) + 1, max_size=len(widths) + 1))
    network = chain(widths, sizes)
    worth = st.floats(0, 100)
    importance = {
        group.name: draw(st.lists(worth, min_size=group.width, max_size=group.width))
        for group in network.groups
    }
    return network, importance


KEEPS = st.floats(0.05, 0.99)
STEPS = st.sampled_from([1, 4, 8])


@given(networks(), KEEPS, STEPS)
def test_widths_are_rounded_and_never_below_a_slice(
    drawn: tuple[Network, dict[str, list[float]]], keep: float, round_to: int
) -> None:
    network, importance = drawn
    plan = plan_cut(network, cost.macs(network), keep, importance, round_to)
    for group, width in zip(network.groups, plan.widths, strict=True):
        assert width == group.width or (width % round_to == 0 and width >= round_to)
        assert len(plan.dropped[group.name]) == group.width - width


@given(networks(), KEEPS, STEPS)
def test_the_budget_holds_or_nothing_is_left_to_cut(
    drawn: tuple[Network, dict[str, list[float]]], keep: float, round_to: int
) -> None:
    network, importance = drawn
    measure = cost.macs(network)
    plan = plan_cut(network, measure, keep, importance, round_to)
    assert plan.share == measure.share(plan.widths)
    if plan.reached:
        assert plan.share <= keep * (1 + 1e-9)
    else:
        assert all(narrower(width, round_to) is None for width in plan.widths)


@given(networks(), KEEPS, STEPS)
def test_the_least_important_channels_go(
    drawn: tuple[Network, dict[str, list[float]]], keep: float, round_to: int
) -> None:
    network, importance = drawn
    plan = plan_cut(network, cost.macs(network), keep, importance, round_to)
    for group in network.groups:
        values, gone = importance[group.name], set(plan.dropped[group.name])
        kept = [value for c, value in enumerate(values) if c not in gone]
        assert max((values[c] for c in gone), default=0.0) <= min(kept)


@given(networks(), KEEPS, KEEPS)
def test_a_smaller_budget_cuts_on_from_a_larger_one(
    drawn: tuple[Network, dict[str, list[float]]], one: float, other: float
) -> None:
    network, importance = drawn
    large, small = (
        plan_cut(network, cost.macs(network), keep, importance, 4)
        for keep in (max(one, other), min(one, other))
    )
    for name, dropped in large.dropped.items():
        assert set(dropped) <= set(small.dropped[name])


def test_a_group_that_saves_nothing_is_left_alone() -> None:
    """As much accuracy for half the time is no bargain, and none for nothing never is."""
    network = chain([32, 32], [8, 8, 8])
    first = cost.Cost(network, lambda layer: layer.cout if layer.cin == 3 else 0.0)
    even = {group.name: [1.0] * group.width for group in network.groups}
    plan = plan_cut(network, first, 0.5, even, 8)
    assert plan.widths == (16, 32)
    assert plan.reached


def test_a_width_that_is_slower_than_a_wider_one_is_passed_over() -> None:
    network = chain([64], [8, 8])
    slow = {64: 1.0, 56: 1.01, 48: 1.01, 40: 1.01, 32: 0.8, 24: 0.6, 16: 0.4, 8: 0.2}
    measured = cost.Cost(network, lambda layer: slow[layer.cout] if layer.cin == 3 else 0.0)
    even = {group.name: [1.0] * group.width for group in network.groups}
    plan = plan_cut(network, measured, 0.6, even, 8)
    assert plan.reached
    assert plan.widths == (24,)


def test_of_two_groups_the_one_that_saves_more_goes_first() -> None:
    network = chain([32, 32], [16, 1, 1])
    even = {group.name: [1.0] * group.width for group in network.groups}
    plan = plan_cut(network, cost.macs(network), 0.9, even, 8)
    assert plan.widths == (24, 32)
