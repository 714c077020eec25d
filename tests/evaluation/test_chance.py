"""Whether a float model has learned anything."""

from __future__ import annotations

import pytest

from edgekit.evaluation.chance import held_to_chance
from edgekit.evaluation.metrics import share_of
from edgekit.evidence import Evidence


@pytest.mark.parametrize(
    ("right", "images", "commonest", "trained"),
    [
        (8, 24, 1 / 3, False),
        (12, 24, 1 / 3, False),
        (13, 24, 1 / 3, True),
        (4, 4, 0.5, False),  # as likely as one in sixteen
        (5, 5, 0.5, True),
        (90, 100, 0.9, False),  # names nothing but the commonest class
        (97, 100, 0.9, True),
        (24, 24, 1.0, False),  # images of one class show nothing
    ],
)
def test_accuracy_is_held_to_the_commonest_class(
    right: int, images: int, commonest: float, trained: bool
) -> None:
    found = held_to_chance(share_of(right, images, Evidence.HOST), 100 * commonest)
    assert found.is_trained is trained
    assert str(found).startswith("untrained: ")


def test_images_that_are_too_few_are_named() -> None:
    """Four right of four: by chance that happens once in sixteen times."""
    right = share_of(4, 4, Evidence.HOST)
    found = held_to_chance(right, 50.0)
    assert "4 images are too few" in str(found)
    assert "data.validation_share" in found.advice(trains=True)


def test_the_advice_names_what_may_help() -> None:
    found = held_to_chance(share_of(30, 60, Evidence.HOST), 50.0)
    for word in ("epochs", "learning_rate", "averaged weights", "ema_decay"):
        assert word in found.advice(trains=True)
    assert "model.classes" in found.advice(trains=False)
    assert "image_size" not in found.advice(trains=False)
    said = found.advice(False, "model.state: raw takes the raw ones", tells_size=False)
    assert said.startswith("model.state: raw")
    assert "data.fit, data.image_size)" in said
