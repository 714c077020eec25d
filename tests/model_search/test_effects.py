"""What a field does by itself is told with its interval, from short trainings alone."""

from __future__ import annotations

from edgekit.model_search.effects import effects
from tests.model_search.test_front import point


def test_what_a_field_does_is_the_mean_over_pairs_that_differ_in_it_alone() -> None:
    points = [
        point("a", 80, 1.0, 2, px=96, arch="x"),
        point("b", 82, 2.0, 2, px=128, arch="x"),
        point("c", 70, 2.0, 3, px=96, arch="y"),
        point("d", 74, 4.0, 3, px=128, arch="y"),
    ]
    assert effects(points, "x", 3)[0] == (
        "px 96 -> 128: +3.0 (-9.7 to +15.7) points for +1.50 (-4.85 to +7.85) x and "
        "+0.00 (+0.00 to +0.00) MB, the mean of 2 pairs"
    )
    assert effects(points[:2], "x", 3) == [
        "px 96 -> 128: +2.0 points for +1.00 x and +0.00 MB, in one pair: no interval"
    ]


def test_epochs_that_a_short_training_does_not_reach_have_no_effect() -> None:
    path = {"finetune.epochs": 2}
    points = [point("a", 80, 1, 2, **path), point("b", 81, 1, 2, **{"finetune.epochs": 20})]
    assert effects(points, "x", 3) == []
    assert len(effects(points, "x", 20)) == 1
