"""What the epochs of a training say of it."""

from __future__ import annotations

import pytest

from edgekit.models.training_curve import TrainingCurve, not_converged

EPOCHS = "prune.recover.epochs"


@pytest.mark.parametrize(
    ("losses", "converged"),
    [
        ([2.0, 1.5, 1.2, 1.0, 0.8, 0.6, 0.5], False),  # still falling by a fifth an epoch
        ([2.0, 1.0, 0.5, 0.41, 0.40, 0.40, 0.395, 0.39, 0.39], True),
        ([2.0, 1.0, 0.5, 0.42, 0.39, 0.45, 0.47], True),  # noisy, and the last is not the least
        ([1.0, 0.5], False),
        ([0.0, 0.0, 0.0], True),
    ],
)
def test_a_loss_that_was_still_falling_has_not_converged(
    losses: list[float], converged: bool
) -> None:
    found = not_converged(losses, EPOCHS)
    assert (found is None) is converged
    assert found is None or EPOCHS in found


def test_one_epoch_tells_nothing() -> None:
    assert "one epoch does not tell" in str(not_converged([1.0], EPOCHS))


def test_a_curve_has_a_point_for_each_epoch_and_reads_as_a_line() -> None:
    curve = TrainingCurve.of([1.0, 0.5], [50.0, 75.0], "validation", 12)
    assert [(p.epoch, p.loss, p.accuracy) for p in curve.points] == [(1, 1, 50), (2, 0.5, 75)]
    assert str(curve) == (
        "validation accuracy 50.0 % after the first epoch, 75.0 % after 2, on 12 images"
    )
    assert str(TrainingCurve.of([1.0, 0.5], [], None, 0)) == "loss 1.000 to 0.500"
