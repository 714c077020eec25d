"""What is held against what changes the sign of every figure, and nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.comparison.compare import compare_pair
from edgekit.comparison.latency import compare_timings
from edgekit.comparison.record import FlippedImage
from edgekit.evaluation.timing import Timing
from edgekit.evidence import Measurement, Verdict
from tests.comparison.samples import judged, side

CLASSES = st.sampled_from("abc")
ANSWERS = st.dictionaries(st.integers(0, 30), st.tuples(CLASSES, CLASSES), max_size=31)
COUNTS = st.dictionaries(
    st.sampled_from(["CONV int8", "ADD int8", "SOFTMAX float32"]), st.integers(1)
)
MIRRORED = {
    Verdict.BETTER: Verdict.WORSE,
    Verdict.WORSE: Verdict.BETTER,
    Verdict.CANNOT_TELL: Verdict.CANNOT_TELL,
}
TURNED = {"lost": "won", "won": "lost", "both wrong": "both wrong"}


def turned(image: FlippedImage) -> tuple[object, ...]:
    return image.digest, image.label, image.answers[::-1], TURNED[image.turn]


@settings(max_examples=50, deadline=None)
@given(before=ANSWERS, after=ANSWERS, same=st.booleans(), counts=st.tuples(COUNTS, COUNTS))
def test_b_against_a_is_the_negation_of_a_against_b(
    before: dict[int, tuple[str, str]],
    after: dict[int, tuple[str, str]],
    same: bool,
    counts: tuple[dict[str, int], dict[str, int]],
) -> None:
    if same:  # the same images, so that there is a verdict
        after = {i: (label, after.get(i, ("", "a"))[1]) for i, (label, _) in before.items()}
    a, b = (
        side(
            letter, judged(answers), operators=operators, settings=dict.fromkeys(operators, letter)
        )
        for letter, answers, operators in zip("AB", (before, after), counts, strict=True)
    )
    forth, back = compare_pair(a, b, None), compare_pair(b, a, None)
    one, other = forth.accuracy, back.accuracy
    assert (one.images, one.relabelled) == (other.images, other.relabelled)
    assert one.only == other.only[::-1]
    assert other.verdict is MIRRORED[one.verdict]
    assert {*map(turned, one.flipped)} == {
        (i.digest, i.label, i.answers, i.turn) for i in other.flipped
    }
    assert (one.change is None) == (other.change is None) == bool(one.reason)
    if one.change and other.change:
        assert (one.change.lost, one.change.won) == (other.change.won, other.change.lost)
        drop, gain = one.change.drop, other.change.drop
        mirrored = [-end for end in (gain.value, gain.high, gain.low) if end is not None]
        assert [drop.value, drop.low, drop.high] == mirrored
        assert one.change.mcnemar_p == other.change.mcnemar_p
    for what in ("operators", "settings"):
        theirs = {(d.what, d.values[::-1]) for d in getattr(back, what)}
        assert {(d.what, d.values) for d in getattr(forth, what)} == theirs


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.8, 1.25), seed=st.integers(0, 9))
def test_so_is_a_ratio_of_latencies(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    timings = {
        name: Timing(0.1, 0.1, scale * rng.normal(1, 0.02, (40, 3)))
        for name, scale in (("A", 1e-3), ("B", factor * 1e-3))
    }
    forth = compare_timings(timings, ("A", "B"), "here")
    back = compare_timings(timings, ("B", "A"), "here")
    assert isinstance(forth.ratio, Measurement)
    assert isinstance(back.ratio, Measurement)
    assert abs(forth.ratio.value * back.ratio.value - 1) < 1e-9
    # Quantiles that are interpolated have no exact inverse: next to 1 one of the two may be open.
    assert back.verdict in (MIRRORED[forth.verdict], Verdict.CANNOT_TELL) or (
        forth.verdict is Verdict.CANNOT_TELL
    )
