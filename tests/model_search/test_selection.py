"""What chooses is framed as what judges is."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.data.inventory import take_inventory
from edgekit.data.size import Size
from edgekit.data.sources.base import Source
from edgekit.model_search.selection import DIVIDES, divided_again
from edgekit.spec.recipe import load_recipe

OTHER = {
    "image_size": Size(48, 48),
    "fit": "crop",
    "crop_pct": 0.9,
    "interpolation": "nearest",
    "orientation": "as_stored",
    "unreadable": "skip",
}
"""No field of these as it is by default."""


@pytest.mark.parametrize("name", sorted(OTHER))
def test_every_field_of_a_source_is_kept(world: Path, name: str) -> None:
    source = load_recipe(world / "recipe.yaml").data
    source = source.model_copy(update={name: OTHER[name]})
    found = divided_again(source, take_inventory(source, world / "digests"), 0.3, 0)
    assert getattr(found, name) == OTHER[name]
    assert found.framing == source.framing


def test_no_field_is_forgotten() -> None:
    assert {*OTHER} | {"fit", *DIVIDES} == {*Source.model_fields}
