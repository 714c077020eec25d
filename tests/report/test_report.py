"""What a report says of the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.data.review import Review
from edgekit.data.size import Size
from edgekit.data.sources.imagefolder import ImageFolder
from edgekit.engine.store import Store
from edgekit.report import report
from tests.report.test_near import build_of


def test_images_that_only_decoding_found_unreadable_are_not_counted(
    images_folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "near_problem", lambda build: [])
    for path in sorted(images_folder.glob("bar/*.png"))[:20]:
        path.write_bytes(path.name.encode())
    size = Size.square(32)
    source = ImageFolder(
        source="imagefolder", path=images_folder, image_size=size, unreadable="skip"
    )
    build = build_of(source, store, "train", "validation")  # planned without headers
    build.plan.review = Review((), ("bar/headers.png: it is no image",))
    data = report._data(build)
    assert len(data.unreadable) == 21
    assert sum(counts.get("bar", 0) for counts in data.counts.values()) == 4
    assert (data.counts["train"]["disc"], data.counts["validation"]["disc"]) == (18, 6)
