"""Commands to copy, as the tool prints them and writes them into cards and pages."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sslseg.config import flags
from sslseg.config.params import Data, Reader
from sslseg.config.texts import to_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PROGRAM = "sslseg"


def command(stage: str, /, **given: object) -> str:
    """A stage as it is typed in an activated environment, from any folder.

    Args:
        given: knob -> value; what is empty is left out, capitals stand for what the reader has to fill in.

    >>> command("predict", model="a1", input="FOLDER", output="")
    'sslseg predict --model a1 --input FOLDER'
    """
    words = [word for name, value in _told(given).items() for word in (f"--{name}", value)]
    return shlex.join([PROGRAM, stage, *words])


def typed(stage: str, /, **given: object) -> str:
    """A stage as it is typed where the user stands: by MLflow in a checkout, elsewhere by the installed program."""
    if not Path("MLproject").is_file():
        return command(stage, **given)
    words = [word for name, value in _told(given).items() for word in ("-P", f"{name}={value}")]
    return shlex.join(["mlflow", "run", ".", "-e", stage, "--env-manager", "local", *words])


def typed_again(stage: str, params: DataclassInstance, **other: object) -> str:
    """The command of these parameters with some others; what a stage has anyway is left out."""
    fields, given = dataclasses.fields(params), dataclasses.replace(params, **other)
    told = {f.name: getattr(given, f.name) for f in fields}
    return typed(
        stage, **{f.name: told[f.name] for f in fields if to_text(told[f.name]) != flags.mlproject_default(f)}
    )


def kept(p: Reader, stage: type) -> dict[str, str]:
    """What a stage was told of its data, as the command of the next stage tells it again.

    What nobody has set is left out. A sweep gives its fine-tunings what is not its own.

    Args:
        p: its resolved parameters.
        stage: parameter class of the next one.
    """
    known = flags.knobs(stage)
    names = ("dataset", "data_root", *flags.knobs(Data), "cache", "preset")
    told = {n: _text(getattr(p, n)) for n in names if n in names[:2] or getattr(p, n) != flags.usual(p, n)}
    if (presets := known["preset"][1].choices) and p.preset not in presets:
        told.pop("preset", "")
    others = ",".join(f"{name}={text}" for name, text in told.items() if name not in known)
    return {name: text for name, text in told.items() if name in known} | (
        {"finetune": others} if others else {}
    )


def _told(given: dict[str, object]) -> dict[str, str]:
    return {name: text for name, value in given.items() if (text := _text(value))}


def _text(value: object) -> str:
    """As a person types it: 12 for 12.0."""
    return to_text(int(value) if isinstance(value, float) and value.is_integer() else value)
