"""The ink of pipelines: the same always, told apart by colour-blind eyes, from another where the pipeline is another."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from analysis.comparison import arms, ink
from sslseg.plans.pipelines import split

# Machado, Oliveira and Fernandes 2009, severity 1: what normal, red-blind, green-blind and blue-blind eyes see
EYES = {
    "normal": np.eye(3),
    "red-blind": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                  [-0.003882, -0.048116, 1.051998]],
    "green-blind": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                    [-0.011820, 0.042940, 0.968881]],
    "blue-blind": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
LEAST = {"normal": 12, "red-blind": 12, "green-blind": 12, "blue-blind": 6}  # of every pair, CIEDE2000


def seen(colours: list[str], eye: str) -> np.ndarray:
    """CIELAB [N, 3] of hex colours as an eye sees them."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.transpose(EYES[eye])
    linear = linear.clip(0, 1)
    again = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(again[None])[0]


@pytest.mark.parametrize("eye", EYES)
def test_thirteen_colours_are_told_apart(eye: str):
    colours = [ink.BLACK, *ink.COLOURS]
    assert len(colours) == 13
    lab = seen(colours, eye)
    assert min(float(deltaE_ciede2000(one, other)) for one, other in combinations(lab, 2)) >= LEAST[eye]


def test_twelve_ways_to_learn_side_by_side_have_twelve_colours_and_markers():
    for form in ("{}@target", "{}@natural", "supervised+{}@target"):
        found = [ink.of(split(form.format(how))) for how in ink.HOWS[1:13]]
        assert len({colour for colour, _ in found}) == len({marker for _, marker in found}) == 12


def test_every_pipeline_of_one_hop_or_of_imagenet_and_one_has_ink_of_its_own():
    learned = [how for how in ink.HOWS if how != "supervised"]
    forms = ["{}@target", "{}@natural", "supervised+{}@target"]
    sentences = ["scratch", "supervised", "phantom", *(f.format(h) for f in forms for h in learned)]
    assert len({ink.of(split(sentence)) for sentence in sentences}) == len(sentences)


def test_ways_to_fine_tune_have_markers_of_their_own_in_the_colour_of_their_pipeline():
    for pipeline in ("scratch", "supervised", "byol@target"):
        found = [
            ink.of(split(pipeline + more))
            for more in ("", "+strong", "+mean_teacher", "+frozen", "+unimatch")
        ]
        assert len({colour for colour, _ in found}) == 1
        assert len({marker for _, marker in found}) == 5


def test_ink_follows_from_the_pipeline_alone():
    assert ink.of(split("byol@target")) == ("#009E73", "^")
    assert ink.of(split("phantom")) == ("#CC79A7", "v")
    assert ink.of(split("phantom+decoder"))[0] == "#CC79A7"
    assert ink.of(split("phantom+decoder"))[1] != "v"
    alone, among = arms.arms([("moco@target", "moco@acdc")]), arms.arms(
        [(f"{how}@target", f"{how}@acdc") for how in ("byol", "simclr", "moco", "of-another-package")]
    )  # fmt: skip
    assert alone[0] in among


def test_arms_stand_in_the_paper_s_order():
    paper = ["scratch", "supervised", "byol@natural", "byol@target", "supervised+byol@target",
             "byol@natural+byol@target", "phantom"]  # fmt: skip
    found = arms.arms([(sentence, sentence) for sentence in sorted(paper)])
    assert [arm.label for arm in found] == paper
    assert [arm.kind for arm in found] == ["control", "generalist", "generalist", "specialist", "hierarchical",
                                           "hierarchical", "own"]  # fmt: skip
