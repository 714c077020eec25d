"""A fix is named where its symptom was measured, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.inspection.causes import EQUALISE, IN_FLOAT, KEEP_IN_FLOAT, SPREAD, find_causes
from edgekit.inspection.tensor_report import Inspection, TensorReport

NOTHING: dict[str, Any] = {
    "inputs": (),
    "codes_db": 40.0,
    "weights_db": None,
    "inherited_db": 30.0,
    "lost_db": 0.0,
    "noisiest": None,
    "cause": "inputs",
    "share_added": 0.0,
    "share_through": 1.0,
    "low": -1.0,
    "high": 1.0,
    "code_low": -1.0,
    "code_high": 1.0,
    "clipped": 0.0,
    "zeroed": 0.0,
    "clipping": 0.0,
    "channels": 16,
    "dead": 0,
    "dead_in_float": 0,
    "spread": 1.0,
    "deviation": 0.3,
    "bias": 0.0,
}


def tensor(name: str, kind: str = "Conv", sqnr_db: float = 30.0, **more: Any) -> TensorReport:
    words = {"name": name, "operator": f"op_{name}", "layer": name, "kind": kind}
    return TensorReport(**{**NOTHING, **words, "sqnr_db": sqnr_db, **more})


def inspection(*tensors: TensorReport, per_channel: bool = True) -> Inspection:
    image = tensor("image", "input", operator="")
    return Inspection(
        runtime="onnxruntime",
        images=4,
        per_channel=per_channel,
        tensors=(image, *tensors),
        fused=0,
    )


def lossy(name: str, **more: Any) -> TensorReport:
    """A tensor whose own codes lose it 20 dB."""
    lost = {"codes_db": 10.0, "lost_db": 20.0, "cause": "codes", "share_added": 0.9}
    return tensor(name, **{"kind": "Mul", "sqnr_db": 10.0, **lost, **more})


def fixes(*tensors: TensorReport, **more: Any) -> list[str]:
    return [finding.fix for finding in find_causes(inspection(*tensors, **more))]


SCORES = tensor("scores", "Gemm", 5.0)


def test_a_sound_file_needs_no_mend() -> None:
    assert fixes(lossy("a"), tensor("scores", "Gemm", 25.0)) == []


def test_clipping_asks_for_another_calibration_and_nothing_else() -> None:
    found = fixes(lossy("a", clipped=0.02, clipping=0.9, spread=50.0), SCORES)
    assert len(found) == 1
    assert "calibration" in found[0]


def test_clipping_that_makes_little_of_the_noise_is_not_blamed() -> None:
    assert not any("percentile nearer" in m for m in fixes(lossy("a", clipped=0.02), SCORES))


@pytest.mark.parametrize(
    ("symptom", "fix"),
    [
        ({"code_low": -30.0, "code_high": 30.0}, "quantize.calibration: percentile"),
        ({"spread": 20.0}, EQUALISE),
        ({}, IN_FLOAT),
    ],
)
def test_a_range_too_wide_is_told_by_what_widens_it(symptom: dict[str, Any], fix: str) -> None:
    (found,) = fixes(lossy("a", **symptom), SCORES)
    assert found.startswith(fix)


def test_a_clamp_behind_that_cuts_what_was_given_codes() -> None:
    clamp = tensor("b", "Clip", 10.0, inputs=("a",), low=0.0, high=6.0)
    wide = {"code_low": -90.0, "code_high": 90.0}
    (found,) = fixes(lossy("a", kind="Conv", **wide), clamp, SCORES)
    assert "joins the clamp" in found
    used = tensor("b", "Clip", 10.0, inputs=("a",), low=-60.0, high=60.0)
    assert not any("clamp" in m for m in fixes(lossy("a", kind="Conv", **wide), used, SCORES))


def test_a_hard_sigmoid_that_uses_the_range_it_is_given_is_no_clamp() -> None:
    """It cuts at -3 and 3, and gives a sixth: its range says nothing of what it keeps."""
    behind = tensor("b", "HardSigmoid", 10.0, inputs=("a",), low=0.0, high=1.0)
    given = {"low": -3.0, "high": 3.0, "code_low": -3.0, "code_high": 3.0, "deviation": 1.5}
    assert fixes(lossy("a", kind="Conv", **given), behind, SCORES) == [IN_FLOAT]


def test_a_sum_of_ranges_that_differ() -> None:
    narrow, wide = tensor("n", low=-0.1, high=0.1), tensor("w", low=-9.0, high=9.0)
    both = lossy("a", kind="Add", inputs=("n", "w"))
    assert fixes(narrow, wide, both, SCORES) == [IN_FLOAT]
    (found,) = find_causes(inspection(narrow, wide, both, SCORES))
    assert "what it joins differs 90-fold in range" in found.symptoms[0]
    alike = lossy("a", kind="Add", inputs=("w", "w"))
    (found,) = find_causes(inspection(wide, alike, SCORES))
    assert "what it joins" not in found.symptoms[0]


def test_a_division_and_what_feeds_it_are_one_island() -> None:
    product = lossy("p", kind="MatMul", zeroed=0.9)
    moved = tensor("s", "Slice", 10.0, inputs=("p",), noisiest="p")
    lost = {"lost_db": 40.0, "inherited_db": 9.0, "noisiest": "s"}
    quotient = tensor("q", "Div", -30.0, inputs=("s",), **lost)
    report = inspection(product, moved, quotient, SCORES)
    (found,) = find_causes(report)
    assert found.fix == KEEP_IN_FLOAT
    assert found.operators == ("op_p", "op_q")
    assert report.origin(quotient).name == "p"


def test_a_division_alone_says_how_much_was_lost_to_zero() -> None:
    product = tensor("p", "MatMul", 9.0, zeroed=0.9, cause="codes", codes_db=26.0)
    lost = {"lost_db": 39.0, "inherited_db": 9.0, "noisiest": "p"}
    quotient = tensor("q", "Div", -30.0, inputs=("p",), **lost)
    found = find_causes(inspection(product, quotient, SCORES))
    assert any(
        "90% of the values that feed it round to zero" in s for f in found for s in f.symptoms
    )


def test_a_normalisation_that_amplifies() -> None:
    lost = {"lost_db": 15.0, "inherited_db": 25.0, "noisiest": "a"}
    norm = tensor("n", "LayerNormalization", 10.0, inputs=("a",), **lost)
    found = fixes(tensor("a", "Add", 25.0), norm, SCORES)
    assert found == [IN_FLOAT]


@pytest.mark.parametrize(
    ("per_channel", "bias", "fix"),
    [
        (False, 0.0, "quantize.per_channel: true"),
        (True, 0.8, "quantize.corrections: [bias]"),
        (True, 0.0, "quantize.corrections: [equalise, adaround], or a qat stage"),
    ],
)
def test_weights(per_channel: bool, bias: float, fix: str) -> None:
    layer = lossy("a", kind="Conv", cause="weights", codes_db=40.0, weights_db=12.0, bias=bias)
    assert fixes(layer, SCORES, per_channel=per_channel) == [fix]


def test_dead_channels_of_a_layer() -> None:
    layer = lossy("a", kind="Conv", cause="weights", codes_db=40.0, weights_db=12.0, dead=4)
    found = find_causes(inspection(layer, SCORES))
    assert any("4 of its 16 channels" in s for f in found for s in f.symptoms)
    assert any(f.fix == EQUALISE for f in found)


def test_values_that_no_longer_differ_between_images() -> None:
    lost = {"lost_db": 15.0, "inherited_db": 19.0, "noisiest": "a", "dead": 16}
    chosen = tensor("g", "Gather", 4.0, inputs=("a",), **lost)
    found = find_causes(inspection(tensor("a", "Add", 19.0), chosen, SCORES))
    assert [f.fix for f in found] == [IN_FLOAT]
    assert found[0].operators == ("op_g",)
    assert "are the same in all images" in found[0].symptoms[0]


def test_a_loss_that_is_spread_is_said_to_be_spread() -> None:
    parts = [tensor(f"t{i}", "Conv", 12.0, lost_db=1.4, share_added=0.1) for i in range(10)]
    assert fixes(*parts, SCORES)[0] == SPREAD


def test_noise_alone_cannot_go_wrong_any_more() -> None:
    late = tensor("b", "MatMul", -40.0, lost_db=20.0, inherited_db=-20.0)
    report = inspection(lossy("a"), late, SCORES)
    assert [each.name for each in report.wrong] == ["a"]
