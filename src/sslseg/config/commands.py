"""Commands to copy, as the tool prints them and writes them into cards and pages."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

PROGRAM = "sslseg"
ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")  # set by an environment that was activated


def command(stage: str, **given: object) -> str:
    """A stage as it is typed in an activated environment, from any folder.

    Args:
        given: knob -> value; what is empty is left out, capitals stand for what the reader has to fill in.

    >>> command("predict", model="a1", input="FOLDER", output="")
    'sslseg predict --model a1 --input FOLDER'
    """
    return shlex.join([PROGRAM, stage, *_words({f"--{name}": value for name, value in given.items()})])


def typed(stage: str, **given: object) -> str:
    """`command` as it works where the user stands.

    With the path of an environment that only make has entered, and by MLflow from a checkout whose environment
    lacks the package.
    """
    here = Path(sys.executable).parent / PROGRAM
    if not here.exists():
        knobs = [
            word
            for name, value in given.items()
            for word in _words({"-P": f"{name}={value}" if value else ""})
        ]
        return shlex.join(["mlflow", "run", ".", "-e", stage, "--env-manager", "local", *knobs])
    if "MAKELEVEL" in os.environ and not any(name in os.environ for name in ACTIVE):
        return f"{shlex.quote(os.path.relpath(here))}{command(stage, **given).removeprefix(PROGRAM)}"
    return command(stage, **given)


def _words(given: dict[str, object]) -> list[str]:
    return [word for flag, value in given.items() if value not in ("", None) for word in (flag, str(value))]
