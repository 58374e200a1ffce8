"""Workers that share a card: MPS by environment alone, and the number that a measured step gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sslseg.config import params
from sslseg.config.names import ParamError
from sslseg.executors import _mps
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Outcome
from sslseg.plans.sharing import Alone
from sslseg.stages.sweep import card

CONTROL = """#!/bin/sh
echo "$* $CUDA_MPS_PIPE_DIRECTORY $(cat)" >> {log}
exit {code}
"""


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int = 0, serves: bool = True) -> Path:
    """A control program that only notes what it is told; returns its notes."""
    file, log = folder / _mps.CONTROL, folder / "log"
    file.write_text(CONTROL.format(log=log, code=code))
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(_mps.PIPES, raising=False)
    monkeypatch.setattr(
        _mps, "TRY", f"import os, sys; sys.exit({int(not serves)} or '{_mps.PIPES}' not in os.environ)"
    )
    return log


def test_a_daemon_of_its_own_by_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = installed(tmp_path, monkeypatch)
    with _mps.served(workers=8, devices=2) as shared:
        assert set(shared) == {"CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"}
        assert all(Path(path).stat().st_mode & 0o777 == 0o700 for path in shared.values())
        assert _mps.PIPES not in os.environ  # the driver itself is no client
    told = [line.split() for line in log.read_text().splitlines()]
    assert told == [["-d", shared[_mps.PIPES]], [shared[_mps.PIPES], "quit"]]
    assert not Path(shared[_mps.PIPES]).exists()


@pytest.mark.parametrize(("code", "serves"), [(1, True), (0, False)])
def test_one_that_does_not_start_or_serves_nobody_is_left_out(
    code: int, serves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    installed(tmp_path, monkeypatch, code, serves)
    with _mps.served(workers=4, devices=1) as shared:
        assert shared == {}
    assert "MPS is not used" in capsys.readouterr().err


def test_where_there_is_nothing_to_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = installed(tmp_path, monkeypatch)
    for workers, devices in ((2, 2), (1, 4), (8, 0)):
        with _mps.served(workers, devices) as shared:
            assert shared == {}
    for name, value in ((_mps.SWITCH, "off"), (_mps.PIPES, "/theirs")):  # switched off; somebody else's
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with _mps.served(8, 1) as shared:
                assert shared == {}
    assert not log.exists()


def test_a_switch_that_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(_mps.SWITCH, "0")
    with pytest.raises(ParamError, match="SSLSEG_MPS: wanted on or off, got '0'"), _mps.served(8, 1):
        raise AssertionError("neither on nor off")


class Backend:
    """Two cards; what a measurement gives is up to the test."""

    def __init__(self, error: str = ""):
        self.error, self.asked = error, []

    def devices(self, p: params.Workers) -> int:
        return 0 if p.device == "cpu" else 2

    def run(self, graph, work, p):
        self.asked.append((work, p.workers))
        for job in graph.ready():
            self.asked.append(job.cell.texts)
            value = Alone(0.024, 0.008, 2e9, 80e9)
            yield graph.close(Outcome(job, None if self.error else value, self.error))


TUNED = {"batch_size": "24", "encoder_epoch": "3"}
CELLS = [
    Cell("byol", "pretrain", {}, "byol"),
    *(Cell(f"f{i}", "finetune", TUNED, "", "byol") for i in range(60)),
]


def settled(backend: Backend, cells: list[Cell] = CELLS, **knobs) -> int:
    return card.settle(params.Sweep(**knobs), cells, {}, backend).workers


def test_a_sweep_takes_the_workers_that_a_step_gives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(params, "cores", lambda: 32)
    backend = Backend()
    assert settled(backend) == 3 * 2
    assert backend.asked[0] == (card.work, 1)
    assert (
        backend.asked[1] | {"encoder": "scratch", "encoder_epoch": "", "batch_size": "24"} == backend.asked[1]
    )
    assert "3 workers a card: a step of 24 ms keeps the card busy for 8 ms" in capsys.readouterr().out
    assert settled(Backend(), CELLS[:3]) == 2 * 2  # no more than there are cells
    for knobs in ({"workers": 5}, {"device": "cpu"}, {"executor": "ray"}):
        untouched = Backend()
        assert settled(untouched, **knobs) == knobs.get("workers", 0)
        assert not untouched.asked
    assert settled(Backend("out of memory")) == 0  # one per card, as `local.places` says
    assert "could not be measured, so each has one worker: out of memory" in capsys.readouterr().err
