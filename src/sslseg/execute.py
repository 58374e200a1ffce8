"""Run a stage in this process: the same path for an entry point, a cell of a sweep and a trial."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sslseg.config import flags, names
from sslseg.plans import refusals
from sslseg.tracking import ownership, processes
from sslseg.tracking.processes import Terminated

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from sslseg.tracking.session import Run


EXIT_TERMINATED = 128 + 15  # shells' convention for SIGTERM
EXIT_INTERRUPTED = 128 + 2


_guarded_pid = 0
_busy = False  # whether this worker has a job


@contextmanager
def guarded_worker() -> Iterator[None]:
    """Around a job of a pool's process: told to end, it closes its run and takes no further job."""
    global _busy
    guard_worker()
    _busy = True
    try:
        yield
    except (Terminated, KeyboardInterrupt):
        os._exit(EXIT_TERMINATED)
    finally:
        _busy = False


def guard_worker() -> None:
    """Once per worker process, as its first work: signals close its run, and it does not outlive its parent."""
    global _guarded_pid
    if _guarded_pid == os.getpid() or threading.current_thread() is not threading.main_thread():
        return
    _guarded_pid = os.getpid()
    processes.outlive_reader()
    if multiprocessing.parent_process() is None:
        processes.watch_launcher(processes.launcher())
    else:
        processes.watch_parent()
    processes.raise_on_signals(idle=lambda: not _busy)


def in_worker() -> bool:
    """Whether this process does the cells of a sweep, wherever it runs."""
    return _guarded_pid == os.getpid()


def stage_module(stage: str) -> ModuleType:
    """The module of a stage; imports torch."""
    with processes.held():  # what is broken off here is half there afterwards
        return importlib.import_module(f"sslseg.stages.{stage}")


def execute(
    stage: str,
    params: DataclassInstance,
    parent_run_id: str | None = None,
    *,
    method: str | None = None,
    name: str | None = None,
    experiment_id: str | None = None,
    adopt_run_id: str | None = None,
    tags: dict[str, str] | None = None,
    do: Callable[[Any, Run], None] | None = None,
) -> str:
    """Run a stage in this process and return the ID of the run that holds the result.

    The same path for an entry point and for a cell of a sweep: same parameters, same tags.

    Args:
        params: resolved parameters of the stage.
        parent_run_id: the sweep that the run is a cell of.
        do: instead of the stage's own `run`.

    Raises:
        ParamError: see `refusals.check`; there is no run then.
        SslsegError: and whatever else the stage raises; the run is FAILED or KILLED by then.
    """
    from sslseg.config import caches

    refusals.check(stage, params)
    with processes.held():
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
            _run_stage(stage_module(stage), params, run, method, do)
    except ownership.Shared as done:
        return done.run_id
    caches.drop_checkpoints(getattr(params, "cache", ""), run.id)
    return run.id


def title(stage: str, params: DataclassInstance, method: str | None = None) -> str:
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


def record(run: Run, params: DataclassInstance) -> str:
    """Log the parameters and the device of what is about to run; returns the device's name."""
    from sslseg.training import devices

    runtime = [name for name, (_, knob, _) in flags.knobs(type(params)).items() if knob.runtime]
    run.params(flags.texts(params), may_differ=runtime)
    device = devices.name(params)
    run.tag(names.TAG_DEVICE, device)
    return device


def _tell(params: DataclassInstance, run: Run, method: str | None, device: str) -> None:
    """Say in one line what runs; a part of a sweep says nothing, its sweep does."""
    if run.parent or in_worker():
        return
    opening = stage_module("forecast.opening")
    if run.stage in opening.TOLD:
        print(opening.line(run.stage, method, params, device, run.uri), flush=True)


def _run_stage(
    module: ModuleType, params: Any, run: Run, method: str | None, do: Callable[[Any, Run], None] | None
) -> None:
    from sslseg.config import caches
    from sslseg.tracking import manifest, resuming

    params = module.fill(params) if hasattr(module, "fill") else params
    device = record(run, params)
    _tell(params, run, method, device)
    if hasattr(module, "identify"):
        identity, goes_on = module.identify(params), partial(caches.goes_on, run.stage, params.cache)
        opened = resuming.resume(run, identity, goes_on) if identity else None
        if opened:
            run.tag(names.TAG_DEVICE, device)
            kept = "finished cells" if run.stage == names.SWEEP else "last checkpoint"
            print(f"going on with run {run.id} from its {kept} ({opened} points to it)", flush=True)
    elif run.stage != names.PREPARE:  # a second one waits at the cache, and finds what the first has made
        resuming.be_alone(run, {"folder": os.getcwd(), "method": method or ""} | flags.texts(params))
    written = manifest.start(run, params, method, device)
    with _system_metrics(run):
        (do or module.run)(params, run)
    manifest.complete(run, written)


@contextmanager
def _system_metrics(run: Run) -> Iterator[None]:
    """MLflow's own record of CPU, memory, disk, network and GPU, where its own variable switches it on."""
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run.id, resume_logging=True, tracking_uri=run.uri)
    publish = monitor.publish_metrics

    def own(metrics: dict[str, float]) -> None:
        run.check()  # who has lost the run writes nothing more
        publish(metrics)

    monitor.publish_metrics = own  # type: ignore[method-assign]
    monitor.start()
    try:
        yield
    except ownership.LostError:
        monitor.mlflow_logger.data.clear()
        raise
    finally:
        monitor.finish()
