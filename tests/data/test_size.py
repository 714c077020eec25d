"""An image's height and width, as recipes and files have them."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from edgekit.data.framing import Framing
from edgekit.data.size import Sides, Size

SIDES = st.integers(16, 2048)


class Holder(BaseModel):
    model_config = ConfigDict(strict=True)

    size: Annotated[Size, Sides(16, 2048)]


@given(SIDES, SIDES)
def test_a_size_is_read_as_it_is_written(height: int, width: int) -> None:
    holder = Holder(size=Size(height, width))
    assert Holder.model_validate_json(holder.model_dump_json()) == holder
    assert Holder.model_validate(holder.model_dump()) == holder
    assert holder.model_dump()["size"] == ([height, width] if height != width else height)


@given(SIDES)
def test_a_pair_of_equal_sides_is_the_same_as_one(side: int) -> None:
    assert Holder.model_validate({"size": [side, side]}) == Holder.model_validate({"size": side})


@pytest.mark.parametrize(
    "value", [15, 2049, [96, 15], [2049, 96], [96], [96, 96, 3], [], 96.0, True, [96, "96"], "96",
              "96x128", None, {"height": 96}],
)  # fmt: skip
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Holder.model_validate({"size": value})


def test_a_square_enters_keys_as_the_number_it_always_was() -> None:
    assert Framing(Size.square(96), 0.9).settings() == {
        "size": 96,
        "crop_pct": 0.9,
        "fit": "crop",
        "interpolation": "bicubic",
        "orientation": "upright",
    }
    assert Framing(Size(96, 128)).settings()["size"] == [96, 128]
