"""What the keys of sslseg.json may hold: classes with their values, a threshold, a spacing."""

import math
import re
from typing import Any, TypeGuard

from sslseg.data.readers.pictures import COLOUR
from sslseg.data.source import BACKGROUND, Spacing, class_name

HEX = re.compile(r"#[0-9a-f]{6}")
ABOVE = re.compile(r"(?:any value )?above (\d+(?:\.\d+)?)")


def classes(told: Any) -> tuple[tuple[str, ...], tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Names, the value of each, and further values with the number of their class."""
    if not told:
        return (), (), ()
    called = [class_name(name) for name in told] if isinstance(told, list | dict) else []
    if len(set(called)) < len(called):
        raise ValueError(f"classes: wanted a name of its own for each class, got {', '.join(called)}")
    if isinstance(told, list) and all(isinstance(name, str | int) for name in told):
        told = {name: k for k, name in enumerate(told)}
    elif isinstance(told, dict) and BACKGROUND not in told:
        told = {BACKGROUND: 0} | told
    if not isinstance(told, dict):
        raise ValueError('classes: wanted ["background", …] or {"name": value, …}')
    held = [[value(v) for v in (one if isinstance(one, list) else [one])] for one in told.values()]
    every = [value for values in held for value in values]
    if len(set(every)) < len(every) or not all(held):
        raise ValueError("classes: wanted a value of its own for each class")
    also = tuple((value, k) for k, values in enumerate(held) for value in values[1:])
    return tuple(class_name(n) for n in told), tuple(values[0] for values in held), also


def threshold(told: object) -> float | None:
    """A number, or in words: "any value above 0"."""
    if isinstance(told, str) and (match := ABOVE.fullmatch(told.strip().lower())):
        told = float(match[1])
    if told is None or _number(told):
        return told
    raise ValueError(f'threshold: wanted a number or "any value above 0", got {told!r}')


def _number(told: object) -> TypeGuard[int | float]:
    return isinstance(told, int | float) and not isinstance(told, bool) and math.isfinite(told)


def value(told: object) -> int:
    """A value in masks, of a whole number or of a colour like #ff0000."""
    if isinstance(told, str) and HEX.fullmatch(told.lower()):
        number = int(told[1:], 16)
        return number & 0xFF if number % 0x010101 == 0 else COLOUR | number  # as `pictures.colour_value`
    if isinstance(told, bool) or not isinstance(told, int):
        wanted = "a whole number or a colour like #ff0000"
        raise ValueError(f"wanted {wanted} as the value of a class, got {told!r}")
    return told


def spacing(told: object) -> Spacing:
    """The settings' `spacing` in mm, (row, column) or (slice, row, column)."""
    given = told if isinstance(told, list) else []
    values = [v for v in given if _number(v)]
    if len(values) not in (2, 3) or len(values) < len(given) or not all(1e-4 < v < 1e3 for v in values):
        raise ValueError(f"spacing: wanted [y, x] or [z, y, x] in mm, got {told!r}")
    z, y, x = map(float, values if len(values) == 3 else (1.0, *values))
    return z, y, x
