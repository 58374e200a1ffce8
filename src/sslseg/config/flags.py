"""One dataclass, four readings: flags, MLproject text, logged text, values back.

A parameter is one `knob(...)` line in a frozen dataclass. Nothing else in the project
spells a parameter's name, type, default or help a second time.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from sslseg.config.names import ParamError, quoted
from sslseg.config.texts import from_text, misread, nearest, strip_optional, to_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
AUTO = "auto"  # the preset that suits the machine, see `preset_here`
PAPERS = ("paper-text", "paper")  # presets of fine-tuning and of pretraining that want a GPU


@dataclass(frozen=True, kw_only=True)
class Knob:
    """What a `knob(...)` line says beyond name, type and default."""

    help: str
    presets: Mapping[str, Any] | None = None  # preset name -> value; the default is then "from the preset"
    by: str = "preset"  # the knob that chooses among `presets`
    choices: tuple[str, ...] | None = None
    pattern: str = ""  # regular expression of what is taken besides `choices`, which show an example of it
    low: float | None = None  # inclusive bounds, checked for numbers and for each item of a tuple
    high: float | None = None
    runtime: bool = False  # changes where or how fast a run happens, not what it is: no part of its identity
    source: str = ""  # where the constant comes from (paper section, original file and line)


def knob(default: Any = MISSING, help: str = "", **more: Any) -> Any:
    """Declare one parameter, without a default if it is required or governed by `presets`; the rest is as in `Knob`."""
    meta = Knob(help=help, **more)
    return field(default=default if meta.presets is None else None, metadata={"knob": meta})


def knobs(cls: type) -> dict[str, tuple[dataclasses.Field, Knob, Any]]:
    """name -> (field, Knob, resolved type) in order of declaration, bases first."""
    hints = typing.get_type_hints(cls)
    return {f.name: (f, f.metadata["knob"], hints[f.name]) for f in dataclasses.fields(cls)}


def is_span(hint: object) -> bool:
    """Whether a type is of two numbers, the smaller first: `tuple[float, float]`; `tuple[float, ...]` are any number."""
    return typing.get_origin(hint) is tuple and ... not in typing.get_args(hint)


PASSWORD = re.compile(r"\w://[^/@:\s]*:[^/@\s]+@")  # scheme://user:password@host
UNREAD = re.compile("[\ud800-\udfff]")  # bytes of a command line that are no letters in Python's encoding


def check(params: DataclassInstance) -> None:
    """Raise one ParamError with every fault of every field.

    Raises:
        ParamError: a value is out of its choices or bounds, or a required one is missing.
    """
    faults = []
    for name, (_, meta, hint) in knobs(type(params)).items():
        value = getattr(params, name)
        if value is None:
            if not strip_optional(hint)[1] and meta.presets is None:
                faults.append(f"{name}: a value is required ({meta.help})")
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str) and PASSWORD.search(item):
                faults.append(f"{name}: holds a password, and parameters are logged; leave it out of the address and give "
                              "it where the database's own client looks for it (PGPASSWORD, ~/.pgpass)")  # fmt: skip
            if isinstance(item, str) and UNREAD.search(item):
                faults.append(f"{name}: {quoted(item)} has {misread()}")
            other = meta.pattern and re.fullmatch(meta.pattern, str(item))
            if meta.choices and item not in meta.choices and not other:
                faults.append(f"{name}: must be one of {', '.join(meta.choices)}; not {quoted(item)}")
            if item != item:
                faults.append(f"{name}: must be a number; not NaN")
            elif meta.low is not None and item < meta.low:
                faults.append(f"{name}: must be at least {meta.low:g}; not {quoted(item)}")
            elif meta.high is not None and item > meta.high:
                faults.append(f"{name}: must be at most {meta.high:g}; not {quoted(item)}")
        if is_span(hint) and (len(value) != 2 or value[0] > value[1]):
            faults.append(f"{name}: must be two numbers, the smaller first; not {quoted(to_text(value))}")
    if faults:
        raise ParamError("; ".join(faults))


def presets_of(cls: type) -> tuple[str, ...]:
    """Names of the presets that govern at least one knob of `cls`, in order of appearance."""
    governed = (meta.presets or {} for _, meta, _ in knobs(cls).values() if meta.by == "preset")
    return tuple(dict.fromkeys(name for presets in governed for name in presets))


def has_gpu() -> bool:
    """Whether NVIDIA's driver has a card here that is not hidden; what torch says would cost seconds to ask."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() not in ("", "-1")
    return shown and any(Path("/proc/driver/nvidia/gpus").glob("*"))


def preset_here(names: Sequence[str], device: str) -> str:
    """What `auto` means: the paper's settings where there is a GPU, those for a CPU elsewhere."""
    wanted = PAPERS if device != "cpu" and has_gpu() else ("cpu",)
    return next((name for name in wanted if name in names), AUTO)


def resolve(params: T) -> T:
    """Fill every knob that was left to the preset; an explicit value wins.

    Raises:
        ParamError: unknown preset, a preset without a value for a knob, or a failed check.
    """
    check(params)
    p: Any = params
    names = presets_of(type(p))
    if names and p.preset == AUTO:
        own = knobs(type(p))["preset"][1].choices or names
        p = dataclasses.replace(p, preset=preset_here(own, getattr(p, "device", AUTO)))
    if names and p.preset not in names:
        raise ParamError(f"preset: must be one of {', '.join(names)}; not {quoted(p.preset)}")
    filled = {}
    for name, (_, meta, _) in knobs(type(p)).items():
        if meta.presets and getattr(p, name) is None:
            if (chosen := getattr(p, meta.by)) not in meta.presets:
                raise ParamError(f"{name}: {meta.by} {quoted(chosen)} has no value for it, give one")
            filled[name] = meta.presets[chosen]
    p = dataclasses.replace(p, **filled)
    check(p)
    return p


def usual(params: DataclassInstance, name: str) -> object:
    """What a knob is that nobody sets, under the preset of `params`."""
    f, meta, _ = knobs(type(params))[name]
    if f.default == AUTO and name == "preset":
        return preset_here(meta.choices or (), getattr(params, "device", AUTO))
    return f.default if meta.presets is None else meta.presets[getattr(params, meta.by)]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:  # one sentence, no usage dump
        raise ParamError(message)


def _unknown(name: str, known: Iterable[str]) -> str:
    close = nearest(name, known)
    return f"unknown parameter {quoted(name)}" + (f"; did you mean {close!r}?" if close else "")


def first_line(cls: type) -> str:
    """What a class is, as its docstring begins."""
    return (cls.__doc__ or "").partition("\n")[0].rstrip(".")


def meaning(meta: Knob) -> str:
    """What a knob does, and what it takes."""
    words = [meta.help]
    words += [f"one of {', '.join(map(repr, meta.choices))}"] if meta.choices else []
    words += [f"at least {meta.low:g}"] if meta.low is not None else []
    words += [f"at most {meta.high:g}"] if meta.high is not None else []
    return "; ".join(words)


def default(f: dataclasses.Field, meta: Knob) -> str:
    """What a knob is that nobody sets, in words; of a pretraining by any method, its method says."""
    if meta.presets is not None:
        named: dict[str, list[str]] = {}
        for name, value in meta.presets.items():
            named.setdefault(to_text(value), []).append(name)
        told = ", ".join(f"{value} ({', '.join(those)})" for value, those in named.items())
        return f"by {meta.by}, {told}" if named else "the method's"
    if f.default is MISSING:
        return "required"
    return to_text(f.default) or ("none" if f.default != "" else repr(""))


def _form(hint: object) -> str:
    """What a value of that type looks like."""
    if typing.get_origin(kind := strip_optional(hint)[0]) is tuple:
        one = _form(typing.get_args(kind)[0])
        return f"{one},{one if is_span(kind) else '…'}"
    return {int: "N", float: "X", bool: "true|false"}.get(kind, "TEXT")


def add(made: argparse.ArgumentParser, cls: type, choices: bool = False) -> None:
    """Give a parser every knob of `cls`; on demand with the choices, which `check` tells about in its own words."""
    table = knobs(cls)
    for owner in cls.__mro__:
        own = [name for name in table if name in inspect.get_annotations(owner)]
        title = "its own knobs" if owner is cls else first_line(owner)
        group = made.add_argument_group(title) if own else made
        for name in own:
            f, meta, hint = table.pop(name)
            told = f"{meaning(meta)}; {'' if f.default is MISSING else 'default: '}{default(f, meta)}"
            group.add_argument(f"--{name}", metavar=_form(hint), help=told.replace("%", "%%"),
                               choices=[*map(to_text, meta.choices)] if choices and meta.choices else None)  # fmt: skip


def parse(cls: type[T], argv: list[str], prog: str = "", also: Sequence[str] = ()) -> T:
    """Command line -> `cls` (not yet resolved). `--name value` and `--name=value`; --help prints and exits.

    Args:
        also: what else is known here, to say so of a name that is not.

    Raises:
        ParamError: unknown name, wrong type or out of range.
    """
    table = knobs(cls)
    rest = [word for word in argv if word.startswith("-h") and word != "-h"]  # argparse would show the help
    got = argparse.Namespace()
    if not rest:
        parser = _Parser(prog or None, "%(prog)s [--name value …]", first_line(cls), allow_abbrev=False)
        add(parser, cls)
        got, rest = parser.parse_known_args(argv)
    if rest:
        name = rest[0].lstrip("-").split("=")[0]
        known = [*also, *table]
        raise ParamError(f"{_unknown(name, known)} (known: {', '.join(known)})")
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
        try:
            f, meta, hint = table[name]
            of_preset = meta.presets is not None and not text.strip()  # as MLproject has it
            value = None if of_preset else from_text(text, hint, name)
            values[name] = f.default if value is None and f.default is not MISSING else value
        except KeyError:
            faults.append(_unknown(name, table))
        except ParamError as error:
            faults.append(str(error))
    missing = [name for name, (f, *_) in table.items() if name not in values and f.default is MISSING]
    faults += [f"{name}: a value is required ({table[name][1].help})" for name in missing]
    if faults:
        raise ParamError("; ".join(faults))
    params = cls(**values)
    check(params)
    return params


def texts(params: DataclassInstance, *, identity_only: bool = False) -> dict[str, str]:
    """name -> canonical text. `identity_only` leaves runtime knobs out."""
    table = knobs(type(params)).items()
    return {n: to_text(getattr(params, n)) for n, (_, k, _) in table if not (identity_only and k.runtime)}


def mlproject_default(f: dataclasses.Field) -> str:
    """The text MLproject holds for a knob: '' means "from the preset" or "none"."""
    return "" if f.default is MISSING else to_text(f.default)
