"""Class lists as frameworks write them, class names as people give them."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import unicodedata
from pathlib import Path

import onnx
import pytest
import yaml
from click.testing import CliRunner, Result

from edgekit.cli import cli
from edgekit.data.inventory import take_inventory
from edgekit.data.labels import yaml_list
from edgekit.data.sources.imagefolder import ImageFolder
from edgekit.errors import ConfigError, DataError
from edgekit.models.source import ModelSource
from edgekit.spec.recipe import load_recipe
from tests.brought import brought

NAMES = ("bar", "disc", "ring")
RECIPE = """\
model: {weights: model.onnx, input_range: 0..1}
data: {source: imagefolder, path: %s, image_size: 32%s}
stages: [quantize: {method: ptq, samples: 8}, export]
"""


def touch(root: Path, *names: str) -> None:
    """Files that all differ; nothing is decoded here."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def listed(root: Path, path: str = ".", **fields: object) -> tuple[str, ...]:
    settings = {"source": "imagefolder", "path": root / path, "image_size": 32, **fields}
    source = ImageFolder.model_validate(settings)
    return take_inventory(source, root / "cache").listing.classes


def write_mean_colours(path: Path) -> None:
    """An ONNX file of three scores, and no weights."""
    float32 = onnx.TensorProto.FLOAT
    make = onnx.helper
    graph = make.make_graph(
        [
            make.make_node("GlobalAveragePool", ["image"], ["mean"]),
            make.make_node("Flatten", ["mean"], ["scores"]),
        ],
        "g",
        [make.make_tensor_value_info("image", float32, [1, 3, 32, 32])],
        [make.make_tensor_value_info("scores", float32, [1, 3])],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)]), path)


def plan(folder: Path, data: str, classes: str = "") -> Result:
    listing = f", classes: {classes}" if classes else ""
    (folder / "r.yaml").write_text(RECIPE % (data, listing))
    write_mean_colours(folder / "model.onnx")
    words = ["plan", str(folder / "r.yaml"), "--target", "rpi", "--store", str(folder / "s")]
    return CliRunner().invoke(cli, words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    touch(tmp_path, *(f"{name}/{i}.png" for name in NAMES for i in range(2)))
    return tmp_path


BY_INDEX = {"0": "ring", "1": "bar", "2": "disc"}
READ = {
    '{"0": name}, as id2label': BY_INDEX,
    "A config.json of Hugging Face": {"model_type": "vit", "id2label": BY_INDEX},
    "A config.json of timm": {"architecture": "resnet18", "label_names": [*BY_INDEX.values()]},
    "class_to_idx of torchvision": {"bar": 1, "disc": 2, "ring": 0},
    "An index of synsets and names": {k: [f"n{k}", v] for k, v in BY_INDEX.items()},
    "A JSON list": [*BY_INDEX.values()],
}


@brought("Class lists", "JSON: a list, class_to_idx, id2label, config.json", "read")
@pytest.mark.parametrize("value", READ.values(), ids=READ)
def test_json_class_lists(folder: Path, value: object) -> None:
    (folder / "classes.json").write_text(json.dumps(value))
    assert listed(folder, classes=folder / "classes.json") == ("ring", "bar", "disc")


@brought(
    "Class lists",
    "imagenet_class_index.json beside folders of synsets (n01440764) or of names",
    "read: what the folders are called decides",
)
def test_synsets_or_names(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.png" for name in ("n02", "n01") for i in range(2)))
    index = {"0": ["n02", "crane"], "1": ["n01", "tench"], "2": ["n03", "crane"]}
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert listed(tmp_path, classes=tmp_path / "index.json") == ("n02", "n01", "n03")


REFUSED = {
    "a word": ('"bar"', "is no list of class names"),
    "numbers for names": ('{"0": 1.5, "1": null}', "is no list of class names"),
    "an index that lacks": ('{"0": "bar", "2": "disc"}', "without gaps"),
    "nothing": ("{}", "is no list of class names"),
    "nested without end": ("[" * 100_000, "is not valid JSON"),
    "two ways": ('{"0": "1", "1": "2", "2": "0"}', "two ways"),
}


@brought("Class lists", "JSON that is no list of classes", "refused: the forms are shown")
@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_json_that_is_no_class_list(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, *(f"images/{name}/{i}.png" for name in "012" for i in range(2)))
    (tmp_path / "classes.json").write_text(text)
    done = plan(tmp_path, "images", "classes.json")
    assert isinstance(done.exception, DataError)
    assert message in done.exception.message


TEXTS = {
    "UTF-8 with a byte order mark (Notepad)": "ring\r\nbär\r\ndisc\r\n".encode("utf-8-sig"),
    "lines that end in CR LF, blank lines, spaces at their ends": b"ring\r\n\r\nb\xc3\xa4r \ndisc",
    "decomposed umlauts (a list made on a Mac)": b"ring\nba\xcc\x88r\ndisc\n",
}


@brought("Class lists", "Lines with a byte order mark, CR LF, blank lines, NFD umlauts", "read")
@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_lines(tmp_path: Path, content: bytes) -> None:
    touch(tmp_path, *(f"{name}/{i}.png" for name in ("bär", "disc", "ring") for i in range(2)))
    (tmp_path / "classes.txt").write_bytes(content)
    assert listed(tmp_path, classes=tmp_path / "classes.txt") == ("ring", "bär", "disc")


@brought(
    "Class lists",
    "Lines in UTF-16 or Windows-1252",
    "refused: `iconv` with the file's name, ready to paste",
)
@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    touch(tmp_path, *(f"images/{name}/{i}.png" for name in ("bär", "disc") for i in range(2)))
    (tmp_path / "my classes.txt").write_bytes("disc\r\nbär\r\n".encode(encoding))
    done = plan(tmp_path, "images", "my classes.txt")
    assert isinstance(done.exception, DataError)
    assert "is not UTF-8" in done.exception.message
    command = str(done.exception.hint).partition("with: ")[2]
    subprocess.run(command, shell=True, check=True)
    converted = tmp_path / "utf8-my classes.txt"
    assert listed(tmp_path, "images", classes=converted) == ("disc", "bär")


@brought(
    "Images and folders",
    "Folders made on a Mac (NFD) beside a list, or a split, made elsewhere (NFC)",
    "read: one class",
)
def test_unicode_forms(tmp_path: Path) -> None:
    composed, decomposed = "müsli", unicodedata.normalize("NFD", "müsli")
    for split, name in (("train", decomposed), ("val", composed)):
        touch(tmp_path, *(f"{split}/{c}/{i}.png" for c in (name, "nuts") for i in range(2)))
    assert listed(tmp_path) == (composed, "nuts")


TABLES = {
    "semicolons and a byte order mark (Excel)": "\ufeffpath;label\r\n{}",
    "tabs": "path\tlabel\n{}",
    "Excel's sep= line": "sep=;\npath;label\n{}",
    "Hugging Face's metadata.csv": "file_name,label\n{}",
    "other headings": "Image , Class\n{}",
    "all quoted": '"path", "label"\n{}',
    "Windows paths": "path,label\n{}",
    "more columns": "id,path,label\n{}",
}


@brought(
    "Images and folders",
    "CSV files with semicolons, tabs, a byte order mark, quotes, backslashes, other headings",
    "read",
)
@pytest.mark.parametrize("form", TABLES)
def test_csv_dialects(folder: Path, form: str) -> None:
    rows = []
    for path in sorted(folder.glob("*/*.png")):
        name, label = str(path.relative_to(folder)), path.parent.name
        if form == "Windows paths":
            name = name.replace("/", "\\")
        cells = ["7", name, label] if form == "more columns" else [name, label]
        if form == "all quoted":
            cells = [f'"{cell}"' for cell in cells]
        delimiter = "\t" if form == "tabs" else ";" if ";" in TABLES[form] else ", "
        rows.append((delimiter if form != "Windows paths" else ",").join(cells))
    (folder / "t.csv").write_text(TABLES[form].format("\n".join(rows)), encoding="utf-8")
    assert listed(folder, "t.csv") == NAMES


@brought("Images and folders", "A CSV file in UTF-16 (Excel's Unicode text)", "refused")
def test_csv_in_utf16(folder: Path) -> None:
    (folder / "t.csv").write_bytes("path\tlabel\nbar/0.png\tbar\n".encode("utf-16"))
    done = plan(folder, "t.csv")
    assert isinstance(done.exception, DataError)
    assert "is not UTF-8 but UTF-16" in done.exception.message


@brought(
    "Recipes and commands",
    "model.classes of numbers or of words that YAML takes for truths (1, no)",
    "refused: write them in quotes",
)
def test_classes_that_yaml_does_not_take_for_text(folder: Path) -> None:
    text = RECIPE % ("images", "")
    (folder / "r.yaml").write_text(text.replace("1}", "1, classes: [1, no, 007]}"))
    with pytest.raises(ConfigError) as error:
        load_recipe(folder / "r.yaml")
    assert "reads 1, False, 7 and no text: write each name in quotes" in error.value.message
    assert "valid string" not in error.value.message


ODD = ["no", "1", "a, b", " x", "yes", "it's", 'the "best"', "naïve", "\u200fعربي", "n" * 200, "#"]


@brought(
    "Recipes and commands",
    "A hint that gives the classes in another order, pasted into the recipe",
    "read: the names are in quotes",
)
def test_a_list_of_classes_as_hints_show_it_is_read_as_it_was() -> None:
    found = yaml.safe_load(f"classes: {yaml_list(ODD)}")["classes"]
    assert ModelSource(weights="m.onnx", input_range="0..1", classes=found).classes == tuple(ODD)


@brought(
    "Images and folders",
    "Class folders with a line break, a tab or another control character in their names",
    "refused: labels.txt has one name a line",
)
@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x1b[31mb", "a\u2028b", "a\x85b", "\udcff"])
def test_control_characters(folder: Path, name: str) -> None:
    shutil.move(folder / "bar", folder / name)
    with pytest.raises(DataError, match="line break or another control character") as error:
        listed(folder)
    assert error.value.message.isascii()
    assert error.value.message.isprintable()


@brought(
    "Images and folders",
    "Class names with commas, quotes, spaces at their ends, `no`, 1, Arabic, 200 letters",
    "read: the same in labels.txt, JSON, tables and pages",
)
def test_odd_names(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/{name}/{i}.png" for name in ODD for i in range(2)))
    assert sorted(listed(tmp_path, "images")) == sorted(ODD)
    turned = ODD[::-1]
    for name, text in (("c.txt", "\n".join(turned)), ("c.json", json.dumps(turned))):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert listed(tmp_path, "images", classes=tmp_path / name) == tuple(turned)
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = [(f"images/{name}/{i}.png", name) for name in ODD for i in range(2)]
        csv.writer(stream).writerows([("path", "label"), *rows])
    assert set(listed(tmp_path, "t.csv")) == {name.strip() for name in ODD}
