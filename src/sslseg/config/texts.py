"""A parameter's value as text, and back; a list as a part of a sentence."""

import math
import os
import re
import shutil
import sys
import tempfile
import types
import typing
from collections.abc import Iterable
from typing import Any

from sslseg.config.names import ParamError, SslsegError, quoted

_FULL = re.compile("no space left|disk is full|quota exceeded", re.IGNORECASE)


def some(items: Iterable[object], most: int = 4, joint: str = ", ") -> str:
    """The first of a list and how many more there are, as `a, b and 4 more`; `joint` stands between them."""
    every = [str(item) for item in items]
    if len(every) <= most:
        return joint.join(every)
    return joint.join(every[:most]) + joint.replace(",", "") + f"and {len(every) - most} more"


def sentence(error: BaseException) -> str:
    """What an error says: ours are whole sentences, others begin with their kind; of a full disk, which it may be."""
    kind = "" if isinstance(error, SslsegError) else type(error).__name__
    said = ": ".join(filter(None, [kind, str(error)]))
    if "surrogates not allowed" in said:
        return f"{said}; a name has {misread()}"
    if not _FULL.search(said) or getattr(error, "filename", None):
        return said
    places = {"temporary files (TMPDIR)": tempfile.gettempdir(), "the working folder": os.getcwd()}
    free = (f"{what}: {shutil.disk_usage(at).free:,} bytes free in {at}" for what, at in places.items())
    return f"{said}; {'; '.join(free)}"


def misread() -> str:
    """What is wrong with a name that holds bytes of another encoding, and what helps."""
    here = sys.getfilesystemencoding()
    return f"letters that Python does not read here, where its encoding is {here}; PYTHONUTF8=1 lets it read UTF-8"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like one; "" where none is."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")


def whole(text: str | None, otherwise: int | None = None) -> int | None:
    """The number that a tag or a parameter holds; `otherwise` where it holds none."""
    return int(text) if text and text.isdecimal() and text.isascii() else otherwise


def strip_optional(hint: Any) -> tuple[Any, bool]:
    """`int` and True of `int | None`; a hint that is not optional, and False."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        args = [a for a in typing.get_args(hint) if a is not type(None)]
        return args[0], True
    return hint, False


def to_text(value: object) -> str:
    """Canonical text of a value: what MLproject holds and what is logged."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple | list):
        return ",".join(to_text(v) for v in value)
    return str(value)


def _scalar(text: str, kind: type, name: str, several: str = "") -> Any:
    try:
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                text.lower()
            ]
        value = kind(text)
        if kind is float and not math.isfinite(value):
            raise ValueError
        return value
    except (ValueError, KeyError):
        word = {int: "a whole number", float: "a finite number", bool: "true or false"}[kind]
        raise ParamError(f"{name}: wanted {word}, got {quoted(text)}{several}") from None


def from_text(text: str, hint: Any, name: str) -> Any:
    """Parse canonical (or typed by hand) text into a value of type `hint`.

    Raises:
        ParamError: the text is not of that type.
    """
    kind, optional = strip_optional(hint)
    text = text.strip()
    if text == "" and kind is not str:
        return () if typing.get_origin(kind) is tuple and not optional else None
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return tuple(
            _scalar(t.strip(), item, name, "; several are written with commas, as 0,1,2")
            for t in text.split(",")
            if t.strip()
        )
    if text == "" and optional:
        return None
    return _scalar(text, kind, name)
