"""Classify an image in a program of one's own: numpy, Pillow and the model's runtime alone.

The scores are the model's own; `classify.py` beside each model makes probabilities of them.

python classify_image.py model.tflite photo.jpg
python classify_image.py model.onnx photo.jpg
"""

import json
import sys
import zipfile

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP")


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


def framed(image: Image.Image, size: int, crop_pct: float, fit: str) -> Image.Image:
    """The image as the model was validated: cropped, squashed or padded with black."""
    ratio = round(size / crop_pct) / min(image.size) if fit == "crop" else size / max(image.size)
    width, height = (max(1, round(side * ratio)) for side in image.size)
    if fit == "squash":
        width, height = size, size
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def main(model: str, photo: str) -> None:
    facts, run = open_onnx(model) if model.endswith(".onnx") else open_tflite(model)
    image = ImageOps.exif_transpose(Image.open(photo, formats=FORMATS)).convert("RGB")
    pixels = np.asarray(framed(image, facts["image_size"], facts["crop_pct"], facts["fit"]))
    scores = run(pixels[None]).astype(float)
    for i in np.argsort(-scores)[:5]:
        print(f"{facts['classes'][i]} {scores[i]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
