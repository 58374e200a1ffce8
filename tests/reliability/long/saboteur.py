"""Dies by SIGKILL before, after or in the middle of one of the effects that a stage has on the world, or waits there.

Every effect (a step of training, a part of a checkpoint's writing, a call of the store) is a line of a file
that all processes of a command append to; the number of the line is the number of the effect.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIABLE = "SSLSEG_SABOTAGE"  # JSON: log, at (number of the effect to die in), mode: "all", "worker", "wait"
GO = ".go"  # of the log: the file that one who waits is waiting for
WIDTH = 64  # bytes a line, so that the place in the file is the number
STORE = (
    "create_run", "log_batch", "log_text", "log_artifact", "log_artifacts", "set_tag", "update_run",
    "create_logged_model", "log_model_artifacts", "finalize_logged_model", "log_outputs", "log_inputs",
    "create_registered_model", "create_model_version", "set_registered_model_alias", "set_logged_model_tags",
    "set_terminated",
)  # fmt: skip


def install() -> None:
    """Wrap the effects, in a process whose environment asks for it."""
    told = json.loads(os.environ[VARIABLE])
    log = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def reached(name: str) -> bool:
        """Note an effect; whether it is the one to die in."""
        os.write(log, f"{os.getpid()} {name}".ljust(WIDTH - 1)[: WIDTH - 1].encode() + b"\n")
        return os.lseek(log, 0, os.SEEK_CUR) // WIDTH - 1 == told.get("at")

    mode = told.get("mode", "all")

    def point(name: str) -> None:
        if reached(name):
            wait(Path(told["log"] + GO)) if mode == "wait" else die(mode)

    _wrap(point, reached, mode)


def wait(go: Path) -> None:
    """Until something has been done to the world."""
    while not go.exists():
        time.sleep(0.02)


def die(mode: str) -> None:
    """SIGKILL to this process ("worker") or to all of the command ("all": the plug is pulled)."""
    if mode == "all":
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(point: Callable[[str], None], reached: Callable[[str], bool], mode: str) -> None:
    from mlflow import MlflowClient

    from sslseg.training import checkpoint, loop

    def step(real: Callable, self: Any, number: int, /, *given: Any, **rest: Any) -> Any:
        point(f"step {number} before")
        found = real(self, number, *given, **rest)
        point(f"step {number} done")
        return found

    def write(real: Callable, tensors: dict, part: Path, /, **rest: Any) -> None:
        point("checkpoint before")
        real(tensors, part, **rest)
        if reached("checkpoint half"):
            os.truncate(part, part.stat().st_size // 2)
            die(mode)
        point("checkpoint unnamed")

    def written(real: Callable, *given: Any, **rest: Any) -> Path:
        found = real(*given, **rest)
        point("checkpoint written")
        return found

    def call(real: Callable, name: str, /, *given: Any, **rest: Any) -> Any:
        point(f"store {name} before")
        found = real(*given, **rest)
        point(f"store {name} done")
        return found

    loop.Training.step = _partial(step, loop.Training.step)
    checkpoint.save_file = _partial(write, checkpoint.save_file)
    checkpoint.save = _partial(written, checkpoint.save)
    for name in STORE:
        real = getattr(MlflowClient, name)
        setattr(MlflowClient, name, _partial(call, real, name))


def _partial(wrapper: Callable, *given: Any) -> Callable:
    """As functools.partial, but a method where it is set on a class."""

    @functools.wraps(given[0])
    def wrapped(*more: Any, **rest: Any) -> Any:
        return wrapper(*given, *more, **rest)

    return wrapped


def effects(log: Path) -> list[str]:
    """Names of the effects so far, in order."""
    if not log.exists():
        return []
    return [line.partition(" ")[2].strip() for line in log.read_text().splitlines()]


if os.environ.get(VARIABLE):  # a worker that was started by a sabotaged command
    install()
