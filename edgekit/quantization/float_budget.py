"""What goes to float with an operator, and how much of the work may run in float."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.evaluation.file_audit import audit
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.contract.description import Activation
from edgekit.runtimes.contract.operator_kinds import is_clamp

MAX_FLOAT_OPS = 32
"""Operators returned to float at most: beyond, another architecture or float16 serves better."""


class FloatBudget:
    """What returning operators to float makes of a configuration, and what it may cost.

    Args:
        config: everything in int8 but the operators that it keeps in float itself.
        max_macs: share of the multiply-accumulates that may run in float, from 0 to 1.
    """

    def __init__(
        self, trials: QuantizationTrials, config: QuantizationConfig, max_macs: float
    ) -> None:
        self.config = config
        self.max_macs = max_macs
        float_file = trials.float_file(config.corrections)
        described = trials.runtime.describe(float_file)
        self._macs = {operator.written: operator.macs for operator in described.operators}
        self._layers = _layers_of_clamps(trials.runtime.activations(float_file))
        # Read from the file and not summed up: what has no integer kernel is in float as well.
        integer = audit(trials.runtime.describe(trials.keep(config))).quantized_macs
        self._float_before = 0.0 if integer is None else 1 - integer

    def with_float(self, operators: tuple[str, ...]) -> QuantizationConfig:
        """The configuration with these operators in float besides its own."""
        return _with_float(self.config, self._layers, operators)

    def share(self, operators: tuple[str, ...]) -> float:
        """Share of the multiply-accumulates that then run in float, from 0 to 1."""
        before = {*self.config.quantization.float_ops}
        added = {*self.with_float(operators).quantization.float_ops} - before
        total = sum(self._macs.values())
        if not total:
            return 0.0
        return self._float_before + sum(self._macs.get(name, 0) for name in added) / total

    def available(self, names: Iterable[str], operators: tuple[str, ...]) -> list[str]:
        """Those of the names that are in int8 while `operators` are in float, and of which each
        alone could join them."""
        in_float = {"", *self.with_float(operators).quantization.float_ops}
        return [
            name
            for name in names
            if name not in in_float and self.share((*operators, name)) <= self.max_macs
        ]

    def extended(self, operators: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
        """The operators, and as many of the names as fit in with them, in their order."""
        for name in names:
            more = (*operators, name)
            if len(more) <= MAX_FLOAT_OPS and self.share(more) <= self.max_macs:
                operators = more
        return operators


def return_to_float(
    trials: QuantizationTrials, config: QuantizationConfig, operators: tuple[str, ...]
) -> QuantizationConfig:
    """A configuration with operators in float besides its own, whatever that costs."""
    activations = trials.runtime.activations(trials.float_file(config.corrections))
    return _with_float(config, _layers_of_clamps(activations), operators)


def _with_float(
    config: QuantizationConfig, layers: dict[str, tuple[str, ...]], operators: tuple[str, ...]
) -> QuantizationConfig:
    parts = (part for name in operators for part in layers.get(name, (name,)))
    return config.keep_in_float((*config.quantization.float_ops, *dict.fromkeys(parts)))


def _layers_of_clamps(activations: tuple[Activation, ...]) -> dict[str, tuple[str, ...]]:
    """Each operator with those that go to float with it: a clamp takes the layer before it.

    A layer's output is clamped before it is quantised: with the clamp alone in float, the layer
    would be quantised to a range most of which is then cut off.
    """
    makers = {each.name: each for each in activations}
    found = {}
    for each in activations:
        chain = [each.operator]
        while is_clamp(each.kind) and len(each.inputs) == 1 and each.inputs[0] in makers:
            each = makers[each.inputs[0]]
            chain.append(each.operator)
        found[chain[0]] = tuple(name for name in chain if name)
    return found
