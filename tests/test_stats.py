"""Intervals and paired tests, against figures computed by hand and what must always hold."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.evidence import Verdict
from edgekit.stats import (
    at_most,
    exceeds,
    paired_accuracy,
    paired_mean,
    proportion,
    sqnr_db,
)

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300)


def arrays(pairs: list[tuple[bool, bool]]) -> tuple[np.ndarray, np.ndarray]:
    both = np.array(pairs, bool)
    return both[:, 0], both[:, 1]


def table(both: int, lost: int, won: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    rows = [(True, True)] * both + [(True, False)] * lost
    return arrays(rows + [(False, True)] * won + [(False, False)] * neither)


def test_wilson_interval_is_the_published_one() -> None:
    # 81 of 263: Newcombe (1998), table I, method 3.
    interval = proportion(81, 263)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_interval_of_a_perfect_score_is_not_a_point() -> None:
    interval = proportion(20, 20)
    assert interval.high == pytest.approx(1)
    # n / (n + z^2)
    assert interval.low == pytest.approx(20 / (20 + 1.959964**2))


@settings(deadline=None)  # scipy's first import takes its time
@given(st.integers(1, 3000), st.floats(0, 1), st.floats(0.001, 0.999))
def test_what_is_worked_out_here_is_what_scipy_says(trials: int, part: float, share: float) -> None:
    binomtest = pytest.importorskip("scipy.stats").binomtest
    count = round(part * trials)
    wilson = binomtest(count, trials).proportion_ci(0.95, method="wilson")
    found = proportion(count, trials)
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-9)
    p = binomtest(count, trials, share, alternative="greater").pvalue
    assert exceeds(count, trials, share) == pytest.approx(p, abs=1e-9)
    p = binomtest(count, trials).pvalue
    assert 2 * at_most(min(count, trials - count), trials, 0.5) >= p - 1e-9


@pytest.mark.parametrize(("lost", "won"), [(9, 1), (3, 8), (5, 5), (0, 6)])
def test_mcnemar_is_the_exact_binomial_test(lost: int, won: int) -> None:
    n, k = lost + won, min(lost, won)
    by_hand = min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n)
    assert paired_accuracy(*table(50, lost, won, 7)).p_value == pytest.approx(by_hand)


def test_agresti_min_interval_is_the_formula_by_hand() -> None:
    result = paired_accuracy(*table(80, 12, 4, 4))
    # b = 12.5, c = 4.5, N = 102
    centre = 8 / 102
    spread = 1.959964 * ((17 - 64 / 102) ** 0.5) / 102
    assert result.low == pytest.approx(100 * (centre - spread), abs=1e-4)
    assert result.high == pytest.approx(100 * (centre + spread), abs=1e-4)
    assert (result.drop, result.lost, result.won, result.images) == (8.0, 12, 4, 100)


def test_a_verdict_needs_the_interval_and_the_test() -> None:
    lost, won = (paired_accuracy(*table(300, *counts, 9)) for counts in ((6, 0), (0, 6)))
    assert (lost.verdict, won.verdict) == (Verdict.WORSE, Verdict.BETTER)
    lost, won = (paired_accuracy(*table(300, *counts, 9)) for counts in ((5, 0), (0, 5)))
    assert lost.low > 0 > won.high
    assert lost.p_value == won.p_value == 0.0625
    assert lost.verdict is won.verdict is Verdict.CANNOT_TELL


def test_models_that_never_disagree_leave_an_interval_with_a_width() -> None:
    result = paired_accuracy(*table(90, 0, 0, 10))
    assert result.drop == 0
    assert result.low < 0 < result.high
    assert result.p_value == 1
    assert result.verdict is Verdict.CANNOT_TELL


def test_more_images_narrow_the_interval() -> None:
    few, many = paired_accuracy(*table(9, 0, 0, 1)), paired_accuracy(*table(900, 0, 0, 100))
    assert many.high - many.low < few.high - few.low


@settings(deadline=None)  # scipy's first import takes its time
@given(PAIRS)
def test_the_drop_lies_in_its_interval_and_both_within_100_points(
    pairs: list[tuple[bool, bool]],
) -> None:
    result = paired_accuracy(*arrays(pairs))
    assert -100 <= result.low <= result.drop <= result.high <= 100
    assert 0 <= result.p_value <= 1


@settings(deadline=None)  # scipy's first import takes its time
@given(PAIRS)
def test_swapping_before_and_after_negates_the_drop(pairs: list[tuple[bool, bool]]) -> None:
    before, after = arrays(pairs)
    there, back = paired_accuracy(before, after), paired_accuracy(after, before)
    assert there.drop == -back.drop
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p_value == pytest.approx(back.p_value)


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((0,), (0,)), ((2, 2), (2, 2))])
def test_arrays_that_are_not_pairs_are_refused(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    with pytest.raises(ValueError, match="paired"):
        paired_accuracy(np.zeros(shapes[0], bool), np.zeros(shapes[1], bool))


def test_sqnr_of_noise_a_tenth_of_the_signal_is_20_db() -> None:
    reference = np.random.default_rng(3).normal(size=(50, 10)).astype(np.float32)
    assert sqnr_db(reference, reference * np.float32(1.1)) == pytest.approx(20, abs=1e-3)


def test_sqnr_follows_the_median_image_not_the_worst() -> None:
    reference = np.ones((5, 4), np.float32)
    scores = reference * np.float32(1.1)
    scores[0] = 1e6
    assert sqnr_db(reference, scores) == pytest.approx(20, abs=1e-3)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_sqnr_without_noise_is_the_resolution_of_float32(scale: float) -> None:
    scores = np.full((3, 2), scale, np.float32)
    assert sqnr_db(scores, scores) == 140


def test_a_paired_mean_sees_what_unpaired_ones_hide() -> None:
    rng = np.random.default_rng(0)
    before = rng.gamma(0.5, 1.0, 400)
    found = paired_mean(before, before - 0.01 * rng.uniform(0, 2, 400))
    assert found.verdict is Verdict.BETTER
    assert found.low < 0.01 < found.high
    assert paired_mean(before - 0.01, before).verdict is Verdict.WORSE
    assert paired_mean(before, before).verdict is Verdict.CANNOT_TELL


def test_one_image_sways_no_paired_mean() -> None:
    before, after = np.ones(40), np.ones(40)
    after[0] = -100.0
    after[1:] += np.linspace(-1e-3, 1.1e-3, 39)
    assert paired_mean(before, after).verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("lengths", [(3, 2), (1, 1)])
def test_a_paired_mean_needs_pairs(lengths: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="equal length"):
        paired_mean(np.ones(lengths[0]), np.ones(lengths[1]))
