"""A training that ends in the middle: it goes on inside its run, or says where it went wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sslseg.config import caches, names
from sslseg.config.names import FINETUNE, PRETRAIN
from sslseg.tracking import session
from sslseg.training import checkpoint, loop
from tests.fixtures.tiny_runs import (
    Tiny,
    client,
    die_at,
    get,
    models,
    newest,
    numbers,
    python,
)

INTERRUPTED = {
    # kept at steps 0, 2 and 4; the checkpoint of step 3 is older than what was kept at 4
    PRETRAIN: {"steps": 6, "save_epochs": (0, 1, 2), "checkpoint_every": 3},
    FINETUNE: {"steps": 6, "checkpoint_every": 3, "eval_every": 1},
}


@pytest.mark.parametrize("stage", list(INTERRUPTED))
def test_an_interrupted_run_goes_on_inside_itself(
    stage: str, tiny: Tiny, store: str, monkeypatch: pytest.MonkeyPatch, capsys
):
    settings = INTERRUPTED[stage] | {"seed": 5}
    whole = tiny.run(stage, **settings)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "step", die_at(4, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            tiny.run(stage, **settings)
    broken = newest(stage)
    assert get(broken).info.status == "KILLED"
    assert broken != whole
    before = {run.info.run_id for run in session.search({})}
    assert tiny.run(stage, **settings) == broken
    run = get(broken)
    assert run.info.status == "FINISHED"
    assert run.data.tags["sslseg.resumed_at_step"] == "3"
    assert names.TAG_REASON not in run.data.tags
    assert numbers(broken) == numbers(whole)
    assert {r.info.run_id for r in session.search({})} == before  # pointers are left out
    pointers = [r for r in client().search_runs(["0"]) if r.data.tags.get(names.TAG_RESUMED_AS) == broken]
    assert [r.info.status for r in pointers] == ["FINISHED"]
    facts = (names.MODEL_KIND, names.MODEL_ROLE, names.MODEL_EPOCH, names.MODEL_STEP, names.MODEL_SHA)
    ours, theirs = (
        sorted(tuple(m.tags.get(f) or "" for f in facts) for m in models(r)) for r in (broken, whole)
    )
    assert ours == theirs
    assert not caches.checkpoint_folder(tiny.cache, broken).exists()


@pytest.mark.slow
def test_sigkill_in_the_middle(tiny: Tiny, store: str):
    """A real SIGKILL: the run stays RUNNING in the store, its process is gone; the same command goes on."""
    settings = {"steps": 6, "checkpoint_every": 2, "eval_every": 1, "seed": 6}
    whole = tiny.run(FINETUNE, **settings)
    code = f"""
import os, runpy, signal, sys
from sslseg.training import checkpoint, loop
real = loop.Training.step
def step(self, number, batch, **rest):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, number, batch, **rest)
loop.Training.step = step
sys.argv = {tiny.argv(FINETUNE, **settings)!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    assert python("-c", code).returncode == -9
    killed = newest(FINETUNE)
    assert killed != whole
    assert get(killed).info.status == "RUNNING"
    assert tiny.run(FINETUNE, **settings) == killed
    assert get(killed).data.tags["sslseg.resumed_at_step"] == "4"
    assert numbers(killed) == numbers(whole)


@pytest.mark.parametrize("stage", [PRETRAIN, FINETUNE])
def test_a_loss_that_is_not_finite_names_its_batch_and_the_last_good_checkpoint(
    stage: str, tiny: Tiny, store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    real, rows = loop.Training.step, {}

    def spoilt(self, number, batch, **rest):
        rows[number] = list(map(int, batch.rows))
        if number == 4:  # the fifth
            name = self.named[0][0]
            with torch.no_grad():
                dict(self.named)[name].fill_(float("nan"))
        return real(self, number, batch, **rest)

    monkeypatch.setattr(loop.Training, "step", spoilt)
    with pytest.raises(names.NonFiniteLoss, match="nan at step 5 of 6.*Last good checkpoint: that of step 4"):
        tiny.run(stage, steps=6, checkpoint_every=2, seed=11)
    run = get(newest(stage))
    assert run.info.status == "FAILED"
    assert "nonfinite/step-5.csv" in run.data.tags[names.TAG_REASON]
    path = client().download_artifacts(run.info.run_id, "nonfinite/step-5.csv", str(tmp_path))
    table = Path(path).read_text().splitlines()
    assert table[0].startswith("row,patient,")
    assert [int(line.split(",")[0]) for line in table[1:]] == rows[4]
    saved = checkpoint.latest(caches.checkpoint_folder(tiny.cache, run.info.run_id))
    assert saved.step == 4
    assert all(torch.isfinite(t).all() for t in saved.tensors.values() if t.is_floating_point())
