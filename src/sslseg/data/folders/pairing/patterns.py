"""Which mask belongs to which image, written as a pattern: `{case}/image.nii.gz -> {case}/mask.nii.gz`.

    {name}     one or more characters of a file's or folder's name; the same name means the same text
    *, **/     any characters of a name, any folders
    a + b      left of the arrow the channels of one image, right of it several masks of one image
    b as liver the mask's class; masks that name no class are united
    {class}    the mask's class is what stands there

{patient}, {group}, {phase} (ED or ES), {frame} and {visit} (numbers) and {side} (train, val, test and their
longer forms) mean what they say; {number}, {letter} and {eye} (L or R) are what else can be told apart by its
letters. Capital letters and small ones are the same. A pattern without an ending takes every ending that is read.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from sslseg.data.readers import formats
from sslseg.data.source import class_name

SIDES = {"training": "train", "train": "train", "validation": "val", "valid": "val", "val": "val",
         "testing": "test", "test": "test"}  # fmt: skip
OWN = {"phase": "ED|ES", "frame": "[0-9]+", "visit": "[0-9]+", "number": "[0-9]+", "letter": "[A-Z]", "eye": "[LR]",
       "view": "[234]CH", "side": "|".join(SIDES)}  # fmt: skip
ABOVE = "above"  # the folders above a layout, wherever it lies below the root: equal for image and mask
CLASS = "class"
_PART = re.compile(r"\{([a-z]+)\}|(\*\*/)|(\*)|(\?)")


@dataclass(frozen=True)
class Mask:
    """One pattern of masks. `name` is the class it holds; "" if it holds all, or shares one with others."""

    pattern: str
    name: str = ""


@dataclass(frozen=True)
class Rule:
    """`images -> masks`: one image pattern a channel, and any number of mask patterns."""

    images: tuple[str, ...]
    masks: tuple[Mask, ...] = ()


def rule(text: str) -> Rule:
    """A rule from its text. Raises ValueError: it is no rule."""
    left, arrow, right = text.partition("->")
    images = tuple(p.strip() for p in left.split(" + "))
    masks = tuple(_mask(p) for p in right.split(" + ")) if arrow else ()
    if not all(images) or not all(mask.pattern for mask in masks):
        raise ValueError(f"pairs: wanted 'IMAGE -> MASK' or 'IMAGE', got {text!r}")
    for pattern in (*images, *(mask.pattern for mask in masks)):
        compiled(pattern)
    names = [placeholders(p) for p in images]
    if any("class" in held for held in names):
        raise ValueError(f"pairs: {{class}} is of masks, left of the arrow it means nothing: {text!r}")
    if any(set(held) != set(names[0]) for held in names):
        raise ValueError(f"pairs: wanted the same {{names}} in every channel, got {text!r}")
    for mask in masks:
        if not set(placeholders(mask.pattern)) & set(names[0]):
            raise ValueError(f"pairs: {mask.pattern!r} shares no {{name}} with its image, in {text!r}")
    if len({bool(mask.name or "{class}" in mask.pattern) for mask in masks}) > 1:
        raise ValueError(f"pairs: wanted 'as NAME' behind every mask or behind none, got {text!r}")
    return Rule(images, masks)


def spoken(text: str) -> str:
    """A layout's rule for who has never seen one: `<patient>_<view> with a mask <patient>_<view>_gt, in any folder`."""
    plain = re.sub(r"{([a-z]+)}", r"<\1>", text.replace(f"{{{ABOVE}}}", ""))
    return f"{plain.replace(' -> ', ' with a mask ')}, in any folder"


def _mask(text: str) -> Mask:
    pattern, said, name = text.strip().partition(" as ")
    if said and not name.strip():
        raise ValueError(f"pairs: wanted a name behind 'as', got {text!r}")
    return Mask(pattern.strip(), class_name(name) if said else "")


def placeholders(pattern: str) -> tuple[str, ...]:
    """The names in a pattern, in order, each once; `above` too."""
    return tuple(dict.fromkeys(name for name, _ in compiled(pattern)[1]))


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> tuple[Any, tuple[tuple[str, str], ...]]:
    """A regular expression for a path from the root, and its groups: {name} and the group that holds it.

    By RE2, whose time does not explode whatever a pattern says; it knows no second mention of a group, so
    that each mention has a group of its own.

    Raises:
        ValueError: a brace that is no {name}.
    """
    pattern, groups, made, last = pattern.removeprefix("./"), list[tuple[str, str]](), list[str](), 0
    for match in _PART.finditer(pattern):
        made.append(_literal(pattern, last, match.start()))
        name, folders, star, _ = match.groups()
        if name:
            groups.append((name, f"{name}_{len(groups)}"))
            held = "(?:[^/]+/)*" if name == ABOVE else OWN.get(name, "[^/]+?")
            made.append(f"(?P<{groups[-1][1]}>{held})")
        else:
            made.append("(?:[^/]+/)*" if folders else "[^/]*" if star else "[^/]")
        last = match.end()
    made.append(_literal(pattern, last, len(pattern)))
    options = re2.Options()
    options.case_sensitive = options.log_errors = False
    return re2.compile("".join(made), options), tuple(groups)


def _literal(pattern: str, start: int, end: int) -> str:
    text = pattern[start:end]
    if "{" in text or "}" in text:
        raise ValueError(f"pairs: wanted {{name}} of small letters in braces, got {pattern!r}")
    return re2.escape(text)


@lru_cache(maxsize=4096)
def literals(pattern: str) -> tuple[str, ...]:
    """What stands literally in a pattern, casefolded."""
    parts = _PART.split(pattern.removeprefix("./").casefold())[:: _PART.groups + 1]
    return tuple(part for part in parts if part)


def match(pattern: str, path: str) -> dict[str, str] | None:
    """The text of every {name} in a path from the root; None where the pattern does not fit it."""
    path = path if _ended(pattern) else bare(path)
    folded = path.casefold()
    if not all(part in folded for part in literals(pattern)):  # a tenth of an expression's time
        return None
    while True:
        expression, groups = compiled(pattern)
        found = expression.fullmatch(path)
        if found is None or not _whole_word(found, groups, path):
            return None
        held: dict[str, str] = {}
        for name, group in groups:
            held.setdefault(name, found[group])
        torn = next((n for n, group in groups if found[group].casefold() != held[n].casefold()), "")
        if not torn:
            return held
        pattern = pattern.replace(f"{{{torn}}}", held[torn])  # the first mention rules


def _whole_word(found: Any, groups: tuple[tuple[str, str], ...], path: str) -> bool:
    """Whether the {side} of a match is a word, and not the val of "interval"."""
    ends = [found.span(number) for number, (name, _) in enumerate(groups, 1) if name == "side"]
    return not any(path[max(a - 1, 0) : a].isalpha() or path[b : b + 1].isalpha() for a, b in ends)


@lru_cache(maxsize=512)
def _ended(pattern: str) -> bool:
    return formats.stem(pattern.rsplit("/", 1)[-1].replace("{", "").replace("*", "x")) is not None


@lru_cache(maxsize=1 << 17)
def bare(path: str) -> str:
    """A path without the ending of its file."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + formats.split(name)[0]


def key(names: Iterable[str], held: Mapping[str, str]) -> tuple[str, ...]:
    """What an image and its mask have in common, to find one by the other."""
    return tuple(held[name].casefold() for name in names)
