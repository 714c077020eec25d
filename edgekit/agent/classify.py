"""Classify photos with the model beside this file: numpy and the model's runtime.

    python classify.py photo.jpg ...     with Pillow; HEIC with pillow-heif
    python classify.py folder            all photos in it
    python classify.py pixels.npy        uint8 [height, width, 3] of the model's size, without it
    python classify.py                   the golden input beside it

Prints the likeliest classes of each, with their probabilities. What cannot be read is named on
stderr, and the exit code is then 2.
"""

from __future__ import annotations  # Python 3.9 on older boards

import argparse
import contextlib
import importlib
import importlib.util
import json
import math
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    Run = Callable[[Any], Any]
    Json = dict[str, Any]

FORMATS = (
    "JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "HEIF", "JPEG2000", "DIB", "DDS",
    "ICO", "PCX", "PSD", "QOI", "SGI", "SUN", "XBM", "XPM", "TGA",
)  # fmt: skip
"""What Pillow opens, whatever a file's name says: its others include programs."""
HEIF_SUFFIXES = {".heic", ".heif", ".heics", ".heifs", ".hif"}
SUFFIXES = HEIF_SUFFIXES | {
    ".apng", ".avif", ".avifs", ".bmp", ".bw", ".dds", ".dib", ".gif", ".icb", ".ico", ".j2c",
    ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm",
    ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".ras", ".rgb", ".rgba", ".sgi",
    ".tga", ".tif", ".tiff", ".vda", ".vst", ".webp", ".xbm", ".xpm",
}  # fmt: skip
"""Of photos in a folder."""
ORIENTATION = 274
TURNS: dict[Any, Any] = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""Pillow's transpositions by the EXIF tag's values. Its `exif_transpose` fails over odd tags."""
MEANINGS = {
    "logits": "probabilities, by softmax of the model's logits",
    "probabilities": "probabilities, as the model gives them",
    "independent": "scores from 0 to 1, as the model gives them; they need not add up to 1",
}


class BadInput(Exception):
    """An input that cannot be classified, and why."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify photos with the model beside this file.")
    parser.add_argument("photos", nargs="*", type=Path, help="photos, folders or .npy files")
    parser.add_argument("--top", type=int, default=5, help="classes to print (5)")
    parser.add_argument("--device", default="CPU", help="of OpenVINO, e.g. NPU (CPU)")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent
    facts = facts_beside(folder)
    run = OPENERS[facts["runtime"]](str(folder / facts["file"]), options.device)
    failed = False
    for named in options.photos or [folder / "golden_input.npy"]:
        photos, others = photos_in(named)
        if others:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
            print(f"{named}: left out, as no photos by their names: {kinds}", file=sys.stderr)
        for photo in photos or [named]:
            try:
                images = pixels_of(photo, facts)
            except BadInput as error:
                print(error, file=sys.stderr)
                failed = True
                continue
            for image in images:
                print(photo)
                show(run(image[None]), facts, options.top)
    sys.stdout.flush()
    sys.exit(2 if failed else 0)


def photos_in(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The photos in a folder and in those below it, and the others by suffix; none of a file."""
    found = (path for path in sorted(folder.rglob("*")) if not path.name.startswith("."))
    files = [(path, path.suffix.lower()) for path in found if path.is_file()]
    others = Counter(suffix or "without a suffix" for _, suffix in files if suffix not in SUFFIXES)
    return [path for path, suffix in files if suffix in SUFFIXES], others


def facts_beside(folder: Path) -> Json:
    """What the manifest says of the model; in a bundle of a file from elsewhere, what that says."""
    if (folder / "manifest.json").is_file():
        manifest: Json = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        keys = ("runtime", "file", "input", "output", "preprocessing", "classes")
        facts = {key: manifest[key] for key in keys}
        return {**facts, "scores": manifest.get("scores"), "ready": None}
    info: Json = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    golden = None if info["form"] else np.load(folder / "golden_input.npy", mmap_mode="r")
    return {
        "runtime": info["runtime"],
        "file": info["subject"]["file"],
        "input": info.get("photos"),
        "output": info.get("output"),
        "preprocessing": info.get("photos"),
        "classes": info["classes"],
        "scores": info.get("scores"),
        "ready": None if golden is None else (golden.dtype, golden.shape[1:]),
    }


def pixels_of(path: Path, facts: Json) -> Any:
    """A photo's image, or those of a .npy file, as the model takes them."""
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    if path.is_dir():
        raise BadInput(f"{path} is a folder without photos")
    if path.suffix == ".npy":
        return pixels_in(path, facts)
    if facts["preprocessing"] is None:
        raise BadInput(
            f"{path}: how this model was trained is not known here: give a .npy file, or make the "
            "bundle with --mean and --std"
        )
    return prepared(np.asarray(photo_as(path, facts["preprocessing"]))[None], facts)


def pixels_in(path: Path, facts: Json) -> Any:
    try:
        found = np.load(path, allow_pickle=False)
        images = found if found.ndim == 4 else found[None]
    except Exception as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    kind = (images.dtype, images.shape[1:])
    if kind == facts["ready"]:
        return images
    how = facts["preprocessing"]
    photo = (np.dtype("uint8"), (*sides_of(how), 3)) if how else None
    if kind != photo:
        wanted = [
            f"{dtype} {list(shape)}" for dtype, shape in filter(None, (facts["ready"], photo))
        ]
        raise BadInput(f"{path} holds {kind[0]} {list(kind[1])}; {' or '.join(wanted)} expected")
    return prepared(images, facts)


def photo_as(path: Path, how: Json) -> Image.Image:
    """A photo as the model takes it, but for its numbers."""
    return framed(photo_of(path, how.get("orientation", "upright") == "upright"), how)


def photo_of(path: Path, upright: bool = True) -> Image.Image:
    """A photo in RGB: as it is to be seen, or as it is stored."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise BadInput(
            f"{path}: photos need Pillow: pip install pillow; or give a .npy file of pixels"
        ) from None
    Image.init()
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    known = [name for name in FORMATS if name in Image.OPEN]
    try:
        with Image.open(path, formats=known) as opened:
            if opened.mode.startswith(("I", "F")):  # convert() would clip it to white
                mode = opened.mode
                raise BadInput(f"{path} has more than 8 bits a channel (mode {mode})")
            opened.load()  # the EXIF block may come behind the pixels
            turn = None
            with contextlib.suppress(Exception):  # a block that cannot be read: as it lies
                turn = TURNS.get(opened.getexif().get(ORIENTATION)) if upright else None
            photo: Image.Image = opened if turn is None else opened.transpose(turn)
            return photo.convert("RGB")
    except BadInput:
        raise
    except Exception as error:  # whatever decoders raise
        heic = path.suffix.lower() in HEIF_SUFFIXES and "HEIF" not in known
        why = "HEIC needs pillow-heif: pip install pillow-heif" if heic else error
        raise BadInput(f"{path} cannot be read as {', '.join(known[:6])} ...: {why}") from None


def sides_of(how: Json) -> tuple[int, int]:
    """Height and width, which stand there as one number where the model takes squares."""
    size = how["image_size"]
    return (size[0], size[1]) if isinstance(size, list) else (size, size)


def framed(photo: Image.Image, how: Json) -> Image.Image:
    """A photo at the model's size, as in validation."""
    high, wide = sides_of(how)
    width, height = resized(photo.size, how)
    photo = resize(photo, (width, height), how.get("interpolation", "bicubic"))
    left, top = before(width, wide), before(height, high)
    return photo.crop((left, top, left + wide, top + high))  # black beyond its border


def resized(size: tuple[int, int], how: Json) -> tuple[int, int]:
    """Width and height of a photo before the crop, as torchvision's Resize and timm have them."""
    (high, wide), fit, crop = sides_of(how), how.get("fit", "crop"), how["crop_pct"]
    if fit == "squash":
        return wide, high
    wide, high, (width, height) = math.floor(wide / crop), math.floor(high / crop), size
    if fit == "crop" and wide == high:
        return wide * width // min(size), wide * height // min(size)
    ratio = (max if fit == "pad" else min)(width / wide, height / high)
    return max(1, round(width / ratio)), max(1, round(height / ratio))


def resize(photo: Image.Image, to: tuple[int, int], interpolation: str) -> Image.Image:
    from PIL import Image

    if interpolation != "bilinear_no_antialias":
        return photo.resize(to, Image.Resampling[interpolation.upper()])
    pixels = np.asarray(photo)
    for axis, side in ((0, to[1]), (1, to[0])):  # as tf.image.resize and OpenCV's INTER_LINEAR
        length = pixels.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
        first = at.astype(int)
        weight = (at - first).astype(np.float32).reshape((-1,) + (1,) * (2 - axis))
        left = pixels.take(first, axis).astype(np.float32)
        pixels = left + weight * (pixels.take(np.minimum(first + 1, length - 1), axis) - left)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def before(inner: int, side: int) -> int:
    """Where the middle of a side begins, as CenterCrop has it; negative where it is padded."""
    return round((inner - side) / 2) if inner >= side else -((side - inner) // 2)


def prepared(pixels: Any, facts: Json) -> Any:
    """As the model takes it: raw, or normalised where that is not inside."""
    how = facts["preprocessing"]
    if facts["input"] and facts["input"]["dtype"] == "float32":
        mean, std = np.asarray(how["mean"]), np.asarray(how["std"])
        pixels = ((pixels - 255 * mean) / (255 * std)).astype(np.float32)
    return pixels.transpose(0, 3, 1, 2) if how.get("layout") == "NCHW" else pixels


def show(scores: Any, facts: Json, top: int) -> None:
    """Print the likeliest classes of an image, and what the numbers are."""
    for name, score in likeliest(scores, facts, top):
        print(f"  {name} {score:.3f}")
    print(f"  ({MEANINGS.get(facts['scores'], 'scores, as the model gives them')})")


def likeliest(scores: Any, facts: Json, top: int) -> list[tuple[str, float]]:
    """The likeliest classes of an image, with their probabilities where they are known."""
    output = facts["output"] or {}
    scores = np.asarray(scores).reshape(-1).astype(np.float64)
    if output.get("scale") is not None and output["dtype"] != "float32":
        scores = (scores - output["zero_point"]) * output["scale"]
    if facts["scores"] == "logits":
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
    names = facts["classes"] or [f"score {i}" for i in range(len(scores))]
    return [(names[i], float(scores[i])) for i in np.argsort(-scores)[:top]]


def open_litert(path: str, device: str) -> Run:
    known = importlib.util.find_spec("ai_edge_litert")
    package = "ai_edge_litert" if known else "tflite_runtime"  # on older boards
    interpreter = importlib.import_module(package + ".interpreter").Interpreter(path)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    sink = interpreter.get_output_details()[0]["index"]

    def run(image: Any) -> Any:
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        return interpreter.get_tensor(sink)

    return run


def open_onnxruntime(path: str, device: str) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})[0]


def open_openvino(path: str, device: str) -> Run:
    import openvino

    run = openvino.Core().compile_model(path, device)
    return lambda image: run(image)[0]


OPENERS = {"litert": open_litert, "onnxruntime": open_onnxruntime, "openvino": open_openvino}

if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes at its end
        sys.exit(1)
