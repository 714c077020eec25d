"""Classify an image in a program of one's own: numpy, Pillow and the model's runtime alone.

The scores are the model's own; `classify.py` beside each model makes probabilities of them.

python classify_image.py model.tflite photo.jpg
python classify_image.py model.onnx photo.jpg
"""

import contextlib
import json
import math
import sys
import zipfile

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP")
ORIENTATION = 274  # of EXIF; below, Pillow's transpositions by its values
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}


def open_tflite(model: str):
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model).get_signature_runner()
    facts = json.loads(zipfile.ZipFile(model).read("edgekit.json"))
    return facts, lambda image: run(image=image)["scores"][0]


def open_onnx(model: str):
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["edgekit"])
    return facts, lambda image: session.run(["scores"], {"image": image})[0][0]


def opened(photo: str, upright: bool) -> Image.Image:
    """A photo in RGB, as it is to be seen or as it is stored, as in the training. Pillow's
    `exif_transpose` fails over odd tags."""
    image = Image.open(photo, formats=FORMATS)
    image.load()  # the EXIF block may come behind the pixels
    turn = None
    with contextlib.suppress(Exception):  # a block that cannot be read: as it lies
        turn = TURNS.get(image.getexif().get(ORIENTATION)) if upright else None
    return (image if turn is None else image.transpose(turn)).convert("RGB")


def framed(
    image: Image.Image, wide: int, high: int, crop_pct: float, fit: str, interpolation: str
) -> Image.Image:
    """The image as the model was validated: cropped, squashed or padded with black."""
    width, height = resized(image.size, wide, high, crop_pct, fit)
    image = resize(image, (width, height), interpolation)
    left, top = before(width, wide), before(height, high)
    return image.crop((left, top, left + wide, top + high))


def resized(
    photo: tuple[int, int], wide: int, high: int, crop_pct: float, fit: str
) -> tuple[int, int]:
    """Width and height before the crop, rounded as torchvision and timm round them."""
    if fit == "squash":
        return wide, high
    wide, high = math.floor(wide / crop_pct), math.floor(high / crop_pct)
    if fit == "crop" and wide == high:
        return wide * photo[0] // min(photo), wide * photo[1] // min(photo)
    ratio = (max if fit == "pad" else min)(photo[0] / wide, photo[1] / high)
    return max(1, round(photo[0] / ratio)), max(1, round(photo[1] / ratio))


def resize(image: Image.Image, to: tuple[int, int], interpolation: str) -> Image.Image:
    """With Pillow's filters, or between the nearest pixels as Keras and OpenCV do."""
    if interpolation != "bilinear_no_antialias":
        return image.resize(to, Image.Resampling[interpolation.upper()])
    pixels = np.asarray(image)
    for axis, side in ((0, to[1]), (1, to[0])):
        length = pixels.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
        first = at.astype(int)
        weight = (at - first).astype(np.float32).reshape((-1,) + (1,) * (2 - axis))
        left = pixels.take(first, axis).astype(np.float32)
        pixels = left + weight * (pixels.take(np.minimum(first + 1, length - 1), axis) - left)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def before(inner: int, side: int) -> int:
    """Where the middle of a side begins; negative where it is padded."""
    return round((inner - side) / 2) if inner >= side else -((side - inner) // 2)


def main(model: str, photo: str) -> None:
    facts, run = open_onnx(model) if model.endswith(".onnx") else open_tflite(model)
    image = opened(photo, facts.get("orientation", "upright") == "upright")
    size = facts["image_size"]  # of a square, else [height, width]
    high, wide = size if isinstance(size, list) else (size, size)
    how = (facts["crop_pct"], facts["fit"], facts.get("interpolation", "bicubic"))
    pixels = np.asarray(framed(image, wide, high, *how))
    scores = run(pixels[None]).astype(float)
    for i in np.argsort(-scores)[:5]:
        print(f"{facts['classes'][i]} {scores[i]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
