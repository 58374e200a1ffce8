"""`sslseg.json`, what a data folder says of itself where its format cannot: docs/reference/data.md lists its keys."""

import functools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import re2

from sslseg.config.names import DataError, quoted
from sslseg.config.texts import some
from sslseg.data.files import text
from sslseg.data.folders import keys
from sslseg.data.folders.pairing import patterns
from sslseg.data.readers.pictures import COLOUR
from sslseg.data.source import IGNORE, Description, Spacing

FILE = "sslseg.json"
OTHERS = ("SSLSEG.json", "Sslseg.json", *(f"sslseg{end}" for end in (".json.txt", ".JSON", ".yaml", ".yml")))
# the same, where they are used: folders without keep their recipe
LATER = ("also", "pairs", "threshold", "frames", "geometry")
MADE = ("classes", "colours", "ignore", "spacing", "pairs", "threshold")  # values not kept as they stand
TEXTS = ("patient_regex", "csv", "mask_suffix", "split", "domain", "licence")
CHOICES: dict[str, tuple[tuple[object, ...], str]] = {  # key -> what it may be, and in words
    "axis": ((0, 1, 2), "0, 1 or 2"),
    "frames": (("", "time", "channels"), "time or channels"),
    "geometry": (("", "ignore"), "ignore"),
    "colour": (("keep", "grey"), "keep or grey"),
}


@dataclass(frozen=True)
class Settings:
    """`sslseg.json`, checked. `values` are those of `classes` in the masks, `also` (value, class) others."""

    classes: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    also: tuple[tuple[int, int], ...] = ()
    pairs: tuple[str, ...] = ()
    threshold: float | None = None
    frames: str = ""
    colours: tuple[str, ...] = ()
    ignore: int | None = None
    patient_regex: str = ""
    csv: str = ""
    mask_suffix: str = ""
    spacing: Spacing | None = None
    axis: int = 0
    geometry: str = ""
    colour: str = "keep"
    split: str = ""
    domain: str = ""
    licence: str = ""

    @property
    def placed(self) -> bool:
        """Whether the place of masks and channels in space is believed."""
        return self.geometry != "ignore"

    @property
    def named(self) -> tuple[str, ...]:
        """Classes that `pairs` names, in the order of its masks."""
        return tuple(m.name for text in self.pairs for m in patterns.rule(text).masks if m.name)

    def numbers(self) -> dict[int, int]:
        """Value in a mask -> class number; 255 of a grey mask is unknown if nothing else is said of it."""
        found = {value: k for k, value in enumerate(self.values)} | dict(self.also)
        if self.ignore is not None:
            return {self.ignore: IGNORE} | found
        return found if max(found) >= COLOUR else {IGNORE: IGNORE} | found

    def describe(self, classes: tuple[str, ...], **more: Any) -> Description:
        """A description with the classes that the format, or else this file, names; `more` for the rest.

        Raises:
            DataError: this file names other classes than the format does, or not a colour for each.
        """
        if self.classes not in ((), classes):
            raise DataError(f"{FILE}: classes: this format names its own, {list(classes)}")
        if len(self.colours) not in (0, len(classes)):
            got = len(self.colours)
            raise DataError(f"{FILE}: colours: wanted one for each of {list(classes)}, got {got}")
        told = asdict(self)
        used = [key for key in LATER if told[key] not in ((), "", None)]
        recipe = {key: told[key] for key in ("values", "ignore", "spacing", "axis", "colour", *used)}
        more["settings"] = recipe | more.get("settings", {})
        for key in ("split", "domain", "licence"):
            more[key] = getattr(self, key) or more.get(key, "")
        return Description(classes=classes, colours=self.colours, **more)


def settings(root: Path) -> Settings:
    """What `sslseg.json` in `root` says; the defaults where there is none.

    Raises:
        DataError: an unknown key, or a value of another kind than the key takes.
    """
    if not (path := root / FILE).exists():
        if other := next((p for name in OTHERS if (p := root / name).exists()), None):
            raise DataError(f"{other}: wanted {FILE} as the name of this file, in small letters, JSON")
        return Settings()
    return parsed(read_json(path), path)


def parsed(told: dict[str, Any], path: Path | str) -> Settings:
    """Settings from what a file says; `path` names it in errors.

    Raises:
        DataError: an unknown key, or a value of another kind than the key takes.
    """
    known = set(Settings.__dataclass_fields__) - {"values", "also"}
    if unknown := sorted(set(told) - known):
        wanted, got = ", ".join(sorted(known)), ", ".join(unknown)
        raise DataError(f"{path}: wanted keys among {wanted}, got also {got}")
    faults = [f"{key}: wanted a text, got {told[key]!r}" for key in TEXTS if not _text(told.get(key, ""))]
    faults += [
        f"{key}: wanted a list of texts, got {told[key]!r}"
        for key in ("pairs", "colours")
        if not (_text(told.get(key, "")) or (isinstance(told[key], list) and all(map(_text, told[key]))))
    ]
    if faults:
        raise DataError(f"{path}: {'; '.join(faults)}")
    pairs = told.get("pairs", ())
    try:
        names, values, also = keys.classes(told.get("classes", ()))
        found = Settings(
            classes=names,
            values=values,
            also=also,
            colours=tuple(told.get("colours", ())),
            ignore=None if told.get("ignore") is None else keys.value(told["ignore"]),
            spacing=None if told.get("spacing") is None else keys.spacing(told["spacing"]),
            pairs=(pairs,) if isinstance(pairs, str) else tuple(pairs),
            threshold=keys.threshold(told.get("threshold")),
            **{k: v for k, v in told.items() if k not in MADE},
        )
        expression(found.patient_regex)
        for text in found.pairs:
            patterns.rule(text)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: {error}") from None
    _check(path, found)
    return found


def _text(told: object) -> bool:
    return isinstance(told, str)


@functools.cache
def expression(text: str) -> Any:
    """A regular expression of the user's, compiled by RE2, whose time grows with the length of a name alone.

    Raises:
        ValueError: it is none, or has look-around or back references, which RE2 leaves out.
    """
    quiet = re2.Options()
    quiet.log_errors = False
    try:
        return re2.compile(text, quiet)
    except re2.error as error:
        reason = str(error).removeprefix("b").strip("'")
        raise ValueError(
            f"patient_regex: wanted a regular expression without look-around and back references "
            f"(RE2), got {quoted(text)}: {reason}"
        ) from None


def _check(path: Path | str, s: Settings) -> None:
    faults = []
    if s.csv and not _inside(Path(path).parent, s.csv):
        faults.append(f"csv: wanted the name of a table in this folder, got {quoted(s.csv)}")
    for key, (choices, words) in CHOICES.items():
        if not any(getattr(s, key) == choice and type(getattr(s, key)) is type(choice) for choice in choices):
            faults.append(f"{key}: wanted {words}, got {getattr(s, key)!r}")
    if s.threshold is not None and s.values not in ((), (0, 1)):
        faults.append('threshold: it makes two classes, wanted classes like ["background", "lesion"]')
    if s.pairs and s.mask_suffix:
        faults.append("mask_suffix: pairs says already which mask is whose, wanted one of them")
    if s.ignore in (*s.values, *(value for value, _ in s.also)):
        faults.append(f"ignore: wanted a value that is no class, got {s.ignore}")
    if not all(keys.HEX.fullmatch(str(c).lower()) for c in s.colours):
        faults.append(f"colours: wanted hex like #ee6677, got {list(s.colours)}")
    if faults:
        raise DataError(f"{path}: {'; '.join(faults)}")


def _inside(root: Path, name: str) -> bool:
    """Whether a file lies below `root`, and no link leads out of it but git-annex's own."""
    place = Path(os.path.realpath(root / name))
    inside = not Path(name).is_absolute() and ".." not in Path(name).parts and "\0" not in name
    return inside and (place.is_relative_to(os.path.realpath(root)) or "annex/objects" in place.as_posix())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises DataError when the file is not one."""
    if not path.exists():
        near = [*sorted(path.parent.glob(f"*/{path.name}")), *path.parent.parent.glob(path.name)]
        if near:
            there = some(one.parent for one in near)
            raise DataError(f"{path}: wanted a JSON file, it is not there but in {there}: give one of these")
    try:
        told = json.loads(text(path, "a JSON file"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: wanted a JSON file ({error})") from None
    if not isinstance(told, dict):
        raise DataError(f"{path}: wanted a JSON object {{…}}, got a {type(told).__name__}")
    return told


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError where a key is there twice: of which the last would be taken."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {quoted(next(key for key in keys if keys.count(key) > 1))} is there twice")
    return found


def sidecar(image: Path, case: str) -> Spacing | None:
    """Voxel size of a picture in <case>.json beside it, as nnU-Net keeps a TIFF's; None where that is not there.

    Raises:
        DataError: it says none.
    """
    path = image.with_name(f"{case}.json")
    if not path.is_file():
        return None
    spacing = read_json(path).get("spacing")
    if not isinstance(spacing, list) or len(spacing) not in (2, 3):
        raise DataError(f"{path}: wanted spacing: [z, y, x] in mm, got {spacing!r}")
    try:
        return keys.spacing(spacing)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from None
