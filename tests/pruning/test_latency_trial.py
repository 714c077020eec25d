"""What is made of a measured cut: kept, refused, or cut again. No time is measured here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import NotAsAsked
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement
from edgekit.models.pruned import Pruned, PruningGain
from edgekit.pruning.cutting import aim_lower
from edgekit.pruning.latency_trial import is_idle, refuse_idle


def trial(value: float, low: float, high: float, evidence: Evidence = Evidence.HOST) -> PruningGain:
    ratio = Measurement(
        value=value, unit="ratio", evidence=evidence, method="by hand", low=low, high=high
    )
    return PruningGain(latency=ratio, size=0.5, disturbed=False)


@pytest.mark.parametrize(("low", "high"), [(0.9, 1.1), (0.9, 1.0), (1.1, 1.2)])
def test_a_cut_that_saves_operations_and_no_time_is_refused(low: float, high: float) -> None:
    with pytest.raises(NotAsAsked, match=r"leaves 51 % .* buys no time: int8 on litert") as caught:
        refuse_idle(trial((low + high) / 2, low, high), "litert", 0.51, "int8", "pi5")
    assert f"({low:.2f} to {high:.2f})" in caught.value.message
    assert caught.value.message.endswith("the dense network takes, on pi5")
    assert "force: true" in str(caught.value.hint)


def test_a_cut_that_saves_time_is_kept() -> None:
    refuse_idle(trial(0.8, 0.7, 0.99), "litert", 0.5, "int8", "pi5")


def test_a_latency_that_was_disturbed_refuses_and_promises_nothing() -> None:
    seen = InvalidMeasurement(
        reason="machine too busy", seen=1.2, unit="ratio", evidence=Evidence.HOST, method="by hand"
    )
    busy = PruningGain(latency=seen, size=0.5, disturbed=True)
    refuse_idle(busy, "litert", 0.5, "int8", "pi5")
    assert not is_idle(seen)
    assert busy.shown("latency") is None
    assert busy.shown("size") == 0.5


def test_of_an_estimate_the_figure_decides_and_the_record_says_that_no_board_did() -> None:
    likely = trial(0.8, 0.6, 1.1, Evidence.ESTIMATED)
    refuse_idle(likely, "litert", 0.5, "int8", "a Raspberry Pi 4B by estimate")
    with pytest.raises(NotAsAsked, match="buys no time"):
        refuse_idle(trial(1.01, 0.7, 1.4, Evidence.ESTIMATED), "litert", 0.5, "int8", "x")
    cut = Pruned(
        by="latency", keep=0.9, runtime="litert", precision="int8", importance="taylor",
        round_to=8, groups=(), predicted=0.8, macs=(2, 1), parameters=(2, 1), trial=likely,
        table=None, forced=False,
    )  # fmt: skip
    assert cut.remark == "the gain is estimated (0.80 (0.60 to 1.10) times): no board has shown it"
    sure = trial(0.8, 0.7, 0.9, Evidence.ESTIMATED)
    assert cut.model_copy(update={"trial": sure}).remark is None


@given(st.floats(0.1, 0.95), st.floats(0.1, 0.95))
def test_what_the_network_lacks_is_cut_on_top(predicted: float, keep: float) -> None:
    """The network shows half of what the table promised: twice as much must be promised."""
    measured = 1 - (1 - predicted) / 2
    aim = aim_lower(predicted, predicted, measured, keep)
    if aim is not None:
        assert aim == pytest.approx(1 - 2 * (1 - keep))
        assert 0 < aim < predicted


def test_where_nothing_showed_more_of_it_will_not_help() -> None:
    assert aim_lower(0.6, 0.6, 1.02, 0.6) is None
