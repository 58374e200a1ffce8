"""What every back-end of sweeps promises: real worker processes, with jobs that return, raise, or kill theirs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from sslseg import executors
from sslseg.config import params, plugins
from sslseg.config.names import ParamError, SslsegError
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Graph, Job
from sslseg.tracking import processes

T = TypeVar("T")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tasks of a queue lie; apart from what jobs write."""
    monkeypatch.setenv("SSLSEG_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(params=plugins.names("executors"))
def backend(request: pytest.FixtureRequest):
    """Each back-end by its file, as a sweep loads it."""
    try:
        return plugins.load("executors", request.param)
    except ParamError as error:
        pytest.skip(str(error))


def work(job: Job) -> str:
    """Write a line to <folder>/<name>, then do what the cell's text says."""
    folder = Path(job.context["folder"])
    with (folder / job.name).open("a") as file:
        file.write(f"{os.getpid()}\n")
    todo = job.cell.texts.get("do", "")
    if todo == "raise":
        raise SslsegError("the sentence")
    if todo == "memory":
        raise MemoryError
    times = len((folder / job.name).read_text().splitlines())
    if todo == "run":
        return _leave_a_run(job)
    if todo == "die" or (todo == "die once" and times == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return f"run-{job.name}<{job.upstream_run_id}"


def _leave_a_run(job: Job) -> str:
    """Be in the middle of a run for ever, and end it as `launch.execute` does."""
    from sslseg import execute
    from sslseg.tracking import session

    if in_pool := multiprocessing.parent_process() is not None:
        execute.guard_worker()
    try:
        with session.open_run("finetune", parent_run_id="0" * 32, uri=job.context["uri"]) as run:
            (Path(job.context["folder"]) / "begun").write_text(f"{run.id} {os.getpid()}")
            signal.pause()
    except processes.Terminated:
        if in_pool:
            os._exit(execute.EXIT_TERMINATED)
        raise
    return ""


def started(backend, folder: Path, *rows: tuple[str, str, str], workers: int = 2, uri: str = "") -> Iterator:
    """Outcomes of (name, upstream, what to do)."""
    cells = [Cell(name, "finetune", {"do": do}, upstream=up) for name, up, do in rows]
    return backend.run(Graph(cells, {"folder": str(folder), "uri": uri}), work, settings(workers))


def settings(workers: int) -> params.Workers:
    """For as many workers as asked for, whatever this machine has."""
    return params.Workers(workers=workers, ray_cpus=0.5, slurm_cluster="local", device="cpu")


def until(met: Callable[[], T], seconds: float = 240) -> T:
    """What `met` gives once it is true; fails when it never is."""
    clock = threading.Event()
    for _ in range(int(seconds / 0.1)):
        if found := met():
            return found
        clock.wait(0.1)
    raise AssertionError("waited in vain")


def outcomes(backend, folder: Path, *rows: tuple[str, str, str]) -> tuple[dict, dict]:
    """name -> Outcome, and name -> how often it was begun."""
    ended = {}
    for outcome in started(backend, folder, *rows):
        assert outcome.job.name not in ended
        ended[outcome.job.name] = outcome
    begun = {p.name: len(p.read_text().splitlines()) for p in folder.iterdir()}
    return ended, begun


@pytest.mark.slow
def test_upstream_first_errors_by_name_and_the_rest_still_runs(backend, tmp_path: Path):
    ended, begun = outcomes(
        backend, tmp_path, ("a", "", ""), ("b", "a", ""), ("bad", "", "raise"), ("after", "bad", ""),
        ("later", "after", ""), ("full", "", "memory"), *((f"job{i}", "", "") for i in range(4)),
    )  # fmt: skip
    assert ended["b"].value == "run-b<run-a<"
    assert (ended["bad"].value, ended["bad"].error) == (None, "the sentence")
    assert ended["after"].error == "its upstream bad failed"
    assert ended["later"].error == "its upstream after failed"
    assert ended["full"].error == "MemoryError"
    assert begun == {"a": 1, "b": 1, "bad": 1, "full": 1} | {f"job{i}": 1 for i in range(4)}
    pids = {pid for file in tmp_path.iterdir() for pid in file.read_text().splitlines()}
    assert len(pids) <= 2  # the workers are warm


@pytest.mark.slow
def test_a_killer_is_given_up_and_takes_nobody_with_it(backend, tmp_path: Path):
    """The jobs beside a killer, and those that had only been waiting for a worker, must not be blamed."""
    others = [(f"job{i}", "", "") for i in range(6)]
    ended, begun = outcomes(
        backend, tmp_path, ("killer", "", "die"), ("heir", "killer", ""), ("a", "", "die once"),
        ("b", "a", ""), *others,
    )  # fmt: skip
    assert ended.pop("killer").error == f"its worker process died {executors.RETRIES + 1} times"
    assert ended.pop("heir").error == "its upstream killer failed"
    assert ended["b"].value == "run-b<run-a<"
    assert len(ended) == 8
    assert all(outcome.value for outcome in ended.values())
    # the death of `a` beside it counts for both, and may come before the killer has written its line
    assert begun["killer"] in (executors.RETRIES, executors.RETRIES + 1)
    assert begun["a"] == 2


@pytest.mark.slow
def test_workers_end_with_who_asked_and_leave_no_run_open(backend, tmp_path: Path, store: str):
    from sslseg.tracking.store import client

    begun = tmp_path / "begun"
    found = started(backend, tmp_path, ("open", "", "run"), ("other", "", ""), uri=store)
    assert next(found).value
    run_id, pid = until(lambda: begun.exists() and begun.read_text().split())
    pid = int(pid)
    with pytest.raises(KeyboardInterrupt):
        found.throw(KeyboardInterrupt)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert client(store).get_run(run_id).info.status == "KILLED"
