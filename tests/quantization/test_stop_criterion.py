"""When a search ends: pure."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit import stats
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.runtimes.contract.compiled_metadata import TrialResult


def trial(agreement: float | None, drop: float = 0.0, loses: bool = False) -> TrialResult:
    return TrialResult(sqnr_db=20.0, images=200, agreement=agreement, drop=drop, loses=loses)


@pytest.mark.parametrize(
    ("asked", "found", "holds"),
    [
        (StopCriterion(), trial(98.5), True),
        (StopCriterion(), trial(98.4), False),
        (StopCriterion(), trial(None), False),
        (StopCriterion(), trial(99, drop=1.0, loses=True), False),
        (StopCriterion(), trial(98.5, drop=1.5), True),
        (StopCriterion(max_drop=1.0), trial(98.5, drop=1.5), False),
        (StopCriterion(max_drop=1.0), trial(98.5, drop=1.0), True),
        (StopCriterion(max_drop=1.0), trial(98.0), False),
        (StopCriterion(95, max_drop=5), trial(95, drop=5.0, loses=True), True),
    ],
)
def test_agreement_and_drop_must_both_hold(
    asked: StopCriterion, found: TrialResult, holds: bool
) -> None:
    assert asked.holds(found) == holds


@pytest.mark.parametrize(
    ("lost", "won", "loses"), [(4, 0, False), (5, 0, True), (0, 9, False), (9, 5, False)]
)
def test_a_loss_is_significant_one_sided(lost: int, won: int, loses: bool) -> None:
    before, after = np.ones(100, bool), np.ones(100, bool)
    after[:lost], before[100 - won :] = False, False
    assert stats.paired_accuracy(before, after).loses == loses
