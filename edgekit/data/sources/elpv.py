"""ELPV: electroluminescence images of solar cells, functional or defective.

2,624 images of 300x300 pixels with a defect probability of 0, 1/3, 2/3 or 1, published by
Buerhop-Lutz et al. (2018) and Deitsch et al. (2019, 2021), CC BY-NC-SA 4.0; the PyPI package
elpv-dataset carries them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edgekit.data.sources.base import Listing, Sample, Source
from edgekit.errors import DataError, MissingPackage

CLASSES = ("functional", "defective")


class Elpv(Source):
    source: Literal["elpv"]
    """Solar cells, from the PyPI package elpv-dataset."""
    functional_under: float = Field(0.2, ge=0, le=1)
    """Cells with a defect probability below this are functional."""
    defective_over: float = Field(0.8, ge=0, le=1)
    """Cells with a defect probability above this are defective; those between are left out."""

    @model_validator(mode="after")
    def _limits_in_order(self) -> Elpv:
        if self.functional_under > self.defective_over:
            raise ValueError("functional_under must not be above defective_over")
        return self

    def listing(self) -> Listing:
        spec = importlib.util.find_spec("elpv_dataset")
        if spec is None or not spec.submodule_search_locations:
            raise MissingPackage("elpv-dataset", "demo", "data.source: elpv")
        root = Path(spec.submodule_search_locations[0]) / "data"
        samples = []
        table = root / "labels.csv"
        for number, row in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                name, probability, _cell_type = row.split()
                label = self._label(float(probability))
            except ValueError:
                raise DataError(
                    f"{table}:{number}: path, probability, type expected: {row!r}"
                ) from None
            if label:
                samples.append(Sample(name, root / name, label))
        return Listing(tuple(samples), CLASSES)

    def _label(self, defect_probability: float) -> str | None:
        if defect_probability < self.functional_under:
            return CLASSES[0]
        return CLASSES[1] if defect_probability > self.defective_over else None
