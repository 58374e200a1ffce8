"""Commands to copy, as the tool prints them and writes them into cards and pages."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from sslseg.config import flags

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


def typed_again(stage: str, params: Any, **other: Any) -> str:
    """The command of these parameters with some others; what a stage has anyway is left out."""
    declared = {f.name: flags.mlproject_default(f) for f, *_ in flags.knobs(type(params)).values()}
    given = flags.texts(dataclasses.replace(params, **other))
    return typed(stage, **{name: text for name, text in given.items() if text != declared[name]})


def _told(given: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in given.items() if value not in ("", None)}
