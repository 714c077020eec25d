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
    return Listing(tuple(write_photos(folder, 120)), CLASSES)


def write_photos(folder: Path, count: int) -> list[Sample]:
    """As many of each class, in a folder for each; those that are there stay."""
    samples = []
    for number in range(count):
        label = CLASSES[number % 2]
        name = f"{label}/{number:03}.png"
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn(label, number).save(path)
        samples.append(Sample(name, path, label))
    return samples


def drawn(label: str, seed: int) -> Image.Image:
    """A bright disc or square somewhere on a dark ground, 64 x 64 pixels."""
    chance = random.Random(seed)
    image = Image.new("RGB", (64, 64), tuple(chance.randrange(90) for _ in range(3)))
    x, y, radius = chance.randrange(20, 44), chance.randrange(20, 44), chance.randrange(8, 18)
    box = (x - radius, y - radius, x + radius, y + radius)
    paint = ImageDraw.Draw(image)
    (paint.ellipse if label == "round" else paint.rectangle)(box, fill=(230, 200, 40))
    return image
