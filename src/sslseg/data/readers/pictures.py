"""PNG, TIFF, JPEG, GIF … in the depth of the file: 1 to 32 bit, grey or colour, pages as slices, as they are shown.

A camera writes how it was held into the file (EXIF); viewers turn the picture by it, and so does this reader. Of a picture
with a mask nobody knows whether the mask was drawn on the turned one: that is refused (`check_upright`).
"""

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from sslseg.config.names import DataError
from sslseg.data.files import start
from sslseg.data.source import Assumption, Note, unsaid

SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg", ".gif")
LOSSY = (".jpg", ".jpeg")
GREY = ("1", "L", "I;16", "I;16L", "I;16B", "I", "F")  # Pillow's modes
COLOUR = 1 << 24
OPAQUE = 255  # of transparency in 8 bits
DEFLATE = 1032  # bytes that zlib makes of one at most, by its own documentation; 8 pixels of 1 bit each
MOST_PACKED = 2048  # decoded bytes for each of a file, all pages together: LZW makes more of one than zlib
ALWAYS = 64 << 20  # decoded bytes that any file may have
# of a pixel; others have 4
BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "LA": 2, "La": 2, "PA": 2}
BITS = 28  # byte of a BMP that says how many bits a pixel has
# first bytes, and the byte that says which colours there are
PNG, PNG_KIND, GREY_AND_ALPHA = b"\x89PNG", 25, 4
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # tag of TIFF; Pillow turns 8 bits by it, and not 16
SAMPLES, UNSIGNED = 339, 1  # tag of TIFF; Pillow takes all whole numbers of 32 bits for signed ones
DESCRIPTION = 270  # tag of TIFF, in which ImageJ and OME say what pages are
STACKED = re.compile(
    r'(?s)^ImageJ=[^\0]*?\b((?:channels|frames)=(?:[2-9]|1\d))|\b(Size[CT]="(?:[2-9]|1\d)\d*")'
)
ORIENTATION = 274  # tag of TIFF and EXIF
MENTION = re.compile(b"Exif|eXIf|exif|Raw profile|rientation|adobe")  # of all that holds it in PNG and JPEG
DAMAGE = "Corrupt|Truncated|Tag data larger than file"  # Pillow only warns of it
FAULTS = (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombWarning,
          Image.DecompressionBombError, UserWarning)  # fmt: skip
STREAM = re.compile(r" ?<_io\.BytesIO object at 0x[0-9a-f]+>")
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601
T = TypeVar("T")


def read(path: Path, note: Note = unsaid) -> np.ndarray:
    """[C, Z, Y, X]: C = 1 or 3 (red, green, blue; transparency dropped), Z = pages of the file.

    Args:
        note: told where that drops something.

    Raises:
        DataError: the file is damaged, is no picture, or shows something in its transparency alone.
    """
    seen = each_page(path, lambda page: _image(path, page))
    pages, opaque = stacked(path, [array for array, _ in seen]), float(np.mean([share for _, share in seen]))
    if opaque < 1:
        clear = f"{max(1 - opaque, 0.01):.0%} of its pixels are transparent, in part or altogether; they are read "
        note(Assumption(path, clear + "in the colours beneath, as if nothing were transparent"))
    if pages.ndim == 3:
        if pages.dtype.kind == "f" and not np.isfinite(pages).all():
            raise DataError(f"{path}: wanted finite pixels, got NaN or infinite ones")
        return pages[None]
    tiff, head = _is_tiff(path), start(path)
    if tiff or len(pages) == 1:  # Pillow makes 8 bit of 16-bit colours
        how = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        _, deep = cv2.imdecodemulti(np.fromfile(path, np.uint8), how)
        deep = [page for page in deep if page.ndim == 3 and page.dtype == np.uint16 and page.shape[2] >= 3]
        if len(deep) == len(pages):
            if not tiff:
                check_upright(path)
            pages = np.stack(deep)[..., 2::-1]
    # of grey and transparency in 16 bits, Pillow makes colours
    colours = 1 if head[:4] == PNG and head[PNG_KIND] == GREY_AND_ALPHA else 3
    return np.ascontiguousarray(np.moveaxis(pages[..., :colours], -1, 0))


def colour_value(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """One number a colour: a grey one is its grey value, others are 0x1RRGGBB, which is no grey value."""
    grey = (red == green) & (red == blue)
    return np.where(grey, red, COLOUR | (red << 16) | (green << 8) | blue)


def as_grey(image: np.ndarray) -> np.ndarray:
    """[3, Z, Y, X] of colours as one channel of float32; other images as they are."""
    return np.tensordot(LUMA, image, 1)[None].astype(np.float32) if len(image) == 3 else image


def each_page(path: Path, of: Callable[[Image.Image], T]) -> list[T]:
    """What `of` makes of every page, not yet decoded when it is called.

    Raises:
        DataError: the file is damaged or is no picture.
    """
    try:
        start(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", DAMAGE, UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # from memory: of a file Pillow reads as many bytes as a damaged length says
            data = path.read_bytes()
            with Image.open(io.BytesIO(data)) as picture:
                _check_size(picture, len(data))
                if picture.format == "BMP" and picture.mode == "1" and data[BITS] != 1:  # read as all black
                    odd = "a BMP of two colours and 8 bits a pixel, which Pillow misreads"
                    raise ValueError(f"{odd}; save it as PNG")
                if several := _stacked(picture):
                    odd = f"pages are no slices alone, it says {several}"
                    raise ValueError(f"{odd}; save each in a file of its own")
                if picture.format == "MPO":  # a JPEG with a preview or a second view behind it
                    return [of(picture)]
                return [of(page) for page in ImageSequence.Iterator(picture)]
    except UnidentifiedImageError:
        tiff = "a TIFF of this kind is not read; save it with 8, 16 or 32 bits a pixel"
        why = tiff if _is_tiff(path) else "it is of none of the formats that its ending promises"
        raise DataError(f"{path}: cannot be read as a picture: {why}") from None
    except FAULTS as error:
        raise DataError(f"{path}: cannot be read as a picture ({STREAM.sub('', str(error))})") from None


def _stacked(picture: Image.Image) -> str:
    """What ImageJ or OME say of a TIFF whose pages count channels or moments; "" of others."""
    told = str(picture.tag_v2.get(DESCRIPTION, "")) if isinstance(picture, TiffImageFile) else ""
    match = STACKED.search(told) if picture.mode in GREY and getattr(picture, "n_frames", 1) > 1 else None
    return (match[1] or match[2]) if match else ""


def stacked(path: Path, pages: list[np.ndarray]) -> np.ndarray:
    """The pages as one array. Raises DataError when they are of different size or kind."""
    if len({page.shape for page in pages}) > 1:
        raise DataError(f"{path}: wanted pages of one size and kind, got {sorted({p.shape for p in pages})}")
    return np.stack(pages)


def _check_size(picture: Image.Image, held: int) -> None:
    """What the bytes of a file cannot be unpacked to is not asked for; room for it would be set aside first."""
    pixels, frames = picture.width * picture.height, getattr(picture, "n_frames", 1)
    if picture.format == "PNG" and pixels > 8 * DEFLATE * held:
        raise ValueError(f"{picture.width} x {picture.height} pixels in {held:,} bytes")
    wanted = frames * pixels * BYTES.get(picture.mode, 4)
    if picture.format == "TIFF":  # each page has a size of its own; others show all on one canvas
        wanted = 0
        for page in range(frames):
            picture.seek(page)
            wanted += picture.width * picture.height * BYTES.get(picture.mode, 4)
        picture.seek(0)
    if wanted > max(ALWAYS, MOST_PACKED * held):
        raise ValueError(f"{wanted:,} bytes of pixels in a file of {held:,} bytes")


def _image(path: Path, page: Image.Image) -> tuple[np.ndarray, float]:
    """[Y, X] grey, or [Y, X, 3] colours of 8 bit, as shown; and which share of the pixels is opaque."""
    ImageOps.exif_transpose(page, in_place=True)
    if page.mode in GREY:
        return grey(page), 1.0
    alpha = np.array(page.convert("RGBA"))[..., 3] if transparent(page) else None
    array = np.array(page.convert("L" if page.mode in ("LA", "La") else "RGB"))
    if page.format == "GIF" and array.ndim == 3 and (array == array[..., :1]).all():
        array = array[..., 0]
    if alpha is not None and alpha.min() < alpha.max() and (array == array[:1, :1]).all():
        raise DataError(f"{path}: wanted an image, got one colour of differing transparency: is it a mask?")
    return array, 1.0 if alpha is None else float((alpha == OPAQUE).mean())


def grey(page: Image.Image) -> np.ndarray:
    """Grey values of a page in one of the modes GREY."""
    array = np.array(page)
    array = array.astype(np.uint8 if array.dtype == bool else array.dtype.newbyteorder("="))
    tags = page.tag_v2 if isinstance(page, TiffImageFile) else {}
    if array.dtype == np.uint16 and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        return np.iinfo(np.uint16).max - array
    if array.dtype == np.int32 and array.min() < 0 and UNSIGNED in tags.get(SAMPLES, (UNSIGNED,)):
        return array.view(np.uint32)
    return array


def transparent(page: Image.Image) -> bool:
    """Whether a page may have transparent pixels."""
    clear = page.mode == "P" and "transparency" in page.info
    return clear or page.mode in ("LA", "La", "PA", "RGBA", "RGBa")


def check_upright(path: Path) -> None:
    """Raises DataError where EXIF turns a picture that has a mask, or is one: programs differ in whether they heed it."""
    told = _is_tiff(path) or MENTION.search(path.read_bytes())  # a PNG is decoded to its end for its tags
    if told and any(each_page(path, _turned)):
        raise DataError(
            f"{path}: EXIF turns it when it is shown, and where a mask lies on it depends on who reads that; with "
            "`mogrify -auto-orient` it is stored as it is shown, with `exiftool -Orientation=` it is shown as it is stored"
        )


def _turned(page: Image.Image) -> bool:
    told = page.tag_v2 if isinstance(page, TiffImageFile) else page.getexif()
    return told.get(ORIENTATION, 1) in range(2, 9)


def _is_tiff(path: Path) -> bool:
    return start(path)[:2] in (b"II", b"MM")
