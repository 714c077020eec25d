"""Pages of 200 classes and 5,000 images, under names that are no names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.build_folder.report import Report
from edgekit.comparison.compare import compare
from edgekit.devices.bench.report import DeviceReport
from edgekit.evaluation.operator_table import ShippedOperators
from edgekit.evidence import Validity
from edgekit.report.comparison import Comparison
from edgekit.report.device import render_device_html
from edgekit.report.matrix import MatrixReport
from edgekit.report.render import (
    Beside,
    render_compare,
    render_comparison,
    render_html,
    render_matrix,
)
from edgekit.report.thumbnails import thumbnail
from tests.comparison.samples import judged, side
from tests.evaluation.operator_tables import sample_table
from tests.report.answers import answered, digest_of
from tests.report.test_plots import run_on_device
from tests.report.test_render import disturbed_matrix
from tests.report.test_summary import on_device

FORGED = "\"><img src=x onerror=alert(1)> 'שלום' \x1b[31m \u202e<script>alert(2)</script>"
CLASSES, IMAGES = 200, 5000


def write_pages(folder: Path) -> dict[str, Path]:
    """Pages of a build, of `compare`, of a device, of several targets and of a matrix, by name."""
    run = run_on_device(folder)
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    pictures = dict.fromkeys(map(digest_of, range(IMAGES)), thumbnail(noise))
    pages = {
        "report": render_html(report(), Beside(pictures=pictures, runs={"litert-export": run})),
        "compare": comparison(),
        "device": render_device_html(_forged_run(run)),
        "comparison": render_comparison(FORGED, _targets(), {FORGED: FORGED}, html=True),
        "matrix": render_matrix(_matrix(), html=True),
    }
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages}


def report() -> Report:
    """A tenth of the images flips."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, IMAGES)
    flips = rng.random(IMAGES) < 0.1
    after = np.where(flips, rng.integers(0, CLASSES, IMAGES), labels)
    found = answered(
        labels.tolist(),
        labels.tolist(),
        after.tolist(),
        rng.uniform(0.3, 1, IMAGES).round(3).tolist(),
        classes=[f"{i} {FORGED}" for i in range(CLASSES)],
        name=f"{FORGED}/{{}}.png",
    )
    times = tuple(rng.gamma(9, 0.1, 900).round(3).tolist())
    for row in found.rows:
        latency = row.validation.latency.model_copy(update={"times_ms": times})
        row.validation = row.validation.model_copy(update={"latency": latency})
        if row.last:
            row.on_device = on_device(Validity.OK).model_copy(
                update={"device": FORGED, "cpu": FORGED}
            )
    table = sample_table([f"{FORGED}.{i}" for i in range(120)])
    operators = ShippedOperators(
        tables={"litert": table, "onnxruntime": table}, missing={"openvino": FORGED}
    )
    update = {"target_description": FORGED, "arch": FORGED, "operators": operators}
    return found.model_copy(update=update)


def comparison() -> str:
    """The page of two files that name other classes for every image."""
    names = [f"{i} {FORGED}" for i in range(CLASSES)]
    before = {i: (names[i % CLASSES], names[i % CLASSES]) for i in range(IMAGES)}
    after = {i: (label, names[(i + 1) % CLASSES]) for i, (label, _) in before.items()}
    sides = [
        side(
            letter, judged(answers), classes=tuple(names),
            operators={FORGED: number}, settings={FORGED: FORGED, f"{number}": FORGED},
        )
        for number, (letter, answers) in enumerate((("A", before), ("B", after)))
    ]  # fmt: skip
    found = compare([[one] for one in sides], timing=False, progress=lambda *_: None)
    (pair,) = found.pairs
    flipped = tuple(
        image.model_copy(update={"name": f"{FORGED}/{image.name}"})
        for image in pair.accuracy.flipped
    )
    accuracy = pair.accuracy.model_copy(update={"flipped": flipped})
    return render_compare(
        found.model_copy(
            update={
                "sides": tuple(
                    one.model_copy(update={"path": FORGED, "arch": FORGED}) for one in found.sides
                ),
                "pairs": (pair.model_copy(update={"accuracy": accuracy}),),
            }
        )
    )


def _forged_run(run: DeviceReport) -> DeviceReport:
    device = run.device.model_copy(update={"name": FORGED, "board": FORGED, "os": FORGED})
    return run.model_copy(update={"device": device})


def _targets() -> Comparison:
    """Ten of a build; one was never finished."""
    found = answered([0, 1], [0, 1], [1, 1], name=FORGED)
    built = [found.model_copy(update={"target": f"{i} {FORGED}"}) for i in range(10)]
    broken = {"target": FORGED, "status": "broken", "rows": [], "broken": [FORGED]}
    return Comparison([*built, found.model_copy(update=broken)], {FORGED: FORGED})


def _matrix() -> MatrixReport:
    """Thirty architectures for six targets, every third of which could not be built."""
    found = disturbed_matrix()
    columns = [(f"{number} {FORGED}", FORGED) for number in range(6)]
    (line,) = found.lines
    cells = [
        line.cells[0].model_copy(update={"target": target, "variant": variant})
        for target, variant in columns
    ]
    lines = [
        line.model_copy(
            update={
                "arch": f"{number} {FORGED}", "family": FORGED, "note": FORGED, "cells": cells,
                "reason": "" if number % 3 else FORGED,
            }
        )
        for number in range(30)
    ]  # fmt: skip
    update = {"name": FORGED, "columns": columns, "lines": lines, "libraries": {FORGED: FORGED}}
    return found.model_copy(update=update)
