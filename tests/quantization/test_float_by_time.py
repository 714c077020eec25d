"""Operators that go to float for their time, with timings and trials that are given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekit.errors import Unsupported
from edgekit.evaluation.measure import REPEATS
from edgekit.evaluation.timing import MeasureResult, Timing
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement
from edgekit.quantization.float_by_time import FloatByTimeSearch, suspects
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig
from edgekit.runtimes.contract.compiled_metadata import FloatByTime, TrialResult
from edgekit.runtimes.contract.description import Activation, Description, Operator, Port
from edgekit.runtimes.contract.settings import Quantization

CONFIG = QuantizationConfig(quantization=Quantization(quantizer="q", float_ops=("rule",)))
CHAIN = ["conv", "mean", "root", "scale", "fc1", "gelu", "fc2", "wide", "end"]
HEAVY = {"conv": 40, "fc1": 30, "fc2": 20, "wide": 5, "end": 5}
SLOW = {"mean": "MEAN", "scale": "MUL", "gelu": "GELU", "wide": "DEPTHWISE"}
PORT = Port(name="x", shape=(1,), dtype="uint8")


def description(slow: dict[str, str] = SLOW) -> Description:
    operators = [
        Operator(
            name=f"short {name}",
            written=name,
            kind=SLOW.get(name, name.upper()),
            precision="float32" if name == "rule" else "int8",
            heavy=name in HEAVY,
            macs=HEAVY.get(name, 0),
            is_suspect=name in slow,
        )
        for name in ["rule", *CHAIN]
    ]
    return Description(input=PORT, output=PORT, operators=tuple(operators), per_channel=True)


def activations() -> tuple[Activation, ...]:
    made = [("", ""), *zip(CHAIN, ["", *CHAIN[:-1]], strict=True), ("rule", "end")]
    return tuple(
        Activation(
            name=name or "image",
            operator=name,
            layer=name,
            kind="",
            has_weights=False,
            inputs=() if not name else (source or "image",),
        )
        for name, source in made
    )


@dataclass
class Trials:
    """Percent of the images that agree, by what is in float."""

    agreement: dict[str, float] = field(default_factory=dict)
    images: tuple[int, ...] = (1, 2)
    slow: dict[str, str] = field(default_factory=lambda: SLOW)
    named: bool = True
    purpose = ""
    judged_file, calibrated_form, progress = Path("images.npy"), None, None

    @property
    def runtime(self) -> Any:
        return SimpleNamespace(
            name="fake",
            names_suspects=self.named,
            describe=lambda path: description(self.slow),
            activations=lambda path: activations(),
        )

    def float_file(self, corrections: object) -> Path:
        return Path("float")

    def keep(self, config: QuantizationConfig) -> Path:
        return Path("/".join(config.quantization.float_ops))

    def try_out(self, config: QuantizationConfig) -> TrialResult:
        figures = [self.agreement.get(name, 100.0) for name in config.quantization.float_ops]
        return TrialResult(sqnr_db=20.0, images=4, agreement=min(figures))


SECONDS = {"mean": 0.1, "scale": 0.1, "root": 0.1, "gelu": 0.2, "wide": 0.3}
"""What is saved by each in float."""


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The files of each run."""
    runs: list[list[str]] = []

    def measure(candidates: list[Any], *_: Any, processes: int) -> Any:
        runs.append([c.id for c in candidates])
        timings = {c.id: timing(c.path) for c in candidates}
        return MeasureResult(environment={}, timings=timings)

    def timing(path: Path) -> Timing:
        seconds = 2.0 - sum(SECONDS.get(name, 0.0) for name in path.parts)
        return Timing(0.0, 0.0, np.full((60, 3), seconds))

    monkeypatch.setattr("edgekit.evaluation.measure.measure", measure)
    return runs


def search(
    trials: Any = None, agreement: float = 99, max_float_macs: float = 0.05
) -> tuple[QuantizationConfig, FloatByTime]:
    given: Any = trials or Trials()
    config, found = FloatByTimeSearch(
        trials=given, config=CONFIG, path=Path("rule"),
        asked=StopCriterion(agreement), max_float_macs=max_float_macs,
    ).run()  # fmt: skip
    assert found is not None
    return config, found


def test_what_is_faster_in_float_goes_there_with_what_lies_between(
    measured: list[list[str]],
) -> None:
    config, found = search()
    assert {*config.quantization.float_ops} == {"rule", "mean", "root", "scale", "gelu", "wide"}
    assert measured == [["int8", "all of them", "MEAN, MUL", "GELU", "DEPTHWISE"]]
    assert found.chosen is not None
    assert isinstance(found.chosen.ratio, Measurement)
    assert found.chosen.ratio.evidence is Evidence.HOST
    assert found.chosen.ratio.value == pytest.approx(1.2 / 2)
    assert {*found.operators} == {"mean", "root", "scale", "gelu", "wide"}
    assert found.trial is not None


def test_convolutions_go_as_far_as_their_multiply_accumulates_may(
    measured: list[list[str]],
) -> None:
    config, _ = search(max_float_macs=0.04)
    assert "wide" not in config.quantization.float_ops
    assert "gelu" in config.quantization.float_ops


def test_a_group_that_float_slows_down_stays_in_int8(
    measured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SECONDS, "gelu", -0.5)
    config, found = search()
    assert {*config.quantization.float_ops} == {"rule", "mean", "root", "scale", "wide"}
    assert len(measured) == 2
    assert found.chosen is not None
    assert found.chosen.group == "MEAN, MUL; DEPTHWISE"


def test_nothing_changes_where_int8_is_faster(
    measured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECONDS:
        monkeypatch.setitem(SECONDS, name, -0.1)
    config, found = search()
    assert config == CONFIG
    assert "none of them is faster" in found.ended
    assert len(found.tried) > 1


def test_a_busy_machine_changes_nothing_and_is_told(
    measured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MeasureResult, "disturbed", True)
    config, found = search()
    assert config == CONFIG
    assert "too busy to tell (build again with --force quantize)" in found.ended
    assert len(measured) == 1 + REPEATS
    assert all(isinstance(each.ratio, InvalidMeasurement) for each in found.tried)


@pytest.mark.parametrize(
    ("asked", "int8", "goes"),
    [(99.0, 100.0, False), (97.0, 100.0, True), (99.0, 98.5, False), (99.0, 98.0, True)],
)
def test_what_agrees_less_than_is_asked_stays_in_int8(
    measured: list[list[str]], asked: float, int8: float, goes: bool
) -> None:
    config, found = search(Trials({"rule": int8, "gelu": 98.0}), asked)
    assert ("gelu" in config.quantization.float_ops) == goes
    assert found.chosen is not None


def test_a_file_that_cannot_be_made_changes_nothing(
    measured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **options: Any) -> Any:
        raise Unsupported("no such kernel")

    monkeypatch.setattr("edgekit.evaluation.measure.measure", refuse)
    config, found = search()
    assert (config, found.ended, found.tried) == (CONFIG, "no such kernel", ())


def test_suspects_that_may_not_go_to_float_are_not_timed(measured: list[list[str]]) -> None:
    config, found = search(Trials(slow={"wide": "DEPTHWISE"}), max_float_macs=0.04)
    assert config == CONFIG
    assert "max_float_macs (0.04) leaves no room" in found.ended
    assert not measured


def test_only_what_runs_in_int8_is_suspected() -> None:
    assert suspects(description({"mean": "MEAN", "rule": "DIV"})) == {"mean": "MEAN"}


@pytest.mark.parametrize("about", [{"slow": {}}, {"named": False}])
def test_a_file_without_suspects_is_not_timed(
    measured: list[list[str]], about: dict[str, Any]
) -> None:
    trials: Any = Trials(**about)
    search = FloatByTimeSearch(trials, CONFIG, Path("rule"), StopCriterion(), 0.05)
    assert search.run() == (CONFIG, None)
    assert not measured
