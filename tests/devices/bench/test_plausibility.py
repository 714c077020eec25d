"""Samples that were made up are no result; those of quick models on coarse clocks are."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.devices.bench.plausibility import implausible
from edgekit.devices.bundle.bundled_model import Subject
from edgekit.evidence import InvalidityCause, Validity
from tests.devices.bench.runs import process, run

SUBJECT = Subject(
    file="model.tflite", sha256="0", bytes=1, format="litert", precision="int8", operators=None,
    macs=300_000_000, parameters=None, lineage=None,
)  # fmt: skip
"""MobileNetV2 at 224 px: on four Cortex-A76 1.0 ms at the very least."""
RNG = np.random.default_rng(0)


def causes(samples: list[float], subject: Subject = SUBJECT) -> list[tuple[str, str]]:
    found = implausible(run([process(samples)]), subject, 4)
    return [(reason.cause, reason.validity) for reason in found]


@pytest.mark.parametrize(
    "samples",
    [
        [0.01] * 100,
        [0.01, 0.0101, 0.0102] * 40,
        RNG.normal(0.0009, 1e-5, 100).tolist(),
    ],
)
def test_made_up_samples(samples: list[float]) -> None:
    assert causes(samples) == [(InvalidityCause.IMPLAUSIBLE, Validity.INVALID)]


@pytest.mark.parametrize(
    "samples",
    [
        RNG.normal(0.0042, 1e-5, 100).tolist(),
        np.round(RNG.normal(0.0042, 3e-6, 1000), 6).tolist(),  # a clock of microseconds
        [0.01] * 5,
        [0.01] * 60 + RNG.normal(0.01, 1e-4, 60).tolist(),
    ],
)
def test_samples_as_they_come(samples: list[float]) -> None:
    assert causes(samples) == []


def test_a_float_file_of_few_products_is_not_held_to_the_bound() -> None:
    quick = RNG.normal(1e-4, 1e-6, 100).tolist()
    few = SUBJECT.model_copy(update={"macs": 10_000})
    assert causes(quick, few) == []
    assert causes(quick, few.model_copy(update={"macs": None})) == []
