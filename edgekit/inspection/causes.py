"""Why a compressed file goes wrong where it does, and what usually fixes it.

A fix is named only where its symptom was measured. What is looked at are the operators where it
goes wrong, the place where the noise that they pass on arose, and, where the loss is spread over
many, those at which most of it arose.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from edgekit.inspection.tensor_report import DROP_DB, EIGHT_BITS_DB, Inspection, TensorReport
from edgekit.runtimes.contract.operator_kinds import DIVISIONS, JOINS, MOVES, SUMS, is_clamp

CLIPPED_SHARE = 0.001
"""Share of values outside of the codes' range from which clipping is no accident."""
ZEROED_SHARE = 0.05
"""Share of a divisor's values that may be lost to zero."""
UNEVEN_RATIO = 8.0
"""Three bits: what is this many times narrower than its neighbour keeps five of eight bits."""
WIDE_RANGE = 20.0
"""Standard deviations in the range of the codes; a normal distribution takes up 8 to 10."""
DEAD_SHARE = 0.05
"""Share of channels."""
BIAS_SHARE = 0.5
"""Share of the noise."""
SPREAD_SHARE = 0.5
SPREAD_COUNT = 5
"""Where the loss is spread: the operators looked at make this share of it, and are no more."""
NORMALISATIONS = {"LAYERNORMALIZATION", "MVN", "SQUARED_DIFFERENCE", "SQUAREDDIFFERENCE"}
NORMALISATIONS |= {"SUB", "SUBTRACT", "RSQRT", "SQRT", "POW", "L2_NORMALIZATION"}
LAYER_DB = 3.0
"""What a layer's weights may cost."""
EQUALISE = "quantize.corrections: [equalise]; behind a LayerNorm, [smooth]"
IN_FLOAT = (
    "leave it in float, with what feeds it: quantize.method: auto does where a gate would break"
)
SPREAD = "what concerns the whole network: quantize.method: auto, or a qat stage"
KEEP_IN_FLOAT = (
    "quantize.float_ops: auto, which keeps the division of linear attention and all that feeds it "
    "in float"
)


class Cause(BaseModel):
    """What usually fixes it, and the operators that show what asks for that, first to last."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True
    )

    operators: tuple[str, ...]
    """As `quantize.float_ops` calls them."""
    layers: tuple[str, ...]
    """The same for a person to read."""
    symptoms: tuple[str, ...]
    """What was measured at each of them."""
    fix: str = Field(alias="mend")


def find_causes(inspection: Inspection) -> tuple[Cause, ...]:
    """What is wrong and what may fix it, in the order of the graph; nothing of a sound file."""
    found: dict[str, Cause] = {}
    wrong = inspection.wrong
    if wrong and not wrong[0].goes_wrong:
        found[SPREAD] = _spread(wrong[0])
    for tensor in _suspects(inspection):
        for symptom, fix in _symptoms(tensor, inspection):
            before = found.get(fix) or Cause(operators=(), layers=(), symptoms=(), fix=fix)
            symptoms = dict(zip(before.operators, before.symptoms, strict=True))
            known = symptoms.get(tensor.operator)
            symptoms[tensor.operator] = f"{known}; {symptom}" if known else symptom
            found[fix] = Cause(
                operators=tuple(symptoms),
                layers=before.layers if known else (*before.layers, tensor.layer),
                symptoms=tuple(symptoms.values()),
                fix=fix,
            )
    return tuple(found.values())


def _spread(most: TensorReport) -> Cause:
    return Cause(
        operators=(most.operator,),
        layers=(most.layer,),
        symptoms=(
            f"the loss is spread: no operator loses {DROP_DB:g} dB of what it gets, and each "
            f"amplifies the noise before it; most of it, {most.share_added:.0%}, arose here",
        ),
        fix=SPREAD,
    )


def _suspects(inspection: Inspection) -> list[TensorReport]:
    wrong = inspection.wrong
    if not wrong:
        return []
    chosen = {tensor.name for each in wrong for tensor in (each, inspection.origin(each))}
    if not wrong[0].goes_wrong:
        whole = 0.0
        ranked = sorted(inspection.tensors, key=lambda tensor: -tensor.share_added)
        for tensor in ranked[:SPREAD_COUNT]:
            if whole < SPREAD_SHARE:
                chosen.add(tensor.name)
                whole += tensor.share_added
    return [tensor for tensor in inspection.tensors if tensor.name in chosen]


def _symptoms(tensor: TensorReport, inspection: Inspection) -> Iterator[tuple[str, str]]:
    """What a tensor shows, each with its fix."""
    if tensor.operator and (_is_poor(tensor) or tensor.cause == "codes"):
        yield from _of_codes(tensor, inspection)
    if tensor.cause == "weights" and tensor.lost_db >= LAYER_DB:
        yield from _of_weights(tensor, inspection)
    if tensor.cause == "inputs" and tensor.goes_wrong:
        yield _of_inputs(tensor, inspection)
    if tensor.dead >= DEAD_SHARE * tensor.channels:
        yield (
            f"{tensor.dead} of its {tensor.channels} channels, alive in float, are the same in all "
            "images",
            IN_FLOAT if tensor.weights_db is None else EQUALISE,
        )


def _is_poor(tensor: TensorReport) -> bool:
    """Whether its codes alone cost it a bit or more."""
    return tensor.codes_db is not None and tensor.codes_db < EIGHT_BITS_DB - DROP_DB


def _of_codes(tensor: TensorReport, inspection: Inspection) -> Iterator[tuple[str, str]]:
    """Its own range is to blame: too narrow, or too wide for most of what it holds."""
    found = _of_clipping(tensor) or _of_width(tensor, inspection)
    if found:
        yield found


def _ends(tensor: TensorReport) -> str:
    """Of what its codes can stand for."""
    return f"{tensor.code_low:.3g} to {tensor.code_high:.3g}"


def _of_clipping(tensor: TensorReport) -> tuple[str, str] | None:
    if not tensor.clipped or tensor.clipped < CLIPPED_SHARE or tensor.clipping < 0.5:
        return None
    return (
        f"{tensor.clipped:.2%} of its values, {tensor.low:.3g} to {tensor.high:.3g}, lie "
        f"outside of what its codes hold, {_ends(tensor)}",
        "another quantize.calibration: minmax or mse, a percentile nearer to 100, or more samples",
    )


def _of_width(tensor: TensorReport, inspection: Inspection) -> tuple[str, str] | None:
    """What makes the range so wide; the first that applies, from what one operator can fix to what
    only float can."""
    ends = _ends(tensor)
    if clamp := _clamp_behind(tensor, inspection):
        return (
            f"its codes span {ends}, and {clamp.layer} behind it keeps {clamp.low:.3g} to "
            f"{clamp.high:.3g}",
            "a quantiser that joins the clamp to the layer before it, as edgekit's defaults do",
        )
    if _feeds_a_division(tensor, inspection):
        return (
            f"it feeds a division, and eight bits of {ends} leave {tensor.codes_db:.1f} dB",
            KEEP_IN_FLOAT,
        )
    if (parts := _uneven_inputs(tensor, inspection)) >= UNEVEN_RATIO:
        return (
            f"what it joins differs {parts:.0f}-fold in range, and shares the codes of {ends}",
            IN_FLOAT,
        )
    if (width := _deviations(tensor)) >= WIDE_RANGE:
        return (
            f"its codes span {ends}, {width:.0f} standard deviations: most values share a few "
            "codes",
            "quantize.calibration: percentile or mse, or the operator in float",
        )
    if tensor.spread >= UNEVEN_RATIO:
        widest = f"its widest channel is {tensor.spread:.0f} times wider than the median one"
        return widest, EQUALISE
    if _is_poor(tensor):
        return f"eight bits of {ends} leave {tensor.codes_db:.1f} dB", IN_FLOAT
    return None


def _deviations(tensor: TensorReport) -> float:
    """How many standard deviations of its values its codes span."""
    assert tensor.code_low is not None
    assert tensor.code_high is not None
    span = tensor.code_high - tensor.code_low
    return span / tensor.deviation if tensor.deviation else 0.0


def _clamp_behind(tensor: TensorReport, inspection: Inspection) -> TensorReport | None:
    """A clamp that keeps less than half of the range that its input is given codes for."""
    assert tensor.code_low is not None
    assert tensor.code_high is not None
    for reader in inspection.tensors:
        if reader.inputs == (tensor.name,) and is_clamp(reader.kind):
            kept = reader.high - reader.low
            wide = tensor.code_high - tensor.code_low >= 2 * kept
            return reader if wide else None
    return None


def _feeds_a_division(tensor: TensorReport, inspection: Inspection) -> bool:
    """Whether its values reach a division, moved or added to at most."""
    reached = {tensor.name}
    for reader in inspection.tensors:
        if reached & {*reader.inputs}:
            if reader.kind.upper() in DIVISIONS:
                return True
            if reader.kind.upper() in MOVES | SUMS | JOINS:
                reached.add(reader.name)
    return False


def _uneven_inputs(tensor: TensorReport, inspection: Inspection) -> float:
    """The widest of an addition's inputs over the narrowest one; 1 for any other operator."""
    if tensor.kind.upper() not in SUMS | JOINS or len(tensor.inputs) < 2:
        return 1.0
    widths = [t.high - t.low for t in inspection.tensors if t.name in tensor.inputs]
    return max(widths) / min(widths) if min(widths) > 0 else 1.0


def _of_weights(tensor: TensorReport, inspection: Inspection) -> Iterator[tuple[str, str]]:
    if not inspection.per_channel:
        yield (
            f"its weights have one scale for all {tensor.channels} channels, and lose it "
            f"{tensor.lost_db:.1f} dB",
            "quantize.per_channel: true",
        )
    elif tensor.bias >= BIAS_SHARE:
        yield (
            f"{tensor.bias:.0%} of its noise is a constant shift of each channel",
            "quantize.corrections: [bias]",
        )
    else:
        yield (
            f"its weights lose it {tensor.lost_db:.1f} dB",
            "quantize.corrections: [equalise, adaround], or a qat stage",
        )


def _of_inputs(tensor: TensorReport, inspection: Inspection) -> tuple[str, str]:
    """It makes more of the noise that its inputs bring."""
    origin = inspection.origin(tensor)
    levels = f"it takes in {tensor.inherited_db:.1f} dB and gives {tensor.sqnr_db:.1f}"
    where = f"most of the noise arose at {origin.layer} ({origin.kind})"
    kind = tensor.kind.upper()
    if kind in DIVISIONS:
        lost = _zeroed_before(tensor, inspection)
        zeros = (
            f"; {lost:.0%} of the values that feed it round to zero" if lost >= ZEROED_SHARE else ""
        )
        return (
            f"a division: {levels}{zeros}; {where}",
            KEEP_IN_FLOAT,
        )
    if kind in NORMALISATIONS:
        return (f"a normalisation: {levels}; {where}", IN_FLOAT)
    return (f"{levels}; {where}", IN_FLOAT)


def _zeroed_before(tensor: TensorReport, inspection: Inspection) -> float:
    """The greatest share of values lost to zero on the way that the noise came."""
    by_name = {each.name: each for each in inspection.tensors}
    found, here = 0.0, tensor
    while here.cause == "inputs" and here.noisiest:
        here = by_name[here.noisiest]
        found = max(found, here.zeroed or 0.0)
    return found
