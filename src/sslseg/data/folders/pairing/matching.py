"""Files joined into cases of image and masks by rules of `patterns`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sslseg.data.folders.pairing.patterns import ABOVE, CLASS, Rule, bare, key, literals, match, placeholders
from sslseg.data.source import class_name

HIDDEN = (ABOVE, "side")  # no part of a case's name
Faults = tuple[tuple[str, str], ...]  # a file, and what is wrong with it
Held = dict[str, str]  # {name} -> text
Masks = dict[tuple[str, ...], list[tuple[str, str]]]  # what image and mask share -> file and class


@dataclass(frozen=True)
class Case:
    """An image, and the masks that belong to it."""

    name: str  # what the {names} of its pattern say; else its path from the root without the ending
    images: tuple[str, ...]  # paths from the root, one a channel
    # path from the root, and class ("" of masks that are united or hold all classes)
    masks: tuple[tuple[str, str], ...] = ()
    held: Held = field(default_factory=dict)  # of its pattern


Cases = tuple[tuple[Case, ...], Faults]


@lru_cache(maxsize=16)  # a folder is looked at several times while it is prepared
def cases(rules: tuple[Rule, ...], files: tuple[str, ...], shared: bool = False) -> Cases:
    """Images and masks that the rules join; a file that fits no rule is in none.

    An image is of the first rule that gives it a mask, or else of the first that it fits. What fits a pattern
    of images and one of masks is what the pattern with more letters of its own says, or else a mask.

    Args:
        files: paths from the root, sorted.
        shared: several images may have one mask.

    Returns:
        the cases; masks without an image, missing channels, and what cannot be told apart.
    """
    told = list[tuple[str, str]]()
    held_by = [_masks(rule, files) for rule in rules]
    taken = _all(held_by)
    images = [file for file in files if file not in taken]
    chosen: dict[str, Case] = {}
    lacking: dict[str, str] = {}
    disputed: set[str] = set()
    joined: set[str] = set()
    for rule, held in zip(rules, held_by, strict=True):
        for case in _images(rule, images, lacking):
            found, first = _joined(rule, case, held, disputed), case.images[0]
            joined |= {file for file, _ in found.masks}
            if first not in chosen or (found.masks and not chosen[first].masks):
                chosen[first] = found
    used = {file for case in chosen.values() for file in case.images}
    told += [(file, lacking[file]) for file in sorted(set(lacking) - used)]
    owners: dict[str, list[str]] = {}
    for case in chosen.values():
        for file, _ in case.masks:
            owners.setdefault(file, []).append(case.images[0])
    torn = disputed if shared else disputed | {file for file, own in owners.items() if len(own) > 1}
    lone = "wanted the image of this mask, none fits its pattern"
    told += [(file, lone) for file in sorted(taken - joined)]
    for file in sorted(torn):
        own = " and ".join(owners.get(file, []))
        told.append((file, f"wanted one mask and one image that belong together, it fits {own}"))
    clear = [case for case in chosen.values() if not any(file in torn for file, _ in case.masks)]
    return tuple(named(clear)), tuple(told)


def masks(rules: Sequence[Rule], files: Sequence[str]) -> set[str]:
    """The files that fit a pattern of masks."""
    return _all([_masks(rule, files) for rule in rules])


def _all(found: Sequence[list[Masks]]) -> set[str]:
    return {file for held in found for one in held for own in one.values() for file, _ in own}


def _masks(rule: Rule, files: Sequence[str]) -> list[Masks]:
    """The files of every pattern of masks, by what they share with their image."""
    found: list[Masks] = []
    for mask in rule.masks:
        own: Masks = {}
        for file in files:
            if (held := match(mask.pattern, file)) is not None and not _rather(rule, mask.pattern, file):
                name = class_name(held[CLASS]) if CLASS in held else mask.name
                own.setdefault(key(shared(rule, mask.pattern), held), []).append((file, name))
        found.append(own)
    return found


def _rather(rule: Rule, mask: str, file: str) -> bool:
    """Whether a file that fits a pattern of masks is an image: "{class}/{case}" takes images, too."""
    own = len("".join(literals(mask)))
    return any(len("".join(literals(p))) > own and match(p, file) is not None for p in rule.images)


def shared(rule: Rule, pattern: str) -> list[str]:
    """The names that a pattern of masks has in common with the images of its rule."""
    return [name for name in placeholders(pattern) if name in placeholders(rule.images[0])]


def _images(rule: Rule, files: Sequence[str], lacking: dict[str, str]) -> list[Case]:
    """A case for every image whose channels are all there; of the others, what they lack."""
    if len(rule.images) == 1:
        return [Case("", (f,), (), held) for f in files if (held := match(rule.images[0], f)) is not None]
    found: dict[tuple[str, ...], tuple[Held, dict[int, str]]] = {}
    names = placeholders(rule.images[0])
    for channel, pattern in enumerate(rule.images):
        for file in files:
            if (held := match(pattern, file)) is not None:
                found.setdefault(key(names, held), (held, {}))[1].setdefault(channel, file)
    whole = []
    for held, paths in found.values():
        if missing := [p for channel, p in enumerate(rule.images) if channel not in paths]:
            shown = ", ".join(p.rsplit("/", 1)[-1] for p in missing)
            lacking[next(iter(paths.values()))] = f"wanted the other channels beside it, {shown} is not there"
        else:
            whole.append(Case("", tuple(paths[channel] for channel in sorted(paths)), (), held))
    return whole


def _joined(rule: Rule, case: Case, masks: list[Masks], disputed: set[str]) -> Case:
    """The case with its masks; two files that claim to be the same mask are `disputed`."""
    found: list[tuple[str, str]] = []
    for mask, files in zip(rule.masks, masks, strict=True):
        own = files.get(key(shared(rule, mask.pattern), case.held), [])
        if len(own) > len({name for _, name in own}) and "*" not in mask.pattern.replace("**/", ""):
            disputed |= {file for file, _ in own}
        found += own
    return replace(case, masks=tuple(found))


def named(found: Sequence[Case]) -> list[Case]:
    """The cases with their names, in the order of these; a name that two would have is the path of each."""
    names = ["/".join(text for name, text in c.held.items() if name not in HIDDEN) for c in found]
    times = Counter(names)
    called = [n if n and times[n] == 1 else bare(c.images[0]) for c, n in zip(found, names, strict=True)]
    made = [replace(c, name=name) for c, name in zip(found, called, strict=True)]
    return sorted(made, key=lambda case: case.name)
