"""int16x8 on a network with a channel so wide that int8 has no codes left for the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import stats
from edgekit.errors import Unsupported
from edgekit.evaluation.file_audit import audit, complaint
from edgekit.evaluation.measure import measure
from edgekit.evaluation.timing import Candidate
from edgekit.runtimes.contract.compiled_metadata import Audit
from tests.runtimes.tiny import IMAGES, LABELS, Made, card, made, network

PACKAGES = {"litert": "ai_edge_quantizer", "onnxruntime": "onnxruntime"}
FILES = ("float", "int8", "int16x8", "int16x8-baked")
WIDE = 1000.0


def with_an_outlier() -> Any:
    """What is wide behind the first layer is made narrow again by all that read it."""
    import torch

    model = network()
    with torch.no_grad():
        model.first.weight[0] *= WIDE
        model.second.weight[:, 0] /= WIDE
        model.head.weight[:, 0] /= WIDE
    return model


@pytest.fixture(scope="module", params=PACKAGES)
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    pytest.importorskip(PACKAGES[request.param])
    folder = tmp_path_factory.mktemp(request.param)
    result = made(request.param, folder, with_an_outlier(), card())
    result.quantize("int8")
    result.quantize("int16x8", precision="int16x8")
    result.bake("int16x8")
    return result


def audited(build: Made, name: str = "int16x8") -> Audit:
    return audit(build.runtime.describe(build.path(name)))


def test_sixteen_bits_hold_what_eight_lose(build: Made, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    runtime = build.runtime.name
    models = [Candidate(n, runtime, build.path(n), build.forms[n]) for n in FILES]
    silent: Any = lambda *_: None  # noqa: E731
    scores = measure(models, tmp_path / "images.npy", silent, score=FILES, latency=False).scores
    noise = {name: stats.sqnr_db(scores["float"], scores[name]) for name in FILES}
    assert noise["int8"] < 25
    assert noise["int16x8"] > 35
    assert noise["int16x8-baked"] == pytest.approx(noise["int16x8"], abs=1)


def test_what_is_computed_in_what_is_told(build: Made) -> None:
    found = audited(build)
    heavy = [o for o in build.runtime.describe(build.path("int16x8")).operators if o.heavy]
    assert {o.stored for o in heavy} == {"int8"}
    assert found.heavy == 3
    assert found.per_channel
    if build.runtime.name == "litert":
        assert {o.precision for o in heavy} == {"int16x8"}
        assert {o.reads for o in heavy} == {"int16"}
        told = "3 of 3 layers compute in int16x8, 3 of them off the runtime's fast path"
    else:
        assert {o.precision for o in heavy} == {"float32"}
        assert {o.reads for o in heavy} == {"uint16"}
        assert found.quantized_macs == 0
        assert found.conversions
        told = "3 of 3 layers compute in float between 16-bit codes"
    assert found.of_wide_codes == told
    assert audited(build, "int8").of_wide_codes == ""


def test_it_is_what_was_asked_and_int8_is_not(build: Made) -> None:
    assert complaint(audited(build), "int16x8", True, 0.05) is None
    wrong = complaint(audited(build, "int8"), "int16x8", True, 0.05)
    assert wrong
    assert "no layer has 16-bit activations" in wrong[0]


def test_its_steps_are_those_of_sixteen_bits(build: Made) -> None:
    """So that `inspect` compares ranges and steps of the file that is there."""
    steps = {
        name: {a.name: a.step for a in build.runtime.activations(build.path(name)) if a.step}
        for name in ("int8", "int16x8")
    }
    both = steps["int8"].keys() & steps["int16x8"].keys()
    assert len(both) >= 4
    assert all(steps["int8"][name] > 100 * steps["int16x8"][name] for name in both)


def test_raw_pixels_in_and_float_scores_out(build: Made) -> None:
    found = build.runtime.describe(build.path("int16x8-baked"))
    assert (found.input.dtype, found.output.dtype) == ("uint8", "float32")


def test_integers_throughout_are_refused(build: Made, tmp_path: Path) -> None:
    source, form = build.path("int16x8"), build.forms["int16x8"]
    with pytest.raises(Unsupported):
        build.runtime.bake(source, build.card, form, LABELS, tmp_path, "integer")
