"""Make a bundle of a model file from elsewhere: held against this machine's scores of it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.build_folder.float_twin import InspectOptions, input_form
from edgekit.data.class_list import read_class_list
from edgekit.data.framing import Framing
from edgekit.data.image_folder import decode_files, files_of
from edgekit.data.labels import refuse_control_characters
from edgekit.data.size import Size
from edgekit.devices.bundle.bundle import Bundle, write_bundle
from edgekit.devices.bundle.bundled_model import subject_of
from edgekit.devices.bundle.info import Info, Photos
from edgekit.devices.bundle.options import BundleOptions
from edgekit.devices.bundle.protocol import SLICE
from edgekit.errors import EdgekitError, InputError
from edgekit.evaluation.measure import measure
from edgekit.evaluation.score_meaning import ScoreMeaning, meaning_of
from edgekit.evaluation.timing import Candidate, Ready
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.description import Description, Port
from edgekit.runtimes.contract.input_form import InputForm, is_planar, pixels_of
from edgekit.runtimes.contract.named_file import describe_named

RANDOM_INPUTS = 16


def bundle_of_file(path: Path, options: BundleOptions, into: Path) -> Bundle:
    """The bundle of a model file, made in an empty folder.

    Raises:
        InputError: it is no model file that is known, its sides are not fixed, it takes no
            images, or gives other scores than classes were named.
    """
    runtime = _runtime_of(path)
    described = _described(path, runtime)
    port = described.input
    form, inputs, files = _inputs(path, port, options)
    np.save(into / "inputs.npy", inputs)
    candidate = Candidate("model", runtime.name, path, form or Ready())
    outcome = measure(
        [candidate], into / "inputs.npy", lambda *_: None, score=("model",), latency=False
    )
    (into / "inputs.npy").unlink()
    scores = outcome.scores["model"]
    classes = _classes(options.labels, scores.shape[1])
    labels = _labels(files, options, classes)
    threads = options.threads or 1
    info = Info(
        name=_name_of(path),
        target=None,
        machine=None,
        cpu=None,
        threads=threads,
        runtime=runtime.name,
        form=form,
        photos=_photos(path, port, options),
        subject=subject_of(path, runtime, described.operators, None, None, None),
        classes=classes,
        output=described.output,
        scores=_meaning(scores, described.output, runtime.name),
        images=len(inputs),
        labelled=labels is not None,
        input_source=_source(files, labels is not None),
        input_sha256=hashlib.sha256(inputs.tobytes()).hexdigest(),
        protocol=options.protocol.at(threads),
    )
    copied = {file.name: file for file in (path, *_beside(path, runtime))}
    return write_bundle(into, info, copied, inputs, labels, scores)


def _classes(labels: Path | None, scores: int) -> tuple[str, ...]:
    """
    Raises:
        InputError: the file does not name a class for each score.
    """
    if labels is None:
        return ()
    classes = read_class_list(labels, set(), "--labels")
    if len(classes) != scores:
        raise InputError(
            f"--labels: {labels} names {len(classes)} classes, and the model gives {scores} scores"
        )
    refuse_control_characters(classes)
    return tuple(classes)


def _labels(
    files: list[Path], options: BundleOptions, classes: tuple[str, ...]
) -> NDArray[np.int64] | None:
    """Places of the images' folders among the classes that `--labels` names; None where none of
    the folders is a class.

    Without `--labels` nothing says which score a folder stands for: those of `train` and `val`, or
    some of a data set's, may be as many as the scores too.

    Raises:
        InputError: some of the folders are classes, and others are not.
    """
    folder = options.images
    parts = [path.relative_to(folder).parts for path in files] if folder else []
    names = [part[0] if len(part) > 1 else "" for part in parts]
    found = sorted({*names})
    if "" in found or not {*classes} & {*found}:
        return None
    if strangers := [name for name in found if name not in classes]:
        raise InputError(
            f"--images: {len(strangers)} folders of {folder} are none of the classes in "
            f"{options.labels}: {', '.join(strangers[:5])}",
            hint="name the folders as the classes, or leave --labels out",
        )
    return np.asarray([classes.index(name) for name in names])


def _source(files: list[Path], labelled: bool) -> str:
    if not files:
        return f"{RANDOM_INPUTS} random inputs, seed 0"
    kind = "labelled images" if labelled else "images"
    return f"{len(files)} {kind} of a folder of the user's"


def _meaning(scores: NDArray[np.float32], output: Port, runtime: str) -> ScoreMeaning | None:
    """None of codes of which the file does not say what they stand for.

    Args:
        scores: of the agent, which gives ONNX Runtime's codes as they are and LiteRT's as numbers.

    >>> codes = np.array([[64.0, 192.0]], np.float32)
    >>> port = Port(name="scores", shape=(1, 2), dtype="uint8")
    >>> print(_meaning(codes, port, "onnxruntime"))
    None
    >>> known = port.model_copy(update={"scale": 1 / 256, "zero_point": 0})
    >>> _meaning(codes, known, "onnxruntime")
    'probabilities'
    """
    if output.scale is not None and output.zero_point is not None and runtime == "onnxruntime":
        return meaning_of(np.float32(output.scale) * (scores - output.zero_point))
    is_unknown = output.dtype.startswith(("int", "uint")) and output.scale is None
    return None if is_unknown else meaning_of(scores)


def _runtime_of(path: Path) -> Runtime:
    """
    Raises:
        InputError: no runtime has files of this suffix.
    """
    by_suffix = {Path(runtime.file).suffix: runtime for runtime in find_runtimes().values()}
    if path.suffix not in by_suffix:
        known = ", ".join(sorted(by_suffix))
        raise InputError(f"{path} is no model file that is known: {known}")
    return by_suffix[path.suffix]()


def _described(path: Path, runtime: Runtime) -> Description:
    """What a model file takes and holds.

    Raises:
        InputError: the file is no model, or its input has sides that are not fixed.
    """
    try:
        (found,) = describe_named(runtime, path)
    except EdgekitError as error:
        raise InputError(error.message, hint=error.hint) from error
    port = found.input
    # An open batch, which is 0 or -1, takes one image as well.
    if not all(side > 0 for side in port.shape[1:]) or not port.shape or port.shape[0] > 1:
        raise InputError(
            f"{path} takes {port.shape}; fixed sides and a batch of 1 expected",
            hint="export it with static shapes, one image at a time",
        )
    return found


def _beside(path: Path, runtime: Runtime) -> list[Path]:
    """
    Raises:
        InputError: a file that the model needs lies in another folder; a bundle has one.
    """
    files = runtime.beside(path)
    for file in files:
        if file.parent != path.parent:
            raise InputError(
                f"{path} keeps weights in {file}: a bundle has no folders",
                hint="export the model into one file",
            )
    return files


def _name_of(path: Path) -> str:
    """Of the file, as a folder on any device can be called: my_model of `my model.onnx`."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip(".-") or "model"


def _inputs(
    path: Path, port: Port, options: BundleOptions
) -> tuple[InputForm | None, NDArray[Any], list[Path]]:
    """What a file from elsewhere is run on: the user's images where it takes RGB ones, in
    either order of axes; else random numbers, which are enough to time it and to compare scores.

    Returns:
        the form of raw pixels, None where the inputs lie ready; the inputs, (inputs, ...); and the
        image files that they are of.
    """
    if options.images is None:
        random = np.random.default_rng(0)
        shape = (RANDOM_INPUTS, *port.shape[1:])
        if np.issubdtype(np.dtype(port.dtype), np.integer):
            info = np.iinfo(np.dtype(port.dtype))
            numbers: NDArray[Any] = random.integers(info.min, info.max, shape, port.dtype)
        else:
            numbers = random.standard_normal(shape).astype(port.dtype)
        return None, numbers, []
    height, width, channels = pixels_of(port.shape) if len(port.shape) == 4 else (0, 0, 0)
    if channels != 3:
        raise InputError(
            f"{path} takes {port.shape}, and --images gives RGB images",
            hint="leave --images out: random inputs are enough to time it",
        )
    form = input_form(path, port.dtype, InspectOptions(mean=options.mean, std=options.std))
    files = files_of(options.images, SLICE)
    images = decode_files(files, Framing(Size(height, width)))
    if not is_planar(port.shape):
        return form, images, files
    return None, np.ascontiguousarray(form.prepare(images).transpose(0, 3, 1, 2)), files


def _photos(path: Path, port: Port, options: BundleOptions) -> Photos | None:
    """How photos are fed to it; None where it takes no RGB images, or floats of which is
    not said how pixels become them."""
    height, width, channels = pixels_of(port.shape) if len(port.shape) == 4 else (0, 0, 0)
    is_said = port.dtype == "uint8" or (options.mean is not None and options.std is not None)
    if channels != 3 or port.dtype not in ("uint8", "float32") or not is_said:
        return None
    form = input_form(path, port.dtype, InspectOptions(mean=options.mean, std=options.std))
    layout: Literal["NHWC", "NCHW"] = "NCHW" if is_planar(port.shape) else "NHWC"
    return Photos(image_size=Size(height, width), layout=layout, **form.model_dump())
