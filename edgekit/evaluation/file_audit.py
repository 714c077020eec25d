"""Did I get what I asked for? What is inside a compiled file, held against what was asked."""

from __future__ import annotations

from edgekit.runtimes.contract.compiled_metadata import Audit
from edgekit.runtimes.contract.description import Description, Operator
from edgekit.runtimes.contract.settings import Precision

FIXES = {
    "half": "this runtime cannot keep the weights of these operators in float16",
    "float": "no integer kernel takes these operators: another quantiser, runtime or architecture "
    "may, or raise quantize.max_float_macs to accept it",
    "stored": "the runtime makes them int8 as it loads the file, which is no smaller than in float"
    ": choose another quantiser",
    "nothing": "report it: this architecture's operators are not known to the runtime's audit",
    "channels": "set quantize.per_channel to what this architecture's operators allow",
}
MAX_NAMED = 5


def audit(description: Description) -> Audit:
    """Sum up what a runtime read from a file."""
    heavy = [o for o in description.operators if o.heavy]
    wide = [o for o in heavy if o.is_between_wide_codes]
    return Audit(
        operators=description.count(),
        quantized_macs=_share([o for o in heavy if o.is_integer], heavy),
        heavy=len(heavy),
        float_heavy=tuple(description.float_heavy),
        float_weights=tuple(
            f"{o.name} ({o.stored})" for o in heavy if o.is_integer and o.stored.startswith("float")
        ),
        between_wide_codes=tuple(o.name for o in wide),
        wide_macs=_share(wide, heavy),
        per_channel=description.per_channel,
        conversions=description.conversions,
        transposes=description.transposes,
        outside_delegate=description.outside_delegate,
        delegated=len(description.operators) - len(description.outside_delegate),
    )


def _share(some: list[Operator], of: list[Operator]) -> float | None:
    """Of the multiply-accumulates, from 0 to 1; None where operators do not say how large they
    are."""
    macs = sum(o.macs for o in of)
    return sum(o.macs for o in some) / macs if macs else None


def complaint(
    found: Audit, precision: Precision, per_channel: bool, max_float_macs: float
) -> tuple[str, str] | None:
    """What of the file is not as asked, and the usual fix; None where all is.

    Args:
        max_float_macs: share of the multiply-accumulates that may stay in float, from 0 to 1.
    """
    if precision == "float16":
        halves = any(name.endswith(" float16") for name in found.operators)
        lacking = "float16 asked, and no operator has such weights"
        return None if halves else (lacking, FIXES["half"])
    if not found.heavy:
        nothing = f"{precision} asked, and no convolution or matrix product was found at all"
        return nothing, FIXES["nothing"]
    if precision == "int16x8" and not found.of_wide_codes:
        return "int16x8 asked, and no layer has 16-bit activations", FIXES["nothing"]
    share, what, left = _in_float(found, precision)
    if share > max_float_macs + 1e-9:  # 1 - 0.95 is a little more than 0.05
        names = ", ".join(left[:MAX_NAMED])
        more = len(left) - MAX_NAMED
        return (
            f"{precision} asked, and {100 * share:.1f} % of the {what} stayed in float "
            f"(at most {100 * max_float_macs:g} %): {names}"
            + (f" and {more} more" if more > 0 else ""),
            FIXES["float"],
        )
    if found.float_weights:
        names = ", ".join(found.float_weights[:MAX_NAMED])
        return (
            f"{precision} asked, and the file holds the weights of {len(found.float_weights)} of "
            f"{found.heavy} convolutions and matrix products in float: {names}",
            FIXES["stored"],
        )
    if found.per_channel != per_channel:
        return f"per_channel: {per_channel} asked, {found.per_channel} found", FIXES["channels"]
    return None


def _in_float(found: Audit, precision: Precision) -> tuple[float, str, tuple[str, ...]]:
    """How much of the work is in float, of what, and the names of what does it; of int16x8 without
    what is rounded to its codes before and after."""
    coded = found.between_wide_codes if precision == "int16x8" else ()
    left = tuple(name for name in found.float_heavy if name not in coded)
    if found.quantized_macs is None:
        return len(left) / found.heavy, "convolutions and matrix products", left
    wide = (found.wide_macs or 0.0) if coded else 0.0
    return 1 - found.quantized_macs - wide, "multiply-accumulates", left
