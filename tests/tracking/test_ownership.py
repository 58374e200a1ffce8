"""Who holds a run: neither a name of a host, nor a clock, nor a container makes two writers of it."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from sslseg.config import names
from sslseg.tracking import ownership, runs, session
from sslseg.tracking.ownership import Heart, LostError, State, state
from sslseg.tracking.upkeep import doctor
from tests.fixtures.owners import HOST, PID, START, owner_of, planted

HERE = ownership.FIRST_NAMESPACE


NOW = time.time()


# ---------------------------------------------------------------- alive, dead, or not to be known
@pytest.mark.parametrize(
    ("process", "age", "expected"),
    [
        (owner_of(), 1e6, State.ALIVE),  # the process table, not the clock
        (owner_of(host="renamed"), 1e6, State.ALIVE),  # the same machine under another name
        (owner_of(start=str(int(START) - 1)), 0, State.DEAD),  # the pid was used again
        (owner_of(pid=str(2**22 + 1)), 0, State.DEAD),
        (
            owner_of(namespace="1"),
            10,
            State.ALIVE,
        ),  # a container beside this one, of the same name and with a process 17
        (owner_of(namespace="1"), 600, State.SILENT),
        (owner_of(namespace="1"), 1801, State.DEAD),
        (owner_of(host="elsewhere", boot="x"), 119, State.ALIVE),
        (owner_of(host="elsewhere", boot="x"), 1799, State.SILENT),
        (owner_of(host="elsewhere", boot="x"), 1800, State.DEAD),
        ("", 1799, State.SILENT),  # opened by `mlflow run`, its command never began
        (f"{HOST}:{PID}:0", 600, State.SILENT),  # says of no table of processes that it is this one
        (f"{HOST}:{PID}:0", 1801, State.DEAD),
        (f"elsewhere:{PID}:0", 600, State.SILENT),
    ],
    ids=range(14),  # not by the process, which is another one in each worker
)
def test_what_is_known_of_a_process(process: str, age: float, expected: State):
    assert state(process, NOW - age, NOW) == expected


def test_a_step_of_the_clock_kills_nobody(monkeypatch: pytest.MonkeyPatch):
    """psutil's time of a start is that of the boot and the ticks since: it moves with the clock."""
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + 30)
    assert state(owner_of(), NOW) == State.ALIVE


@pytest.mark.parametrize(
    ("age", "expected"), [(10, State.ALIVE), (600, State.SILENT), (1801, State.DEAD)], ids=str
)
def test_a_process_that_proc_hides_is_known_by_its_heartbeat(monkeypatch, age: float, expected: State):
    """Of another user, /proc mounted with hidepid: as if it were not there, but for the answer to a signal."""

    def refused(pid: int, number: int) -> None:
        assert number == 0
        raise PermissionError

    monkeypatch.setattr(ownership, "_start", lambda pid: "")
    monkeypatch.setattr(os, "kill", refused)
    assert state(owner_of(pid=str(2**22 + 1)), NOW - age, NOW) == expected


def test_a_suspended_process_lives():
    with subprocess.Popen(["sleep", "600"]) as process:
        owner = owner_of(pid=str(process.pid), start=ownership._start(process.pid))
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert state(owner, 0.0) == State.ALIVE
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert state(owner, time.time()) == State.DEAD  # nobody has read its end yet
    assert state(owner, time.time()) == State.DEAD


@pytest.mark.parametrize(
    ("host", "theirs", "own", "since_boot", "expected"),
    [
        (HOST, HERE, HERE, -1, State.DEAD),
        (HOST, HERE, HERE, 1, State.SILENT),
        (HOST, "1", "1", -1, State.SILENT),
        (HOST, HERE, "1", -1, State.SILENT),
        ("elsewhere", HERE, HERE, -1, State.SILENT),
    ],
    ids=range(5),
)
def test_a_machine_that_was_started_again_has_no_process_of_before(
    monkeypatch, host, theirs, own, since_boot, expected
):
    """A container's name says nothing: a heartbeat of before this boot may be another machine's."""
    monkeypatch.setattr(ownership, "_table", lambda: ("this boot", own))
    monkeypatch.setattr(psutil, "boot_time", lambda: NOW - 600)
    before = owner_of(host, boot="the boot before", namespace=theirs)
    assert state(before, NOW - 600 + since_boot, NOW) == expected


def test_the_half_hour_is_a_knob(monkeypatch: pytest.MonkeyPatch):
    far = owner_of(host="elsewhere", boot="x")
    for minutes in (10, 5):
        monkeypatch.setenv(ownership.DEAD_AFTER, str(minutes))
        ages = (60 * minutes - 1, 60 * minutes)
        assert [state(far, NOW - age, NOW) for age in ages] == [State.SILENT, State.DEAD]
    for wrong in ("4.9", "soon", "nan", "inf", "-30"):
        monkeypatch.setenv(ownership.DEAD_AFTER, wrong)
        with pytest.raises(names.SslsegError, match=r"SSLSEG_DEAD_AFTER: wanted minutes, at least 5, got"):
            state(far, NOW, NOW)


# ---------------------------------------------------------------- one writer
def _everything(run: runs.Run, folder: Path) -> dict:
    (folder / "file").write_text("x")
    return {
        "flush": run.flush,
        "tag": lambda: run.tag("late", "x"),
        "params": lambda: run.params({"late": 1}),
        "artifact": lambda: run.artifact(folder / "file"),
        "text": lambda: run.text("x", "late.txt"),
        "dataset": lambda: run.input_dataset("late", "ab", "x", "train"),
        "model": lambda: run.input_model("m-" + 32 * "0"),
        "heartbeat": run.heartbeat,
        "finish": run.finish,
    }


@pytest.mark.parametrize("taken", ["by another process", "closed by doctor"])
@pytest.mark.parametrize("error", [None, ZeroDivisionError(), KeyboardInterrupt()])
def test_who_lost_a_run_writes_nothing_more(api: MlflowClient, tmp_path: Path, taken: str, error):
    seen = []

    def stage() -> None:
        with session.open_run("pretrain") as run:
            run.log({"early": 1.0})
            run.flush()
            run.log({"late": 1.0})
            if taken == "by another process":
                ownership.claim(run.id)
            else:
                ownership.close(run.id, "KILLED", "its process was gone")
            seen.append(api.get_run(run.id))
            for write in _everything(run, tmp_path).values():
                run._checked -= 2  # a second and more after the last look
                with pytest.raises(LostError, match="it stops here and writes nothing more"):
                    write()
            if error:
                raise error

    with pytest.raises(type(error) if error else LostError):
        stage()
    before, after = seen[0], api.get_run(seen[0].info.run_id)
    assert after.data.metrics == {"early": 1.0}
    for part in ("status", "end_time"):
        assert getattr(after.info, part) == getattr(before.info, part)
    assert (after.data.tags, after.data.params) == (before.data.tags, before.data.params)
    assert api.list_artifacts(after.info.run_id) == []
    assert after.info.status == ("RUNNING" if taken == "by another process" else "KILLED")


def test_the_old_owner_is_told_whose_the_run_is(api: MlflowClient, neighbour: str):
    with session.open_run("pretrain") as run:
        api.set_tag(run.id, names.TAG_OWNER, "another token")
        api.set_tag(run.id, names.TAG_PROCESS, neighbour)
        with pytest.raises(
            LostError, match=f"was taken over by process {neighbour.split(':')[1]} on {HOST}, because"
        ):
            run.flush()
        api.set_tag(run.id, names.TAG_OWNER, run._held[1])


def test_two_that_claim_at_once_are_one(api: MlflowClient, monkeypatch: pytest.MonkeyPatch):
    run_id = api.create_run("0").info.run_id
    real = MlflowClient.update_run

    def slower(self, *given, **named):  # the other one writes its token in between
        api.set_tag(run_id, names.TAG_OWNER, "the other's")
        return real(self, *given, **named)

    monkeypatch.setattr(MlflowClient, "update_run", slower)
    with pytest.raises(LostError, match="at the same moment"):
        ownership.claim(run_id)
    api.set_terminated(run_id)


# ---------------------------------------------------------------- the heartbeat
def test_a_run_beats_while_its_stage_does_nothing(api: MlflowClient, monkeypatch: pytest.MonkeyPatch):
    """As a sweep whose cell runs, and as a stage that reads data: no call of the run comes from there."""
    beaten = threading.Event()
    real = runs.Run.heartbeat

    def beat(run: runs.Run) -> None:
        real(run)
        beaten.set()

    monkeypatch.setattr(runs.Run, "heartbeat", beat)
    monkeypatch.setattr(session, "Heart", functools.partial(Heart, seconds=0.01))
    with session.open_run("sweep") as run:
        api.set_tag(run.id, names.TAG_HEARTBEAT, "1000")
        beaten.clear()
        assert beaten.wait(60)
        assert float(api.get_run(run.id).data.tags[names.TAG_HEARTBEAT]) > NOW
    assert not run.heart._thread.is_alive()


def test_a_heart_outlives_a_store_that_is_away_and_not_a_lost_run():
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        raise OSError("database is locked") if len(beats) < 3 else LostError("x")

    heart = Heart(beat, seconds=0.001)
    heart._thread.join(60)
    assert len(beats) == 3


def test_doctor_leaves_alone_what_may_live(api: MlflowClient, store: str, tmp_path: Path, neighbour: str):
    far = owner_of(host="elsewhere", boot="x")
    renamed = planted(api, neighbour.replace(HOST, "renamed", 1), 1e5)
    silent, dead = planted(api, far, 600), planted(api, far, 1801)
    found = {f.subject.split()[1]: f for f in doctor.abandoned(store, tmp_path)}
    assert renamed not in found
    assert (found[silent].mend, found[silent].grave) == (None, False)
    assert "silent for 10 minutes" in found[silent].fault
    assert "counts as dead after 30 (SSLSEG_DEAD_AFTER)" in found[silent].action
    api.set_tag(dead, names.TAG_HEARTBEAT, f"{time.time():.3f}")  # it wakes up before the fix
    found[dead].mend()
    assert api.get_run(dead).info.status == "RUNNING"
    api.set_tag(dead, names.TAG_HEARTBEAT, "1000")
    found[dead].mend()
    assert api.get_run(dead).info.status == "KILLED"
    for run_id in (renamed, silent):
        api.set_terminated(run_id)


def test_doctor_knows_a_run_of_mlflow_run_whose_command_never_began(
    api: MlflowClient, store: str, tmp_path: Path
):
    def opened(entry: str, param: str) -> str:
        start = int((time.time() - 1801) * 1000)
        run_id = api.create_run("0", start_time=start, tags={"mlflow.project.entryPoint": entry}).info.run_id
        api.log_param(run_id, param, "1")
        return run_id

    ours = [opened("finetune", "budget"), opened("pretrain_byol", "tau")]
    others = [opened("finetune", "not_a_knob"), opened("train", "budget")]
    found = {f.subject.split()[1]: f for f in doctor.abandoned(store, tmp_path)}
    for run_id in ours:
        found[run_id].mend()
        assert api.get_run(run_id).info.status == "KILLED"
    for run_id in others:
        assert (found[run_id].mend, found[run_id].grave) == (None, False)
        api.set_terminated(run_id)
