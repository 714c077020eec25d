"""Ratios of latencies: what their intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.evaluation.latency_ratio import median_ratio, ratio_over_processes, students_t


def test_median_ratio_finds_the_scale_under_noise_both_series_share() -> None:
    rng = np.random.default_rng(1)
    baseline = rng.lognormal(-5, 0.5, 60)
    ratio, interval = median_ratio(0.4 * baseline * rng.normal(1, 0.01, 60), baseline)
    assert interval.low <= 0.4 <= interval.high
    assert ratio == pytest.approx(0.4, rel=0.1)
    # The noise of a factor e^0.5 is common to both, so the pairing must take it out.
    assert interval.high - interval.low < 0.1


def test_blocks_cover_what_lasts_for_some_rounds_better_than_single_rounds() -> None:
    rng = np.random.default_rng(4)

    def slowed(rounds: int = 300) -> np.ndarray:
        """An AR(1) series: each round keeps most of the disturbance of the one before."""
        noise = rng.normal(0, 0.05, rounds)
        for i in range(1, rounds):
            noise[i] += 0.8 * noise[i - 1]
        return np.exp(noise)

    covered = {1: 0, 10: 0}
    for _ in range(60):
        candidate, baseline = slowed(), slowed()
        for block in covered:
            interval = median_ratio(candidate, baseline, block=block)[1]
            covered[block] += interval.low <= 1 <= interval.high
    assert covered[1] < 45
    assert covered[10] > 48


def test_median_ratio_of_an_exact_multiple_is_exact_and_repeatable() -> None:
    baseline = np.random.default_rng(2).uniform(1, 2, 30)
    first, second = median_ratio(3 * baseline, baseline), median_ratio(3 * baseline, baseline)
    assert first == second
    assert first[0] == pytest.approx(3)
    assert (first[1].low, first[1].high) == pytest.approx((3, 3))


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30])
def test_students_t_is_scipys(freedom: int) -> None:
    t = pytest.importorskip("scipy.stats").t
    assert students_t(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=1e-9)


def test_few_processes_hold_the_ratio_where_the_rounds_of_one_do_not() -> None:
    """Each process has a ratio of its own, 2 % apart; its 60 rounds tell 1 %."""
    rng = np.random.default_rng(5)
    over, alone = 0, 0
    for _ in range(200):
        baseline = [rng.lognormal(-5, 0.02, 60) for _ in range(5)]
        own = [rng.normal(0.5, 0.01) * b * rng.normal(1, 0.02, 60) for b in baseline]
        _, interval = ratio_over_processes(own, baseline)
        over += interval.low <= 0.5 <= interval.high
        _, interval = median_ratio(own[0], baseline[0])
        alone += interval.low <= 0.5 <= interval.high
    assert over >= 180  # 95 % asked; fewer than 180 come up once in a thousand times
    assert alone < 100
