"""A measurement carries its evidence, and an interval that makes sense."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.evidence import Evidence, Measurement


def figure(**fields: Any) -> Measurement:
    given = {"value": 1.0, "unit": "%", "evidence": "host", "method": "counted"}
    return Measurement(**{**given, **fields})


def test_a_measurement_survives_json() -> None:
    measurement = figure(low=0.5, high=1.5, samples=10, evidence=Evidence.MEASURED)
    assert Measurement.model_validate_json(measurement.model_dump_json()) == measurement


@pytest.mark.parametrize("missing", ["value", "unit", "evidence", "method"])
def test_no_figure_without_its_evidence_and_method(missing: str) -> None:
    fields = {"value": 1.0, "unit": "%", "evidence": "host", "method": "counted"}
    del fields[missing]
    with pytest.raises(ValidationError, match=missing):
        Measurement.model_validate(fields)


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ({"low": 0.5}, "both ends"),
        ({"high": 0.5}, "both ends"),
        ({"low": 2.0, "high": 1.0}, "upside down"),
    ],
)
def test_half_an_interval_and_an_inverted_one_are_refused(
    ends: dict[str, float], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        figure(**ends)


def test_an_unknown_kind_of_evidence_is_refused() -> None:
    with pytest.raises(ValidationError, match="evidence"):
        figure(evidence="guessed")


def test_a_figure_cannot_be_changed_afterwards() -> None:
    frozen: Any = figure()
    with pytest.raises(ValidationError, match="frozen"):
        frozen.value = 2.0
