"""From a command line, or from a warm worker, into a stage.

Parameters are checked before torch and mlflow are imported. A stage is `run(p, run)` in
stages/<name>.py. It may also have `fill(p) -> p` (complete the parameters before they are logged) and
`identify(p) -> sha256`, which makes it resumable.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from sslseg.config import flags, mlproject, names, plugins
from sslseg.config.names import ParamError, quoted
from sslseg.config.params import AnyMethod
from sslseg.config.texts import sentence
from sslseg.execute import EXIT_INTERRUPTED, execute
from sslseg.plans.cells import parameters_of
from sslseg.tracking import processes
from sslseg.tracking.processes import Terminated

OVERVIEW = "main"  # what `mlflow run .` starts, which names no entry point
# stages that go on from checkpoints, finished cells or trials
RESUMED = (names.PRETRAIN, names.FINETUNE, names.SWEEP, names.TUNE)
PATIENCE = 60.0  # seconds for `mlflow run` to end after Ctrl-C


def main(stage: str, argv: list[str] | None = None, method: str | None = None) -> None:
    """Run one entry point and exit: 0, 1 failed, 2 a parameter is wrong, 3 leak, 128 + n on the signal n.

    The run that `mlflow run` opened is adopted, and ends whatever happens. When the launcher dies alone,
    this process ends its run as KILLED.
    """
    processes.raise_on_signals()
    processes.outlive_reader()
    adopted = os.environ.pop("MLFLOW_RUN_ID", None) or None  # before any child could adopt it too
    launcher = processes.launcher() if adopted else None
    processes.watch_launcher(launcher)
    if launcher:
        _stand_with(launcher)
    code = _guarded(stage, sys.argv[1:] if argv is None else argv, method, adopted)
    processes.end_children()
    if adopted and launcher and launcher.is_running() and code > 128:
        _say_again(adopted, launcher.pid)
    sys.exit(code)  # outside the run's block


def _stand_with(launcher: psutil.Process) -> None:
    """Go to the folder where `mlflow run` was started: it starts stages in the project's own folder.

    Of a project that was named by an address, that is a clone which is thrown away: results and checkpoints would be too.
    """
    project = plugins.PACKAGE.parents[1]
    try:
        there = Path(launcher.cwd())
        if (
            "MLFLOW_EXPERIMENT_ID" not in os.environ
            or not Path.cwd().samefile(project)
            or there.samefile(project)
        ):
            return  # not started by `mlflow run`, or at home
    except (OSError, psutil.Error):
        return
    places = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(place).absolute()) for place in places)
    os.chdir(there)
    print(
        f"relative folders (data_root, out, cache …) are read from {there}, where `mlflow run` was started",
        flush=True,
    )


def _guarded(stage: str, argv: list[str], method: str | None, adopted: str | None) -> int:
    """Run the stage; returns the exit code. Every error is one clear line on stderr."""
    try:
        processes.raise_early()
        entry = stage
        if stage == OVERVIEW:
            print(mlproject.overview())
            if given := [word for word in argv if word not in ("-h", "--help")]:
                raise ParamError(f"{quoted(given[0])} was given, and no entry point: -e names one")
            return 0
        if stage == names.PRETRAIN:
            entry, method, argv = _of_a_method(method, argv)
        cls = AnyMethod if stage == names.PRETRAIN and not method else parameters_of(stage, method)
        also = ("method",) if entry == names.PRETRAIN else ()
        params: Any = flags.resolve(flags.parse(cls, argv, f"sslseg {entry}", also))
        execute(stage, params, method=method, adopt_run_id=adopted)
    except Terminated as error:
        return _end(stage, adopted, "KILLED", str(error), 128 + error.number)
    except KeyboardInterrupt:
        return _end(stage, adopted, "KILLED", "Ctrl-C", EXIT_INTERRUPTED)
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except Exception as error:
        code = getattr(error, "exit_code", names.EXIT_FAILED)  # of an SslsegError
        return _end(stage, adopted, "FAILED", sentence(error), code)
    return 0


def _of_a_method(method: str | None, argv: list[str]) -> tuple[str, str, list[str]]:
    """Entry point, method and its own flags; without `method` the one that `--method` names.

    Flags with an empty value are left to the method then: MLproject hands on every knob.
    """
    if method:
        return f"{names.PRETRAIN}_{method}", method, argv
    if set(argv) & {"-h", "--help"} and not any(word.startswith("--method") for word in argv):
        return names.PRETRAIN, "", argv
    words = iter(argv)
    pairs = [(w.partition("=") if "=" in w else (w, "=", next(words, ""))) for w in words]
    given = {flag: value for flag, _, value in pairs if value}
    method = given.pop("--method", str(flags.knobs(AnyMethod)["method"][0].default))
    return names.PRETRAIN, method, [f"{flag}={value}" for flag, value in given.items()]


def _end(stage: str, adopted: str | None, status: str, reason: str, code: int) -> int:
    again = "; the same command again goes on from there" if status == "KILLED" and stage in RESUMED else ""
    who = "sslseg" if stage == OVERVIEW else f"sslseg {stage}"
    print(f"{who}: {reason}{again}", file=sys.stderr, flush=True)
    if adopted:
        _close_if_open(adopted, stage, status, reason)
    return code


def _close_if_open(run_id: str, stage: str, status: str, reason: str) -> None:
    """End the adopted run where no run block did: a wrong parameter, or a signal before the block."""
    from mlflow.exceptions import MlflowException

    from sslseg.tracking import client, ownership, store
    from sslseg.tracking.runs import RUN_NAME

    try:
        found = store.client().get_run(run_id)
        ours = found.data.tags.get(names.TAG_PROCESS, ownership.owner()) == ownership.owner()
        if ours and found.info.status == "RUNNING":
            if client.is_drawn(found.info.run_name or ""):  # by `mlflow run`; no stage came to name it
                store.client().set_tag(run_id, RUN_NAME, stage)
            ownership.close(run_id, status, reason)
    except MlflowException as error:
        print(f"sslseg: run {run_id} cannot be closed: {error}", file=sys.stderr)


def _say_again(run_id: str, launcher: int) -> None:
    """Have the end of an adopted run written once more when the launcher is gone.

    `mlflow run` waits for this process and then writes FAILED over KILLED: MLflow 3.17 looks for the text
    among numbers. So a process of its own outlives both.
    """
    code = f"from sslseg import launch; launch.write_after({run_id!r}, {_status(run_id)!r}, {launcher})"
    path = os.pathsep.join(filter(None, [str(plugins.PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    nothing = subprocess.DEVNULL
    subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, start_new_session=True,
        stdin=nothing, stdout=nothing, stderr=nothing,
    )  # fmt: skip


def _status(run_id: str) -> str:
    from sslseg.tracking import store

    return store.client().get_run(run_id).info.status


def write_after(run_id: str, status: str, launcher: int) -> None:
    """Wait for the end of a process, then give a run that it called FAILED the status that its stage had given it."""
    from sslseg.tracking import store

    with contextlib.suppress(psutil.Error):
        psutil.Process(launcher).wait(PATIENCE)
    if _status(run_id) == "FAILED":
        store.client().set_terminated(run_id, status)
