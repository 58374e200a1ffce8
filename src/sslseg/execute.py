"""Run a stage in this process: the same path for an entry point, a cell of a sweep and a trial."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sslseg.config import flags, names, plugins
from sslseg.config.names import ParamError
from sslseg.tracking import processes
from sslseg.tracking.processes import Terminated

if TYPE_CHECKING:
    from sslseg.tracking.session import Run


EXIT_TERMINATED = 128 + 15  # shells' convention for SIGTERM
EXIT_INTERRUPTED = 128 + 2


def parameters_of(stage: str, method: str | None = None) -> type:
    """The parameter class of a stage; a method's own for a pretraining.

    Raises:
        ParamError: no such stage or method.
    """
    if method:
        return plugins.load("methods", method).Params
    from sslseg.config import params

    if stage not in params.STAGES:
        raise ParamError(f"stage: must be one of {', '.join(params.STAGES)}; not {stage!r}")
    return params.STAGES[stage]


def stage_module(stage: str) -> ModuleType:
    """The module of a stage; imports torch."""
    return importlib.import_module(f"sslseg.stages.{stage}")


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
    from sslseg.config import caches
    from sslseg.tracking import session, store

    os.environ["MLFLOW_TRACKING_URI"] = store.ensure_store()  # absolute, for every child
    known = {names.TAG_SWEEP: parent_run_id} if parent_run_id else {}
    if method:
        known[names.TAG_METHOD] = method
    try:
        with session.open_run(
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
    caches.drop_checkpoints(getattr(params, "cache", ""), run.id)
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
    from sslseg.config import caches
    from sslseg.tracking import manifest, session
    from sslseg.training import devices

    params = module.fill(params) if hasattr(module, "fill") else params
    runtime = [name for name, (_, knob, _) in flags.knobs(type(params)).items() if knob.runtime]
    run.params(flags.texts(params), may_differ=runtime)
    if hasattr(module, "identify"):
        cache = caches.cache_folder(params.cache)

        def has_checkpoint(run_id: str) -> bool:
            folder = caches.checkpoint_folder(cache, run_id)
            return folder.is_dir() and any(folder.iterdir())

        opened = session.resume(run, module.identify(params), has_checkpoint)
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
