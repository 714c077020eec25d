"""The comparison with other tools: that it counts, compares and tells failures as it says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.engine.store import Store
from tests.benchmarks import compression
from tests.benchmarks.comparison import making, measuring, peers, subjects
from tests.benchmarks.comparison.results import Results

RECIPE = """\
model: {{arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}}
data: {{source: imagefolder, path: {images}, image_size: 32}}
stages:
  - finetune: {{epochs: 24, batch_size: 12, learning_rate: 3.0e-3}}
  - quantize: {{samples: 16, method: ptq}}
  - export
"""
ROWS = ("float-onnxruntime", "defaults", "best", "method-ptq-onnxruntime")


def three_lines(value: int) -> int:
    """A docstring is nothing that one has to write.

    Nor are blank lines and comments."""
    import math

    # Not counted either.
    value += 1
    return math.isqrt(value)


def breaks(given: subjects.Given, into: Path) -> Path:
    raise ValueError("no kernel for this operator")


def test_lines_are_those_a_user_writes() -> None:
    assert making.body_lines(three_lines) == 3


def test_the_recipe_keeps_its_images_and_takes_other_methods(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(RECIPE.format(images="images"))
    subject = subjects.from_file(path, quick=False)
    recipe = subject.with_stages(({"prune": {"keep": 0.7}},), {"method": "auto"})
    names = [next(iter(stage)) for stage in recipe["stages"]]
    assert names == ["finetune", "prune", "quantize", "export"]
    assert recipe["stages"][2]["quantize"] == {"samples": 16, "method": "auto"}


def test_peers_that_need_certain_models_are_left_out_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(RECIPE.format(images="images"))
    names = {row.maker.name for row in making.rows_of(subjects.from_file(path, quick=True))}
    assert "NNCF on ONNX" in names
    assert "torch-pruning, 4 epochs" not in names


def test_sqnr_differences_tell_noise_from_a_gain() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(size=(200, 4)).astype(np.float32)
    near, far, as_far = (
        reference + scale * rng.normal(size=(200, 4)).astype(np.float32)
        for scale in (0.01, 0.1, 0.1)
    )
    gain = measuring.sqnr_difference(reference, near, far)
    assert gain.low > 10 > gain.value - 12
    same = measuring.sqnr_difference(reference, as_far, far)
    assert same.low < 0 < same.high


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_quick_run_on_a_model_of_ones_own(
    tmp_path: Path,
    images_folder: Path,
    write_recipe: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = write_recipe(RECIPE.format(images=images_folder), name="tiny.yaml")
    folders = ["--work", str(tmp_path / "work"), "--store", str(tmp_path / "store")]
    words = ["--recipe", str(recipe), "--quick", "--repeats", "1", *folders]
    words += [word for row in ROWS for word in ("--rows", row)]
    compression.main(words)

    work = tmp_path / "work" / "quick"
    results = Results.model_validate_json((work / "results.json").read_text())
    rows = {row.name: row for row in results.subjects[0].rows}
    assert set(rows) == {
        "float", "ONNX Runtime, defaults", "ONNX Runtime, best", "edgekit, method: ptq"
    }  # fmt: skip
    for row in rows.values():
        assert row.error is None
        assert row.scores is not None
        assert row.latency is not None
    plain = rows["float"]
    assert plain.scores is not None
    assert plain.latency is not None
    assert plain.scores.agreement.value == 100
    assert plain.scores.sqnr_db > 60
    assert plain.latency.value == 1
    (duel,) = results.subjects[0].duels
    assert duel.name == "edgekit, method: ptq"
    assert duel.sqnr_peer in rows
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in rows)

    facts = work / "tiny" / "onnx-runtime-best-onnxruntime" / "facts.json"
    before = facts.stat().st_mtime_ns
    compression.main(["make", *words])
    assert facts.stat().st_mtime_ns == before

    subject = subjects.from_file(recipe, quick=True)
    broken = making.Row(subject, peers.Peer("breaks", "litert", breaks), "litert")
    folder = work / "tiny" / broken.id
    folder.mkdir()
    making.make_one(broken, work, Store(tmp_path / "store"), fresh=False)
    kept = making.read_facts(folder)
    assert kept is not None
    assert kept.error == "ValueError: no kernel for this operator"
    assert kept.path is None
