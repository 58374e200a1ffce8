"""The loop that the back-ends share, against workers that are played: who is heard, who is lost, what is told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sslseg.config.names import SslsegError
from sslseg.executors import RETRIES, _crew, _tasks
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Graph, Job
from tests.contracts.test_executors import until


def test_sqlite_is_for_one_machine():
    desk = _tasks.Desk(only_here=True)
    crew = _crew.Crew(None, desk, print, "sqlite:////x/mlflow.db")
    try:
        desk.workers["a line"] = _tasks.Worker(0, _tasks.ownership.owner())
        crew.check_store()
        desk.workers["another"] = _tasks.Worker(1, "elsewhere:1:2:3:4")
        with pytest.raises(SslsegError, match="2 machines and the tracking store is a SQLite file"):
            crew.check_store()
    finally:
        desk.workers.clear()
        desk.close()


def test_who_does_not_know_the_key_is_not_listened_to():
    desk = _tasks.Desk(only_here=True)
    try:
        with pytest.raises(SslsegError, match=r"reaches the sweep's driver at none of 127\.0\.0\.1:"):
            _tasks._call(desk.addresses, b"another key")
        line = _tasks._call(desk.addresses, desk.key)
        line.send((_tasks.HELLO, 7, "here:1"))
        heard = until(lambda: desk.next(0.1), 60)
        assert [said for _, said in heard] == [(_tasks.HELLO, 7, "here:1")]
        assert [(worker.number, worker.host) for worker in desk.workers.values()] == [(7, "here")]
        line.close()
        assert until(lambda: desk.next(0.1), 60)[0][1] is None
    finally:
        desk.close()


class Played:
    """A queue whose tasks call in when the test says so; `gone` are the tickets that it has lost."""

    here, alone, idle, look = True, False, 60.0, 0.0

    def __init__(self) -> None:
        self.tasks: list[_tasks.Task] = []
        self.gone: set[int] = set()

    def start(self, tasks: Sequence[_tasks.Task]) -> list[int]:
        self.tasks += tasks
        return list(range(len(self.tasks) - len(tasks), len(self.tasks)))

    def over(self, tickets: Sequence[int]) -> list[bool]:
        return [ticket in self.gone for ticket in tickets]

    def end(self, ticket: int) -> None:
        self.gone.add(ticket)

    def why(self, ticket: int) -> str:
        return "no reason"


def call_in(task: _tasks.Task, owner: str) -> Any:
    line = _tasks._call(task.addresses, task.key)
    line.send((_tasks.HELLO, task.number, owner))
    return line


@pytest.mark.parametrize("again", [False, True])
def test_the_job_of_a_machine_that_is_lost_without_a_word_goes_to_another_worker(again: bool):
    """A line over TCP stays open when the machine at its other end loses its power. The queue knows, or starts
    the task again, which calls in a second time."""
    queue = Played()
    graph = Graph([Cell("one", "finetune", {})], {})
    crew = _crew.Crew(queue, _tasks.Desk(only_here=True), print, "")
    steps = crew.drain(graph, 1)
    owner, lines = _tasks.ownership.owner(), []

    def play() -> None:
        until(lambda: queue.tasks, 60)
        lines.append(call_in(queue.tasks[0], owner))
        assert lines[0].recv().name == "one"  # and is never heard of again
        if again:
            lines.append(call_in(queue.tasks[0], owner))
        else:
            queue.gone.add(0)
            lines.append(call_in(until(lambda: queue.tasks[1:], 60)[0], owner))
        job = lines[1].recv()
        lines[1].send((_tasks.DONE, f"done {job.name}", ""))

    playing = threading.Thread(target=play)
    playing.start()
    ended = [(outcome.job.name, outcome.value, outcome.error) for outcome in steps]
    playing.join(60)
    assert ended == [("one", "done one", "")]
    assert [sum(times.values()) for times in graph.deaths.values()] == [1]
    for line in lines:
        line.close()
    queue.gone |= {0, 1}
    crew.dismiss()


def test_the_task_of_a_lost_worker_is_ended_before_its_successor_is_asked_for():
    """Slurm queues the tasks of a lost machine again: it would call in beside the one that took its place."""
    queue = Played()
    crew = _crew.Crew(queue, _tasks.Desk(only_here=True), print, "")
    steps = crew.drain(Graph([Cell("one", "finetune", {})], {}), 1)
    gone: list[set[int]] = []

    def play() -> None:
        first = call_in(until(lambda: queue.tasks, 60)[0], _tasks.ownership.owner())
        first.recv()
        first.close()
        second = call_in(until(lambda: queue.tasks[1:], 60)[0], _tasks.ownership.owner())
        gone.append(set(queue.gone))
        second.recv()
        second.send((_tasks.DONE, "done", ""))
        second.close()

    playing = threading.Thread(target=play)
    playing.start()
    assert [outcome.value for outcome in steps] == ["done"]
    playing.join(60)
    assert gone == [{0}]
    crew.dismiss()


def test_tasks_that_end_before_they_call_in_are_one_sentence():
    queue = Played()
    queue.gone = set(range(9))
    wanted = f"{RETRIES + 1} tasks in a row ended before they called in; no reason"
    with pytest.raises(SslsegError, match=wanted):
        list(_crew.run(Graph([Cell("one", "finetune", {})], {}), print, queue, 1))
    assert len(queue.tasks) == RETRIES + 1


def bar_and_gone(job: Job) -> None:
    """A job with a bar, ended as by a signal."""
    from tqdm import tqdm

    tqdm([], disable=True)
    os._exit(3)


ENDED = """
from multiprocessing import get_context
from sslseg.executors import _tasks
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Job
from tests.executors.test_crew import bar_and_gone

if __name__ == "__main__":
    desk = _tasks.Desk(only_here=True)
    worker = get_context("spawn").Process(target=_tasks.Task(0, desk.addresses, desk.key, bar_and_gone))
    worker.start()
    while not (heard := desk.next(1.0)):
        pass
    desk.give(heard[0][0], Job(Cell("one", "finetune", {})))
    worker.join()
    desk.close()
    print(worker.exitcode)
"""


def test_a_worker_that_is_ended_leaves_nothing_for_multiprocessing_to_warn_of(tmp_path: Path):
    (script := tmp_path / "ended.py").write_text(ENDED)
    place = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path)
    }  # of this checkout, which pytest has put there
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=True, env=place
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")
