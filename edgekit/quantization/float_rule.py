"""Operators that int8 is known to break, kept in float where that helps."""

from __future__ import annotations

from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.contract.compiled_metadata import FloatOps

PLAIN_MARGIN_DB = 1.0
"""Plain int8 is preferred where it is no worse than this: operators in float cost time."""


def float_ops_by_rule(trials: QuantizationTrials, config: QuantizationConfig) -> FloatOps:
    """The operators to keep in float: those the rule names, unless plain int8 does as well."""
    named = trials.runtime.float_ops(trials.compiled.file(trials.runtime.file))
    if not named:
        return FloatOps(operators=())
    plain = trials.try_out(config)
    # Not `try_out`: what the rule names must run, and where it does not, the reason is told.
    kept = trials.judge(config.keep_in_float(named))
    enough = plain.sqnr_db is not None and (
        kept.sqnr_db is None or plain.sqnr_db > kept.sqnr_db - PLAIN_MARGIN_DB
    )
    return FloatOps(operators=() if enough else named, plain=plain, keep_in_float=kept)
