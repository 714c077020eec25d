"""What latency cannot tell is chosen by its scores."""

from __future__ import annotations

import pytest

from edgekit.evaluation.choose import Choice, Clarity
from edgekit.evidence import Evidence, Measurement


def ratio(value: float, low: float, high: float) -> Measurement:
    return Measurement(
        value=value, unit="ratio", evidence=Evidence.HOST, method="test", low=low, high=high
    )


CHOICE = Choice(
    fastest="first",
    certain=False,
    ratios={
        "first": ratio(1, 1, 1),
        "tied": ratio(1.02, 0.98, 1.05),
        "slower": ratio(1.02, 1.01, 1.03),
        "unsure": ratio(1.4, 0.98, 1.9),
    },
)


@pytest.mark.parametrize(
    ("other", "clarity", "clearest"),
    [
        ("tied", Clarity(22, "int8"), "tied"),
        ("tied", Clarity(20.9, "int8"), None),
        ("tied", Clarity(22, "int8", may_saturate=True), None),
        ("tied", Clarity(60, "float16"), None),
        ("slower", Clarity(22, "int8"), None),
        ("unsure", Clarity(22, "int8"), None),
    ],
)
def test_what_may_be_chosen_for_its_scores(
    other: str, clarity: Clarity, clearest: str | None
) -> None:
    """A decibel at least, of the same precision, no slower for sure, and clear on the target."""
    known = {**dict.fromkeys(CHOICE.ratios, Clarity(20, "int8")), other: clarity}
    found = CHOICE.by_clarity(known)
    assert found.clearest == clearest
    assert found.chosen == (clearest or "first")
    assert ("its scores are nearer to float's" in found.doubt) == bool(clearest)


def test_the_fastest_may_saturate_and_gives_way_to_what_does_not() -> None:
    known = dict.fromkeys(CHOICE.ratios, Clarity(22, "int8"))
    known["first"] = Clarity(20, "int8", may_saturate=True)
    assert CHOICE.by_clarity(known).chosen == "tied"
