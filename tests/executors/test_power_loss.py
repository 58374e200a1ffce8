"""A machine that loses its power says no word, and its lines stay open: both ends of a line have to find that out."""

from __future__ import annotations

import fcntl
import multiprocessing
import signal
import socket
import struct
import subprocess
import sys

import pytest

from sslseg.executors import _tasks
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Job
from tests.contracts.test_executors import until

ALONE = ("unshare", "--user", "--map-root-user", "--net")  # a network of its own
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def network(*, up: bool) -> None:
    """Switch this namespace's only device: nothing that is sent arrives any more, and no line is closed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_one:
        fcntl.ioctl(any_one, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP if up else 0))


def work(job: Job) -> None:
    """For ever."""
    signal.pause()


def begin(task: _tasks.Task) -> None:
    """As a back-end does, with less patience."""
    _tasks.GONE_SECONDS = 3
    task()


def main() -> None:
    """The worker ends as by SIGTERM, which closes its run; the desk hears that its line is dead."""
    _tasks.GONE_SECONDS = 3
    network(up=True)
    desk = _tasks.Desk(only_here=True)
    task = _tasks.Task(0, desk.addresses, desk.key, work)
    worker = multiprocessing.get_context("spawn").Process(target=begin, args=(task,))
    worker.start()
    ((line, said),) = until(lambda: desk.next(0.1))
    assert said[0] == _tasks.HELLO
    desk.give(line, Job(Cell("one", "finetune", {})))
    network(up=False)
    worker.join(120)
    assert worker.exitcode == 128 + signal.SIGTERM, worker.exitcode
    assert until(lambda: desk.next(0.1)) == [(line, None)]


@pytest.mark.slow
def test_a_worker_learns_that_the_driver_s_machine_is_gone_and_the_driver_that_the_worker_s_is():
    if not sys.platform.startswith("linux") or subprocess.run([*ALONE, "true"]).returncode:
        pytest.skip("no network of its own can be made here")
    code = f"from {__name__} import main; main()"
    ended = subprocess.run([*ALONE, sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
