"""What the words in names of files and folders say: which file is a mask, and what it is called without that."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from sslseg.data.folders.pairing.patterns import SIDES, bare

# Words that say what a file is; what stands before the longer ones is kept: "trainmasks" is of train.
MASK = re.compile(
    "(.*?)(?:masks?|labels?|labelmaps?|annot|annotations?|segmentations?|groundtruths?)"
    "|()(?:msks?|maske|masken|masques?|segs?|aseg|segm|dseg|probseg|lbls?|gts?|truths?|annos?|manual|contours?|delineations?)"
)
IMAGE = re.compile(
    "(.*?)(?:images?|imgs?)|()(?:imaging|dicoms?|dcms?|scans?|vols?|volumes?|orig|originals?|inputs?|jpeg|photos?|pictures?|raw|data)"
)
SILENT = frozenset({"image", "images", "img", "imgs", "original", "originals", "jpeg", "ground", "class"})
# files that show another image once more
SHOWING = re.compile("overlays?|overlaid|thumbs?|thumbnails?|previews?|visuali[sz]ations?|viz")
FILLING = frozenset({"ground", "class"})  # of "ground truth" and "SegmentationClass"; says nothing alone
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_LAST_WORD = re.compile(r"(.+?)[-_. ]+([A-Za-z]+)")
_FIRST_WORD = re.compile(r"([A-Za-z]+)[-_. ]+(.+)")
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+(_|$)")


@dataclass(frozen=True)
class Name:
    """What the name of one file says: its role, and its words without those of roles.

    `raw` is the stem as it stands, a mask's without the word at its end or start that says so.
    """

    mask: bool
    folders: tuple[str, ...]
    stem: tuple[str, ...]
    raw: str

    @property
    def sides(self) -> tuple[str, ...]:
        """Train, val or test, where a folder says so."""
        return tuple(SIDES[word] for word in self.folders if word in SIDES)


@lru_cache(maxsize=1 << 17)
def words(text: str) -> tuple[str, ...]:
    """Words and numbers of a name, in small letters: "leftMask_01" is left, mask, 01."""
    return tuple(word.casefold() for word in _WORD.findall(text))


def _role(word: str) -> str:
    """What a word says that a file is: mask, image or nothing."""
    return "mask" if MASK.fullmatch(word) else "image" if IMAGE.fullmatch(word) else ""


def _bare(text: Iterable[str]) -> tuple[str, ...]:
    """Words without what says a role."""
    found = [(word, MASK.fullmatch(word) or IMAGE.fullmatch(word)) for word in text if word not in FILLING]
    kept = [word if match is None else match[1] or "" for word, match in found]
    return tuple(word for word in kept if word)


def name(path: str, suffix: str = "") -> Name:
    """What the name of a file says.

    Args:
        path: from the root.
        suffix: the end of masks' names, where it is told; other words of a file's name say nothing then.
    """
    folder, _, stem = bare(path).rpartition("/")
    places, mask = words(folder), _of_masks(folder)
    if suffix:
        ends = re.search(re.escape(suffix) + r"([-_ ]?\d+)?$", stem) is not None
        stem = stem.removesuffix(suffix)
        return Name(mask or ends, _bare(places), words(stem), stem.casefold())
    own = words(stem)
    return Name(mask or any(_role(word) == "mask" for word in own), _bare(places), _bare(own), _raw(stem))


@lru_cache(maxsize=1 << 17)
def _of_masks(folder: str) -> bool:
    """Whether a path says that masks lie there; "images" in "segmentation_data" takes back what that seems to say."""
    said = ""
    for part in folder.split("/"):
        if any(_role(word) == "mask" for word in words(part)):
            said = "plainly" if of_roles(part) or said == "plainly" else "beside other words"
        elif of_roles(part) and said != "plainly":
            said = ""
    return said != ""


def _raw(stem: str) -> str:
    last, first = _LAST_WORD.fullmatch(stem), _FIRST_WORD.fullmatch(stem)
    if last and MASK.fullmatch(last[2].casefold()):
        stem = last[1]
    elif first and MASK.fullmatch(first[1].casefold()):
        stem = first[2]
    return stem.casefold()


def subject(path: str) -> str:
    """The subject of a file that BIDS names, "sub-01"; "" of others."""
    match = _SUBJECT.match(stem_of(path))
    return match[0].rstrip("_") if match else ""


def is_mask(path: str, suffix: str = "") -> bool:
    """Whether the name of a file says that it is a mask."""
    return name(path, suffix).mask


def of_roles(part: str) -> bool:
    """Whether a folder's name says no more than that it holds images, or masks."""
    own = words(part)
    return any(_role(word) for word in own) and all(word in SILENT or _role(word) == "mask" for word in own)


def ends_in_role(text: str) -> bool:
    """Whether a name ends in a word of masks."""
    own = words(text.rsplit("/", 1)[-1])
    return bool(own) and _role(own[-1]) == "mask"


def shows(path: str) -> str:
    """The name of the image that a file shows once more, as an overlay or a thumbnail; "" of others."""
    kept = [word for word in words(bare(path)) if not SHOWING.fullmatch(word)]
    return " ".join(_bare(kept)) if len(kept) < len(words(bare(path))) else ""


def stem_of(path: str) -> str:
    """The name of a file without its ending."""
    return bare(path).rsplit("/", 1)[-1]
