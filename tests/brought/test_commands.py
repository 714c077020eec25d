"""Recipes, targets and inventories as people write them, and the machines they do it on."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.errors import EdgekitError
from tests.brought import brought
from tests.conftest import write_images
from tests.models.test_input_size import onnx_file

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages:
  - finetune: {epochs: 2, batch_size: 12}
  - quantize: {method: ptq, samples: 12}
  - export
gates: {max_accuracy_drop: 50}
"""
ONNX_RECIPE = """\
model: {weights: m.onnx, input_range: 0..1}
data: {source: imagefolder, path: images, image_size: 32}
stages: [export]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images and a recipe."""
    write_images(tmp_path / "images", count=4)
    (tmp_path / "r.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))
    return tmp_path


def run(*words: object) -> tuple[int, str]:
    """The exit code of a command, and what it said."""
    done = CliRunner().invoke(cli, [str(word) for word in words])
    if isinstance(done.exception, EdgekitError):
        error = done.exception
        return error.exit_code, "\n".join(filter(None, (error.message, error.hint)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def edgekit(
    *words: str, stdout: int | IO[str] = subprocess.PIPE, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with streams of its own."""
    return subprocess.run(
        [sys.executable, "-m", "edgekit", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        encoding="utf-8",
    )


def plan(recipe: str | Path = "r.yaml", *words: object) -> tuple[int, str]:
    return run("plan", recipe, "--target", "rpi5", *words)


def refused(old: str, new: str) -> str:
    """What is said of the recipe with one change."""
    assert old in RECIPE
    Path("r.yaml").write_text(RECIPE.replace(old, new), encoding="utf-8")
    code, said = plan()
    assert code == 2
    return said


@brought(
    "Recipes and commands",
    "`stages:` as a mapping, without the dashes",
    "refused: with the line, and to write `- ` before each",
)
def test_stages_without_dashes(folder: Path) -> None:
    said = refused(
        "  - finetune: {epochs: 2, batch_size: 12}\n"
        "  - quantize: {method: ptq, samples: 12}\n  - export\n",
        "  finetune: {epochs: 2}\n  quantize:\n  export:\n",
    )
    assert "line 3: stages: a list expected, not keys below it: write `- ` before each" in said


@brought(
    "Recipes and commands",
    "The keys of a stage at the level of its name",
    "refused: to indent them",
)
def test_keys_beside_their_stage(folder: Path) -> None:
    said = refused("- finetune: {epochs: 2, batch_size: 12}", "- finetune:\n    epochs: 2")
    assert "line 4: stages[0]: epochs stands beside finetune: indent it" in said


@brought(
    "Recipes and commands",
    '5e-1, `[0.5]` or `"2"` where a number belongs',
    "refused: with the number to write",
)
@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        ("std: 0.5", "std: 5e-1", "write 0.5"),
        ("epochs: 2", "epochs: [2]", "write 2"),
        ("epochs: 2", 'epochs: "2"', "write 2"),
        ("epochs: 2", "epochs: 0o10", "write 8"),
    ],
)
def test_numbers_that_are_none(folder: Path, old: str, new: str, advice: str) -> None:
    assert refused(old, new).endswith(advice)


@brought(
    "Recipes and commands",
    "Numbers that readers of YAML read differently: 010, 1:30",
    "refused: with what each reads",
)
@pytest.mark.parametrize(("new", "said"), [("010", "is 8 in YAML 1.1"), ("1:30", "as 90")])
def test_numbers_of_two_meanings(folder: Path, new: str, said: str) -> None:
    assert said in refused("epochs: 2", f"epochs: {new}")


@brought(
    "Recipes and commands",
    "`no`, `on` or a date where a name belongs",
    "refused: to write it in quotes",
)
@pytest.mark.parametrize("name", ["no", "on", "2024-01-01", "12"])
def test_names_that_yaml_reads_as_something_else(folder: Path, name: str) -> None:
    assert f"write '{name}' in quotes" in refused("model:", f"name: {name}\nmodel:")


@brought(
    "Recipes and commands",
    "An empty section (`model:`, `gates:`)",
    "refused: with the keys that belong there",
)
@pytest.mark.parametrize(("section", "key"), [("model", "weights"), ("gates", "min_agreement")])
def test_an_empty_section(folder: Path, section: str, key: str) -> None:
    (line,) = [line for line in RECIPE.splitlines() if line.startswith(section)]
    said = refused(line, f"{section}:")
    assert f"{section}: keys below it expected" in said
    assert key in said


@brought("Recipes and commands", "An empty recipe", "refused: with the keys that are required")
@pytest.mark.parametrize("text", ["", "# to do\n", "null\n"])
def test_an_empty_recipe(folder: Path, text: str) -> None:
    assert "stages: this key is required" in refused(RECIPE, text)


@brought("Recipes and commands", "YAML merge keys (`<<: *base`)", "refused: by their name")
def test_merge_keys(folder: Path) -> None:
    assert "line 7: gates: `<<` is not read here" in refused("{max_acc", "{<<: {}, max_acc")


@brought("Recipes and commands", "Tabs in a recipe", "refused: with the line, to use spaces")
def test_tabs(folder: Path) -> None:
    assert "line 4: not valid YAML: a tab stands here" in refused("  - fine", "\t- fine")


@brought("Recipes and commands", "Line ends of Windows, and a byte order mark", "read")
def test_a_recipe_from_windows(folder: Path) -> None:
    content = b"\xef\xbb\xbf" + RECIPE.replace("\n", "\r\n").encode()
    (folder / "r.yaml").write_bytes(content)
    assert plan()[0] == 0


@brought("Recipes and commands", "A recipe in UTF-16 or Latin-1", "refused: save it as UTF-8")
@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_recipe_in_another_encoding(folder: Path, encoding: str) -> None:
    (folder / "r.yaml").write_bytes(f"# für alle\n{RECIPE}".encode(encoding))
    code, said = plan()
    assert code == 2
    assert "save it as UTF-8" in said


BOMB = "a: &a [x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghijklm")
)


@brought(
    "Recipes and commands",
    "A recipe made to hang its reader: aliases of aliases, numbers of 4,300 digits, 100,000 levels",
    "refused: within seconds",
)
@pytest.mark.parametrize(
    "text", [BOMB, f"a: {'9' * 4300}\n", f"a: 0x{'f' * 50_000}\n", "[" * 100_000, "#" * 2_000_000]
)
def test_a_recipe_without_an_end(folder: Path, text: str) -> None:
    start = time.monotonic()
    said = refused(RECIPE, text)
    assert time.monotonic() - start < 20
    assert len(said) < 1000


@brought(
    "Recipes and commands",
    "A target file or an inventory with the same mistakes",
    "refused: with the same words",
)
def test_targets_and_inventories(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = "description: mine\nruntimes: litert\ncpu: 76\nthreads: 010\n"
    (folder / "board.yaml").write_text(target)
    code, said = run("plan", "r.yaml", "--target", "board.yaml")
    assert code == 2
    assert "line 2: runtimes: a list expected, not 'litert': write [litert]" in said
    assert "line 3: cpu: text expected, and YAML reads 76 as a number: write '76'" in said
    assert "line 4: threads: 010 is 8 in YAML 1.1" in said
    (folder / "devices.yaml").write_text("pi: {transport: ssh, host: 12, port: '22'}\n")
    monkeypatch.setenv("EDGEKIT_DEVICES", str(folder / "devices.yaml"))
    code, said = run("device", "list")
    assert code == 2
    assert "pi.host: text expected, and YAML reads 12 as a number: write '12'" in said
    assert "pi.port: a whole number expected, not '22', which YAML reads as text: write 22" in said


@brought(
    "Recipes and commands",
    "A folder, a device or a link that leads nowhere in the place of a recipe",
    "refused: says what it is",
)
def test_what_is_no_file(folder: Path) -> None:
    (folder / "gone.yaml").symlink_to("nowhere")
    for recipe, said in {
        "images": "this is a folder",
        "/dev/zero": "this is a device",
        "gone.yaml": "no such file",
    }.items():
        code, words = plan(recipe)
        assert code == 2
        assert said in words


@brought(
    "Recipes and commands",
    "Names and values with escape sequences or Rich's markup",
    "told: as they are, with \\x1b for the escape",
)
def test_escape_sequences(folder: Path) -> None:
    evil = "\x1b]0;x\x07[red]"
    (folder / "r.yaml").write_text(RECIPE.replace("images,", '"\\e[31m[red]",'))
    for words in (("plan", evil), ("plan", "r.yaml"), (f"--{evil}",)):
        done = edgekit(*words, *(("--target", "rpi5") if words[0] == "plan" else ()))
        assert done.returncode == 2
        assert "\\x1b" in done.stderr
        assert "\x1b" not in done.stderr
        assert "[red]" in done.stderr


COMMANDS = pytest.mark.parametrize(
    "command", ["--help", "schema recipe", "plan r.yaml --target rpi5"]
)


@brought(
    "Machines",
    "Standard output on a full disk",
    "refused: exit code 2, and says so",
)
@COMMANDS
def test_a_standard_output_that_takes_nothing(folder: Path, command: str) -> None:
    with open("/dev/full", "w") as full:
        done = edgekit(*command.split(), stdout=full)
    assert done.returncode == 2
    assert "standard output cannot be written" in done.stderr
    assert "Exception" not in done.stderr


@brought(
    "Machines",
    "Standard output into a pipe that is closed, as by `head`",
    "told: by exit code 141 alone",
)
@COMMANDS
def test_a_pipe_that_is_closed(folder: Path, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = edgekit(*command.split(), stdout=pipe)
    assert done.returncode == 141
    assert "error" not in done.stderr
    assert "Exception" not in done.stderr


@brought(
    "Machines",
    "A locale without umlauts (LC_ALL=C) and umlauts in paths and class names",
    "read: what the terminal lacks is shown as \\xfc",
)
@pytest.mark.parametrize("variable", ["PYTHONIOENCODING=ascii", "PYTHONUTF8=1"])
def test_umlauts_in_an_ascii_locale(folder: Path, variable: str) -> None:
    locale = {"LC_ALL": "C", **dict([variable.split("=")])}
    (folder / "fünf").mkdir()
    (folder / "images").rename(folder / "fünf" / "bär")
    (folder / "fünf" / "bär" / "bar").rename(folder / "fünf" / "bär" / "bügel")
    (folder / "fünf" / "r.yaml").write_text(RECIPE.replace("images,", "bär,"), encoding="utf-8")
    done = edgekit("plan", "fünf/r.yaml", "--target", "rpi5", env=locale)
    assert done.returncode == 0, done.stderr
    done = edgekit("plan", "fünf/nö.yaml", "--target", "rpi5", env=locale)
    assert done.returncode == 2
    shown = r"n\xf6.yaml" if "ascii" in variable else "nö.yaml"
    assert shown in done.stderr


@brought(
    "Recipes and commands",
    "`--target a,b`",
    "refused: to repeat --target, and so to be pasted",
)
def test_targets_in_one_option(folder: Path) -> None:
    code, said = run("plan", "r.yaml", "--target", "rpi5,x86-cpu")
    assert code == 2
    hint = said.rpartition("repeat it: ")[2]
    assert run("plan", "r.yaml", *shlex.split(hint))[0] == 0
    assert run("plan", "r.yaml", "--target", "all", "--target", "rpi5")[0] == 2


@brought(
    "Recipes and commands",
    "A path that cannot be made, as --store or --build-dir: below a file, a device, a broken link",
    "refused: at once",
)
@pytest.mark.parametrize("place", ["r.yaml", "r.yaml/x", "gone", "gone/x", "/dev/null", "x" * 300])
@pytest.mark.parametrize("option", ["--store", "--build-dir"])
def test_a_folder_that_cannot_be_made(folder: Path, option: str, place: str) -> None:
    (folder / "gone").symlink_to("nowhere")
    code, said = run("build", "r.yaml", "--target", "rpi5", option, place)
    assert code == 2
    assert "a folder expected" in said or "cannot be made" in said
    assert option in said


@brought(
    "Recipes and commands",
    "`~nosuchuser/x` or nothing at all, in any path",
    "refused: nobody's home is that",
)
def test_nobodys_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = "~nosuchuser/x"
    for words in (
        ("plan", nobody, "--target", "rpi5"),
        ("plan", "r.yaml", "--target", f"{nobody}.yaml"),
        ("plan", "r.yaml", "--target", "rpi5", "--store", nobody),
        ("plan", "r.yaml", "--target", "rpi5", "--build-dir", nobody),
        ("inspect", nobody),
        ("bundle", nobody, "--out", "x"),
        ("device", "add", "pi", "--ssh", "pi@pi", "--identity", nobody, "--unchecked"),
    ):
        code, said = run(*words)
        assert code == 2
        assert "nobody's home is ~nosuchuser" in said
    for old, new in {"images,": f"{nobody},", "scratch": f"{nobody}.pth"}.items():
        assert "nobody's home is ~nosuchuser" in refused(old, new)
    assert run("plan", "r.yaml", "--target", "rpi5", "--store", "")[0] == 2
    (folder / "r.yaml").write_text(RECIPE)
    for variable, device in (("EDGEKIT_STORE", []), ("EDGEKIT_DEVICES", ["--device", "pi"])):
        monkeypatch.setenv(variable, nobody)
        code, said = run("plan", "r.yaml", "--target", "rpi5", *device)
        assert code == 2
        assert variable in said


@brought(
    "Recipes and commands",
    "Numbers that are slips: 9999999999 epochs, a batch of a million",
    "refused: with the line and the limit",
)
@pytest.mark.parametrize(
    ("old", "new", "limit"),
    [
        ("epochs: 2", "epochs: 9999999999", "100000"),
        ("batch_size: 12", "batch_size: 1000000", "65536"),
        ("samples: 12", "samples: 12000000000", "10000000"),
        ("image_size: 32", "image_size: 22400", "2048"),
        ("batch_size: 12", "seed: 10000000000", str(2**32)),
    ],
)
def test_numbers_that_are_slips(folder: Path, old: str, new: str, limit: str) -> None:
    key, value = new.split(": ")
    said = refused(old, new)
    assert f"{key}: at most {limit} expected, not {value}" in said
    assert "line " in said


@pytest.mark.parametrize("channels_first", [True, False])
def test_the_size_that_a_model_takes_is_told_where_the_recipe_says_none(
    folder: Path, channels_first: bool
) -> None:
    onnx_file(folder, *(["n", 3, 96, 96] if channels_first else [1, 96, 96, 3]))
    Path("r.yaml").write_text(ONNX_RECIPE.replace(", image_size: 32", ""))
    code, said = plan()
    assert code == 2
    assert "write image_size: 96, as m.onnx takes 96 x 96 pixels" in said
    Path("m.onnx").write_bytes(b"no model")
    assert "data.image_size: this key is required" in plan()[1]


@brought(
    "Recipes and commands",
    "An `image_size` or `channels` that the model's file contradicts",
    "refused: by `plan` too, with the line to write",
)
@pytest.mark.parametrize("command", ["plan", "build"])
@pytest.mark.parametrize(
    ("shape", "line"),
    [((1, 3, 96, 128), "image_size: [96, 128]"), ((1, 1, 32, 32), "channels: grey")],
)
def test_images_that_a_model_does_not_take(
    folder: Path, command: str, shape: tuple[int, ...], line: str
) -> None:
    onnx_file(folder, *shape)
    Path("r.yaml").write_text(ONNX_RECIPE)
    (folder / "images").rename(folder / "elsewhere")  # no image is read for that
    code, said = run(command, "r.yaml", "--target", "rpi5")
    assert code == 2
    assert f"write {line} in the recipe" in said


@brought(
    "Recipes and commands",
    "A recipe whose file name has spaces, umlauts or a quote",
    "read: the name of its build is told",
)
@pytest.mark.parametrize(
    ("file", "name"),
    [("my recipe", "my-recipe"), ("für fünf", "fur-funf"), ("it's $(x)", "it-s-x"), ("-a", "a")],
)
def test_odd_names_of_recipes(folder: Path, file: str, name: str) -> None:
    (folder / "r.yaml").rename(folder / f"{file}.yaml")
    code, said = plan(folder / f"{file}.yaml")
    assert code == 0
    assert f"is called {name}; the key `name` can give another" in said


@brought(
    "Recipes and commands",
    "A recipe whose file name has no Latin letter",
    "refused: to give it a name",
)
def test_a_name_of_no_letters(folder: Path) -> None:
    (folder / "r.yaml").rename(folder / "模型.yaml")
    code, said = plan(folder / "模型.yaml")
    assert code == 2
    assert "name: a name of the letters a to z" in said


@brought(
    "Machines",
    "/dev/null as the inventory",
    "read: no devices; adding one is refused",
)
def test_dev_null_stays_what_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "null").symlink_to(os.devnull)
    monkeypatch.setenv("EDGEKIT_DEVICES", str(folder / "null"))
    assert run("device", "list")[0] == 0
    monkeypatch.setattr("edgekit.devices.inventory.write_atomically", pytest.fail)
    code, said = run("device", "add", "x", "--local", "--unchecked")
    assert code == 2
    assert "is no file" in said
