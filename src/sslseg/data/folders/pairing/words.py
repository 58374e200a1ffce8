"""Which mask belongs to which image where no pattern says it: by the words in names of files and folders.

A file is a mask if a word of its name, or of a folder's that it lies in, says so (MASK). Words of roles left
out, a mask has the name of its image: `masks/scan12.png` and `images/scan12.png`, `brain1_label.nrrd` and
`brain1_image.nrrd`, `Ground Truth/7.tif` and `Original/7.tif`. Nothing is guessed: a mask that could belong to two
images, and an image with two masks, are told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sslseg.data.folders.pairing.matching import Case, Told, named
from sslseg.data.folders.pairing.patterns import SIDES, bare

# Words that say what a file is; what stands before the longer ones is kept: "trainmasks" is of train.
MASK = re.compile(
    "(.*?)(?:masks?|labels?|labelmaps?|annot|annotations?|segmentations?|groundtruth)"
    "|()(?:msks?|maske|masken|masques?|segs?|segm|dseg|probseg|lbls?|gts?|truth|annos?|manual|contours?|delineations?)"
)
IMAGE = re.compile(
    "(.*?)(?:images?|imgs?)|()(?:imaging|scans?|vols?|volumes?|orig|originals?|inputs?|jpeg|photos?|pictures?|raw|data)"
)
SILENT = frozenset({"image", "images", "img", "imgs", "original", "originals", "jpeg", "ground", "class"})
FILLING = frozenset({"ground", "class"})  # of "ground truth" and "SegmentationClass"; says nothing alone
DESCRIPTORS = frozenset(
    {"label", "desc", "seg", "space", "res", "den", "hemi", "from", "to", "mode", "rater"}
)
CHANNEL = "0000"  # nnU-Net's number of a first channel, which its masks do not have
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_NUMBERED = re.compile(r"(.+?)[-_. ]*\(?\d+\)?")
_TRIM = re.compile(
    r"^(?:image|img|scan|volume)[-_ .]*$|[-_ .]+(?:image|img)$|^(?:image|img)[-_ .]+", re.IGNORECASE
)
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+(_|$)")


@dataclass(frozen=True)
class Name:
    """What the name of one file says: its role, and its words without those of roles."""

    mask: bool
    folders: tuple[str, ...]
    stem: tuple[str, ...]

    @property
    def sides(self) -> tuple[str, ...]:
        """Train, val or test, where a folder says so."""
        return tuple(SIDES[word] for word in self.folders if word in SIDES)


@lru_cache(maxsize=1 << 17)
def words(text: str) -> tuple[str, ...]:
    """Words and numbers of a name, in small letters: "leftMask_01" is left, mask, 01."""
    return tuple(word.casefold() for word in _WORD.findall(text))


def _role(word: str) -> str:
    """ "mask", "image" or "" """
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
    places = words(folder)
    mask = any(_role(word) == "mask" for word in places)
    if suffix:
        ends = re.search(re.escape(suffix) + r"([-_ ]?\d+)?$", stem) is not None
        return Name(mask or ends, _bare(places), words(stem.removesuffix(suffix)))
    own = words(stem)
    return Name(mask or any(_role(word) == "mask" for word in own), _bare(places), _bare(own))


def subject(path: str) -> str:
    """The subject of a file that BIDS names, "sub-01"; "" of others."""
    match = _SUBJECT.match(_stem(path))
    return match[0].rstrip("_") if match else ""


def is_mask(path: str, suffix: str = "") -> bool:
    """Whether the name of a file says that it is a mask."""
    return name(path, suffix).mask


def cases(files: Sequence[str], told: Told, suffix: str = "") -> list[Case]:
    """Every file whose name does not say that it is a mask, with its mask if there is one.

    Args:
        files: paths from the root, sorted.
        told: of masks without an image, and of what cannot be told apart.
        suffix: as of `name`.
    """
    known = {file: name(file, suffix) for file in files}
    images: dict[str, str] = {}  # path without ending -> file
    for file in (f for f in files if not known[f].mask):
        first = images.setdefault(bare(file).casefold(), file)
        if first != file:
            told(file, f"wanted one file for {bare(file)}, there is also {first.rsplit('/', 1)[-1]}")
    finder = Finder({file: known[file] for file in images.values()})
    masks = {file: finder.images(file, known[file], suffix) for file in files if known[file].mask}
    masks |= finder.described({file: known[file] for file, found in masks.items() if not found})
    owned: dict[str, list[str]] = {}
    for file, found in masks.items():
        if len(found) == 1:
            owned.setdefault(found[0], []).append(file)
    for image, own in owned.items():
        _several(image, own, told)
    for file, found in masks.items():
        if not found:
            told(file, f"wanted the image of this mask, {_wanted(file, suffix)} is not there")
        elif len(found) > 1:
            told(file, f"wanted one image of this mask, it may be that of {' or '.join(found[:4])}")
    clear = [image for image in images.values() if len(owned.get(image, ())) < 2]
    return _called([Case("", (i,), ((owned[i][0], ""),) if i in owned else ()) for i in clear])


def _several(image: str, masks: Sequence[str], told: Told) -> None:
    """Tell of an image with more than one mask."""
    ends = [bare(mask).removeprefix(bare(image)) for mask in masks if bare(mask).startswith(bare(image))]
    ends = [end for end in ends if not _NUMBERED.fullmatch(end)]
    if len(ends) > 1:
        told(masks[1], f"masks may end in {' or '.join(ends)}; write mask_suffix into sslseg.json")
    for mask in masks[1:]:
        told(mask, f"a second mask of one image; {image} has {masks[0]}, too")


def _wanted(mask: str, suffix: str) -> str:
    """The name of the image that a mask lacks, as far as its own says it."""
    parts = [part for part in bare(mask).split("/") if suffix or not _of_roles(part)]
    return "/".join(parts).removesuffix(suffix) or "one in its folder"


def _of_roles(part: str) -> bool:
    """Whether a folder's name says no more than that it holds images, or masks."""
    own = words(part)
    return any(_role(word) for word in own) and all(word in SILENT or _role(word) == "mask" for word in own)


class Finder:
    """Images by what their names say."""

    def __init__(self, images: dict[str, Name]) -> None:
        self._here: dict[tuple, list[str]] = {}
        self._side: dict[tuple, list[str]] = {}
        self._stem: dict[tuple, list[str]] = {}
        self._folder: dict[tuple, list[str]] = {}
        self._subjects: dict[str, list[str]] = {}
        for file, own in images.items():
            for folders, stem in _forms(own, image=True):
                self._here.setdefault((folders, stem), []).append(file)
                if stem:
                    self._side.setdefault((own.sides, stem), []).append(file)
                    self._stem.setdefault(stem, []).append(file)
            self._folder.setdefault(own.folders, []).append(file)
            if who := subject(file):
                self._subjects.setdefault(who, []).append(file)

    def images(self, file: str, own: Name, suffix: str = "") -> list[str]:
        """The images that a mask may belong to: one, or none, or several that its name leaves open."""
        if _SUBJECT.match(_stem(file)) and self._subjects:
            return [
                i
                for i in self._subjects.get(_stem(file).split("_")[0], ())
                if _same_scan(_stem(i), _stem(file))
            ]
        forms = _forms(own)
        if found := self._first(self._here, forms):
            return found
        if own.stem:
            found = self._first(self._side, [(own.sides, own.stem)]) or self._first(self._stem, [own.stem])
        elif own.folders:
            found = self._folder.get(own.folders, [])
        if not found and (match := _NUMBERED.fullmatch(bare(file))) and _role_ends(match[1]):
            again = name(match[1], suffix)
            return self.images(match[1], again, suffix) if again.stem else []
        return found or []

    def described(self, masks: dict[str, Name]) -> dict[str, list[str]]:
        """Masks that bear one and the same word besides their image's name: "7_lesion_mask" of "7"."""
        found: dict[str, list[str]] = {}
        added = set()
        for file, own in masks.items():
            for k in range(1, len(own.stem)):
                more = own.stem[k:]
                near = [i for i in self._stem.get(own.stem[:k], ()) if i in self._folder.get(own.folders, ())]
                if len(near) == 1 and all(word.isalpha() for word in more):
                    found[file] = near
                    added.add(more)
        return found if len(added) == 1 else {}

    @staticmethod
    def _first(index: dict, keys: Iterable) -> list[str] | None:
        return next((index[key] for key in keys if key in index), None)


def _forms(own: Name, image: bool = False) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Folders and stem; also without a stem that repeats its folder, and an image's without its channel."""
    found = [(own.folders, own.stem)]
    if image and len(own.stem) > 1 and own.stem[-1] == CHANNEL:
        found.append((own.folders, own.stem[:-1]))
    if own.stem and own.folders[-len(own.stem) :] == own.stem:
        found.append((own.folders, ()))
    return found


def _stem(path: str) -> str:
    return bare(path).rsplit("/", 1)[-1]


def _role_ends(text: str) -> bool:
    """Whether a name ends in a word of masks."""
    own = words(text.rsplit("/", 1)[-1])
    return bool(own) and _role(own[-1]) == "mask"


def _same_scan(image: str, mask: str) -> bool:
    """Whether two names of BIDS mean the same scan: every entity but DESCRIPTORS, and the kind if both say it."""
    (ours, kind), (theirs, kinds) = _entities(image), _entities(mask)
    return all(ours.get(key) == text for key, text in theirs.items() if key not in DESCRIPTORS) and (
        not kinds[:-1] or kinds[0] == kind[-1]
    )


def _entities(stem: str) -> tuple[dict[str, str], list[str]]:
    """ "sub-01_ses-2_T1w_label-SC_seg" -> {sub: 01, ses: 2, label: SC} and [T1w, seg]."""
    parts = stem.split("_")
    pairs = [part.split("-", 1) for part in parts if "-" in part]
    return dict(pairs), [part for part in parts if "-" not in part]


def _called(found: Sequence[Case]) -> list[Case]:
    """Cases named by their place, without folders and words that only say that they are images."""
    made = []
    for case in found:
        *folders, stem = bare(case.images[0]).split("/")
        kept = [part for part in folders if not _of_roles(part)]
        own = _TRIM.sub("", stem)
        made.append(
            Case(case.name, case.images, case.masks, {"path": "/".join([*kept, *([own] if own else [])])})
        )
    return named(made)
