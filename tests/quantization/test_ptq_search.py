"""The order of the search and when it ends: pure, with trials that are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgekit.errors import Unsupported
from edgekit.quantization.ptq_search import search
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig
from edgekit.runtimes.contract.compiled_metadata import TrialResult
from edgekit.runtimes.contract.settings import Quantization

EVERYTHING = StopCriterion(101)
"""Nothing holds it."""
ASKED = Quantization(quantizer="library", float_ops=("div",))


class Shop:
    """A workshop whose trials are looked up by the label of the way."""

    def __init__(self, figures: dict[str, tuple[float | None, float]], **about: Any) -> None:
        self.figures = figures
        self.corrections = about.get("corrections", ("equalise", "adaround", "bias"))
        self.runtime = SimpleNamespace(
            name="library",
            quantizers=about.get("quantizers", ("library",)),
            calibrations=("minmax", "moving_average"),
        )
        self.trained_ranges = about.get("trained_ranges", {})
        self.seen: list[str] = []

    def try_out(self, way: QuantizationConfig) -> TrialResult:
        assert way.quantization.float_ops == ("div",)
        label = way.label.removesuffix(", 1 operator in float")
        self.seen.append(label)
        sqnr, agreement = self.figures.get(label, (10.0, 90.0))
        if sqnr is None:
            return TrialResult(sqnr_db=None, images=50, failure="it stops")
        return TrialResult(sqnr_db=sqnr, images=50, agreement=agreement)


RANGES = ["mse", "percentile 99.99", "percentile 99.999", "minmax", "moving_average"]


def test_cheap_ways_come_first_and_each_goes_on_from_the_best() -> None:
    shop: Any = Shop({"mse": (15, 95), "mse + bias": (18, 97), "mse + adaround + bias": (17, 99)})
    way, found = search(shop, ASKED, EVERYTHING)
    assert shop.seen == [
        *RANGES,
        "mse + bias",
        "mse + equalise + bias",
        "mse + adaround + bias",
    ]
    assert (way.quantization.calibration, way.corrections) == ("mse", ("bias",))
    assert [row.way for row in found.tried if row.chosen] == [way.label]
    assert found.ended.startswith("every configuration was tried, and none holds")


def test_it_ends_where_what_is_asked_holds() -> None:
    shop: Any = Shop({"percentile 99.99": (9, 99.5)})
    way, found = search(shop, ASKED, StopCriterion(99))
    assert shop.seen == RANGES[:2]
    assert way.label.startswith("percentile 99.99,")
    assert (
        found.ended
        == "99.5 % agree, drop 0 points; 99 % agreement and no significant loss were asked"
    )


@pytest.mark.parametrize(
    ("about", "steps"),
    [
        ({"corrections": ("smooth", "bias")}, ["mse + bias", "mse + smooth"]),
        ({"corrections": ()}, []),
    ],
)
def test_what_cannot_help_is_not_tried(about: dict[str, Any], steps: list[str]) -> None:
    shop: Any = Shop({"mse": (20, 90)}, **about)
    search(shop, ASKED, EVERYTHING)
    assert shop.seen == [*RANGES, *steps]


@pytest.mark.parametrize(("figure", "tried"), [(10.0, 1), (None, 2)])
def test_ranges_that_were_trained_are_tried_once(figure: float | None, tried: int) -> None:
    shop: Any = Shop({"mse": (figure, 90)}, corrections=(), trained_ranges={"a": (0, 1)})
    search(shop, ASKED, EVERYTHING)
    assert shop.seen == RANGES[:tried]


def test_a_second_quantiser_is_asked_for_nothing_that_is_its_own() -> None:
    about = {"corrections": ("adaround", "bias"), "trained_ranges": {"a": (0, 1)}}
    shop: Any = Shop({}, quantizers=("first", "library"), **about)
    search(shop, ASKED, EVERYTHING)
    assert shop.seen == ["minmax", "moving_average", "minmax + adaround"]


def test_a_way_that_does_not_run_is_a_row_and_never_chosen() -> None:
    shop: Any = Shop({"mse": (None, 0), "percentile 99.99": (-3, 60)}, corrections=())
    shop.figures |= dict.fromkeys(RANGES[2:], (-5.0, 50.0))
    way, found = search(shop, ASKED, EVERYTHING)
    assert way.label.startswith("percentile 99.99,")
    assert found.tried[0].trial.failure == "it stops"


def test_where_nothing_runs_the_reason_is_raised() -> None:
    shop: Any = Shop(dict.fromkeys(RANGES, (None, 0)), corrections=())
    with pytest.raises(Unsupported, match="it stops"):
        search(shop, ASKED, EVERYTHING)
