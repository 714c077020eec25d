"""Classify an image file with a shipped model: numpy, Pillow and the model's runtime alone.

python classify_image.py model.tflite photo.jpg
python classify_image.py model.onnx photo.jpg
"""

import json
import sys
import zipfile

import numpy as np
from PIL import Image, ImageOps


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


def main(model: str, photo: str) -> None:
    facts, run = open_onnx(model) if model.endswith(".onnx") else open_tflite(model)
    size, image = facts["image_size"], ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
    scale = round(size / facts["crop_pct"]) / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    scores = run(pixels[None]).astype(float)
    for i in np.argsort(-scores)[:5]:
        print(f"{facts['classes'][i]} {scores[i]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
