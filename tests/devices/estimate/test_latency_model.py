"""The fit finds the prices that made the times, says how far off it is, and knows its limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.devices.estimate.calibrate import calibration_path, read_calibration
from edgekit.devices.estimate.latency_model import (
    FEATURES,
    Fit,
    LatencyModel,
    NoEstimate,
    ProbeSample,
    features,
    fit,
    merged,
    predict,
)
from edgekit.devices.estimate.workload import Workload
from edgekit.evidence import Evidence
from tests.devices.estimate.workloads import workload
from tests.mutations import fuzz, json_texts, refusals

PRICES = dict(zip(FEATURES, (5e-11, 2e-10, 3e-11, 2e-10, 1e-10, 2e-6), strict=True))
PRECISION = "int8"


def works(count: int, seed: int = 0) -> list[Workload]:
    draw = np.random.default_rng(seed)
    return [
        workload(
            conv=int(10 ** draw.uniform(6, 9)),
            depthwise=int(10 ** draw.uniform(6, 8)),
            dense=int(10 ** draw.uniform(7, 9)),
            weights=int(10 ** draw.uniform(5, 7)),
            moved=int(10 ** draw.uniform(6, 7)),
            operators=int(draw.integers(30, 200)),
        )
        for _ in range(count)
    ]


def cost(work: Workload, prices: dict[str, float] = PRICES) -> float:
    return float(features(work) @ [prices[name] for name in FEATURES])


def fitted(samples: list[ProbeSample], threads: int = 4, library: str = "rt 1.0") -> Fit:
    return fit(
        tuple(samples), runtime="litert", library=library, precision=PRECISION, threads=threads,
        measured="2026-01-02T03:04:05+00:00",
    )  # fmt: skip


def samples(count: int = 15, noise: float = 0.0, seed: int = 0) -> list[ProbeSample]:
    draw = np.random.default_rng(seed)
    return [
        ProbeSample(probe=f"p{i}", workload=work, seconds=cost(work) * (1 + noise * draw.normal()))
        for i, work in enumerate(works(count, seed))
    ]


def calibration(*fits: Fit, cpu: str = "cortex-a76", address: str = "pi@here") -> LatencyModel:
    return LatencyModel(
        edgekit="0", device="pi5", address=address,
        cpu=cpu, cores=4,
        kernel="6.6", environment={}, warnings=(), fits=fits,
    )  # fmt: skip


def test_exact_times_give_the_prices_that_made_them() -> None:
    found = fitted(samples())
    assert found.seconds_per == pytest.approx(PRICES, rel=1e-6)
    assert found.error < 1e-6
    unseen = works(5, seed=9)
    assert [found.seconds(w) for w in unseen] == pytest.approx([cost(w) for w in unseen], rel=1e-6)


def test_the_error_is_that_of_probes_left_out() -> None:
    """By hand: fit without one, predict it."""
    given = samples(noise=0.1)
    found = fitted(given)
    for number, one in enumerate(given):
        others = fitted([*given[:number], *given[number + 1 :]])
        expected = others.seconds(one.workload) / one.seconds - 1
        assert found.errors[one.probe] == pytest.approx(expected)
    off = sorted(abs(error) for error in found.errors.values())
    assert found.median_error == pytest.approx(off[7])
    assert found.error == pytest.approx(off[13]), "14 of 15 are within it, and so nine in ten"


def test_one_probe_that_is_out_of_line_shows_in_the_error() -> None:
    given = samples()
    odd = given[3].model_copy(update={"seconds": 2 * given[3].seconds})
    found = fitted([*given[:3], odd, *given[4:]])
    assert max(found.errors, key=lambda name: abs(found.errors[name])) == "p3"
    assert found.errors["p3"] == pytest.approx(-0.5, abs=1e-6)


@given(seed=st.integers(0, 10**6), noise=st.floats(0, 0.3))
@settings(max_examples=40, deadline=None)
def test_prices_are_never_negative(seed: int, noise: float) -> None:
    given = [s for s in samples(noise=noise, seed=seed) if s.seconds > 0]
    found = fitted(given)
    assert min(found.seconds_per.values()) >= 0
    assert all(found.seconds(s.workload) > 0 for s in given)


@given(seed=st.integers(0, 10**6), factor=st.floats(1e-4, 1e4))
@settings(max_examples=40, deadline=None)
def test_a_device_that_is_slower_throughout_has_the_same_error(seed: int, factor: float) -> None:
    given = samples(noise=0.1, seed=seed)
    slower = [s.model_copy(update={"seconds": factor * s.seconds}) for s in given]
    one, other = fitted(given), fitted(slower)
    assert other.errors == pytest.approx(one.errors, rel=1e-6, abs=1e-9)


def test_an_estimate_carries_the_error_as_its_interval() -> None:
    found = fitted(samples(noise=0.1))
    work = works(1, seed=4)[0]
    told = predict(calibration(found), work, "litert", 4, "rt 1.0")
    assert told.evidence is Evidence.ESTIMATED
    assert told.unit == "ms"
    assert told.value == pytest.approx(1e3 * found.seconds(work))
    assert told.low == pytest.approx(told.value / (1 + found.error))
    assert told.high == pytest.approx(told.value / (1 - found.error))
    for word in ("15 probe models", "pi5", "rt 1.0", "2026-01-02", "nine in ten"):
        assert word in told.method


@pytest.mark.parametrize(
    ("change", "runtime", "threads", "library", "words"),
    [
        ({"dense": 10**11}, "litert", 4, None, "multiply-accumulates"),
        ({"dense": 10}, "litert", 4, None, "multiply-accumulates"),
        ({"depthwise": 5 * 10**8}, "litert", 4, None, "of kind depthwise"),
        ({"moved": 10**9}, "litert", 4, None, "bytes"),
        ({"operators": 5000}, "litert", 4, None, "operators"),
        ({"product": 10**6}, "litert", 4, None, "attention"),
        ({}, "litert", 1, None, "at 1 threads"),
        ({}, "onnxruntime", 4, None, "onnxruntime"),
        ({}, "litert", 4, "rt 1.1", "has rt 1.1 now"),
    ],
)
def test_what_the_probes_do_not_cover_is_refused(
    change: dict[str, int], runtime: str, threads: int, library: str | None, words: str
) -> None:
    sizes = {"dense": 10**8, "conv": 0, "weights": 10**6, "moved": 10**6, "operators": 60}
    sizes |= {"conv": 10**7} if "dense" not in change else {}
    work = workload(precision="int8", **(sizes | change))
    with pytest.raises(NoEstimate, match=words) as raised:
        predict(calibration(fitted(samples())), work, runtime, threads, library)
    assert raised.value.hint


def test_another_precision_is_refused() -> None:
    work = workload(dense=10**8, operators=60, weights=10**6, moved=10**6, precision="float32")
    with pytest.raises(NoEstimate, match="float32"):
        predict(calibration(fitted(samples())), work, "litert", 4, None)


def test_a_fit_that_tells_nothing_is_not_used() -> None:
    """Times that have nothing to do with the work."""
    draw = np.random.default_rng(0)
    given = [s.model_copy(update={"seconds": 10 ** draw.uniform(-4, 0)}) for s in samples()]
    with pytest.raises(NoEstimate, match="of no use"):
        predict(calibration(fitted(given)), works(1)[0], "litert", 4, None)


def test_a_calibration_survives_its_file() -> None:
    found = calibration(fitted(samples(noise=0.1)))
    again = LatencyModel.model_validate_json(found.model_dump_json())
    assert again == found
    assert predict(again, works(1)[0], "litert", 4, None) == predict(
        found, works(1)[0], "litert", 4, None
    )


def test_a_second_calibration_keeps_what_it_does_not_measure() -> None:
    one, four = fitted(samples(), threads=1), fitted(samples(), threads=4)
    newer = fitted(samples(seed=3), threads=4)
    assert merged(None, calibration(one)).fits == (one,)
    assert merged(calibration(one, four), calibration(newer)).fits == (one, newer)
    other = fitted(samples(), threads=4, library="rt 2.0")
    assert merged(calibration(one), calibration(other)).fits == (other,), "one is of rt 1.0"
    for elsewhere in (
        calibration(newer, cpu="cortex-a72"),
        calibration(newer, address="pi@there"),
    ):
        assert merged(calibration(one, four), elsewhere) == elsewhere


@fuzz
@given(data=st.data())
def test_any_damage_of_a_calibration(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = tmp_path_factory.getbasetemp() / "damaged"
    good = calibration(fitted(samples(noise=0.1))).model_dump(mode="json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_STORE", str(store))
        path = calibration_path("pi5")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.draw(json_texts(good)).encode(errors="surrogatepass"))
        with refusals():
            found = read_calibration("pi5")
            assert found
            latency = predict(found, works(1, seed=4)[0], "litert", 4, "rt 1.0")
            assert latency.value >= 0
