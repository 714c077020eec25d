"""Begin: from photos or a model's file to a recipe."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._devices import on_stderr
from edgekit.cli._model_input import told_input
from edgekit.cli._options import FILE, debug_option, store_option
from edgekit.cli._output import say
from edgekit.cli._photo_lines import photo_lines
from edgekit.cli.completing import complete_targets
from edgekit.errors import DataError, InputError
from edgekit.packages import first_missing, need_extra

if TYPE_CHECKING:
    from edgekit.data.size import Size
    from edgekit.models.model_file import ModelFile
    from edgekit.setup.choices import Wishes
    from edgekit.spec.target import Target

MODELS = "models are .onnx, .keras, .h5, .safetensors, .pth, .pt, .ckpt or .bin"
LEAST, MOST = 16, 2048
"""Pixels of a side, as recipes take them."""


def _size(_: Any, option: Any, text: str | None) -> Size | None:
    return None if text is None else _size_of(text)


def _size_of(text: str) -> Size:
    """160, or 96x128: height and width.

    Raises:
        InputError: it is neither.
    """
    from edgekit.data.size import Size

    found = re.fullmatch(r"(\d{1,4})(?:[x,](\d{1,4}))?", text)
    sides = [int(side) for side in found.groups() if side] if found else []
    if not sides or not all(LEAST <= side <= MOST for side in sides):
        raise InputError(
            f"--image-size: pixels expected, {LEAST} to {MOST}, not {text[:40]!r}",
            hint="e.g. --image-size 160, or --image-size 96x128 for height and width",
        )
    return Size(sides[0], sides[-1])


def somebody_is_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


class _Questions:
    """Each is asked where somebody is there to answer, and no option has answered it."""

    def __init__(self, yes: bool) -> None:
        self.are_asked = not yes and somebody_is_there()

    def ask(self, given: Any, words: str, default: Any, choices: Iterable[str] = ()) -> Any:
        if given is not None or not self.are_asked:
            return default if given is None else given
        kind = click.Choice([*choices]) if choices else None
        try:
            return click.prompt(words, default=default, type=kind, err=True)
        except click.Abort:
            raise click.Abort("nothing was written") from None


@contextmanager
def _own_interruption() -> Iterator[None]:
    """What is kept of a build, and of devices, is nothing to those who begin."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.Abort("a recipe is written whole or not at all") from None


@click.command()
@click.argument("what", metavar="PHOTOS|MODEL", type=FILE)
@click.option("--data", type=FILE, help="The photos, where a model's file is given.")
@click.option("--target", help="A name or a file.  [default: rpi]", shell_complete=complete_targets)
@click.option("--out", type=FILE, help="The recipe.  [default: the name of what is given]")
@click.option("--image-size", "size", callback=_size, help="Pixels: 160, or 96x128.")
@click.option("--weights", help="scratch, pretrained, or package:NAME.")
@click.option("--arch", help="An architecture of timm's, or torchvision/NAME.")
@click.option("--epochs", type=click.IntRange(1, 100_000), help="Of the training.")
@click.option("--input-range", help="Of a whole model: 0..1, -1..1, 0..255 or imagenet.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out photos that cannot be read.")
@click.option("--no-check", is_flag=True, help="Do not ask the photos what a model takes.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--force", is_flag=True, help="Write over a recipe.")
@store_option
@debug_option
@_own_interruption()
def init(
    what: Path,
    data: Path | None,
    target: str | None,
    out: Path | None,
    size: Size | None,
    store: Path | None,
    skip_unreadable: bool,
    no_check: bool,
    yes: bool,
    force: bool,
    **wished: Any,
) -> None:
    """Write a recipe for a folder of photos, or for a model's file.

    \b
        edgekit init photos --target rpi
        edgekit init model.onnx --data photos

    PHOTOS has a folder for each class, or folders train, val and test of those. MODEL is an ONNX
    or Keras model, or a checkpoint of torch.
    """
    from edgekit.api.arguments import store_of
    from edgekit.models.model_file import is_model, read_model
    from edgekit.setup import photos as look
    from edgekit.setup.choices import choose, choose_fit, choose_size, refuse_unusable
    from edgekit.setup.recipe_file import refuse_existing, write_checked
    from edgekit.setup.recipe_text import recipe_text
    from edgekit.spec.target import known_targets, load_target

    need_extra("build")
    questions = _Questions(yes)
    wishes = _wishes(**wished)
    folder = _photos_folder(what, data, questions)
    model = read_model(what, wishes.arch or "") if is_model(what) else None
    refuse_unusable(wishes, model)
    out = out or _recipe_of(what.resolve())
    refuse_existing(out, force)
    loaded = load_target(target, on_stderr) if target else None
    cache = store_of(store)
    source, listing, shapes = look.list_photos(folder, skip_unreadable)
    with _own_hint():
        inventory = look.sound_photos(source, cache.root / "digests")
    say(f"{folder}: {len(listing.samples):,} photos in {len(listing.classes)} classes")
    name = target or questions.ask(None, "Target", "rpi", known_targets())
    loaded = loaded or load_target(name)
    size = _asked_size(size, questions, choose_size(shapes, loaded, model), model)
    wishes = _asked(wishes, questions, model, not no_check)
    fit = choose_fit(shapes, model)
    with _own_hint():
        found = look.divide_photos(source, inventory, size, fit)
        choices = choose(found, size, fit, model, wishes)
        asked = None if no_check else model
        choices = told_input(choices, found, shapes, asked, wishes, out, loaded, cache)
        text = recipe_text(choices, found, shapes, model, out.parent)
        planned = write_checked(text, out, loaded, cache)
    for line in photo_lines(found, shapes, choices, model, planned.review.problems):
        say(line)
    say(f"{out} is written")
    for line in (*_unmet(model), *_missing(loaded, model)):
        say(line)
    words = [out, "--target", name, *(["--store", store] if store else [])]
    what_to_build = shlex.join(map(str, words))
    if model is None and not first_missing("search"):
        say(f"which network fits the device: edgekit search {what_to_build} --budget 1h")
    say(f"next: edgekit build {what_to_build}")


@contextmanager
def _own_hint() -> Iterator[None]:
    """There is no recipe yet in which to skip unreadable photos."""
    from edgekit.data.images import TO_SKIP

    try:
        yield
    except DataError as error:
        hint = (error.hint or "").replace(TO_SKIP, "give --skip-unreadable")
        raise DataError(error.message, hint=hint or None) from error


def _recipe_of(what: Path) -> Path:
    # A folder's name has no suffix: v1.photos is no v1. timm writes checkpoint-5.pth.tar.
    name = what.name if what.is_dir() else what.stem
    double = what.suffix == ".tar" and Path(name).suffix in (".pth", ".pt")
    return Path(f"{Path(name).stem if double else name}.yaml")


def _wishes(**wished: Any) -> Wishes:
    """
    Raises:
        InputError: there are no such weights, or no such range.
    """
    from edgekit.models.source import RANGES
    from edgekit.models.weights_packages import PACKAGED
    from edgekit.setup.choices import Wishes
    from edgekit.spec.yamlfile import suggestion

    known = {
        "weights": ["scratch", "pretrained", *(f"package:{name}" for name in PACKAGED)],
        "input_range": [*RANGES],
    }
    for key, values in known.items():
        if wished[key] is not None and wished[key] not in values:
            option, given = key.replace("_", "-"), wished[key]
            raise InputError(f"--{option}: {given!r}; {suggestion(given, values)}")
    return Wishes(**wished)


def _photos_folder(what: Path, data: Path | None, questions: _Questions) -> Path:
    """
    Raises:
        InputError: what is given is neither photos nor a model, or a model comes without photos.
    """
    from edgekit.models.model_file import is_model
    from edgekit.spec.yaml_document import nearest_file

    for given in filter(None, (what, data)):
        if not given.exists():
            hint = "give a folder that holds a folder for each class, e.g. photos/daisy/1.jpg"
            if is_model(given):
                hint = nearest_file(given) or "is it in another folder?"
            raise InputError(f"there is no {given}", hint=hint)
    if not is_model(what):
        if data:
            raise InputError(
                f"--data is for a model's file, and {what} is none that is read", hint=MODELS
            )
        if what.is_file() and what.suffix.lower() != ".csv":
            raise InputError(
                f"{what} is neither a folder of photos nor a model that is read",
                hint=f"{MODELS}; a table of photos is a .csv of path,label",
            )
        return what
    data = questions.ask(data, "Folder of photos to calibrate on and judge by", None)
    if data is None:
        raise InputError(
            f"{what} is a model: which photos is it to be calibrated on and judged by?",
            hint="--data FOLDER, with a folder for each class",
        )
    return Path(data)


def _asked_size(
    wished: Size | None, questions: _Questions, default: Size, model: ModelFile | None
) -> Size:
    """What the user wants; asked where a model's file does not say it."""
    if wished or (model and model.size):
        return wished or default
    answer = questions.ask(None, "Pixels of a side, or HEIGHTxWIDTH", str(default.height))
    return _size_of(answer) if questions.are_asked else default


def _asked(
    wishes: Wishes, questions: _Questions, model: ModelFile | None, is_checked: bool
) -> Wishes:
    """The wishes with an answer to each question that they, the model's file and photos leave
    open."""
    from edgekit.models.source import RANGES
    from edgekit.models.weights_packages import PACKAGED
    from edgekit.setup.choices import offline_weights

    answers: dict[str, Any] = {}
    if model is None:
        known = ["scratch", "pretrained", *(f"package:{name}" for name in PACKAGED)]
        default = offline_weights(wishes.arch)
        answers["weights"] = questions.ask(wishes.weights, "Weights", default, known)
    elif model.format != "torch" and model.input_range is None and not is_checked:
        words = "Numbers that it takes for pixels"
        answers["input_range"] = questions.ask(wishes.input_range, words, "0..1", RANGES)
    return replace(wishes, **answers)


def _unmet(model: ModelFile | None) -> list[str]:
    """What a checkpoint says of its images, and edgekit does otherwise."""
    unmet = model.trained.unmet if model and model.trained else {}
    return [f"data.{key}: {difference}" for key, difference in unmet.items()]


def _missing(target: Target, model: ModelFile | None) -> Iterator[str]:
    from edgekit.setup.needs import OF_FORMATS, install_line, missing_for

    extras = OF_FORMATS[model.format] if model else ()
    if lacking := missing_for(target, extras):
        yield f"{target.name} still needs: {install_line(target, lacking, extras)}"
