"""Where a command of tests/long/ works, and ways to give it: in a fork of a warm process, or in a cold one."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.reliability.long import saboteur

ROOT = Path(__file__).parents[3]
INTERVAL = 3  # steps between two checkpoints
FINE = {"steps": "8", "checkpoint_every": str(INTERVAL), "eval_every": "2"}
PRE = {"steps": "8", "checkpoint_every": str(INTERVAL), "save_epochs": "0,1,3"}
SMALL = ";".join(
    f"{name}=fixed" for name in ("warmup", "clip", "schedule", "crop_scale", "brightness", "contrast")
)
STAGES = ("pretrain", "finetune", "sweep", "tune")


@dataclass(frozen=True)
class Place:
    """A store, a cache and logs of one command's own."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"


def argv_of(stage: str, root: Path, place: Place) -> tuple[list[str], str | None]:
    """Command line and method of a stage on tiny settings."""
    from tests.fixtures.tiny_runs import TEXTS

    own = ("dataset", "data_root", "cache", "threads", "budget", "encoder")
    data = {"dataset": "acdc", "data_root": str(root), "cache": str(place.cache), "threads": "1"}
    fine, pre = TEXTS["finetune"] | FINE, TEXTS["pretrain"] | PRE

    def inner(texts: dict[str, str]) -> str:
        return ";".join(f"{k}={v}" for k, v in texts.items() if k not in own)

    texts = {
        "finetune": fine | data,
        "pretrain": pre | data,
        "sweep": data | {"workers": "1", "pipelines": "scratch,byol@target", "budgets": "3", "seeds": "0",
                         "finetune": inner(fine), "pretrain": inner(pre), "device": "cpu"},
        "tune": data | {"encoder": "scratch", "finetune": inner(fine), "budget": "3", "trials": "2",
                        "startup": "1", "space": SMALL, "pruner": "none", "device": "cpu"},
    }[stage]  # fmt: skip
    return [f"--{k}={v}" for k, v in texts.items()], "byol" if stage == "pretrain" else None


def warm_up() -> None:
    """Import once what every child needs; without a thread, since they are forked."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    from sslseg.stages import (
        tune,  # noqa: F401
    )
    from sslseg.tracking.registry import resolve  # noqa: F401


def warm_more(modules: Path) -> None:
    """Import what a child had imported by its end: half of a tiny stage's time goes into imports on the way."""
    for name in modules.read_text().split("\n"):
        if name not in sys.modules and not name.startswith(("__", "tests")):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError(f"an import started a thread: {threading.enumerate()}")


def forked(action: Callable[[], Any], output: Path | None = None) -> int:
    """Run `action` in a child process of its own session; returns its exit code, -9 after a SIGKILL.

    What a child that ends by itself has imported is listed beside its output, for `warm_more`.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        os.setsid()
        if output:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1)
            os.dup2(file, 2)
        action()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        if output:
            with contextlib.suppress(OSError):  # the disk may be full on purpose
                output.with_suffix(".modules").write_text("\n".join(sorted(sys.modules)))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def command(
    stage: str,
    root: Path,
    place: Place,
    log: str,
    at: int | None = None,
    mode: str = "all",
    uri: str = "",
    cold: bool = False,
) -> int:
    """Give the command once, with its effects noted, and killed in one of them; returns its exit code.

    Args:
        log: file in the place's folder for the effects; `<log>.output` takes what the command says.
        at: number of the effect to die in; None: none.
        mode: "all" kills the command with its workers, "worker" the process alone.
        cold: by the entry point in a process of its own, not in a fork of this one.
    """
    argv, method = argv_of(stage, root, place)
    told = {"log": str(place.folder / log), "at": at, "mode": mode}
    named = {saboteur.VARIABLE: json.dumps(told), "MLFLOW_TRACKING_URI": uri or place.uri}
    output = place.folder / f"{log}.output"
    if cold:
        return _cold([stage, *([method] if method else []), *argv], named, output)

    def action() -> None:
        os.environ |= named
        saboteur.install()
        from sslseg import launch

        launch.main(stage, argv, method)

    return forked(action, output)


def _cold(words: list[str], named: dict[str, str], output: Path) -> int:
    env = os.environ | named | {"PYTHONPATH": f"{ROOT}/src:{ROOT}"}
    with output.open("ab") as file:
        return subprocess.run(
            [sys.executable, "-m", "tests.reliability.long.entry", *words],
            cwd=ROOT, env=env, stdout=file, stderr=file, start_new_session=True,
        ).returncode  # fmt: skip


def begin(base: Path) -> Path:
    """Cohort, prepared slices and the empty store that all places start from; returns the cohort's folder."""
    from sslseg.data.phantom import tree
    from sslseg.data.slices import prepare

    base.mkdir(parents=True, exist_ok=True)
    root = tree.write(base / "acdc", patients=6, seed=1, size=64, slices=3)

    def action() -> None:
        from sslseg.tracking.store import ensure_store

        ensure_store(f"sqlite:///{base}/template.db")
        with sqlite3.connect(base / "template.db") as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()
        prepare.prepare("acdc", root, base / "prepared", spacing=0, progress=False)

    if forked(action, base / "begin.output"):
        raise RuntimeError((base / "begin.output").read_text())
    return root


def fresh(base: Path, name: str) -> Place:
    """An empty store and a cache that has the data prepared."""
    place = Place(base / name)
    (place.cache).mkdir(parents=True)
    shutil.copy(base / "template.db", place.folder / "mlflow.db")
    with sqlite3.connect(place.folder / "mlflow.db") as connection:
        connection.execute("update experiments set artifact_location = ?", (f"{place.folder}/mlruns/0",))
    connection.close()
    (place.cache / "slices").symlink_to(base / "prepared" / "slices")
    return place
