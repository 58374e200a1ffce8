"""Which mask belongs to which image where no pattern says it: by the words in names of files and folders.

A file is a mask if a word of its name, or of a folder's that it lies in, says so (words.MASK). Words of roles left
out, a mask has the name of its image: `masks/scan12.png` and `images/scan12.png`, `brain1_label.nrrd` and
`brain1_image.nrrd`, `Ground Truth/7.tif` and `Original/7.tif`. Nothing is guessed: a mask that could belong to two
images, and an image with two masks, are told.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from sslseg.config.texts import some
from sslseg.data.folders.pairing import words
from sslseg.data.folders.pairing.matching import Case, Cases, named
from sslseg.data.folders.pairing.patterns import bare
from sslseg.data.folders.pairing.words import Name, name
from sslseg.data.readers import formats

Told = Callable[[str, str], None]  # a file, and what is wrong with it
DESCRIPTORS = {"label", "desc", "seg", "space", "res", "den", "hemi", "from", "to", "mode", "rater"}
CHANNEL = "0000"  # nnU-Net's number of a first channel, which its masks do not have
MOST_CHANNELS = 8  # of what may be one image; more numbers count slices or frames
_TRIM = re.compile(r"(?i)^(?:image|img|scan|volume)[-_ .]*$|[-_ .]+(?:image|img)$|^(?:image|img)[-_ .]+")
_EITHER = 'say so in pairs of sslseg.json, "{id}_0000 + {id}_0001 -> {id}" with a mask or without, or "{id}" of single images'
_CLASSES = (
    'pairs in sslseg.json says which is meant, as "images/{id} -> rater1/{id}", or, where each is a class, '
    '"images/{id} -> masks/{class}/{id}"'
)
_NUMBERED = re.compile(r"(.+?)[-_. ]*\(?\d+\)?")


@lru_cache(maxsize=4)  # a folder is looked at several times while it is prepared
def cases(files: tuple[str, ...], suffix: str = "") -> Cases:
    """Every file whose name does not say that it is a mask, with its mask if there is one.

    Args:
        files: paths from the root, sorted.
        suffix: as of `name`.

    Returns:
        the cases; masks without an image, and what cannot be told apart.
    """
    faults: list[tuple[str, str]] = []

    def told(file: str, fault: str) -> None:
        faults.append((file, fault))

    once = {" ".join((*own.folders, *own.stem)) for file in files if not (own := name(file, suffix)).mask}
    files = tuple(file for file in files if not ((again := words.shows(file)) and again in once))
    known = {file: name(file, suffix) for file in files}
    images: dict[str, str] = {}  # path without ending -> file
    for file in (f for f in files if not known[f].mask):
        if (first := images.setdefault(bare(file).casefold(), file)) != file:
            ends = [path.removeprefix(bare(path)) for path in (first, file)]
            both = f'"{{id}}{ends[0]} -> {{id}}{ends[1]}" in pairs of sslseg.json'
            there = f"wanted one file for {bare(file)}, there is also {first.rsplit('/', 1)[-1]}"
            told(file, f"{there}; if one is the mask of the other, {both} says which")
    finder = Finder({file: known[file] for file in images.values()})
    masks = {file: finder.same(known[file]) for file in files if known[file].mask}
    taken = {found[0] for found in masks.values() if len(found) == 1}
    for file in (file for file, found in masks.items() if not found):
        found = finder.images(file, known[file], suffix)
        masks[file] = ([image for image in found if image not in taken] or found) if len(found) > 1 else found
    masks |= finder.described({file: known[file] for file, found in masks.items() if not found})
    owned: dict[str, list[str]] = {}
    for file, found in masks.items():
        if len(found) == 1:
            owned.setdefault(found[0], []).append(file)
    for image, theirs in owned.items():
        _several(image, theirs, told)
    for file, found in masks.items():
        if not found:
            hint = "mask_suffix in sslseg.json says how masks end, pairs which is whose"
            told(file, f"wanted the image of this mask, {_wanted(file, suffix)} is not there ({hint})")
        elif len(found) > 1:
            which = f"it may be that of {some(found, joint=' or ')}; pairs in sslseg.json says which"
            told(file, f"wanted one image of this mask, {which}")
    clear = [image for image in images.values() if len(owned.get(image, ())) < 2]
    joined = _joined({image: owned.get(image, ()) for image in clear}, told)
    made = _called([Case("", i, ((owned[i[0]][0], ""),) if i[0] in owned else ()) for i in joined])
    return tuple(made), tuple(faults)


def _joined(masks: Mapping[str, Sequence[str]], told: Told) -> list[tuple[str, ...]]:
    """The files of each image: several where masks are named as nnU-Net's, without the numbers of channels.

    Args:
        masks: image -> its masks.
        told: of channels that are missing, and of files of which nothing says whether they are channels.
    """
    groups: dict[str, dict[int, str]] = {}
    for file in masks:
        match = formats.CHANNEL.fullmatch(bare(file))
        groups.setdefault(match[1] if match else file, {})[int(match[2]) if match else -1] = file
    single = {name for name, held in groups.items() if any(_numbered(f, masks[f]) for f in held.values())}
    several = {n for n, held in groups.items() if 1 < len(held) <= MOST_CHANNELS and 0 in held} - single
    of_masks = {name for name in several if masks[groups[name][0]]}
    wanted = list(range(max((len(groups[name]) for name in of_masks), default=0)))
    found: list[tuple[str, ...]] = []
    for stem, held in groups.items():
        files = tuple(held[n] for n in sorted(held))
        if stem in several and not of_masks:
            told(files[0], f"and {', '.join(f.rsplit('/', 1)[-1] for f in files[1:])}: channels of one image, or images "
                           f"of their own? {_EITHER}")  # fmt: skip
        elif wanted and 0 in held and sorted(held) != wanted and stem not in single:
            as_others = f"wanted {len(wanted)} channels _0000 …, as of other images here"
            told(files[0], f"{as_others}, got {len(held)}; {_EITHER}")
        elif stem in several:
            found.append(files)
        else:
            found += [(file,) for file in files]
    return found


def _numbered(image: str, masks: Sequence[str]) -> bool:
    """Whether an image has a mask that bears its whole name: its number counts frames or slices, not channels."""
    own = name(image).stem
    return any(name(mask).stem[: len(own)] == own for mask in masks)


def _several(image: str, masks: Sequence[str], told: Told) -> None:
    """Tell of an image with more than one mask."""
    ends = [bare(mask).removeprefix(bare(image)) for mask in masks if bare(mask).startswith(bare(image))]
    ends = [end for end in ends if not _NUMBERED.fullmatch(end)]
    if len(ends) > 1:
        told(masks[1], f"masks may end in {' or '.join(ends)}; write mask_suffix into sslseg.json")
    for mask in masks[1:]:
        told(mask, f"a second mask of one image; {image} has {masks[0]}, too; {_CLASSES}")


def _wanted(mask: str, suffix: str) -> str:
    """The name of the image that a mask lacks, as far as its own says it."""
    parts = [part for part in bare(mask).split("/") if suffix or not words.of_roles(part)]
    return "/".join(parts).removesuffix(suffix) or "one in its folder"


class Finder:
    """Images by what their names say."""

    def __init__(self, images: dict[str, Name]) -> None:
        self._raw, self._here, self._side, self._stem, self._folder, self._subjects = (
            defaultdict[object, list[str]](list) for _ in range(6)
        )
        for file, own in images.items():
            self._raw[own.folders, own.raw].append(file)
            for folders, stem in _forms(own, image=True):
                self._here[folders, stem].append(file)
                if stem:
                    self._side[own.sides, stem].append(file)
                    self._stem[stem].append(file)
            self._folder[own.folders].append(file)
            if who := words.subject(file):
                self._subjects[who].append(file)

    def same(self, own: Name) -> list[str]:
        """The images that a mask has the very name of."""
        return self._raw.get((own.folders, own.raw), [])

    def images(self, file: str, own: Name, suffix: str = "") -> list[str]:
        """The images that a mask may belong to: one, or none, or several that its name leaves open."""
        if (who := words.subject(file)) and self._subjects:
            found = [i for i in self._subjects.get(who, ()) if _same_scan(i, file)]
            beside = [i for i in found if i.rpartition("/")[0] == file.rpartition("/")[0]]
            return beside if len(beside) == 1 else found
        found = next((self._here[form] for form in _forms(own) if form in self._here), [])
        if not found and own.stem:
            found = self._side.get((own.sides, own.stem)) or self._stem.get(own.stem, [])
            beside = [image for image in found if _mirrors(image, file)]
            found = beside if len(beside) == 1 else found
        if not found and own.folders and (not own.stem or own.folders[-len(own.stem) :] == own.stem):
            found = self._folder.get(own.folders, [])
        if not found and (match := _NUMBERED.fullmatch(bare(file))) and words.ends_in_role(match[1]):
            again = name(match[1], suffix)
            return self.images(match[1], again, suffix) if again.stem else []
        return found

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


def _mirrors(image: str, mask: str) -> bool:
    """Whether two files lie at one place of two trees: one folder differs, as in frames/p1 and masks/p1, and says mask."""
    ours, theirs = image.split("/")[:-1], mask.split("/")[:-1]
    apart = [folder for other, folder in zip(ours, theirs, strict=False) if other != folder]
    return len(ours) == len(theirs) and len(apart) == 1 and words.is_mask(f"{apart[0]}/0")


def _forms(own: Name, image: bool = False) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Folders and stem; also without a stem that repeats its folder, and an image's without its channel."""
    found = [(own.folders, own.stem)]
    if image and len(own.stem) > 1 and own.stem[-1] == CHANNEL:
        found.append((own.folders, own.stem[:-1]))
    if own.stem and own.folders[-len(own.stem) :] == own.stem:
        found.append((own.folders, ()))
    return found


def _same_scan(image: str, mask: str) -> bool:
    """Whether two files that BIDS names mean the same scan: every entity but DESCRIPTORS, and the kind if both say it."""
    (ours, kind), (theirs, kinds) = _entities(image), _entities(mask)
    same = all(ours.get(key) == text for key, text in theirs.items() if key not in DESCRIPTORS)
    return same and (not kinds[:-1] or kinds[0] == kind[-1])


def _entities(path: str) -> tuple[dict[str, str], list[str]]:
    """Of a BIDS name: "sub-01_ses-2_T1w_label-SC_seg" -> {sub: 01, ses: 2, label: SC} and [T1w, seg]."""
    parts = words.stem_of(path).split("_")
    pairs = [part.split("-", 1) for part in parts if "-" in part]
    return dict(pairs), [part for part in parts if "-" not in part]


def _called(found: Sequence[Case]) -> list[Case]:
    """Cases named by their place, without folders and words that only say that they are images."""
    made = []
    for case in found:
        *folders, stem = bare(case.images[0]).split("/")
        kept = [part for part in folders if not words.of_roles(part)]
        own = _TRIM.sub("", stem)
        made.append(replace(case, held={"path": "/".join([*kept, *([own] if own else [])])}))
    return named(made)
