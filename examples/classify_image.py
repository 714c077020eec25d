"""Classify an image file with a shipped .tflite model: numpy, Pillow and the runtime alone.

python classify_image.py model.tflite photo.jpg
"""

import json
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps


def main(model: str, photo: str) -> None:
    facts = json.loads(zipfile.ZipFile(model).read("edgekit.json"))
    size, image = facts["image_size"], ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
    scale = round(size / facts["crop_pct"]) / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    scores = Interpreter(model).get_signature_runner()(image=pixels[None])["scores"][0]
    for i in np.argsort(-scores)[:5]:
        print(f"{facts['classes'][i]} {scores[i]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
