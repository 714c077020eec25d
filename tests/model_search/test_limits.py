"""Limits are read as people write them, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.evaluation.gates import GateVerdict
from edgekit.evidence import Evidence, Measurement
from edgekit.model_search.limits import Limit, parse_limit, parse_limits
from tests.mutations import fuzz, refusals


@pytest.mark.parametrize(
    ("text", "figure", "bound", "reference"),
    [
        ("latency<=8ms", "latency", 8, ""),
        ("latency <= 0.5 s", "latency", 500, ""),
        ("latency<=0.6x efficientnet_lite0", "latency", 0.6, "efficientnet_lite0"),
        ("latency<=1x torchvision/alexnet", "latency", 1, "torchvision/alexnet"),
        ("size<=4MB", "size", 4, ""),
        ("size<=900kB", "size", 0.9, ""),
        ("drop<=1", "drop", 1, ""),
        ("drop<=0.5 points", "drop", 0.5, ""),
        ("agreement>=97%", "agreement", 97, ""),
    ],
)
def test_what_people_write(text: str, figure: str, bound: float, reference: str) -> None:
    found = parse_limit(text)
    assert (str(found.figure), found.reference) == (figure, reference)
    assert found.bound == pytest.approx(bound)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency", "is no limit"),
        ("speed<=1", "no figure 'speed'"),
        ("latency<=8", "ms or s or us or x expected, not no unit"),
        ("latency>=8ms", "<= expected, not >="),
        ("latency<8ms", "<= expected, not <"),
        ("latency<=0.6x", "a multiple names an architecture"),
        ("latency<=8ms resnet18", "a multiple names an architecture"),
        ("size<=4", "expected, not no unit"),
        ("size<=0MB", "more than 0"),
        ("agreement>=101", "100 % at most"),
        ("drop<=-1", "is no limit"),
    ],
)
def test_what_is_no_limit(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_limit(text)


def test_a_figure_is_limited_once() -> None:
    with pytest.raises(InputError, match="size is limited twice"):
        parse_limits(["size<=4MB", "size<=2MB"])


BOUNDS = st.decimals("0.001", "9999", places=3, allow_nan=False).map(float)


@given(
    st.builds(Limit, st.sampled_from(["latency", "size", "drop"]), BOUNDS)
    | st.builds(Limit, st.just("latency"), BOUNDS, st.sampled_from(["resnet18", "a/b_c.d-e"]))
    | st.builds(Limit, st.just("agreement"), st.floats(1, 100).map(lambda x: round(x, 3)))
)
def test_a_limit_is_read_as_it_is_written(limit: Limit) -> None:
    assert parse_limit(str(limit)) == limit


@given(BOUNDS, BOUNDS)
def test_excess_and_verdict_agree(bound: float, value: float) -> None:
    figure = Measurement(value=value, unit="", evidence=Evidence.MEASURED, method="")
    for limit in (Limit("size", bound), Limit("agreement", bound)):
        assert (limit.excess(figure) == 0) == (limit.verdict(figure) is GateVerdict.HELD)


@fuzz
@given(st.text(max_size=60) | st.from_regex(r"(latency|size|drop)[<>=]{1,2}[0-9.e]{1,12}\w{0,3}"))
def test_any_text_is_read_or_refused(text: str) -> None:
    with refusals():
        parse_limit(text)
