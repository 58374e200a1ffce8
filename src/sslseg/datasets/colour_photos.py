"""Natural photographs in colour, of three channels: those that scikit-image and scikit-learn ship, or a folder.

As `photos`, which reads the same pictures as grey ones. The seven bundled pictures in colour give 202 slices.
"""

from pathlib import Path

from sslseg.config.names import DataError
from sslseg.data.source import Source, Volume
from sslseg.datasets import photos
from sslseg.datasets.photos import CLASSES, DOMAIN, LICENCE, PHYSICAL, SPLIT, VERSION, find, pairing, scan  # noqa: F401

IN_COLOUR = "astronaut.png chelsea.png coffee.png motorcycle_left.png rocket.jpg"
BUNDLED = photos.BUNDLED | {"skimage": (photos.BUNDLED["skimage"][0], IN_COLOUR)}


def default_root(cache: Path) -> Path:
    """Folder of the bundled pictures in colour, copied there from the installed packages if absent.

    Raises:
        DataError: an installed package lacks one of its pictures.
    """
    return photos.bundled(BUNDLED, Path(cache) / "data" / "colour_photos")


def read(source: Source) -> Volume:
    """Tiles [3, Z, TILE, TILE] of a picture, red first; [3, 1, H, W] if it is not larger than one tile.

    Raises:
        DataError: the file is damaged, is not a picture, or has no colours.
    """
    image, notes = photos.decoded(source.image)
    if (image == image[..., :1]).all():
        grey = "this one is grey; dataset=photos reads it"
        raise DataError(f"{source.image}: wanted a picture in colour, {grey}")
    return Volume(photos.tiles(image), None, (1.0, 1.0, 1.0), notes)
