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


@pytest.mark.parametrize(("agreement", "short"), [(99.0, False), (98.9, True), (None, True)])
def test_plain_int8_falls_short_where_too_few_images_agree(
    agreement: float | None, short: bool
) -> None:
    trial = TrialResult(sqnr_db=20.0, images=4, agreement=agreement)
    record = Search(tried=(Tried(way="mse", trial=trial, chosen=True),), stop_at=99, ended="all")
    assert auto_search().falls_short(record) == short
