"""Real worker processes, with jobs that return, raise, or kill the process they run in."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sslseg.cells import Cell
from sslseg.executors import local
from sslseg.executors.graph import Graph, Job
from sslseg.names import SslsegError


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
    if todo == "die" or (todo == "die once" and times == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return f"run-{job.name}<{job.upstream_run_id}"


def outcomes(folder: Path, *rows: tuple[str, str, str], workers: int = 2) -> tuple[dict, dict]:
    """name -> Outcome, and name -> how often it was begun, of (name, upstream, what to do)."""
    cells = [Cell(name, "finetune", {"do": do}, upstream=up) for name, up, do in rows]
    graph = Graph(cells, {"folder": str(folder)})
    ended = {}
    for outcome in local.run(graph, work, workers):
        assert outcome.job.name not in ended
        ended[outcome.job.name] = outcome
    begun = {p.name: len(p.read_text().splitlines()) for p in folder.iterdir()}
    return ended, begun


def test_upstream_first_errors_by_name_and_the_rest_still_runs(tmp_path: Path):
    ended, begun = outcomes(
        tmp_path, ("a", "", ""), ("b", "a", ""), ("bad", "", "raise"), ("after", "bad", ""),
        ("later", "after", ""), ("full", "", "memory"),
    )  # fmt: skip
    assert ended["b"].run_id == "run-b<run-a<"
    assert (ended["bad"].run_id, ended["bad"].error) == ("", "the sentence")
    assert ended["after"].error == "its upstream bad failed"
    assert ended["later"].error == "its upstream after failed"
    assert ended["full"].error == "MemoryError"
    assert begun == {"a": 1, "b": 1, "bad": 1, "full": 1}


def test_a_job_whose_worker_died_is_tried_again(tmp_path: Path):
    ended, begun = outcomes(tmp_path, ("a", "", "die once"), ("b", "a", ""), ("c", "", ""))
    assert [ended[n].error for n in "abc"] == ["", "", ""]
    assert begun["a"] == 2
    assert ended["b"].run_id == "run-b<run-a<"


def test_a_killer_is_given_up_and_takes_nobody_with_it(tmp_path: Path):
    """The jobs beside a killer, and those that had only been waiting for a worker, must not be blamed."""
    others = [(f"job{i}", "", "") for i in range(8)]
    ended, begun = outcomes(tmp_path, ("killer", "", "die"), ("heir", "killer", ""), *others)
    assert ended.pop("killer").error == f"its worker process died {local.RETRIES + 1} times"
    assert ended.pop("heir").error == "its upstream killer failed"
    assert len(ended) == 8
    assert all(outcome.run_id for outcome in ended.values())
    assert begun["killer"] == local.RETRIES + 1


def test_workers_are_warm(tmp_path: Path):
    outcomes(tmp_path, *((f"job{i}", "", "") for i in range(6)))
    pids = {pid for file in tmp_path.iterdir() for pid in file.read_text().splitlines()}
    assert len(pids) <= 2


def test_workers_end_with_who_asked(tmp_path: Path):
    import psutil

    cells = [Cell(f"job{i}", "finetune", {}) for i in range(4)]
    found = local.run(Graph(cells, {"folder": str(tmp_path)}), work, 2)
    next(found)
    with pytest.raises(KeyboardInterrupt):
        found.throw(KeyboardInterrupt)
    left = [p for p in psutil.Process().children() if "resource_tracker" not in " ".join(p.cmdline())]
    assert psutil.wait_procs(left, timeout=20)[1] == []
