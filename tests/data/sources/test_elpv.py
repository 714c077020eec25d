"""ELPV as its package installs it."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.data.framing import Framing
from edgekit.data.images import decode
from edgekit.data.size import Size
from edgekit.data.sources.base import Listing
from edgekit.data.sources.elpv import Elpv
from edgekit.errors import MissingPackage

installed = pytest.mark.skipif(
    importlib.util.find_spec("elpv_dataset") is None, reason="elpv-dataset is not installed"
)


def listed(**fields: Any) -> Listing:
    return Elpv(source="elpv", image_size=Size.square(64), **fields).listing()


@installed
def test_only_the_cells_that_are_sure_are_listed() -> None:
    listing = listed()
    # Of 2,624 cells 1,508 are surely functional and 715 surely defective (Deitsch et al. 2019).
    assert Counter(s.label for s in listing.samples) == {"functional": 1508, "defective": 715}
    assert listing.classes == ("functional", "defective")


@installed
def test_the_limits_take_in_the_unsure_ones() -> None:
    counts = Counter(s.label for s in listed(functional_under=0.5, defective_over=0.5).samples)
    assert sum(counts.values()) == 2624
    assert counts["functional"] > 1508


@installed
def test_images_are_where_the_listing_says_and_names_are_relative() -> None:
    sample = listed().samples[0]
    assert not Path(sample.name).is_absolute()
    image = decode(sample.path.read_bytes(), Framing(Size.square(64)))
    assert not isinstance(image, str)
    assert image.shape == (64, 64, 3)


def test_limits_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValidationError, match="functional_under"):
        Elpv(source="elpv", image_size=Size.square(64), functional_under=0.9, defective_over=0.1)


def test_without_the_package_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="elpv-dataset"):
        listed()
