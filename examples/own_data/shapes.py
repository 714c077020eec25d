"""A data source of one's own: a function that returns a `Listing`.

This one draws its images; yours would list files, a database or a camera's folder. Images are
opened later, and only if they are needed.
"""

import random
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from edgekit.data.sources.base import Listing, Sample

CLASSES = ("round", "square")


def listing() -> Listing:
    folder = Path(tempfile.gettempdir()) / "edgekit-example-shapes"
    samples = []
    for number in range(120):
        label = CLASSES[number % 2]
        name = f"{label}/{number:03}.png"
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn(label, number).save(path)
        samples.append(Sample(name, path, label))
    return Listing(tuple(samples), CLASSES)


def drawn(label: str, seed: int) -> Image.Image:
    """A bright disc or square somewhere on a dark ground, 64 x 64 pixels."""
    chance = random.Random(seed)
    image = Image.new("RGB", (64, 64), tuple(chance.randrange(90) for _ in range(3)))
    x, y, radius = chance.randrange(20, 44), chance.randrange(20, 44), chance.randrange(8, 18)
    box = (x - radius, y - radius, x + radius, y + radius)
    paint = ImageDraw.Draw(image)
    (paint.ellipse if label == "round" else paint.rectangle)(box, fill=(230, 200, 40))
    return image
