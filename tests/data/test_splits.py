"""Splits that never overlap, calibration from the training side only, and honest decoding."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import runpy
import shutil
import struct
import warnings
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, ImageFile, ImageOps

from edgekit.agent import classify
from edgekit.data.calibration import CalibrationChoice, pick_calibration
from edgekit.data.framing import Framing, Orientation
from edgekit.data.headers import leave_out_unreadable
from edgekit.data.image_folder import decode_folder
from edgekit.data.images import (
    TRAIN_MARGIN,
    DecodeImages,
    ImagesMetadata,
    decode,
    decode_ways,
)
from edgekit.data.inventory import Inventory, take_inventory
from edgekit.data.size import Size
from edgekit.data.sources.base import Listing, Sample, SplitName
from edgekit.data.sources.imagefolder import ImageFolder
from edgekit.data.splits import SplitData, contradictions, count_doubled, divide
from edgekit.engine.action import Context
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DataError, IntegrityError
from tests.conftest import write_images

CLASSES = ("a", "b", "c")

Row = tuple[str, str, SplitName | None]


@pytest.fixture(autouse=True)
def _relative_paths_begin_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def source_of(path: Path | str = ".", **fields: Any) -> ImageFolder:
    return ImageFolder(source="imagefolder", path=Path(path), image_size=Size.square(32), **fields)


def inventory_of(rows: list[Row]) -> Inventory:
    """From (content, label, split): as if a file with that content had been listed."""
    samples = tuple(
        Sample(f"{i}.png", Path(f"/data/{i}.png"), label, split)
        for i, (_, label, split) in enumerate(rows)
    )
    digests = {
        s.name: hashlib.sha256(content.encode()).hexdigest()
        for s, (content, _, _) in zip(samples, rows, strict=True)
    }
    classes = tuple(sorted({label for _, label, _ in rows}))
    return Inventory(Listing(samples, classes), digests)


def place(inventory: Inventory, splits: dict[str, list[Sample]]) -> dict[str, str]:
    """The split of each content digest; fails if one stands in two."""
    found: dict[str, str] = {}
    for name, samples in splits.items():
        for sample in samples:
            assert found.setdefault(inventory.digests[sample.name], name) == name
    return found


@st.composite
def listings(draw: st.DrawFn) -> list[tuple[str, str, None]]:
    """Two or more different images a class, some of them listed more than once."""
    rows = []
    for label in draw(st.sampled_from([CLASSES, CLASSES[:2], CLASSES[:1]])):
        contents = draw(st.sets(st.integers(0, 999), min_size=2, max_size=20))
        for content in sorted(contents):
            copies = draw(st.sampled_from([1, 1, 1, 2, 3]))
            rows += [(f"{label}{content}", label, None)] * copies
    return rows


SHARES = st.floats(0.05, 0.95)


@settings(deadline=None)
@given(listings(), SHARES, st.integers(0, 5))
def test_splits_hold_every_image_once_and_every_class_in_both(
    rows: list[Row], share: float, seed: int
) -> None:
    inventory = inventory_of(rows)
    source = source_of(validation_share=share, seed=seed)
    splits = divide(inventory, source)
    assert splits == divide(inventory, source)
    names = {s.name for split in splits.values() for s in split}
    assert {inventory.digests[name] for name in names} == {*inventory.digests.values()}
    assert count_doubled(inventory, splits) == len(inventory.digests) - len(names)
    judged = [inventory.digests[s.name] for s in splits["validation"]]
    assert len({*judged}) == len(judged), "each once"
    trained = [n for n, d in inventory.digests.items() if d not in judged]
    assert sorted(trained) == sorted(s.name for s in splits["train"]), "copies stay"
    where = place(inventory, splits)  # copies of one image share a split
    classes = set(inventory.listing.classes)
    assert {s.label for s in splits["train"]} == {s.label for s in splits["validation"]} == classes
    for label in classes:
        contents = {c for c, name, _ in rows if name == label}
        kept = [c for c in contents if where[hashlib.sha256(c.encode()).hexdigest()] != "train"]
        wanted = min(max(1, round(share * len(contents))), len(contents) - 1)
        assert len(kept) == wanted


@settings(deadline=None)
@given(listings(), SHARES, st.randoms(use_true_random=False))
def test_order_and_names_do_not_matter(rows: list[Row], share: float, random: Any) -> None:
    source = source_of(validation_share=share)
    first = inventory_of(rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    second = inventory_of(shuffled)
    assert place(first, divide(first, source)) == place(second, divide(second, source))


@settings(deadline=None)
@given(listings(), SHARES)
def test_an_added_image_moves_at_most_one_other_and_only_of_its_class(
    rows: list[Row], share: float
) -> None:
    source = source_of(validation_share=share)
    before, after = inventory_of(rows), inventory_of([*rows, ("new", rows[0][1], None)])
    assume("new" not in [content for content, _, _ in rows])
    was, now = place(before, divide(before, source)), place(after, divide(after, source))
    moved = [digest for digest in was if was[digest] != now[digest]]
    labels = {before.digests[s.name]: s.label for s in before.listing.samples}
    assert len(moved) <= 1
    assert {labels[digest] for digest in moved} <= {rows[0][1]}


def test_another_seed_gives_another_split() -> None:
    inventory = inventory_of([(f"{i}", "a", None) for i in range(50)])
    first, second = (divide(inventory, source_of(seed=seed)) for seed in (0, 1))
    assert place(inventory, first) != place(inventory, second)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    """As where the path is one folder too high; every gate would pass at 100 %."""
    write_images(tmp_path / "dataset/images")
    shutil.rmtree(tmp_path / "dataset/images/bar")
    shutil.move(tmp_path / "dataset/images/disc/00.png", tmp_path / "dataset/images/00.png")
    shutil.rmtree(tmp_path / "dataset/images/disc")
    source = source_of("dataset")
    with pytest.raises(DataError, match="1 class found: 'images'") as caught:
        take_inventory(source, tmp_path / "cache")
    assert "one folder too high" in str(caught.value.hint)


def test_a_class_with_one_image_is_refused_even_if_it_has_copies() -> None:
    inventory = inventory_of([("x", "a", None), ("x", "a", None), ("y", "b", None)])
    with pytest.raises(DataError, match="images of class 'a' that differ: 1;"):
        divide(inventory, source_of())


@pytest.mark.parametrize("judge", ["validation", "test"])
def test_what_is_judged_on_counts_each_image_once_by_content(judge: SplitName) -> None:
    """Four rows of one picture are one picture, whatever their names; training keeps its copies."""
    judged: list[Row] = [(f"{label}{i}", label, judge) for label in "ab" for i in range(3)]
    training: list[Row] = [(f"t{label}", label, "train") for label in "ab"]
    inventory = inventory_of(judged * 4 + training * 2)
    splits = divide(inventory, source_of(evaluate_on=judge))
    assert [s.name for s in splits[judge]] == [f"{i}.png" for i in range(6)]
    assert len(splits["train"]) == 4
    assert count_doubled(inventory, splits) == 18


def test_rows_that_repeat_a_path_count_once(images_folder: Path, tmp_path: Path) -> None:
    """Listed four times, the intervals were half as wide as they may be."""
    images = sorted(Path("images").glob("*/*.png"))
    lines = [f"{p},{p.parent.name},{'validation' if p.stem < '06' else 'train'}" for p in images]
    again = [line for line in lines if line.endswith("validation")]
    Path("table.csv").write_text("\n".join(["path,label,split", *lines, *again * 3]) + "\n")
    source = source_of("table.csv")
    inventory = take_inventory(source, tmp_path / "digests")
    metadata = SplitData(source, inventory).run({}, tmp_path, context(tmp_path))
    judged = sum(metadata.counts["validation"].values())
    assert judged == len(again) == 12
    assert metadata.doubled == 3 * len(again)
    rows = json.loads((tmp_path / "splits.json").read_text())["validation"]
    assert len(rows) == judged
    decoder = DecodeImages(source, inventory, "validation")
    assert decoder.run({}, tmp_path, context(tmp_path)).images == judged


def refuse(inventory: Inventory) -> None:
    (error,) = contradictions(inventory)
    raise error


def test_the_same_image_in_two_splits_is_refused_with_both_names() -> None:
    inventory = inventory_of([("x", "a", "train"), ("y", "a", "train"), ("x", "a", "validation")])
    with pytest.raises(
        DataError, match=r"1 image of one split .*\n.*0\.png \(train\) and .*2\.png \(validation\)"
    ):
        refuse(inventory)


@pytest.mark.parametrize("split", [None, "train"])
def test_one_image_with_two_labels_is_refused_with_both_names(split: SplitName | None) -> None:
    inventory = inventory_of([("x", "a", split), ("y", "a", split), ("x", "b", split)])
    with pytest.raises(DataError, match=r"1 image bears two labels:\n.*0\.png is 'a', .*2\.png is"):
        refuse(inventory)


def test_all_images_with_two_labels_are_counted_and_three_are_named() -> None:
    inventory = inventory_of([(f"x{i}", label, None) for i in range(5) for label in "ab"])
    with pytest.raises(DataError, match="5 images bear two labels") as caught:
        refuse(inventory)
    assert str(caught.value).count(" is 'b'") == 3
    assert "and 2 more" in str(caught.value)
    rows: list[Row] = [(f"x{i}", "a", split) for i in range(4) for split in ("train", "validation")]
    with pytest.raises(DataError, match="4 images of one split stand in another") as caught:
        refuse(inventory_of(rows))
    assert "and 1 more" in str(caught.value)


def test_some_images_without_a_split_are_refused() -> None:
    inventory = inventory_of([("x", "a", "train"), ("y", "a", "validation"), ("z", "a", None)])
    with pytest.raises(DataError, match=r"1 images have no split: .*2\.png"):
        divide(inventory, source_of())


def test_evaluation_on_a_split_that_is_not_there_is_refused() -> None:
    inventory = inventory_of([("x", "a", "train"), ("y", "a", "test")])
    with pytest.raises(DataError, match="no validation split: found test, train"):
        divide(inventory, source_of())
    assert set(divide(inventory, source_of(evaluate_on="test"))) == {"train", "test"}


# Calibration


def chosen_of(rows: list[Row], count: int, every_class: bool = True) -> list[Sample]:
    inventory = inventory_of(rows)
    splits = divide(inventory, source_of())
    choice = CalibrationChoice(count, every_class)
    return pick_calibration(splits, inventory.digests, choice, "validation")


@settings(deadline=None)
@given(listings(), st.integers(3, 60))
def test_calibration_comes_from_training_and_holds_every_class_in_its_share(
    rows: list[Row], count: int
) -> None:
    inventory = inventory_of(list(rows))
    train = divide(inventory, source_of())["train"]
    chosen = chosen_of(list(rows), count)
    assert len(chosen) == min(count, len(train))
    assert {s.name for s in chosen} <= {s.name for s in train}
    assert len({s.name for s in chosen}) == len(chosen)
    have, taken = (Counter(s.label for s in part) for part in (train, chosen))
    assert set(taken) == set(have)
    for label in have:
        exact = len(chosen) * have[label] / len(train)
        # One image is guaranteed to the smallest classes; the others may lag by as many.
        assert abs(taken[label] - exact) <= len(have)


def test_a_calibration_split_of_ones_own_is_used_alone() -> None:
    rows: list[Row] = [(f"t{i}", "a", "train") for i in range(9)]
    rows += [("v", "a", "validation"), ("c", "a", "calibration"), ("d", "a", "calibration")]
    assert {s.split for s in chosen_of(rows, 5)} == {"calibration"}


def test_a_validated_class_that_calibration_lacks_is_refused_unless_allowed() -> None:
    rows: list[Row]
    rows = [("x", "a", "train"), ("y", "a", "validation"), ("z", "b", "validation")]
    with pytest.raises(DataError, match="no image of 1 classes: b"):
        chosen_of(rows, 5)
    assert len(chosen_of(rows, 5, every_class=False)) == 1


def test_fewer_images_than_classes_are_refused_with_the_number_needed() -> None:
    rows = [(f"{label}{i}", label, None) for label in CLASSES for i in range(4)]
    with pytest.raises(DataError, match="2 calibration images cannot hold 3") as caught:
        chosen_of(list(rows), 2)
    assert "3 or more" in str(caught.value.hint)
    assert len(chosen_of(list(rows), 2, every_class=False)) == 2


def test_nothing_to_calibrate_on_is_refused() -> None:
    with pytest.raises(DataError, match="no images to calibrate on"):
        chosen_of([("x", "a", "validation")], 5, every_class=False)


# The inventory


def test_an_unchanged_file_is_not_read_again(images_folder: Path, tmp_path: Path) -> None:
    source, cache = source_of("images"), tmp_path / "digests"
    image = images_folder / "bar" / "00.png"
    before = take_inventory(source, cache)
    (memory,) = cache.iterdir()
    memory.write_text(memory.read_text().replace(sha256_of(image), "remembered"))
    assert take_inventory(source, cache).digests == {
        **before.digests,
        "bar/00.png": "remembered",
    }


def test_a_changed_file_is_read_again_even_if_its_size_and_time_are_set_back(
    images_folder: Path, tmp_path: Path
) -> None:
    source, cache = source_of("images"), tmp_path / "digests"
    image = images_folder / "bar" / "00.png"
    before = take_inventory(source, cache)
    stat = image.stat()
    image.write_bytes(b"x" * stat.st_size)
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = take_inventory(source, cache)
    assert after.digests["bar/00.png"] == sha256_of(image) != before.digests["bar/00.png"]
    assert after.fingerprint != before.fingerprint


def test_the_order_of_a_listing_does_not_matter(tmp_path: Path) -> None:
    names = ["b/1.png", "a b/1.png", "a/2.png", "a/10.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())

    def order(rows: list[str]) -> list[str]:
        (tmp_path / "all.csv").write_text("path,label\n" + "".join(f"{n},{n[0]}\n" for n in rows))
        listing = take_inventory(source_of("all.csv"), tmp_path / "digests").listing
        return [sample.name for sample in listing.samples]

    by_folder = [s.name for s in source_of().listing().samples]
    assert order(names) == order(names[::-1]) == by_folder


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_digest_cache_is_made_again(
    images_folder: Path, tmp_path: Path, damage: bytes
) -> None:
    source, cache = source_of("images"), tmp_path / "digests"
    before = take_inventory(source, cache)
    (memory,) = cache.iterdir()
    memory.write_bytes(damage)
    assert take_inventory(source, cache) == before
    assert json.loads(memory.read_text())


def test_the_fingerprint_follows_content_and_labels_not_the_place(
    images_folder: Path, tmp_path: Path
) -> None:
    def fingerprint(folder: str) -> str:
        return take_inventory(source_of(folder), tmp_path / "digests").fingerprint

    before = fingerprint("images")
    shutil.copytree(images_folder, tmp_path / "copy")
    assert fingerprint("copy") == before
    (tmp_path / "copy" / "bar" / "00.png").rename(tmp_path / "copy" / "disc" / "99.png")
    assert fingerprint("copy") != before


def test_listed_images_that_are_not_there_are_counted_and_named(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,a\n" for i in range(7))
    (tmp_path / "all.csv").write_text("path,label\n" + rows)
    with pytest.raises(DataError, match=r"7 listed images do not exist: .*0\.png.* and 2 more"):
        take_inventory(source_of("all.csv"), tmp_path / "digests")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([("1", "one.png", "b")], "'b', which is no class"),
        ([("1", "one.png", "a"), ("1", "two.png", "a")], "two images have the name 1"),
    ],
)
def test_a_listing_that_contradicts_itself_is_refused(
    tmp_path: Path, samples: list[tuple[str, str, str]], message: str
) -> None:
    class Own(ImageFolder):
        def listing(self) -> Listing:
            rows = tuple(Sample(name, tmp_path / file, label) for name, file, label in samples)
            return Listing(rows, ("a",))

    for _, file, _ in samples:
        (tmp_path / file).write_bytes(file.encode())
    own = Own(source="imagefolder", path=Path(), image_size=Size.square(32))
    with pytest.raises(DataError, match=message):
        take_inventory(own, tmp_path / "digests")


def forbid(monkeypatch: pytest.MonkeyPatch, method: str, victim: Path) -> None:
    """As a file without read permission; the tests may run as root, who may read it all."""
    allowed = getattr(Path, method)

    def denied(self: Path, *args: Any, **options: Any) -> Any:
        if self == victim:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return allowed(self, *args, **options)

    monkeypatch.setattr(Path, method, denied)


@pytest.mark.parametrize("method", ["open", "is_file"])
def test_a_file_that_may_not_be_read_is_named(
    images_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    forbid(monkeypatch, method, images_folder / "bar" / "07.png")
    with pytest.raises(DataError, match=r"bar/07\.png cannot be read: Permission denied"):
        take_inventory(source_of(images_folder), tmp_path / "digests")


# Decoding


def context(tmp_path: Path) -> Context:
    return Context(progress=lambda done, total, note: None, partial=tmp_path)


def decoded(
    tmp_path: Path, split: str, choice: CalibrationChoice | None = None, **fields: Any
) -> tuple[np.ndarray, np.ndarray, ImagesMetadata]:
    source = source_of("images", **fields)
    inventory = take_inventory(source, tmp_path / "digests")
    into = tmp_path / "into"
    into.mkdir()
    metadata = DecodeImages(source, inventory, split, choice).run({}, into, context(tmp_path))
    assert sorted(p.name for p in into.iterdir()) == ["images.npy", "labels.npy"]
    return np.load(into / "images.npy"), np.load(into / "labels.npy"), metadata


def test_a_split_is_decoded_with_its_labels(images_folder: Path, tmp_path: Path) -> None:
    images, labels, metadata = decoded(tmp_path, "validation")
    assert images.shape == (12, 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.tolist() == [0] * 6 + [1] * 6
    assert metadata.record() == {"split": "validation", "images": 12, "unreadable": []}
    # A bar reaches the top and the bottom of its image, a disc does not.
    edges = images[:, [0, -1]].reshape(12, -1).max(axis=1)
    assert (edges[:6] > 180).all()
    assert (edges[6:] < 180).all()


def test_training_images_have_room_for_crops(images_folder: Path, tmp_path: Path) -> None:
    size = round(32 * TRAIN_MARGIN)
    assert decoded(tmp_path, "train")[0].shape == (36, size, size, 3)


def test_calibration_images_are_as_many_as_asked(images_folder: Path, tmp_path: Path) -> None:
    images, labels, _ = decoded(tmp_path, "calibration", CalibrationChoice(10))
    assert images.shape == (10, 32, 32, 3)
    assert Counter(labels.tolist()) == {0: 5, 1: 5}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def test_an_unreadable_image_stops_the_build_and_is_named(
    images_folder: Path, tmp_path: Path
) -> None:
    for path in images_folder.glob("bar/0*.png"):
        truncate(path)
    with pytest.raises(DataError, match=r"of 36 train images cannot be read:\n.*bar/0\d\.png: "):
        decoded(tmp_path, "train")


def test_unreadable_images_are_counted_and_left_out_if_asked(
    images_folder: Path, tmp_path: Path
) -> None:
    for path in images_folder.glob("bar/0*.png"):
        truncate(path)
    images, labels, metadata = decoded(tmp_path, "train", unreadable="skip")
    bad = len(metadata.unreadable)
    assert 1 <= bad <= 10
    assert len(images) == len(labels) == metadata.images == 36 - bad
    assert Counter(labels.tolist())[1] == 18
    assert all(line.startswith("bar/0") for line in metadata.unreadable)
    assert images.reshape(len(images), -1).max(axis=1).min() > 0


def damaged_calibration(images_folder: Path, tmp_path: Path, every_class: bool) -> np.ndarray:
    """Labels of four calibration images, where those of the class `bar` cannot be read."""
    source, choice = source_of("images", unreadable="skip"), CalibrationChoice(4, every_class)
    for path in images_folder.glob("bar/*.png"):
        truncate(path)
    inventory = take_inventory(source, tmp_path / "digests")
    chosen = DecodeImages(source, inventory, "calibration", choice)
    (tmp_path / "into").mkdir()
    chosen.run({}, tmp_path / "into", context(tmp_path))
    labels: np.ndarray = np.load(tmp_path / "into" / "labels.npy")
    return labels


def test_a_class_that_skipping_takes_from_calibration_is_refused_unless_allowed(
    images_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no readable image left of 1 classes: bar"):
        damaged_calibration(images_folder, tmp_path, every_class=True)


def test_a_class_may_vanish_from_calibration_if_that_is_allowed(
    images_folder: Path, tmp_path: Path
) -> None:
    assert damaged_calibration(images_folder, tmp_path, every_class=False).tolist() == [1, 1]


def test_what_headers_show_as_unreadable_is_in_no_split_and_moves_no_other(
    images_folder: Path, tmp_path: Path
) -> None:
    for path in ("bar/20.png", "bar/21.png", "disc/22.png"):
        (images_folder / path).write_bytes(path.encode())
    source = source_of("images", unreadable="skip")
    listed = take_inventory(source, tmp_path / "digests")
    assert leave_out_unreadable(listed, source_of("images")) == listed
    inventory = leave_out_unreadable(listed, source)
    assert inventory.left_out == {"bar/20.png", "bar/21.png", "disc/22.png"}
    assert divide(inventory, source) == {
        name: [s for s in samples if s.name not in inventory.left_out]
        for name, samples in divide(listed, source).items()
    }
    metadata = SplitData(source, inventory).run({}, tmp_path, context(tmp_path))
    assert sum(sum(counts.values()) for counts in metadata.counts.values()) == 45
    assert sum(counts["bar"] for counts in metadata.counts.values()) == 22
    assert metadata.doubled == 0
    rows = json.loads((tmp_path / "splits.json").read_text())
    assert not inventory.left_out & {name for split in rows.values() for name, _, _ in split}


def test_a_judged_split_that_cannot_be_read_is_refused_when_divided(
    images_folder: Path, tmp_path: Path
) -> None:
    for i, path in enumerate(images_folder.rglob("*.png")):
        path.write_bytes(b"%d" % i)
    source = source_of("images", unreadable="skip")
    inventory = leave_out_unreadable(take_inventory(source, tmp_path / "digests"), source)
    with pytest.raises(DataError, match="none of the 12 validation images can be read"):
        divide(inventory, source)


def test_skipping_everything_is_no_way_on(images_folder: Path, tmp_path: Path) -> None:
    for path in images_folder.rglob("*.png"):
        truncate(path)
    with pytest.raises(DataError, match="12 of 12 validation"):
        decoded(tmp_path, "validation", unreadable="skip")


@pytest.mark.parametrize("change", ["edit", "delete"])
def test_a_file_that_changes_after_the_plan_is_an_integrity_error(
    images_folder: Path, tmp_path: Path, change: str
) -> None:
    source = source_of("images")
    inventory = take_inventory(source, tmp_path / "digests")
    victim = divide(inventory, source)["validation"][0].path
    victim.unlink() if change == "delete" else Image.new("RGB", (40, 40)).save(victim)
    (tmp_path / "into").mkdir()
    with pytest.raises(IntegrityError, match=victim.name):
        DecodeImages(source, inventory, "validation").run({}, tmp_path / "into", context(tmp_path))
    assert inventory.memory is not None
    assert inventory.memory.exists() == (change == "delete")


def test_a_file_that_may_not_be_read_when_it_is_decoded_is_named(
    images_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of("images", unreadable="skip")
    inventory = take_inventory(source, tmp_path / "digests")
    victim = divide(inventory, source)["validation"][0].path
    forbid(monkeypatch, "read_bytes", victim)
    (tmp_path / "into").mkdir()
    with pytest.raises(DataError, match=f"{victim} cannot be read: Permission denied"):
        DecodeImages(source, inventory, "validation").run({}, tmp_path / "into", context(tmp_path))


def test_splits_json_says_which_image_is_where(images_folder: Path, tmp_path: Path) -> None:
    source = source_of("images")
    inventory = take_inventory(source, tmp_path / "digests")
    metadata = SplitData(source, inventory).run({}, tmp_path, context(tmp_path))
    assert metadata.classes == ("bar", "disc")
    assert metadata.counts == {
        "train": {"bar": 18, "disc": 18},
        "validation": {"bar": 6, "disc": 6},
    }
    rows = json.loads((tmp_path / "splits.json").read_text())
    assert {row[0]: row[2] for part in rows.values() for row in part} == inventory.digests


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def test_decoding_turns_an_image_upright() -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255  # the left half is white
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: the left becomes the top
    upright = decode(encoded(image, "JPEG", exif=exif, quality=95), Framing(Size.square(16)))
    assert not isinstance(upright, str)
    assert upright[:6].mean() > 240
    assert upright[-6:].mean() < 15


EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples/classify_image.py"))


def test_an_image_is_taken_as_it_is_stored_where_the_recipe_says_so(tmp_path: Path) -> None:
    """Several framings are decoded at once, each with its own orientation."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255  # the left half is white
    exif = Image.Exif()
    exif[274] = 6
    content = encoded(Image.fromarray(pixels), "PNG", exif=exif)
    both = [Framing(Size.square(16), orientation=how) for how in get_args(Orientation)]
    found = decode_ways(content, both)
    assert not isinstance(found, str)
    upright, stored = found
    np.testing.assert_array_equal(stored.transpose(1, 0, 2), upright)
    assert stored[:, :6].min() > 240
    (tmp_path / "photo.png").write_bytes(content)
    for framing, wanted in zip(both, found, strict=True):
        how = framing.settings() | {"image_size": framing.size.plain}
        shipped = classify.photo_as(tmp_path / "photo.png", how)
        np.testing.assert_array_equal(np.asarray(shipped), wanted)
        facts = {"crop_pct": 1.0, "fit": "crop", "interpolation": "bicubic"}
        opened = EXAMPLE["opened"](tmp_path / "photo.png", framing.orientation == "upright")
        example = EXAMPLE["framed"](opened, 16, 16, *facts.values())
        np.testing.assert_array_equal(np.asarray(example), wanted)


def test_decoding_resizes_the_shorter_side_and_crops_the_centre() -> None:
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 30:60] = (255, 0, 0)
    whole = decode(encoded(Image.fromarray(pixels)), Framing(Size.square(30)))
    assert not isinstance(whole, str)
    assert (whole == (255, 0, 0)).all()
    wide = decode(encoded(Image.fromarray(pixels)), Framing(Size.square(30), 0.5))
    assert not isinstance(wide, str)
    assert wide.shape == (30, 30, 3)


@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1), (2, 41)])
def test_a_strip_is_no_picture(size: tuple[int, int]) -> None:
    assert f"{size[0]}x{size[1]}" in str(
        decode(encoded(Image.new("RGB", size)), Framing(Size.square(160)))
    )
    assert not isinstance(decode(encoded(Image.new("RGB", (2, 40))), Framing(Size.square(16))), str)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_8_bit_mode_becomes_rgb(mode: str) -> None:
    image = Image.new("RGB", (20, 20), (200, 200, 200)).convert(mode)
    form = "TIFF" if mode == "CMYK" else "PNG"
    result = decode(encoded(image, form), Framing(Size.square(16)))
    assert not isinstance(result, str)
    assert result.shape == (16, 16, 3)


def test_sixteen_bits_a_channel_are_refused_not_clipped_to_white() -> None:
    deep = Image.fromarray(np.full((20, 20), 1000, np.uint16))
    assert "8 bits" in str(decode(encoded(deep), Framing(Size.square(16))))


def test_postscript_under_an_images_name_starts_no_ghostscript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **_: started.append(args))
    program = encoded(Image.new("RGB", (20, 20)), "EPS")
    assert "no image of a kind that is read" in str(decode(program, Framing(Size.square(16))))
    (tmp_path / "photo.jpg").write_bytes(program)
    with pytest.raises(DataError, match=r"photo.jpg: it is no image of a kind"):
        decode_folder(tmp_path, Framing(Size.square(16)), 1)
    assert not started


@pytest.mark.parametrize(
    ("size", "told"), [((11_000, 9_100), "11000x9100 pixels"), ((40_000, 40_000), "too many")]
)
def test_too_many_pixels_are_refused_before_they_are_decoded(
    size: tuple[int, int], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loads(*args: Any) -> None:
        raise AssertionError("it was decoded")

    content = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    content[16:24] = struct.pack(">II", *size)  # the header's sides, and its checksum
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    monkeypatch.setattr(ImageFile.ImageFile, "load", loads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        reason = decode(bytes(content), Framing(Size.square(16)))
    assert told in str(reason)
    assert "100 million are the limit" in str(reason)


@pytest.mark.parametrize("form", ["JPEG2000", "TGA", "GIF", "WEBP", "ICO", "PCX", "SGI"])
def test_what_pillow_decodes_itself_is_read(form: str) -> None:
    image = Image.effect_noise((32, 32), 60).convert("RGB")
    assert not isinstance(decode(encoded(image, form), Framing(Size.square(16))), str)


SEEDS = [
    encoded(Image.effect_noise((24, 24), 60).convert("RGB"), form)
    for form in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
]


def test_an_exif_block_that_cannot_be_read_turns_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*args: Any) -> None:
        raise struct.error("unpack requires a buffer of 4 bytes")

    content = encoded(Image.effect_noise((16, 16), 60).convert("RGB"))
    sound = decode(content, Framing(Size.square(16)))
    (tmp_path / "photo.png").write_bytes(content)
    monkeypatch.setattr(Image.Image, "getexif", broken)
    assert np.array_equal(decode(content, Framing(Size.square(16))), sound)
    assert np.array_equal(np.asarray(classify.photo_of(tmp_path / "photo.png")), sound)


@pytest.mark.parametrize("orientation", range(9))
def test_a_photo_is_turned_as_its_exif_block_says(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    stream = io.BytesIO()
    Image.effect_noise((16, 16), 60).convert("RGB").save(stream, "PNG", exif=exif)
    turned = ImageOps.exif_transpose(Image.open(stream))
    assert np.array_equal(decode(stream.getvalue(), Framing(Size.square(16))), np.asarray(turned))
    (tmp_path / "photo.png").write_bytes(stream.getvalue())
    assert np.array_equal(np.asarray(classify.photo_of(tmp_path / "photo.png")), np.asarray(turned))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
    st.integers(0, 100),
)
def test_damaged_bytes_give_an_image_or_a_reason_never_an_error(
    content: bytes, edits: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(content)
    for place, value in edits:
        damaged[place % len(damaged)] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 500_000)  # a damaged size must not cost a GB
        result = decode(bytes(damaged[: len(damaged) - cut]), Framing(Size.square(16)))
    assert result if isinstance(result, str) else result.shape == (16, 16, 3)


def test_what_was_hashed_is_known_wherever_one_stands(
    images_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memories = []
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        memories.append(take_inventory(source_of(images_folder), tmp_path / "digests").memory)
    assert memories[0] == memories[1]
