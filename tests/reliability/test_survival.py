"""A real SIGKILL of each training stage in the suite; `make kills` has twenty of each (tests/reliability/long/kills.py)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sslseg.tracking import session
from sslseg.tracking.store import sqlite_path
from tests.reliability.long import facts, kills, places, saboteur

ROOT = Path(__file__).parents[2]


STAGES = list(places.STAGES)


@pytest.mark.slow
def test_the_plug_is_pulled_once_in_each_stage(tmp_path: Path):
    module = "tests.reliability.long.kills"
    command = [sys.executable, "-m", module, "--kills", "1", "--cold", "0", "--folder", str(tmp_path / "k"),
               "--stages", *STAGES]  # fmt: skip
    env = os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=1500)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["stage"] for row in rows] == STAGES, done.stderr[-2000:]
    assert [row["faults"] for row in rows] == [[]] * len(rows)
    assert max(row["repeated"] for row in rows) <= places.INTERVAL
    assert done.returncode == 0


def test_kills_are_drawn_from_every_group():
    effects = [f"step {n} done" for n in range(40)] + ["checkpoint half"] * 30 + ["store log_batch done"] * 50
    drawn = kills.draw(effects, 20, random.Random(1))
    assert len(set(drawn)) == 20
    counts = {group: sum(effects[n].startswith(group) for n in drawn) for group in kills.GROUPS}
    assert counts == {"step": 8, "checkpoint": 6, "store": 6}
    assert kills.draw(effects, 20, random.Random(1)) == drawn


def test_a_fault_is_not_overlooked():
    """The comparison itself: a lost number, a lost run, another digest, a version too many, a half model."""
    run = {"status": "FINISHED", "numbers": [["a", 1, "0.5"]], "params": {}, "models": [["encoder", "x"]]}
    whole = {"runs": {"finetune f": [run]}, "versions": [{"name": "e"}], "registered half": []}
    assert facts.compare(whole, whole) == []
    for change in (
        {"numbers": []},
        {"numbers": [["a", 1, "0.6"]]},
        {"models": [["encoder", "y"]]},
        {"status": "KILLED"},
    ):
        assert facts.compare(whole, whole | {"runs": {"finetune f": [run | change]}})
    assert facts.compare(whole, whole | {"runs": {}})
    assert facts.compare(whole, whole | {"runs": {"finetune f": [run, run]}})
    assert facts.compare(whole, whole | {"versions": [{"name": "e"}] * 2})
    assert facts.compare(whole, whole | {"registered half": ["m-1"]})


def test_effects_are_counted_over_processes(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("".join(f"{pid} step {pid} done".ljust(saboteur.WIDTH - 1) + "\n" for pid in (1, 2)))
    assert saboteur.effects(log) == ["step 1 done", "step 2 done"]
    assert saboteur.effects(tmp_path / "none") == []


def test_a_locked_store_is_waited_for(store: str):
    """Another connection holds it while a run logs and ends; nothing is lost."""
    import sqlite3

    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        connection = sqlite3.connect(sqlite_path(store), timeout=20, isolation_level=None)
        connection.execute("begin exclusive")
        held.set()
        free.wait(20)
        connection.execute("rollback")
        connection.close()

    with session.open_run("pretrain") as run:
        run.log({"a": 1.0}, 1)
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(20)
        run.log({"a": 2.0}, 2)
        threading.Timer(0.5, free.set).start()
    holder.join()
    found = MlflowClient(store)
    assert found.get_run(run.id).info.status == "FINISHED"
    assert [m.value for m in found.get_metric_history(run.id, "a")] == [1.0, 2.0]
