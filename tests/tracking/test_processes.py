"""Signals at any moment, a parent that is killed, and a terminal that goes away; each with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from sslseg.config import names
from sslseg.tracking import ownership, processes, session
from tests.fixtures.tiny_runs import ROOT

READY = """
import os, signal, sys, time
from sslseg.tracking import processes
from sslseg.tracking.processes import Terminated
processes.outlive_reader()
processes.raise_on_signals()
"""


def _start(code: str, *before: str, **environment: str) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": f"{ROOT}/src"} | environment
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*before, sys.executable, "-c", code], env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.parametrize(
    ("number", "raised"),
    [("SIGTERM", "Terminated SIGTERM"), ("SIGHUP", "Terminated SIGHUP"), ("SIGINT", "KeyboardInterrupt ")],
)
def test_a_signal_is_raised_and_the_next_ones_are_ignored(number: str, raised: str):
    code = f"""{READY}
try:
    os.kill(os.getpid(), signal.{number})
    time.sleep(60)
except BaseException as error:
    for more in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(os.getpid(), more)
    print(type(error).__name__, error)
"""
    out, errors = _start(code).communicate(timeout=60)
    assert (out, errors) == (f"{raised}\n", "")


def test_under_nohup_a_hangup_stays_ignored(tmp_path: Path):
    code = f"{READY}\nos.kill(os.getpid(), signal.SIGHUP)\nprint('lives')"
    out, _ = _start(code, "nohup").communicate(timeout=60)
    assert out == "lives\n"


def test_a_signal_in_a_held_block_comes_at_its_end():
    code = f"""{READY}
done = []
try:
    with processes.held():
        with processes.held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("inner")
        done.append("outer")
    done.append("after")
except Terminated:
    print(done)
"""
    out, errors = _start(code).communicate(timeout=60)
    assert (out, errors) == ("['inner', 'outer']\n", "")


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_a_reader_that_goes_fails_nothing(closed: str, tmp_path: Path):
    """As `| head -1`: one line is read, then the pipe is closed; the work and its exit code stay."""
    code = f"""{READY}
from tqdm import tqdm
print("one", flush=True)
print("one", file=sys.stderr, flush=True)
sys.stdin.readline()
for i in tqdm(range(1000), file=sys.stderr):
    print("line", i, flush=i % 2 == 0)
    print("line", i, file=sys.stderr)
open(r"{tmp_path}/done", "w").write("done")
print("the end")
sys.exit(7)
"""
    with _start(code) as process:
        streams = {"stdout": process.stdout, "stderr": process.stderr}
        for name, stream in streams.items():
            assert stream.readline() == "one\n"
            if closed in (name, "both"):
                stream.close()
        process.stdin.write("\n")
        process.stdin.close()
        for stream in streams.values():
            assert stream.closed or "line 999" in stream.read()
    assert process.returncode == 7
    assert (tmp_path / "done").read_text() == "done"


POOL = """
import multiprocessing, os, signal, sys, time
from concurrent.futures import ProcessPoolExecutor
sys.path.insert(0, {root!r} + "/src")
def begin():
    from sslseg import execute
    execute.guard_worker()
def job():
    print(os.getpid(), flush=True)
    time.sleep(600)
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=begin)
    pool.submit(job)
    time.sleep(600)
"""


def test_a_worker_ends_with_a_driver_that_is_killed(tmp_path: Path):
    """Before its first stage has begun: as it imports, prepares or looks for the result of its cell."""
    script = tmp_path / "driver.py"
    script.write_text(POOL.format(root=str(ROOT)))
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as driver:
        worker = psutil.Process(int(driver.stdout.readline()))
        driver.kill()
    assert worker.wait(60) is None or not worker.is_running()


def test_a_worker_whose_driver_is_gone_already_never_begins():
    code = f"""{READY}
from multiprocessing import connection
from types import SimpleNamespace
read, write = os.pipe()
os.close(write)
processes.multiprocessing = SimpleNamespace(parent_process=lambda: SimpleNamespace(sentinel=read))
processes.watch_parent()
print("began")
"""
    process = _start(code)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 143


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch):
    """This process handles signals as a stage does, for one test, and leaves its children alone."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(processes, "_signal_children", list)
    processes.raise_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("call", ["create_run", "set_terminated"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_no_moment_leaves_a_run_running(
    store: str, signals, monkeypatch: pytest.MonkeyPatch, call: str, moment: str
):
    """A signal just before and just after a run is made, and just before and after its end is written."""
    api = MlflowClient(store)
    real, entered = getattr(MlflowClient, call), []

    def hit(self, *given, **named):
        if moment == "before":
            os.kill(os.getpid(), signal.SIGTERM)
        found = real(self, *given, **named)
        if moment == "after":
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    monkeypatch.setattr(MlflowClient, call, hit)
    with pytest.raises(processes.Terminated), session.open_run("pretrain", tags={"moment": call + moment}):
        entered.append(1)
    assert bool(entered) == (call == "set_terminated")
    (run,) = api.search_runs(["0"], f"tags.moment = '{call + moment}'")
    assert run.info.status == ("KILLED" if call == "create_run" else "FINISHED")
    assert run.data.tags.get(names.TAG_REASON) == ("SIGTERM" if call == "create_run" else None)
    assert run.data.tags[names.TAG_PROCESS] == ownership.owner()


def test_a_proc_that_hides_what_is_others_stops_nothing(monkeypatch: pytest.MonkeyPatch):
    """Mounted with hidepid=1, as some clusters have it: psutil may then look at neither parent nor children."""

    def refused(*given: object, **named: object) -> None:
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil.Process, "parent", refused)
    monkeypatch.setattr(psutil.Process, "children", refused)
    assert processes.launcher() is None
    processes.end_children()


def test_a_terminal_that_lacks_a_letter_gets_its_number():
    """Of Latin-1, or of a Windows console; in the place of a UnicodeEncodeError."""
    code = "from sslseg.tracking import processes; processes.outlive_reader(); print('3 \u00d7 2 \u2026')"
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert done.stdout.decode("latin-1").strip() == "3 \u00d7 2 \\u2026"
