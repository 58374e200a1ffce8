"""How far a sweep is: read from the store alone, and what a person sees of it."""

from __future__ import annotations

import argparse
from dataclasses import replace

import pytest

from sslseg.commands import status
from sslseg.config import names
from sslseg.config.names import SslsegError
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import LATE, Job, Outcome
from sslseg.tracking import board, ownership, session
from sslseg.tracking.history import sweeps
from tests.fixtures.planted import Planted, plant

CELLS = [
    Cell("byol@acdc", names.PRETRAIN, {}, "byol"),
    *(Cell(f"byol@acdc/n=3/seed={seed}", names.FINETUNE, {}, "", "byol@acdc") for seed in range(3)),
]


def test_rates():
    assert sweeps.rate([(10, 100.0), (20, 102.0), (50, 110.0)]) == pytest.approx(4.0)
    assert sweeps.rate([(10, 100.0)]) is None
    assert sweeps.rate([(10, 100.0), (10, 100.0)]) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(8, "8 s"), (89.4, "89 s"), (600, "10 min"), (5400, "1 h 30 min"), (90000, "25 h 00 min")],
)
def test_clock(seconds: float, said: str):
    assert sweeps.clock(seconds) == said


@pytest.fixture
def running(store: str):
    """A sweep in the middle: one cell has ended, one failed, one is at step 40 of 100 at two steps a second."""
    with session.open_run(names.SWEEP, name="sweep demo") as sweep:
        with session.open_run(names.PRETRAIN, parent_run_id=sweep.id, tags=tag(sweep, CELLS[0])) as done:
            pass
        with (
            pytest.raises(SslsegError),
            session.open_run(names.FINETUNE, parent_run_id=sweep.id, tags=tag(sweep, CELLS[1])),
        ):
            raise SslsegError("the sentence\nand a second line")
        with session.open_run(names.FINETUNE, parent_run_id=sweep.id, tags=tag(sweep, CELLS[2])) as busy:
            busy.params({"steps": 100})
            for step in (20, 30, 40):
                busy._clock = lambda step=step: 1000.0 + step / 2
                busy.log({"train/loss": 1.0}, step)
            busy.flush()
            yield sweep, done.id


def tag(sweep, cell: Cell) -> dict[str, str]:
    return {names.TAG_SWEEP: sweep.id, names.TAG_CELL: cell.name}


def told(sweep, board_, done: str) -> None:
    board_.note(Outcome(Job(CELLS[0]), done), 30.0)
    board_.note(Outcome(Job(CELLS[1]), error="the sentence"), None)


def test_a_table_that_a_person_can_follow(
    running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    sweep, done = running
    monkeypatch.setattr(board.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(board, "TABLE_SECONDS", 3600.0)
    with board.Board(sweep, CELLS, 1) as shown:
        told(sweep, shown, done)
        shown._show()
        first = capsys.readouterr().err
        # 2 fine-tunings are left, 50 s each at two steps a second, 40 % of one of them done
        assert "2 of 4 cells done, 1 running, 1 failed" in first
        assert "time left: about 80 s" in first
        assert "byol@acdc/n=3/seed=1  step 40 of 100  2 steps/s" in first
        assert "failed: byol@acdc/n=3/seed=0: the sentence and a second line" in first
        assert len(first.splitlines()) == 3
        with shown.aside():
            print("something else")
        shown._show()
        assert capsys.readouterr().err.startswith(board.BACK.format(3) + board.CLEAR)
    assert capsys.readouterr().err == board.BACK.format(3) + board.CLEAR  # nothing of it is left in the way

    status.run(argparse.Namespace(sweep=[], follow=None))  # another process, which has the store alone
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"run {sweep.id}"
    assert lines[1].startswith("sweep demo: 2 of 4 cells done, 1 running, 1 failed, ")
    assert "time left: about " in lines[1]
    assert [line.strip().partition(" ")[0] for line in lines[2:]] == ["byol@acdc/n=3/seed=1", "failed:"]


def test_plain_lines_where_there_is_no_terminal(
    running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    sweep, done = running
    monkeypatch.setattr(board, "LINE_SECONDS", 3600.0)
    with board.Board(sweep, CELLS, 1) as shown:
        shown._show()
        said = capsys.readouterr()
        assert said.out.count("\n") == 1
        assert "0 of 4 cells done, 1 running, " in said.out
        assert "time left: unknown yet; byol@acdc/n=3/seed=1 step 40 of 100 2 steps/s" in said.out
        assert "\x1b" not in said.out + said.err
        monkeypatch.setattr(shown, "_quiet", True)  # a sweep inside a worker
        shown._show()
        assert capsys.readouterr().out == ""


def test_a_cell_whose_process_was_killed_does_not_run(running):
    """On this machine that is known at once, however young its heartbeat is."""
    sweep, _ = running
    (busy,) = sweeps.read(sweep.id).running
    host, pid, _, *table = ownership.owner().split(":")
    (run,) = session.search({names.TAG_CELL: busy.cell}, status="RUNNING")
    sweep.client.set_tag(
        run.info.run_id, names.TAG_PROCESS, ":".join([host, pid, "1", *table])
    )  # an earlier one
    found = sweeps.read(sweep.id)
    assert (found.running, found.lost) == ((), (busy.cell,))
    assert ", 0 running" in sweeps.lines(found)[0]
    assert sweeps.lines(found)[-1] == f"  lost with their process: {busy.cell}"


def test_a_cell_that_waits_for_another_try_has_not_failed_and_its_rate_is_that_of_this_try(running):
    """Its worker was lost at step 40, and taken up an hour later from step 30 at five steps a second."""
    sweep, _ = running
    (busy,) = session.search({names.TAG_CELL: CELLS[2].name}, status="RUNNING")
    busy = busy.info.run_id
    ownership.end(busy, "KILLED", "SIGTERM", None)
    found = sweeps.read(sweep.id)
    assert (found.running, found.again) == ((), ((CELLS[2].name, "SIGTERM"),))
    assert [cell for cell, _ in found.faults] == [CELLS[1].name]
    assert sweeps.lines(found)[-1] == f"  to be tried again: {CELLS[2].name}: SIGTERM"
    begun = sweep.client.get_run(sweep.id).info.start_time
    sweep.client.set_terminated(sweep.id, "KILLED", begun + 5000)
    over = sweeps.read(sweep.id)
    assert (over.again, over.seconds, len(over.faults)) == ((), 5.0, 1)
    sweep.client.update_run(sweep.id, status="RUNNING")
    with session.open_run(names.FINETUNE, tags=tag(sweep, CELLS[1])):
        pass
    assert sweeps.read(sweep.id).faults == ()  # its last try is what counts
    sweep.client.update_run(busy, status="RUNNING")
    sweep.client.set_tag(busy, names.TAG_RESUMED_AT, "30")
    assert sweeps.read(sweep.id).running[0].rate is None
    for step in (40, 50):
        sweep.client.log_metric(busy, sweeps.LOSS, 1.0, timestamp=1000 * (4600 + step // 5), step=step)
    (again,) = sweeps.read(sweep.id).running
    assert (again.step, again.rate) == (50, pytest.approx(5.0))


def test_a_cell_after_its_last_step_is_not_over(running):
    """A minute a fine-tuning, of which one has been at it for 20 s and is being tested; another one waits."""
    sweep, _ = running
    shown = board.Board(sweep, CELLS, 1)
    shown.ended = {CELLS[0].name, CELLS[1].name}
    shown._took = {(names.FINETUNE, ""): [60.0]}
    for step, left in ((50, 30.0 + 60.0), (100, 40.0 + 60.0)):
        busy = sweeps.Running(CELLS[2].name, step, 100, 2.0, "here", 0.0, since=20.0)
        assert shown.left((busy,)) == pytest.approx(left)
    for silent, said in ((120.0, "here"), (200.0, "here (no sign of life for 3 min)")):
        found = replace(sweeps.read(sweep.id), running=(replace(busy, silent=silent),))
        assert sweeps.lines(found)[1].endswith(f"  {said}")
    sweep.client.log_metric(sweep.id, names.SWEEP_LEFT, 100.0, timestamp=1_000_000)
    assert [sweeps.read(sweep.id, now=now).left for now in (1030.0, 1200.0)] == [70.0, 0.0]
    shown.note(Outcome(Job(CELLS[3]), error=f"{LATE}it would not have ended in time"), None)
    assert shown.failed == 0


def test_status_of_what_is_not_there(store: str, capsys: pytest.CaptureFixture):
    status.run(argparse.Namespace(sweep=[], follow=None))
    assert capsys.readouterr().out.startswith("no sweep is running in ")
    with pytest.raises(SslsegError, match=r"run 0{32}: .* has no such run"):
        status.run(argparse.Namespace(sweep=["0" * 32], follow=None))
    with pytest.raises(SslsegError, match="--follow: wanted seconds"):
        status.run(argparse.Namespace(sweep=[], follow=0.0))


def test_failed_fine_tunings_of_sweeps_are_read_by_their_status(store: str):
    """Not a pretraining's, not one outside of a sweep; what has run since is for the reader to leave out."""
    tags = {
        names.TAG_STAGE: names.FINETUNE,
        names.TAG_DATASET: "acdc",
        names.TAG_REASON: "the loss is no number",
    }
    cell = {names.TAG_CELL: "scratch/n=3/seed=1"}
    plant(store, [
        Planted("failed", tags | cell, cfg={"data_root": "/a"}, status="FAILED"), Planted("finished", tags | cell),
        Planted("by hand", tags, status="FAILED"),
        Planted("before", tags | cell | {names.TAG_STAGE: names.PRETRAIN}, status="FAILED"),
    ])  # fmt: skip
    wanted = {
        "cell": "scratch/n=3/seed=1",
        "dataset": "acdc",
        "data_root": "/a",
        "error": "the loss is no number",
        "run_id": "",
    }
    for where in (None, "0"):
        assert [row for row in sweeps.failed(where, store) if row["dataset"]] == [wanted]
