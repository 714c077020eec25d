"""Formats of image files: which are decoded, and which only look like pictures."""

from __future__ import annotations

import functools
from pathlib import Path

FORMATS = (
    "JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "HEIF", "JPEG2000", "DIB", "DDS",
    "ICO", "PCX", "PSD", "QOI", "SGI", "SUN", "XBM", "XPM", "TGA",
)  # fmt: skip
"""What is decoded, whatever a file's name says. Pillow would hand EPS to Ghostscript, which runs
the program in it. TGA comes last: it has no magic number."""
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".heics", ".heifs", ".hif"})
HEIF_PACKAGE = "pillow-heif"
UNREAD_SUFFIXES = HEIF_SUFFIXES | {
    # Raw files of cameras: each maker's own, with more than 8 bits and no colours yet.
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2",
    ".srf", ".srw", ".x3f",
    # Drawings, layers, and what Pillow does not decode or not everywhere.
    ".ai", ".avif", ".avifs", ".bpg", ".cin", ".cur", ".dcm", ".dcx", ".dicom", ".dpx",
    ".emf", ".eps", ".exr", ".fit", ".fits", ".flif", ".hdr", ".icns", ".j2c", ".j2k",
    ".jng", ".jp2", ".jpf", ".jpx", ".jxl", ".jxr", ".ktx", ".ktx2", ".mng", ".msp", ".pcd",
    ".pict", ".psb", ".svg", ".svgz", ".wbmp", ".wdp", ".wmf", ".xcf",
}  # fmt: skip
"""What looks like a picture; of these, what this machine's Pillow decodes is an image after all."""
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*")
"""How files begin that are pictures whatever they are called."""
BRANDS = (b"WEBP", b"heic", b"heix", b"mif1", b"avif")
"""The same behind eight bytes."""


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this machine's Pillow, and pillow-heif if it is there, decode."""
    from PIL import Image

    Image.init()
    try:
        import pillow_heif
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Endings of the names of files that are decoded, in small letters."""
    from PIL import Image

    known = readable_formats()
    suffixes = {s for s, form in Image.registered_extensions().items() if form in known}
    return frozenset({*suffixes, ".mpo"})  # a JPEG with more of them behind it


def is_image(path: Path) -> bool:
    return path.suffix.lower() in image_suffixes()


def kind_of_picture(path: Path) -> str | None:
    """What a file that is not read looks like: its suffix, or in words where its content alone
    says that it is a picture; None for no picture."""
    suffix = path.suffix.lower()
    if suffix in UNREAD_SUFFIXES:
        return suffix
    try:
        with path.open("rb") as stream:
            start = stream.read(12)
    except OSError:
        return None
    is_picture = start.startswith(MAGIC) or start[8:12] in BRANDS
    return f"pictures named {suffix or 'without a suffix'}" if is_picture else None
