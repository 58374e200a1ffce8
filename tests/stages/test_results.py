"""The picture that a fine-tuning leaves, pixel by pixel; and the names of its models."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sslseg.config.names import FINETUNE
from sslseg.config.params import Finetune
from sslseg.stages import finetune
from sslseg.stages.finetune import results
from sslseg.stages.intake.upstream import Start
from sslseg.stages.outcome import curves
from sslseg.stages.outcome.overlays import ALPHA, PANEL, STRIP, Picture, panel, sheet
from tests.fixtures import foreign_trees
from tests.fixtures.tiny_runs import ARCHITECTURE, Tiny, client

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


def test_panels_stand_in_lines_above_the_names_of_the_classes():
    image, mask = np.arange(PANEL * PANEL).reshape(PANEL, PANEL), np.zeros((PANEL, PANEL), np.uint8)
    mask[40:60, 40:60] = 1
    got = sheet(
        [Picture("", image, mask)] * 4, ("background", "heart", "rib"), ("#000000", "#c80000", "#0000c8")
    )
    assert got.shape == (2 * (STRIP + PANEL) + STRIP, 3 * PANEL, 3)
    first, fourth = got[STRIP : STRIP + PANEL, :PANEL], got[2 * STRIP + PANEL : -STRIP, :PANEL]
    assert np.array_equal(first, fourth)
    assert not got[STRIP + PANEL : -STRIP, PANEL:].any()
    assert (first[:2, :5] == 0).all()  # the darkest hundredth
    assert (first[-2:, -5:] == 255).all()
    red = first[40:60, 40:60].astype(int)
    assert (red[..., 2] - red[..., 0] > 100).all()
    blue_red = [got[-STRIP:, ..., channel].max() for channel in (0, 2)]
    assert blue_red == [200, 200]  # both names are written


@pytest.mark.parametrize(("best_step", "tested"), [(2, [7.0, 3.0]), (4, [7.0])])
def test_the_last_network_is_tested_again_only_if_it_is_not_the_best(best_step, tested, monkeypatch):
    net, seen, logged, shown = torch.nn.Linear(1, 1, bias=False), [], {}, []
    torch.nn.init.constant_(net.weight, 7.0)

    def evaluate(net, *_, keep, **__):
        assert keep == {0, 1, 2}
        seen.append(net.weight.item())
        return SimpleNamespace(summary={"iou": net.weight.item()})

    monkeypatch.setattr(finetune.segmentation, "evaluate", evaluate)
    monkeypatch.setattr(finetune.segmentation, "lazily", lambda *_, **__: None)
    monkeypatch.setattr(results, "log", lambda run, tested, *_: shown.append(tested.summary["iou"]))
    monkeypatch.setattr(finetune, "_register", lambda *_: None)
    run = SimpleNamespace(id="", log=lambda metrics, step: logged.update(metrics))
    store = SimpleNamespace(classes=("background", "a"), check_read=lambda: None)
    data = SimpleNamespace(store=store, labelled={"test": np.arange(3)}, intensity=None)
    state = {"weight": torch.full((1, 1), tested[-1])}
    start = Start(Finetune(steps=4, device="cpu"), run, None, data)
    finetune._finish(start, net, curves.Best(best_step, 0.5, state), {})
    assert seen == tested
    assert logged == {"test_last/iou": 7.0, "test/iou": tested[-1]}
    assert shown == tested[-1:]
    assert net.weight.item() == tested[-1]


def test_models_of_two_folders_of_one_format_do_not_share_an_alias(tiny: Tiny, store: str, tmp_path: Path):
    roots = [foreign_trees.images(tmp_path / name) for name in ("hearts", "lungs")]
    runs = [
        tiny.run(
            FINETUNE, dataset="images", data_root=root, steps=1, budget=1, eval_every=1, seed=i, probe="warn"
        )
        for i, root in enumerate(roots)
    ]
    for kind in ("unet", "finetuned-encoder"):
        name = f"{kind}-{ARCHITECTURE}"
        found = [
            client().get_model_version_by_alias(name, f"supervised-images-{n}") for n in ("hearts", "lungs")
        ]
        assert [version.run_id for version in found] == runs
        assert "supervised-images" not in client().get_registered_model(name).aliases
