"""PNG, TIFF, JPEG … in the depth of the file: 1 to 32 bit, grey or colour, pages as slices."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence, PngImagePlugin, UnidentifiedImageError

from sslseg.config.files import aside
from sslseg.config.names import DataError

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
LOSSY = (".jpg", ".jpeg")
GREY = ("1", "L", "I;16", "I;16L", "I;16B", "I", "F")  # Pillow's modes
COLOUR = 1 << 24
DEFLATE = 1032  # bytes that zlib makes of one at most, by its own documentation; 8 pixels of 1 bit each
TIFF, SOFTWARE = (".tif", ".tiff"), 305  # TIFF's tag of the program that wrote a file
MARK = "sslseg mask"  # begins the program's name in every mask written here: those may be written again
DAMAGE = "Corrupt|Truncated|Tag data larger than file"  # Pillow only warns of it
FAULTS = (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombWarning,
          Image.DecompressionBombError, UserWarning)  # fmt: skip


def read(path: Path) -> np.ndarray:
    """[C, Z, Y, X]: C = 1 or 3 (red, green, blue; transparency dropped), Z = pages of the file.

    Raises:
        DataError: the file is damaged or is not a picture.
    """
    pages = _pages(path, labels=False)
    if pages.ndim == 3:
        return pages[None]
    if len(pages) == 1:  # Pillow makes 8 bit of 16-bit colours
        deep = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
        if deep is not None and deep.ndim == 3 and deep.dtype == np.uint16:
            pages = deep[None, ..., 2::-1]
    return np.ascontiguousarray(np.moveaxis(pages, -1, 0))


def read_labels(path: Path) -> np.ndarray:
    """[Z, Y, X] of whole numbers: grey values, or entries of a palette, or `colour_value` of a colour mask.

    Raises:
        DataError: the file is damaged, lossy or not made of whole numbers.
    """
    if path.suffix.lower() in LOSSY:
        raise DataError(
            f"{path}: wanted a mask in a lossless format (PNG, TIFF), JPEG changes the labels; "
            'of two classes "threshold": 127 in sslseg.json makes them again'
        )
    pages = _pages(path, labels=True)
    if pages.ndim == 4:
        return colour_value(*np.moveaxis(pages.astype(np.int64), -1, 0))
    if pages.dtype.kind == "f" and (pages != np.rint(pages)).any():
        raise DataError(f"{path}: wanted whole numbers in a mask, got fractions")
    return pages.astype(np.int64)


def colour_value(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """One number a colour: a grey one is its grey value, others are 0x1RRGGBB, which is no grey value."""
    grey = (red == green) & (red == blue)
    return np.where(grey, red, COLOUR | (red << 16) | (green << 8) | blue)


def _pages(path: Path, labels: bool) -> np.ndarray:
    """[Z, Y, X] grey, or [Z, Y, X, 3] colours of 8 bit."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", DAMAGE, UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # from memory: of a file Pillow reads as many bytes as a damaged length says
            with Image.open(io.BytesIO(path.read_bytes())) as picture:
                _check_size(path, picture)
                pages = [_array(page, labels) for page in ImageSequence.Iterator(picture)]
    except FAULTS as error:
        raise DataError(f"{path}: cannot be read as a picture ({error})") from None
    if len({page.shape for page in pages}) > 1:
        raise DataError(f"{path}: wanted pages of one size and kind, got {sorted({p.shape for p in pages})}")
    return np.stack(pages)


def _check_size(path: Path, picture: Image.Image) -> None:
    """A PNG cannot hold more pixels than its bytes can be unpacked to; room for them is set aside first."""
    pixels, held = picture.width * picture.height, path.stat().st_size
    if picture.format == "PNG" and pixels > 8 * DEFLATE * held:
        raise ValueError(f"{picture.width} x {picture.height} pixels in {held:,} bytes")


def _array(page: Image.Image, labels: bool) -> np.ndarray:
    if page.mode in GREY or (labels and page.mode == "P"):
        array = np.array(page)
        return array.astype(np.uint8) if array.dtype == bool else array.astype(array.dtype.newbyteorder("="))
    return np.array(page.convert("L" if page.mode in ("LA", "La") else "RGB"))


def write_mask(path: Path, mask: np.ndarray, note: str = "") -> None:
    """Write class numbers, uint8 [Z, Y, X], as grey values of a PNG (Z = 1) or as the pages of a TIFF.

    Raises:
        DataError: several slices in a PNG, or `path` holds a file that is no mask of ours.
    """
    if path.exists() and not _ours(path):
        raise DataError(f"{path}: is there already and was not written by sslseg; choose another output")
    tiff = path.suffix.lower() in TIFF
    if len(mask) > 1 and not tiff:
        raise DataError(f"{path}: wanted one slice in a PNG, got {len(mask)}")
    first, *rest = (Image.fromarray(np.ascontiguousarray(plane, np.uint8)) for plane in mask)
    text = f"{MARK} {note}".strip()
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", text)
    how = (
        {
            "format": "TIFF",
            "save_all": True,
            "append_images": rest,
            "compression": "tiff_deflate",
            "software": text,
        }
        if tiff
        else {"format": "PNG", "pnginfo": info}
    )
    with aside(path) as part:
        first.save(part, **how)


def _ours(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            told = (
                picture.tag_v2.get(SOFTWARE, "")
                if picture.format == "TIFF"
                else picture.info.get("Software", "")
            )
    except FAULTS:
        return False
    return str(told).startswith(MARK)
