"""The picture that a fine-tuning leaves, pixel by pixel."""

from __future__ import annotations

import numpy as np

from sslseg.stages.results import ALPHA, PANEL, STRIP, panel

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
