"""Fields that vary are refused where candidates could not be held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.api.searching import varied
from edgekit.data.framing import Framing
from edgekit.engine.observer import Silent
from edgekit.errors import InputError
from edgekit.model_search.axes import FRAMING, point_name, vary_each
from edgekit.model_search.space import Space, space_of
from edgekit.model_search.sweep import points_of
from edgekit.spec.target import load_target
from tests.model_search.conftest import RECIPE


def space(world: Path, over: dict[str, list[Any]], recipe: str = RECIPE) -> Space:
    (world / "space.yaml").write_text(recipe)
    vary, parsed = varied(world / "space.yaml", Silent())
    return space_of(parsed, over, load_target(str(world / "board.yaml")), vary)


JUDGING: list[dict[str, list[Any]]] = [
    {"data.seed": [0, 1]},
    {"data": [{"seed": 1}, {"seed": 2}]},
    {"data.validation_share": [0.25, 0.5]},
    {"data": [{"image_size": 32}, {"image_size": 48, "classes": "classes.txt"}]},
    {"data.unreadable": ["stop", "skip"]},
]


@pytest.mark.parametrize("over", JUDGING)
def test_what_decides_which_images_judge_cannot_vary(
    world: Path, over: dict[str, list[Any]]
) -> None:
    (world / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(InputError, match="it decides which images judge"):
        space(world, over)
    vary, _ = varied(world / "space.yaml", Silent())
    with pytest.raises(InputError, match="it decides which images judge"):
        points_of(over, vary)


def test_labels_that_follow_from_a_field_cannot_vary(world: Path) -> None:
    elpv = RECIPE.replace("{source: imagefolder, path: images, ", "{source: elpv, ")
    with pytest.raises(InputError, match="it decides which images judge"):
        space(world, {"data.functional_under": [0.2, 0.4]}, elpv)


def test_how_an_image_is_framed_can_vary(world: Path) -> None:
    space(world, {"data.image_size": [32, 48], "data.orientation": ["upright", "as_stored"]})
    assert {*FRAMING} == {"image_size", *Framing.__dataclass_fields__} - {"size"}


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (
            {"model.arch": ["test_efficientnet", "test_wit"], "model": [{"arch": "resnet18"}]},
            r"model\.arch lies within model, and both cannot vary",
        ),
        (
            {"finetune.epochs": [1, 2], "stages[0].finetune.epochs": [3, 4]},
            "makes the same recipe as another of its values",
        ),
    ],
)
def test_a_field_does_not_vanish_behind_another(
    world: Path, over: dict[str, list[Any]], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        space(world, over)


def test_a_training_that_would_see_what_chose_is_refused(world: Path) -> None:
    recipe = RECIPE.replace("  - quantize: {method: ptq, ", "  - qat: {epochs: 1}\n  - quantize: {")
    with pytest.raises(InputError, match="takes no stage qat"):
        space(world, {"data.image_size": [32, 48]}, recipe)


def test_names_of_many_points_differ(world: Path) -> None:
    assert len({point_name({"a": i}) for i in range(8000)}) == 8000
    vary, _ = varied(world / "recipe.yaml", Silent())
    vary_each({"data.image_size": [32, 48]}, vary)


def test_without_fields_curated_networks_and_smaller_images_are_searched(world: Path) -> None:
    found = space(world, {}, RECIPE.replace("image_size: 32", "image_size: 160"))
    assert found.axes["data.image_size"] == [96, 128, 160]
    assert len(found.axes["model"]) > 5
    assert space(world, {"data.image_size": [32, 48]}).axes == {"data.image_size": [32, 48]}
    oblong = space(world, {}, RECIPE.replace("image_size: 32", "image_size: [32, 64]"))
    assert [*oblong.axes] == ["model"]
