"""Operators with times, none of which was measured."""

from __future__ import annotations

from edgekit.evaluation.operator_table import OperatorTable, Roofline, table_of
from edgekit.runtimes.contract.description import Operator
from edgekit.runtimes.contract.operator_times import OperatorTimes, TimedOperator

ROOFLINE = Roofline(macs_per_second=1e11, bytes_per_second=1e10, method="two layers")


def timed(
    name: str, us: float, macs: int = 0, moved: int = 0, precision: str = "int8"
) -> TimedOperator:
    operator = Operator(
        name=name, kind="CONV_2D" if macs else "ADD", written=f"{name};", precision=precision,
        heavy=macs > 0, macs=macs, moved=moved,
    )  # fmt: skip
    return TimedOperator(operator=operator, seconds=us / 1e6)


def times_of(*operators: TimedOperator) -> OperatorTimes:
    return OperatorTimes(operators=operators, inferences=(1e-3,) * 20, method="a test")


def sample_table(names: list[str] | None = None) -> OperatorTable:
    """Each operator is slower than the one before, and takes 2 million MACs."""
    found = names or ["stem", "body", "tail", "head"]
    operators = [timed(name, 30.0 + 10 * i, 2_000_000) for i, name in enumerate(found)]
    noise = {operators[0].operator.written: 31.5}
    return table_of(times_of(*operators), ROOFLINE, noise)
