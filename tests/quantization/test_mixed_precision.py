"""The search for the fewest operators in float, with trials that are given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DeviceError
from edgekit.evaluation.timing import MeasureResult, Timing
from edgekit.quantization import mixed_precision
from edgekit.quantization.mixed_precision import MixedPrecisionSearch
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig
from edgekit.runtimes.contract.compiled_metadata import TrialResult
from edgekit.runtimes.contract.description import Description, Operator, Port
from edgekit.runtimes.contract.settings import Quantization

CONFIG = QuantizationConfig(quantization=Quantization(quantizer="library", float_ops=("rule",)))
ASKED = StopCriterion(99)
NAMES = [f"op{i}" for i in range(12)]


class Trials:
    """Operators that hold 100 % in float once all of `culprits` are among them."""

    def __init__(self, culprits: set[str], macs: dict[str, int] | None = None) -> None:
        self.culprits = culprits
        self.count = 0
        self.judged = np.zeros((4, 2, 2, 3), np.uint8)
        self.judged_file, self.calibrated_form = Path("images.npy"), None
        self.progress = lambda *_: None
        sizes = macs or {}
        operators = [
            Operator(
                name=f"short {n}",
                written=n,
                kind="ADD",
                precision="float32" if n == "rule" else "int8",
                heavy=True,
                macs=sizes.get(n, 1),
            )
            for n in ["rule", *NAMES]
        ]
        port = Port(name="x", shape=(1,), dtype="uint8")
        describe = Description(
            input=port, output=port, operators=tuple(operators), per_channel=True
        )
        self.runtime = SimpleNamespace(
            name="fake", describe=lambda path: describe, activations=lambda path: ()
        )

    def float_file(self, corrections: object) -> Path:
        return Path("float")

    def keep(self, config: QuantizationConfig) -> Path:
        return Path(f"{len(config.quantization.float_ops)}")

    def try_out(self, config: QuantizationConfig) -> TrialResult:
        self.count += 1
        kept = set(config.quantization.float_ops)
        assert "rule" in kept
        found = len(kept & self.culprits)
        agreement = 100.0 if found == len(self.culprits) else 60.0 + found
        return TrialResult(sqnr_db=2.0 * found, images=4, agreement=agreement)


def tensor(name: str, arose: float = 0.0, **facts: Any) -> Any:
    plain = {"cause": "codes", "inputs": (), "goes_wrong": False}
    return SimpleNamespace(
        name=name, operator=name, kind="ADD", share_added=arose, **{**plain, **facts}
    )


@pytest.fixture(autouse=True)
def noise(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The order in which an inspection blames the operators; the image has no operator."""
    order = ["", "rule", *NAMES]
    tensors = [tensor(name, arose=1 / (i + 1)) for i, name in enumerate(order)]
    monkeypatch.setattr(
        mixed_precision,
        "inspect_files",
        lambda *_: SimpleNamespace(tensors=tensors, is_sound=False),
    )

    def measure(candidates: list[Any], *_: Any, processes: int) -> Any:
        # An operator in float takes a tenth of the time more.
        rounds = {c.id: np.full((30, 1), 1 + 0.1 * int(c.path.name)) for c in candidates}
        timings = {name: Timing(0.0, 0.0, value) for name, value in rounds.items()}
        return MeasureResult(environment={}, timings=timings)

    monkeypatch.setattr(mixed_precision, "measure", measure)
    monkeypatch.setattr(
        mixed_precision,
        "Candidate",
        lambda id, runtime, path, form: SimpleNamespace(id=id, path=path),
    )
    return order


@given(st.sets(st.sampled_from(NAMES), min_size=1))
@settings(deadline=None)
def test_exactly_what_is_needed_stays_in_float(culprits: set[str]) -> None:
    trials: Any = Trials(culprits)
    config, found = MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0).run()
    assert found is not None
    assert set(config.quantization.float_ops) == {"rule", *culprits}
    assert {kept.operator for kept in found.kept} == culprits
    for kept in found.kept:
        assert kept.back_in_int8
        assert (kept.back_in_int8.agreement or 0) < 99
    assert "hold what was asked: 99 %" in found.ended
    assert trials.count <= 2 * len(NAMES)


def test_the_curve_goes_from_none_to_all_and_the_chosen_step_is_timed() -> None:
    trials: Any = Trials({"op1", "op2"})
    _, found = MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0).run()
    assert found is not None
    assert found.curve[0].operators == ()
    timed = [step for step in found.curve if step.latency_ratio is not None]
    assert [set(step.operators) for step in timed] == [{"op1", "op2"}]
    assert timed[0].latency_ratio == pytest.approx(1.3 / 1.1, abs=1e-3)
    assert timed[0].float_macs == pytest.approx(3 / 13)


def test_a_busy_machine_gives_the_chosen_step_no_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeasureResult, "disturbed", True)
    trials: Any = Trials({"op1", "op2"})
    _, found = MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0).run()
    assert found is not None
    assert all(step.latency_ratio is None for step in found.curve)


def test_operators_that_cost_too_much_are_passed_over() -> None:
    trials: Any = Trials({"op0", "op3"}, {"op0": 1000})
    config, found = MixedPrecisionSearch(trials, CONFIG, ASKED, 0.05).run()
    assert found is not None
    assert "op0" not in config.quantization.float_ops
    assert "do not hold 99 %" in found.ended
    assert "op3" in config.quantization.float_ops


def test_what_goes_wrong_is_returned_to_float_first_and_a_division_s_inputs_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tensors = [tensor(n, arose=1 / (i + 1)) for i, n in enumerate(NAMES)]
    division = tensor("op10", cause="inputs", inputs=("op8",), goes_wrong=True)
    found = SimpleNamespace(tensors=[*tensors, division], is_sound=False)
    monkeypatch.setattr(mixed_precision, "inspect_files", lambda *_: found)
    trials: Any = Trials({"op8", "op10"})
    config, seen = MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0).run()
    assert seen is not None
    assert all(each.wrong for each in seen.kept)
    assert set(config.quantization.float_ops) == {"rule", "op8", "op10"}
    assert trials.count == 4  # none, both, and either alone


def test_noise_that_noise_hid_is_found_by_the_next_inspection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def inspect(*files: Any) -> Any:
        revealed = "op11" if int(files[3].name) > 1 else "op0"
        return SimpleNamespace(tensors=[tensor(revealed, arose=1.0)], is_sound=False)

    monkeypatch.setattr(mixed_precision, "inspect_files", inspect)
    trials: Any = Trials({"op0", "op11"})
    config, found = MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0).run()
    assert found is not None
    assert set(config.quantization.float_ops) == {"rule", "op0", "op11"}


def test_a_set_that_cannot_be_made_does_not_end_the_search() -> None:
    """With op0 alone in float no file can be made; with both it can."""
    trials: Any = Trials({"op0", "op1"})
    judge, keep = trials.try_out, trials.keep

    def refused(config: QuantizationConfig) -> bool:
        return {*config.quantization.float_ops} == {"rule", "op0"}

    def try_out(config: QuantizationConfig) -> TrialResult:
        return (
            TrialResult(sqnr_db=None, images=4, failure="no") if refused(config) else judge(config)
        )

    def kept(config: QuantizationConfig) -> Path:
        if refused(config):
            raise RuntimeError("library says no")
        found: Path = keep(config)
        return found

    trials.try_out, trials.keep = try_out, kept
    config, found = MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0).run()
    assert found is not None
    assert found.reached
    assert set(config.quantization.float_ops) == {"rule", "op0", "op1"}


def test_a_search_with_other_ranges_begins_with_what_was_returned_to_float() -> None:
    first: Any = Trials({"op9", "elsewhere"})
    _, found = MixedPrecisionSearch(first, CONFIG, ASKED, 1.0).run()
    assert found is not None
    assert not found.reached
    trials: Any = Trials({"op9"})
    config, found = MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0, found.tried).run()
    assert found is not None
    assert found.reached
    assert set(config.quantization.float_ops) == {"rule", "op9"}


def test_of_what_is_not_enough_the_fewest_of_the_best_are_kept() -> None:
    trials: Any = Trials({"op0", "op1", "elsewhere"})
    config, found = MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0).run()
    assert found is not None
    assert len(found.curve[-1].operators) == len(NAMES)
    assert set(config.quantization.float_ops) == {"rule", "op0", "op1"}
    assert "do not hold 99 %" in found.ended


def test_a_clamp_takes_its_layer_with_it() -> None:
    trials: Any = Trials({"op1", "conv"})

    def made(name: str, kind: str, *inputs: str) -> Any:
        return SimpleNamespace(name=name, operator=name, kind=kind, inputs=inputs)

    graph = (made("image", ""), made("conv", "Conv", "image"), made("op1", "Clip", "conv"))
    trials.runtime.activations = lambda path: graph
    config, found = MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0).run()
    assert found is not None
    assert [kept.operator for kept in found.kept] == ["op1"]
    assert config.quantization.float_ops == ("rule", "op1", "conv")


def test_a_file_that_stops_while_it_is_inspected_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(*_: Any) -> None:
        raise DeviceError("division by zero")

    monkeypatch.setattr(mixed_precision, "inspect_files", stop)
    trials: Any = Trials({"op1"})
    assert MixedPrecisionSearch(trials, CONFIG, ASKED, 1.0).run() == (CONFIG, None)
