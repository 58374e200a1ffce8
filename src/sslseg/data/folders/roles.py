"""What every file of a folder is: an image, a mask of one, or neither.

Pairs come from `pairs` in sslseg.json; else from a layout that is known (pairing/layouts.py); else from the words
in names (pairing/by_name.py).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from sslseg.config.names import DataError
from sslseg.data.files import below, instead, same
from sslseg.data.folders import mask_values, settings
from sslseg.data.folders.mask_values import BINARY
from sslseg.data.folders.pairing import by_name, layouts, matching, patterns, words
from sslseg.data.folders.pairing.matching import Case
from sslseg.data.folders.settings import FILE, Settings
from sslseg.data.readers import formats
from sslseg.data.source import BACKGROUND, Fault

Files = Mapping[str, tuple[Path, ...]]  # path from the root -> the files that it stands for
LEAST = 0.2  # share of the images that a layout has to explain


@dataclass(frozen=True)
class Pairing:
    """What is known of a folder."""

    root: Path
    settings: Settings  # of sslseg.json, with what the layout adds
    layout: str  # its name; "" if no layout is known
    told: bool  # `pairs` is of the user's own
    cases: dict[Path, Case]  # first file of an image -> its case
    aside: dict[str, str]  # path from the root -> why it is not read
    # of each path from the root in `cases`: one, or those of the series or the stack that it stands for
    files: Files = field(default_factory=dict)

    @property
    def names_patients(self) -> bool:
        """Whether sslseg.json, a pattern or BIDS says which images are of one patient."""
        told = self.settings.csv or self.settings.patient_regex or self.layout == "CVC-ClinicDB"
        cases = self.cases.values()
        return bool(told) or all("patient" in c.held or words.subject(c.images[0]) for c in cases)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Of the settings; else the names of masks that hold one each; else background and foreground."""
        masks = [mask for case in self.cases.values() for mask in case.masks]
        named = sorted({name for _, name in masks if name})
        order = list(self.settings.named)  # those that stand in file names come behind, by the alphabet
        named.sort(key=lambda name: order.index(name) if name in order else len(order))
        own = (BACKGROUND, *named) if named else BINARY if masks else BINARY[:1]
        return self.settings.classes or own


LAST: dict[Path, Pairing] = {}  # root -> what was found last: who reads an image has to know the files' roles


def pairing(root: Path, suffixes: tuple[str, ...], fault: Fault, layout: str = "") -> Pairing:
    """Images and masks that belong together.

    Args:
        layout: the one that the folder has to have.

    Raises:
        DataError: there is no image, several layouts fit, or masks cannot be told from images.
    """
    takes = formats.SUFFIXES if settings.settings(root).pairs else suffixes
    paths = (path for path in below(root, fault) if formats.stem(path.name, takes) is not None)
    held = {path.relative_to(root).as_posix(): (path,) for path in paths}
    LAST[root] = paired(root, held, suffixes, fault, layout)
    return LAST[root]


def paired(
    root: Path, held: Files, suffixes: Sequence[str], fault: Fault, layout: str = "", shared: bool = False
) -> Pairing:
    """As `pairing`, of what `held` names, each an image or a mask.

    Args:
        suffixes: of files that may be images, for the message.
        shared: several images may have one mask.
    """
    own: dict[str, str] = {}  # paths from the root: as they are compared -> as they are written
    for file in held:
        own[file if same(file) in own else same(file)] = file
    own = dict(sorted(own.items()))
    given = s = settings.settings(root)
    told, files = bool(s.pairs), tuple(own)
    known = [layout] if layout else [] if told or s.mask_suffix else layouts.fitting(files)
    known = [name for name in known if layout or _explains(name, files, shared)]
    if len(known) > 1:
        several = " and of ".join(known)
        raise DataError(f"{root}: files of {several} lie here: wanted a folder for each, or pairs in {FILE}")
    name = known[0] if known else ""
    if name:
        s = _with(s, name)
    if s.pairs:
        joined, faults = matching.cases(tuple(patterns.rule(same(t)) for t in s.pairs), files, shared or told)
        masks = [held[own[file]] for case in joined for file, _ in case.masks]
        if not (told or layout) and _only_names(joined, masks, s, given):
            name, s = "", given
    if not s.pairs:
        joined, faults = by_name.cases(files, s.mask_suffix)
    aside = {own[file]: why for file, why in faults}
    for file, why in faults:
        fault(root / own[file], DataError(f"{root / own[file]}: {why}"))
    if not joined:
        wanted = f"images ({', '.join(suffixes)}) here or below"
        if s.pairs:
            wanted = f"{name}'s {patterns.spoken(s.pairs[0])}" if name else f"images like {s.pairs[0]!r}"
        why = next((f"none that can be taken; {file}: {reason}" for file, reason in aside.items()), "")
        raise DataError(f"{root}: wanted {wanted}, got {why or instead(root)}")
    found = [_written(case, own) for case in joined]
    if s.classes:
        found = [_of_classes(case, s, root) for case in found]
    used = {file for case in found for file in (*case.images, *(mask for mask, _ in case.masks))}
    left = f"not of the layout {name}" if name else "fits no pattern of pairs"
    left = left if s.pairs else "shows another image once more, by its name"
    aside |= {file: aside.get(file, left) for file in own.values() if file not in used}
    return Pairing(root, s, name, told, {held[case.images[0]][0]: case for case in found}, aside, held)


def known(root: Path, files: Sequence[str]) -> tuple[set[str], list[Case]]:
    """Of files that are to be segmented: those known to be masks, and images of several channels.

    Masks are those of `pairs` in sslseg.json; else those of a layout, and what names say.

    Args:
        files: paths from the root, sorted.
    """
    s = settings.settings(root)
    layout = [] if s.pairs or s.mask_suffix else layouts.fitting(files)
    rules = [patterns.rule(text) for text in s.pairs] or [r for name in layout for r in layouts.rules(name)]
    held, _ = matching.cases(tuple(rules), tuple(files), shared=True)
    masks = matching.masks(rules, files)
    if not s.pairs:
        masks |= {file for file in files if words.is_mask(file, s.mask_suffix)}
    return masks, [case for case in held if len(case.images) > 1]


def _written(case: Case, own: Mapping[str, str]) -> Case:
    """The case with its files as they are written."""
    masks = tuple((own[file], name) for file, name in case.masks)
    return replace(case, images=tuple(own[file] for file in case.images), masks=masks)


def _explains(name: str, files: tuple[str, ...], shared: bool) -> bool:
    """Whether a layout is that of the folder, and not of a few files in it."""
    found, _ = matching.cases(layouts.rules(name), files, shared)
    held = sum(len(case.images) for case in found)
    return held >= LEAST * sum(not words.is_mask(file) for file in files)


def _only_names(
    joined: Sequence[Case], masks: Sequence[tuple[Path, ...]], s: Settings, given: Settings
) -> bool:
    """Whether a folder has only names like those of a data set: its masks hold other values, or are named for classes.

    Masks of any name are parts of one, as the nuclei of DSB 2018. Names that come again at other images tell classes, or
    people.

    Args:
        masks: the files of each.
        s: with what the data set's layout adds; given: without.
    """
    any_name = any(text.endswith("/*") for text in s.pairs)
    several = [case for case in joined if len(case.masks) > 1 and any_name]
    parts = Counter(
        Path(file).name.replace(Path(case.images[0]).stem, "") for case in several for file, _ in case.masks
    )
    if max(parts.values(), default=0) > 1:
        return True
    return not given.classes and mask_values.contradict([files[0] for files in masks if len(files) == 1], s)


def _with(s: Settings, name: str) -> Settings:
    """The settings of a folder, and what its layout says where they say nothing."""
    known = settings.parsed(layouts.LAYOUTS[name], f"layout {name}")
    own = s.classes and s.values != tuple(range(len(s.classes)))  # with values: the layout's are void
    s = replace(s, pairs=known.pairs, domain=s.domain or known.domain)
    if not own and len(s.classes) in (0, len(known.classes)):
        s = replace(s, threshold=known.threshold, values=known.values, also=known.also)
    return s if s.classes else replace(s, classes=known.classes, colours=s.colours or known.colours)


def _of_classes(case: Case, s: Settings, root: Path) -> Case:
    """The case without masks of classes that `classes` leaves out, where {class} finds more."""
    if strange := sorted(set(s.named) - set(s.classes)):
        raise DataError(f"{root / FILE}: pairs: {strange[0]!r} is none of the classes {list(s.classes)}")
    return replace(case, masks=tuple(mask for mask in case.masks if mask[1] in ("", *s.classes)))
