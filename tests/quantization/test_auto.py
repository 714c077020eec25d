"""The phases of `method: auto`, with searches whose results are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgekit.errors import Unsupported
from edgekit.quantization import auto
from edgekit.quantization.auto import AutoResult, AutoSearch
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig
from edgekit.runtimes.contract.compiled_metadata import (
    FloatOp,
    MixedPrecision,
    Search,
    TrialResult,
    Tried,
)
from edgekit.runtimes.contract.settings import Quantization

DIV = FloatOp(operator="div", kind="DIV", arose=0.0)


def auto_search(trials: Any = None) -> AutoSearch:
    return AutoSearch(trials=trials, asked=StopCriterion(99), max_float_macs=1.0)


def mixed_precision(ended: str, reached: bool = False) -> MixedPrecision:
    return MixedPrecision(stop_at=99, reached=reached, tried=(DIV,), curve=(), kept=(), ended=ended)


@pytest.mark.parametrize(
    ("first", "second", "reached", "chosen"),
    [(10.0, 23.0, False, 23.0), (23.0, 10.0, False, 23.0), (23.0, 22.0, True, 22.0)],
)
def test_ranges_are_searched_anew_where_operators_alone_do_not_do(
    first: float, second: float, reached: bool, chosen: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the better of both searches is kept; what holds is better than what is clearer."""
    plain = QuantizationConfig(
        quantization=Quantization(quantizer="q", float_ops=("rule",)), corrections=("bias",)
    )
    figures = iter((first, second))
    begun_with: list[Any] = []

    def mixed(_: Any, config: QuantizationConfig, *rest: Any) -> Any:
        sqnr = next(figures)
        begun_with.append((config.quantization.float_ops, *rest[2:]))
        quantization = config.quantization.model_copy(update={"percentile": 99 + sqnr / 100})
        found = config.model_copy(update={"quantization": quantization})
        record = mixed_precision(str(sqnr), reached and sqnr == second)
        return SimpleNamespace(run=lambda: (found, record))

    def ranges(_: Any, quantization: Any, asked: Any, corrections: Any) -> Any:
        assert corrections == ("bias",)
        assert quantization.float_ops == ("rule", "div")
        record = Search(tried=(), stop_at=99, ended="ranges")
        return plain.model_copy(update={"quantization": quantization}), record

    def try_out(config: QuantizationConfig) -> TrialResult:
        return TrialResult(sqnr_db=100 * (config.quantization.percentile - 99), images=4)

    monkeypatch.setattr(auto, "MixedPrecisionSearch", mixed)
    monkeypatch.setattr(auto, "search", ranges)
    monkeypatch.setattr(
        auto, "return_to_float", lambda _, config, names: config.keep_in_float(("rule", *names))
    )
    begun = AutoResult(config=plain, search=Search(tried=(), stop_at=99, ended="all"))
    found = auto_search(SimpleNamespace(try_out=try_out)).with_float_ops(begun)
    assert begun_with == [(("rule",),), (("rule",), (DIV,))]
    assert found.mixed is not None
    assert found.mixed.ended == str(chosen)
    assert try_out(found.config).sqnr_db == pytest.approx(chosen)
    assert found.search.ended == ("ranges" if chosen == second else "all")


def test_a_second_search_that_finds_no_file_leaves_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = QuantizationConfig(quantization=Quantization(quantizer="q"))
    first = mixed_precision("first")

    def refuse(*_: Any) -> Any:
        raise Unsupported("no way to int8 gives scores")

    monkeypatch.setattr(
        auto, "MixedPrecisionSearch", lambda *_: SimpleNamespace(run=lambda: (plain, first))
    )
    monkeypatch.setattr(auto, "search", refuse)
    monkeypatch.setattr(auto, "return_to_float", lambda _, config, names: config)
    begun = AutoResult(config=plain, search=Search(tried=(), stop_at=99, ended="all"))
    found = auto_search().with_float_ops(begun)
    assert found == AutoResult(config=plain, search=begun.search, mixed=first)


def trials_with(wide: TrialResult, precisions: tuple[str, ...] = ("int8", "int16x8")) -> Any:
    def try_out(config: QuantizationConfig) -> TrialResult:
        assert config.label == "int16x8 minmax"
        return wide

    runtime = SimpleNamespace(quantizers=("q",), precisions=precisions)
    return SimpleNamespace(runtime=runtime, purpose="", try_out=try_out)


FAILED = TrialResult(sqnr_db=8.0, images=200, agreement=80.0)


@pytest.mark.parametrize(
    ("wide", "cause"),
    [
        ((30.0, 99.5), "it holds (99.5 % agree, drop 0 points): int8 fails by its activations"),
        ((20.0, 95.0), "int8 fails by its activations and weights"),
        ((9.0, 82.0), "int8 fails by its weights"),
        ((None, None), "do not tell why: it stops"),
    ],
)
def test_where_nothing_holds_the_cause_is_told_and_not_shipped(
    wide: tuple[float | None, float | None], cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = QuantizationConfig(quantization=Quantization(quantizer="q", calibration="mse"))
    tried = (Tried(way=plain.label, trial=FAILED, chosen=True),)
    record = Search(tried=tried, stop_at=99, ended="none holds")
    monkeypatch.setattr(auto, "search", lambda *_: (plain, record))
    trial = TrialResult(sqnr_db=wide[0], images=200, agreement=wide[1], failure="it stops")
    search = AutoSearch(
        trials=trials_with(trial), asked=StopCriterion(99), max_float_macs=1.0, mixes=False
    )
    found = search.run(plain.quantization)
    assert found.config == plain
    assert found.search.best.trial == FAILED
    assert [row.trial for row in found.search.tried] == [FAILED, trial]
    assert found.search.ended.startswith("none holds; ")
    assert cause in found.search.ended


def test_a_runtime_without_sixteen_bits_tells_no_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = QuantizationConfig(quantization=Quantization(quantizer="q"))
    record = Search(tried=(Tried(way="w", trial=FAILED, chosen=True),), stop_at=99, ended="none")
    monkeypatch.setattr(auto, "search", lambda *_: (plain, record))
    trials = trials_with(FAILED, ("int8",))
    search = AutoSearch(trials=trials, asked=StopCriterion(99), max_float_macs=1.0, mixes=False)
    assert search.run(plain.quantization).search == record


@pytest.mark.parametrize(("agreement", "short"), [(99.0, False), (98.9, True), (None, True)])
def test_plain_int8_falls_short_where_too_few_images_agree(
    agreement: float | None, short: bool
) -> None:
    trial = TrialResult(sqnr_db=20.0, images=4, agreement=agreement)
    record = Search(tried=(Tried(way="mse", trial=trial, chosen=True),), stop_at=99, ended="all")
    assert auto_search().falls_short(record) == short
