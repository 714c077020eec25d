import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.quantization.paired_check import divergences, paired_check

IMAGES = 200


@pytest.fixture
def reference() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 3, (IMAGES, 4)).astype(np.float32)


def noisy(scores: NDArray[np.float32], size: float, seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, size, scores.shape)
    return (scores + noise).astype(np.float32)


def test_closer_to_the_float_network_is_better(reference: NDArray[np.float32]) -> None:
    labels = reference.argmax(1)
    found = paired_check(reference, noisy(reference, 0.5, 1), noisy(reference, 0.1, 2), labels)
    assert found.verdict == "better"
    assert found.keeps_training
    assert found.qat.divergence < found.ptq.divergence
    assert found.ratio[2] < 1
    assert "pays" in found.remark


def test_further_from_it_is_worse(reference: NDArray[np.float32]) -> None:
    labels = reference.argmax(1)
    found = paired_check(reference, noisy(reference, 0.1, 1), noisy(reference, 0.5, 2), labels)
    assert found.verdict == "worse"
    assert not found.keeps_training


def test_closer_on_most_images_and_far_off_on_a_few_is_not_better(
    reference: NDArray[np.float32],
) -> None:
    qat = noisy(reference, 0.02, 2)
    qat[:4] = reference[:4, ::-1]
    found = paired_check(reference, noisy(reference, 0.2, 1), qat, reference.argmax(1))
    assert found.ratio[2] < 1
    assert found.verdict == "nothing to gain"


def test_as_good_is_nothing_to_gain(reference: NDArray[np.float32]) -> None:
    labels = reference.argmax(1)
    found = paired_check(reference, noisy(reference, 0.2, 1), noisy(reference, 0.2, 2), labels)
    assert found.verdict == "nothing to gain"
    assert not found.keeps_training
    assert f"{IMAGES} training images" in found.remark


def test_labels_come_first(reference: NDArray[np.float32]) -> None:
    """A network that learned more than the float network knows is not held to its mistakes."""
    labels = np.roll(reference.argmax(1), 1)
    knows = np.eye(4, dtype=np.float32)[labels] * 5
    found = paired_check(reference, noisy(reference, 0.1, 1), knows, labels)
    assert found.qat.divergence > found.ptq.divergence
    assert found.verdict == "better"
    assert paired_check(reference, knows, noisy(reference, 0.1, 1), labels).verdict == "worse"


def test_divergence_is_that_of_the_definition() -> None:
    p, q = np.array([[0.7, 0.3]]), np.array([[0.4, 0.6]])
    expected = 0.7 * np.log(0.7 / 0.4) + 0.3 * np.log(0.3 / 0.6)
    shifted = np.log(q) + 5
    assert divergences(np.log(p), shifted) == pytest.approx(expected)
