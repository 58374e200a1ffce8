"""Floor 2: from a command line, or from a warm worker, into a stage.

Parameters are checked before torch and mlflow are imported. A stage is `run(p, run)` in
stages/<name>.py. It may also have `fill(p) -> p` (complete the parameters before they are logged) and
`identify(p) -> sha256`, which makes it resumable.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sslseg import flags, names, plugins, processes
from sslseg.names import ParamError, SslsegError
from sslseg.processes import Terminated

if TYPE_CHECKING:
    from sslseg.tracking import Run

EXIT_TERMINATED = 128 + 15  # shells' convention for SIGTERM
EXIT_INTERRUPTED = 128 + 2


def parameters_of(stage: str, method: str | None = None) -> type:
    """The parameter class of a stage; a method's own for a pretraining.

    Raises:
        ParamError: no such stage or method.
    """
    if method:
        return plugins.load("methods", method).Params
    from sslseg import params

    if stage not in params.STAGES:
        raise ParamError(f"stage: must be one of {', '.join(params.STAGES)}; not {stage!r}")
    return params.STAGES[stage]


def stage_module(stage: str) -> ModuleType:
    """The module of a stage; imports torch."""
    return importlib.import_module(f"sslseg.stages.{stage}")


def main(stage: str, argv: list[str] | None = None, method: str | None = None) -> None:
    """Run one entry point and exit: 0, 1 failed, 2 a parameter is wrong, 3 leak, 130 and 143 on signals.

    The run that `mlflow run` opened is adopted, and ends whatever happens. When the launcher dies alone,
    this process ends its run as KILLED.
    """
    adopted = os.environ.pop("MLFLOW_RUN_ID", None) or None  # before any child could adopt it too
    if adopted:
        processes.watch_launcher(processes.launcher())
    processes.raise_on_signals()
    code = _guarded(stage, sys.argv[1:] if argv is None else argv, method, adopted)
    processes.end_children()
    sys.exit(code)  # outside the run's block


def _guarded(stage: str, argv: list[str], method: str | None, adopted: str | None) -> int:
    """Run the stage; returns the exit code. Every error is one clear line on stderr."""
    try:
        params = flags.resolve(flags.parse(parameters_of(stage, method), argv))
        execute(stage, params, method=method, adopt_run_id=adopted)
    except SslsegError as error:
        return _end(stage, adopted, "FAILED", str(error), error.exit_code)
    except Terminated:
        return _end(stage, adopted, "KILLED", "SIGTERM", EXIT_TERMINATED)
    except KeyboardInterrupt:
        return _end(stage, adopted, "KILLED", "Ctrl-C", EXIT_INTERRUPTED)
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return _end(stage, adopted, "FAILED", reason, names.EXIT_FAILED)
    return 0


def _end(stage: str, adopted: str | None, status: str, reason: str, code: int) -> int:
    print(f"sslseg {stage}: {reason}", file=sys.stderr, flush=True)
    if adopted:
        _close_if_open(adopted, status, reason)
    return code


def _close_if_open(run_id: str, status: str, reason: str) -> None:
    """End the adopted run where no run block did: a wrong parameter, or a signal before the block."""
    from mlflow.exceptions import MlflowException

    from sslseg import runs, store

    try:
        found = store.retry(lambda: store.client().get_run(run_id))
        if found.info.status == "RUNNING":
            runs.close(run_id, status, reason)
    except MlflowException as error:
        print(f"sslseg: run {run_id} cannot be closed: {error}", file=sys.stderr)


def execute(
    stage: str,
    params: Any,
    parent_run_id: str | None = None,
    *,
    method: str | None = None,
    name: str | None = None,
    experiment_id: str | None = None,
    adopt_run_id: str | None = None,
    tags: dict[str, str] | None = None,
) -> str:
    """Run a stage in this process and return the ID of the run that holds the result.

    The same path for an entry point and for a cell of a sweep: same parameters, same tags.

    Args:
        params: resolved parameters of the stage.
        parent_run_id: the sweep that the run is a cell of.

    Raises:
        SslsegError: and whatever else the stage raises; the run is FAILED or KILLED by then.
    """
    in_worker = multiprocessing.parent_process() is not None
    if in_worker:
        guard_worker()
    from sslseg import store, tracking

    os.environ["MLFLOW_TRACKING_URI"] = store.ensure_store()  # absolute, for every child
    known = {names.TAG_SWEEP: parent_run_id} if parent_run_id else {}
    if method:
        known[names.TAG_METHOD] = method
    try:
        with tracking.open_run(
            stage,
            name=name or title(stage, params, method),
            experiment_id=experiment_id,
            parent_run_id=parent_run_id,
            adopt_run_id=adopt_run_id,
            tags=known | (tags or {}),
        ) as run:
            _run_stage(stage_module(stage), params, run, method)
    except (Terminated, KeyboardInterrupt):
        if in_worker:  # a pool would hand the next cell to a process that was told to end
            os._exit(EXIT_TERMINATED)
        raise
    tracking.drop_checkpoints(getattr(params, "cache", ""), run.id)
    return run.id


def title(stage: str, params: Any, method: str | None = None) -> str:
    """The name of a run that nobody has named: what tells it from others like it, in a list.

    >>> title("sweep", Sweep(study="paper-cpu"))
    'sweep paper-cpu'
    """
    known = flags.texts(params)
    words = [stage, method or known.get("stage", ""), known.get("study") or known.get("dataset", "")]
    words += [known["source"].rpartition("/")[2]] if stage == names.IMPORT else []
    if stage in (names.FINETUNE, names.TUNE):
        words.append(f"n={known['budget'] or 'all'}")
    if stage in (names.FINETUNE, names.PRETRAIN):
        words.append(f"seed={known['seed']}")
    return " ".join(filter(None, words))


def _run_stage(module: ModuleType, params: Any, run: Run, method: str | None = None) -> None:
    from sslseg import manifest, tracking
    from sslseg.stages import devices

    params = module.fill(params) if hasattr(module, "fill") else params
    runtime = [name for name, (_, knob, _) in flags.knobs(type(params)).items() if knob.runtime]
    run.params(flags.texts(params), may_differ=runtime)
    if hasattr(module, "identify"):
        cache = tracking.cache_folder(params.cache)

        def has_checkpoint(run_id: str) -> bool:
            folder = tracking.checkpoint_folder(cache, run_id)
            return folder.is_dir() and any(folder.iterdir())

        opened = tracking.resume(run, module.identify(params), has_checkpoint)
        if opened:
            print(f"going on with run {run.id} from its last checkpoint ({opened} points to it)", flush=True)
    device = devices.name(params)
    run.tag(names.TAG_DEVICE, device)
    written = manifest.start(run, params, method, device)
    module.run(params, run)
    manifest.complete(run, written)


_guarded_pid = 0


def guard_worker() -> None:
    """Once per worker process: signals close its run, and it does not outlive its parent."""
    global _guarded_pid
    if _guarded_pid == os.getpid() or threading.current_thread() is not threading.main_thread():
        return
    _guarded_pid = os.getpid()
    processes.watch_launcher(processes.launcher())
    processes.raise_on_signals()
