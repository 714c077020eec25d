"""A build that prunes and mixes precision by estimates on its target's core, as it is typed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.cli import main
from edgekit.cycle_model.tools import missing_tools
from tests.emulated import emulated

pytest.importorskip("ai_edge_quantizer")
RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages:
  - finetune: {epochs: 1}
  - prune: {keep: 0.6, by: latency, runtime: litert, on: target, force: true, recover: {epochs: 1}}
  - quantize: {samples: 8, on: target}
  - export
allow_untrained: true
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_prune_and_quantize_on_target(
    images_folder: Path,
    write_recipe: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if missing := missing_tools():
        pytest.skip(f"{', '.join(missing)} not here")
    emulated("cortex-a72")
    recipe, folder = write_recipe(RECIPE), tmp_path / "build"
    store = ["--store", str(tmp_path / "store")]
    words = ["build", str(recipe), "--target", "rpi4", "--build-dir", str(folder), *store]
    monkeypatch.setattr(sys, "argv", ["edgekit", *words])
    with contextlib.suppress(SystemExit):  # a broken gate would leave no report here
        main()
    (path,) = folder.glob("*/rpi4/report.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    (pruned,) = report["pruned"]
    assert pruned["machine"] == "a Raspberry Pi 4B by estimate"
    found = report["estimates"]["variants"]["litert"]
    assert found["counted"]["core"] == "cortex-a72"
    assert found["ratio"]["evidence"] == "estimated"
    assert any("no int8 dot product" in line for line in report["processor"])
    said = capsys.readouterr()
    for page in (said.out + said.err, path.with_suffix(".html").read_text(encoding="utf-8")):
        assert "Raspberry Pi 4B" in page
