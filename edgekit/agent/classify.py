"""Classify photos with the model beside this file: numpy and the model's runtime.

    python classify.py photo.jpg ...     with Pillow
    python classify.py pixels.npy        uint8 [height, width, 3] of the model's size, without it
    python classify.py                   the golden input beside it

Prints the likeliest classes of each, with their probabilities.
"""

from __future__ import annotations  # Python 3.9 on older boards

import argparse
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    Run = Callable[[Any], Any]
    Json = dict[str, Any]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""What Pillow opens, whatever a file's name says: its others include programs."""
MEANINGS = {
    "logits": "probabilities, by softmax of the model's logits",
    "probabilities": "probabilities, as the model gives them",
    "independent": "scores from 0 to 1, as the model gives them; they need not add up to 1",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify photos with the model beside this file.")
    parser.add_argument("photos", nargs="*", type=Path, help="photos or .npy files")
    parser.add_argument("--top", type=int, default=5, help="classes to print (5)")
    parser.add_argument("--device", default="CPU", help="of OpenVINO, e.g. NPU (CPU)")
    options = parser.parse_args()
    folder = Path(__file__).resolve().parent
    facts = facts_beside(folder)
    photos = options.photos or [folder / "golden_input.npy"]
    inputs = [pixels_of(photo, facts) for photo in photos]
    run = OPENERS[facts["runtime"]](str(folder / facts["file"]), options.device)
    for photo, images in zip(photos, inputs):
        for pixels in images:
            print(photo)
            show(run(prepared(pixels[None], facts)), facts, options.top)


def facts_beside(folder: Path) -> Json:
    """What the manifest says of the model; in a bundle of a file from elsewhere, what that says."""
    if (folder / "manifest.json").is_file():
        manifest: Json = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        keys = ("runtime", "file", "input", "output", "preprocessing", "classes")
        return {**{key: manifest[key] for key in keys}, "scores": manifest.get("scores")}
    info: Json = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return {
        "runtime": info["runtime"],
        "file": info["subject"]["file"],
        "input": info["form"],
        "output": None,
        "preprocessing": info["form"],
        "classes": info["classes"],
        "scores": info.get("scores"),
    }


def pixels_of(path: Path, facts: Json) -> Any:
    """uint8 (images, height, width, 3) of a photo or of a .npy file."""
    if path.suffix == ".npy":
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            sys.exit(f"{path} cannot be read: {error}")
        return found if found.ndim == 4 else found[None]
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        sys.exit(f"{path}: photos need Pillow: pip install pillow; or give a .npy file of pixels")
    if "image_size" not in (facts["preprocessing"] or {}):
        sys.exit(f"{path}: nothing is known of how this model was trained: give a .npy file")
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]
    try:
        with Image.open(path, formats=known) as opened:
            photo = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        sys.exit(f"{path} cannot be read as {', '.join(known)}: {error}")
    return np.asarray(framed(photo, facts["preprocessing"]))[None]


def framed(photo: Image.Image, how: Json) -> Image.Image:
    """A photo at the model's size, as in validation."""
    from PIL import Image

    size, fit = how["image_size"], how.get("fit", "crop")
    width, height = photo.size
    if fit == "squash":
        width = height = size
    elif fit == "pad":
        scale = min(size / width, size / height)
        width, height = (max(1, round(side * scale)) for side in photo.size)
    else:
        scale = round(size / how["crop_pct"]) / min(photo.size)
        width, height = (max(size, round(side * scale)) for side in photo.size)
    photo = photo.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return photo.crop((left, top, left + size, top + size))  # black beyond its border


def prepared(pixels: Any, facts: Json) -> Any:
    """As the model takes it: raw, or normalised where that is not inside."""
    how = facts["preprocessing"]
    if facts["input"] is None or facts["input"]["dtype"] != "float32":
        return pixels
    mean, std = np.asarray(how["mean"]), np.asarray(how["std"])
    return ((pixels - 255 * mean) / (255 * std)).astype(np.float32)


def show(scores: Any, facts: Json, top: int) -> None:
    """Print the likeliest classes of an image, and what the numbers are."""
    output = facts["output"] or {}
    scores = np.asarray(scores).reshape(-1).astype(np.float64)
    if output.get("scale") is not None and output["dtype"] != "float32":
        scores = (scores - output["zero_point"]) * output["scale"]
    kind = facts["scores"]
    if kind == "logits":
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
    names = facts["classes"] or [f"score {i}" for i in range(len(scores))]
    for i in np.argsort(-scores)[:top]:
        print(f"  {names[i]} {scores[i]:.3f}")
    print(f"  ({MEANINGS.get(kind, 'scores, as the model gives them')})")


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
    main()
