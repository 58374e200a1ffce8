"""One dataclass, four readings: flags, MLproject text, logged text, values back.

A parameter is one `knob(...)` line in a frozen dataclass. Nothing else in the project
spells a parameter's name, type, default or help a second time.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import typing
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from sslseg.config.names import ParamError, quoted
from sslseg.config.texts import from_text, strip_optional, to_text

T = TypeVar("T")
AUTO = "auto"  # the preset that suits the machine, see `preset_here`
PAPERS = ("paper-text", "paper")  # presets of fine-tuning and of pretraining that want a GPU
FROM_PRESET = ""  # the MLproject default of every knob that a preset governs


@dataclass(frozen=True)
class Knob:
    """What a `knob(...)` line says beyond name, type and default."""

    help: str
    presets: dict[str, Any] | None
    choices: tuple | None
    low: float | None
    high: float | None
    runtime: bool  # changes where or how fast a run happens, not what it is
    source: str
    pattern: str = ""
    by: str = "preset"  # the knob that names which of `presets` is meant


def knob(
    default: Any = MISSING,
    help: str = "",
    *,
    presets: dict[str, Any] | None = None,
    choices: tuple | None = None,
    low: float | None = None,
    high: float | None = None,
    runtime: bool = False,
    source: str = "",
    pattern: str = "",
    by: str = "preset",
) -> Any:
    """Declare one parameter.

    Args:
        default: value when nothing is given. Leave out for a knob governed by `presets`.
        presets: preset name -> value. The knob's default is then "from the preset".
        by: the knob that chooses among `presets`.
        low, high: inclusive bounds, checked for numbers and for each item of a tuple.
        runtime: True keeps the knob out of a run's identity.
        source: where the constant comes from (paper section, original file and line).
        pattern: regular expression of what is taken besides `choices`, which show an example of it.
    """
    meta = Knob(help, presets, choices, low, high, runtime, source, pattern, by)
    if presets is not None:
        default = None
    return field(default=default, metadata={"knob": meta})


def knobs(cls: type) -> dict[str, tuple[dataclasses.Field, Knob, Any]]:
    """name -> (field, Knob, resolved type) in order of declaration, bases first."""
    hints = typing.get_type_hints(cls)
    return {f.name: (f, f.metadata["knob"], hints[f.name]) for f in dataclasses.fields(cls)}


# ---------------------------------------------------------------- checks
PASSWORD = re.compile(r"\w://[^/@:\s]*:[^/@\s]+@")  # scheme://user:password@host


def check(params: Any) -> None:
    """Raise one ParamError with every fault of every field.

    Raises:
        ParamError: a value is out of its choices or bounds, or a required one is missing.
    """
    faults = []
    for name, (_, meta, hint) in knobs(type(params)).items():
        value = getattr(params, name)
        kind, optional = strip_optional(hint)
        if value is None:
            if not optional and meta.presets is None:
                faults.append(f"{name}: a value is required ({meta.help})")
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str) and PASSWORD.search(item):
                faults.append(f"{name}: holds a password, and parameters are logged; leave it out of the address and give "
                              "it where the database's own client looks for it (PGPASSWORD, ~/.pgpass)")  # fmt: skip
            other = meta.pattern and re.fullmatch(meta.pattern, str(item))
            if meta.choices and item not in meta.choices and not other:
                faults.append(
                    f"{name}: must be one of {', '.join(map(str, meta.choices))}; not {quoted(item)}"
                )
            if isinstance(item, int | float) and not isinstance(item, bool):
                if item != item:
                    faults.append(f"{name}: must be a number; not NaN")
                elif meta.low is not None and item < meta.low:
                    faults.append(f"{name}: must be at least {meta.low:g}; not {quoted(item)}")
                elif meta.high is not None and item > meta.high:
                    faults.append(f"{name}: must be at most {meta.high:g}; not {quoted(item)}")
    if faults:
        raise ParamError("; ".join(faults))


def presets_of(cls: type) -> tuple[str, ...]:
    """Names of the presets that govern at least one knob of `cls`, in order of appearance."""
    seen: dict[str, None] = {}
    for _, meta, _ in knobs(cls).values():
        for name in (meta.presets or {}) if meta.by == "preset" else ():
            seen.setdefault(name)
    return tuple(seen)


def has_gpu() -> bool:
    """Whether NVIDIA's driver has a card here that is not hidden; what torch says would cost seconds to ask."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return not hidden and any(Path("/proc/driver/nvidia/gpus").glob("*"))


def preset_here(names: typing.Sequence[str], device: str = "auto") -> str:
    """What `auto` means: the paper's settings where there is a GPU, those for a CPU elsewhere."""
    wanted = PAPERS if device != "cpu" and has_gpu() else ("cpu",)
    return next((name for name in wanted if name in names), AUTO)


def resolve(params: T) -> T:
    """Fill every knob that was left to the preset; an explicit value wins.

    Raises:
        ParamError: unknown preset, a preset without a value for a knob, or a failed check.
    """
    check(params)
    names = presets_of(type(params))
    if names and params.preset == AUTO:
        own = knobs(type(params))["preset"][1].choices or names
        here = preset_here(own, getattr(params, "device", "auto"))
        params = dataclasses.replace(typing.cast(Any, params), preset=here)
    if names and params.preset not in names:
        raise ParamError(f"preset: must be one of {', '.join(names)}; not {quoted(params.preset)}")
    filled = {}
    for name, (_, meta, _) in knobs(type(params)).items():
        if meta.presets and getattr(params, name) is None:
            if (chosen := getattr(params, meta.by)) not in meta.presets:
                raise ParamError(f"{name}: {meta.by} {quoted(chosen)} has no value for it, give one")
            filled[name] = meta.presets[chosen]
    params = dataclasses.replace(typing.cast(Any, params), **filled)
    check(params)
    return params


# ---------------------------------------------------------------- readings
class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:  # one sentence, no usage dump
        raise ParamError(message)


def _nearest(name: str, names: typing.Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_line(cls: type) -> str:
    """What a class is, as its docstring begins."""
    return (cls.__doc__ or "").partition("\n")[0].rstrip(".")


def _meaning(f: dataclasses.Field, meta: Knob) -> str:
    """What a knob does, what it takes, and its default."""
    words = [meta.help]
    words += [f"one of {', '.join(map(repr, meta.choices))}"] if meta.choices else []
    words += [f"at least {meta.low:g}"] if meta.low is not None else []
    words += [f"at most {meta.high:g}"] if meta.high is not None else []
    if meta.presets is not None:
        words.append(
            f"default by {meta.by}: " + ", ".join(f"{k} {to_text(v)}" for k, v in meta.presets.items())
        )
    elif f.default is MISSING:
        words.append("required")
    else:
        words.append(f"default: {to_text(f.default) or ('none' if f.default != '' else repr(''))}")
    return "; ".join(words)


def _form(hint: Any) -> str:
    """What a value of that type looks like."""
    kind, _ = strip_optional(hint)
    if typing.get_origin(kind) is tuple:
        return f"{_form(typing.get_args(kind)[0])},…"
    return {int: "N", float: "X", bool: "true|false"}.get(kind, "TEXT")


def parser(cls: type, prog: str = "") -> argparse.ArgumentParser:
    """Takes every knob of `cls` as text; its help groups them by the dataclass that declares them."""
    made = _Parser(prog or None, "%(prog)s [--name value …]", first_line(cls), allow_abbrev=False)
    add(made, cls)
    return made


def add(made: argparse.ArgumentParser, cls: type, choices: bool = False) -> None:
    """Give a parser every knob of `cls`; on demand with the choices, which `check` tells about in its own words."""
    table = knobs(cls)
    for owner in cls.__mro__:
        own = [name for name in table if name in vars(owner).get("__annotations__", ())]
        group = made.add_argument_group(first_line(owner)) if own else made
        for name in own:
            f, meta, hint = table.pop(name)
            group.add_argument(f"--{name}", metavar=_form(hint), help=_meaning(f, meta).replace("%", "%%"),
                               choices=[*map(to_text, meta.choices)] if choices and meta.choices else None)  # fmt: skip


def parse(cls: type[T], argv: list[str], prog: str = "") -> T:
    """Command line -> `cls` (not yet resolved). `--name value` and `--name=value`; --help prints and exits.

    Raises:
        ParamError: unknown name, wrong type or out of range.
    """
    table = knobs(cls)
    rest = [word for word in argv if word.startswith("-h") and word != "-h"]  # argparse would show the help
    got = argparse.Namespace()
    if not rest:
        got, rest = parser(cls, prog).parse_known_args(argv)
    if rest:
        name = rest[0].lstrip("-").split("=")[0]
        raise ParamError(
            f"unknown parameter {quoted(name)}{_nearest(name, table)} (known: {', '.join(table)})"
        )
    return from_mapping(cls, {k: v for k, v in vars(got).items() if v is not None})


def from_mapping(cls: type[T], texts: dict[str, str]) -> T:
    """name -> text, as from a command line or from logged parameters, into `cls`.

    Raises:
        ParamError: unknown name, wrong type or out of range.
    """
    table = knobs(cls)
    values: dict[str, Any] = {}
    faults: list[str] = []
    for name, text in texts.items():
        if name not in table:
            faults.append(f"unknown parameter {quoted(name)}{_nearest(name, table)}")
            continue
        f, meta, hint = table[name]
        if meta.presets is not None and text.strip() == FROM_PRESET:
            values[name] = None
            continue
        try:
            value = from_text(text, hint, name)
        except ParamError as error:
            faults.append(str(error))
            continue
        values[name] = f.default if value is None and f.default is not MISSING else value
    for name, (f, meta, _) in table.items():
        if name not in values and f.default is MISSING:
            faults.append(f"{name}: a value is required ({meta.help})")
    if faults:
        raise ParamError("; ".join(faults))
    params = cls(**values)
    check(params)
    return params


def texts(params: Any, *, identity_only: bool = False) -> dict[str, str]:
    """name -> canonical text. `identity_only` leaves runtime knobs out."""
    return {
        name: to_text(getattr(params, name))
        for name, (_, meta, _) in knobs(type(params)).items()
        if not (identity_only and meta.runtime)
    }


def left_open(name: str, cls: type, doc: str, **own: Any) -> type:
    """A class with the knobs `own` and those of `cls`, the latter without values: whoever reads them fills them."""
    given = [(key, str, line) for key, line in own.items()]
    rest = [
        (key, hint, field(default=None, metadata={"knob": dataclasses.replace(meta, presets={})}))
        for key, (_, meta, hint) in knobs(cls).items()
    ]
    made = dataclasses.make_dataclass(name, given + rest, frozen=True, kw_only=True)
    made.__doc__ = doc
    return made


def mlproject_default(f: dataclasses.Field, meta: Knob) -> str:
    """The text MLproject holds for a knob: '' means "from the preset" or "none"."""
    if meta.presets is not None or f.default is MISSING:
        return FROM_PRESET
    return to_text(f.default)
