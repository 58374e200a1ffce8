"""Masks kept as pictures: grey values, colours, the entries of a palette, or what is not transparent.

Of a mask with a palette, its colours are what people see and tools write: black is background whichever entry it
has. Only where the colours are no values of classes (VOC's, a viewer's) the numbers of the entries are.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import TiffImageFile

from sslseg.config.files import aside
from sslseg.config.names import DataError
from sslseg.data.files import may_write
from sslseg.data.readers import pictures
from sslseg.data.readers.pictures import FAULTS, GREY, LOSSY, OPAQUE, colour_value
from sslseg.data.source import IGNORE

TIFF = (".tif", ".tiff")
BLACK = 0
SOFTWARE = 305  # TIFF's tag of the program that wrote a file
MARK = "sslseg mask"  # begins the program's name in every mask written here: those may be written again


def read(path: Path, known: Collection[int] = ()) -> np.ndarray:
    """[Z, Y, X] of whole numbers: grey values, `colour_value` of a colour, or entries of a palette.

    Args:
        known: values that stand for a class. They decide between the colours of a palette and its numbers.

    Raises:
        DataError: the file is damaged, lossy, not made of whole numbers, or contradicts itself.
    """
    if path.suffix.lower() in LOSSY:
        hint = 'JPEG changes the labels; of two classes "threshold": 127 in sslseg.json makes them again'
        raise DataError(f"{path}: wanted a mask in a lossless format (PNG, TIFF), {hint}")
    pages = pictures.each_page(path, lambda page: _values(path, page))
    values = pictures.stacked(path, [values for values, _ in pages])
    entries = [entries for _, entries in pages if entries is not None]
    if len(entries) == len(pages):
        values = _decided(path, values, np.stack(entries), set(known))
    if values.dtype.kind == "f" and (values != np.rint(values)).any():
        raise DataError(f"{path}: wanted whole numbers in a mask, got fractions")
    return values.astype(np.int64) if values.dtype.kind == "f" else values


def read_soft(path: Path) -> np.ndarray:
    """[Z, Y, X] of how bright a mask is that a threshold will make classes of; what is transparent is 0.

    Raises:
        DataError: the file is damaged.
    """

    def bright(page: Image.Image) -> np.ndarray:
        if page.mode in GREY:
            return pictures.grey(page)
        colours = np.array(page.convert("RGBA"))
        values, alpha = colours[..., :3].max(axis=-1), colours[..., 3]
        one = (colours[..., :3] == colours[:1, :1, :3]).all() and alpha.min() < alpha.max()
        return alpha if one else np.where(alpha > 0, values, 0)

    return pictures.stacked(path, pictures.each_page(path, bright))


def _values(path: Path, page: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey values or colours of a page, and the entries of its palette, both [Y, X]."""
    if page.mode in GREY:
        return pictures.grey(page), None
    entries = np.array(page) if page.mode == "P" else None
    seen = np.array(page.convert("RGBA"))
    colours = colour_value(*np.moveaxis(seen[..., :3].astype(np.int32), -1, 0))
    if pictures.transparent(page):
        colours = _visible(path, colours, seen[..., 3])
    return colours, entries


def _visible(path: Path, colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The values of what is not transparent; of one colour throughout, the transparency itself is the mask."""
    if (alpha == OPAQUE).all():
        return colours
    if (colours == colours.flat[0]).all():
        return alpha.astype(colours.dtype)
    hidden = alpha == 0
    if not np.isin(alpha, (0, OPAQUE)).all() or len(np.unique(colours[hidden])) > 1:
        got = "colours in pixels that are transparent altogether or in part; save it without transparency"
        raise DataError(f"{path}: wanted a mask in colours or in its transparency, got {got}")
    return np.where(hidden, BLACK, colours)


def _decided(path: Path, colours: np.ndarray, entries: np.ndarray, known: set[int]) -> np.ndarray:
    """Of a mask with a palette, its colours, or the numbers of its entries where only these are classes."""
    pairs = np.unique(np.stack([entries.ravel().astype(np.int64), colours.ravel()]), axis=1).T.tolist()
    of = dict(pairs)  # entry -> its colour
    distinct = len(set(of.values())) == len(of)
    if all(entry == colour for entry, colour in of.items()) or (distinct and set(of.values()) <= known):
        return colours
    if not set(of) <= known | {IGNORE}:
        return colours
    black = [entry for entry, colour in of.items() if colour == BLACK]
    if not distinct or black not in ([], [0]):
        why = f"entry {black[-1]} is black" if distinct else "several entries have one colour"
        save = "save the mask without a palette, or name the colours of the classes in sslseg.json"
        raise DataError(f"{path}: colours and numbers of its palette contradict each other ({why}); {save}")
    return entries


def write(path: Path, mask: np.ndarray, like: Path, note: str = "") -> None:
    """Write class numbers, uint8 [Z, Y, X], as grey values of a PNG (Z = 1) or as the pages of a TIFF.

    Args:
        like: the picture that was segmented, of which nothing is kept; other formats keep a header.

    Raises:
        DataError: several slices in a PNG, or `path` holds a file that is no mask of ours.
    """
    may_write(path, ours)
    tiff = path.suffix.lower() in TIFF
    if len(mask) > 1 and not tiff:
        raise DataError(f"{path}: wanted one slice in a PNG, got {len(mask)}")
    first, *rest = (Image.fromarray(plane.astype(np.uint8)) for plane in mask)
    text, info = f"{MARK} {note}".strip(), PngImagePlugin.PngInfo()
    info.add_text("Software", text)
    with aside(path) as part:
        if tiff:
            first.save(part, format="TIFF", save_all=True, append_images=rest, compression="tiff_deflate",
                       tiffinfo={SOFTWARE: text})  # fmt: skip
        else:
            first.save(part, format="PNG", pnginfo=info)


def ours(path: Path) -> bool:
    """Whether a file is a mask that sslseg has written."""
    try:
        with Image.open(path) as picture:
            tiff = picture.tag_v2 if isinstance(picture, TiffImageFile) else None
            told = picture.info.get("Software") if tiff is None else tiff.get(SOFTWARE)
    except FAULTS:
        return False
    return str(told).startswith(MARK)
