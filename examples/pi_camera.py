"""Classify what a Raspberry Pi's camera sees, with the folder of a model that edgekit built.

    sudo apt install python3-picamera2       # seen in venvs made with --system-site-packages
    python pi_camera.py litert               # until Ctrl-C
    python pi_camera.py litert --source photos/    # photos, where there is no camera

Besides that: numpy, Pillow and the model's runtime. Frames are made ready and scores are read by
the `classify.py` in the folder, so that the model sees them as it was validated. The times are
those of this loop, other jobs and all; `edgekit bench` measures.
"""

from __future__ import annotations  # Python 3.9 on older boards

import argparse
import importlib.util
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image


def classify_in(folder: Path):
    """The module classify.py in the folder of a model."""
    spec = importlib.util.spec_from_file_location("classify", folder / "classify.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def camera_frames(size: tuple[int, int]):
    """Name and image of frame after frame."""
    try:
        from picamera2 import Picamera2
    except ModuleNotFoundError:
        sys.exit("no picamera2 here: sudo apt install python3-picamera2, or give --source photos/")
    with Picamera2() as camera:
        # What libcamera calls BGR888 lies in memory as R, G, B.
        main = {"size": size, "format": "BGR888"}
        camera.configure(camera.create_video_configuration(main=main))
        camera.start()
        while True:
            yield "camera", Image.fromarray(camera.capture_array("main"))


def photo_frames(source: Path, classify):
    """Name and image of each photo that can be read; the others are told."""
    for path in classify.photos_in(source)[0] or [source]:
        try:
            yield path.name, classify.photo_of(path)
        except classify.BadInput as error:
            print(error, file=sys.stderr)


def watch(folder: Path, frames, classify) -> None:
    facts = classify.facts_beside(folder)
    how = facts["preprocessing"]
    if how is None:
        sys.exit("how photos are fed to it is not known: bundle it with --mean and --std")
    run = classify.OPENERS[facts["runtime"]](str(folder / facts["file"]), "CPU")
    for name, frame in frames:
        start = time.perf_counter()
        pixels = classify.prepared(np.asarray(classify.framed(frame, how))[None], facts)
        ready = time.perf_counter()
        ((label, probability),) = classify.likeliest(run(pixels), facts, 1)
        end = time.perf_counter()
        whole, model = 1000 * (end - start), 1000 * (end - ready)
        print(f"{name} {label} {probability:.3f} {whole:.1f} ms, {model:.1f} of them the model")


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify what a Raspberry Pi's camera sees.")
    parser.add_argument("folder", type=Path, help="build/<recipe>/<target>/litert, or a copy of it")
    parser.add_argument("--source", type=Path, help="a photo or a folder of them, for the camera")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), help="of camera frames")
    parser.add_argument("--frames", type=int, help="end after so many")
    options = parser.parse_args()
    if not (options.folder / "classify.py").is_file():
        parser.error(f"no model lies in {options.folder}: name build/<recipe>/<target>/<variant>")
    classify, source = classify_in(options.folder), options.source
    if source and not source.exists():
        parser.error(f"--source: there is no {source}")
    frames = photo_frames(source, classify) if source else camera_frames(tuple(options.size))
    try:
        watch(options.folder, islice(frames, options.frames), classify)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
