"""The picture that a fine-tuning leaves, pixel by pixel."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sslseg.config.params import Finetune
from sslseg.stages import finetune
from sslseg.stages.outcome import results
from sslseg.stages.outcome.overlays import ALPHA, PANEL, STRIP, panel

COLOURS = np.array([[9, 9, 9], [0, 0, 200], [200, 0, 0]], np.uint8)


def test_classes_are_laid_over_in_their_colours():
    grey = np.full((PANEL // 2, PANEL), 100, np.uint8)  # of the panel's width: not resized
    mask = np.zeros_like(grey)
    mask[10:20, 30:40], mask[50:60, 200:210], mask[:4, :4] = 1, 2, 255
    got = panel(grey, mask, "", COLOURS)
    assert got.shape == (STRIP + PANEL, PANEL, 3)
    assert not got[:STRIP].any()
    assert not got[STRIP + len(grey) :].any()
    shown = got[STRIP : STRIP + len(grey)].astype(int)
    mixed = np.array([[100, 100, 100], [45, 45, 155], [155, 45, 45]])  # 0.45 * 100 + 0.55 * colour
    assert ALPHA == 0.55
    assert np.abs(shown - mixed[np.where(mask > 2, 0, mask)]).max() <= 1


def test_a_slice_keeps_its_aspect_and_a_title_is_written():
    got = panel(np.full((64, 32), 255, np.uint8), np.zeros((64, 32), np.uint8), "truth", COLOURS)
    assert got[:STRIP].any()
    assert (got[STRIP:, : PANEL // 2] == 255).all()
    assert not got[STRIP:, PANEL // 2 :].any()


@pytest.mark.parametrize(("best_step", "tested"), [(2, [7.0, 3.0]), (4, [7.0])])
def test_the_last_network_is_tested_again_only_if_it_is_not_the_best(best_step, tested, monkeypatch):
    net, seen, logged, shown = torch.nn.Linear(1, 1, bias=False), [], {}, []
    torch.nn.init.constant_(net.weight, 7.0)

    def evaluate(net, *_, keep, **__):
        assert keep == {0, 1, 2}
        seen.append(net.weight.item())
        return SimpleNamespace(summary={"iou": net.weight.item()})

    monkeypatch.setattr(finetune.segmentation, "evaluate", evaluate)
    monkeypatch.setattr(results, "log", lambda run, tested, *_: shown.append(tested.summary["iou"]))
    monkeypatch.setattr(finetune.lineage, "walk", lambda run_id: [])
    monkeypatch.setattr(finetune, "_register", lambda *_: None)
    run = SimpleNamespace(id="", log=lambda metrics, step: logged.update(metrics))
    store = SimpleNamespace(classes=("background", "a"))
    data = SimpleNamespace(store=store, labelled={"test": np.arange(3)}, intensity=None)
    state = {"weight": torch.full((1, 1), tested[-1])}
    finetune._finish(
        Finetune(steps=4, device="cpu"), run, net, {"step": best_step, "state": state}, data, None, {}
    )
    assert seen == tested
    assert logged == {"test_last/iou": 7.0, "test/iou": tested[-1]}
    assert shown == tested[-1:]
    assert net.weight.item() == tested[-1]
