"""Data that a method cannot learn from are refused before anything is trained, with the method's reason."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sslseg import execute
from sslseg.config import flags, names, plugins
from sslseg.config.names import FINETUNE, PRETRAIN, DataError, ParamError
from sslseg.data import outside
from sslseg.methods.restoration import colourisation
from sslseg.models import encoder as encoders
from sslseg.plans.cells import Cell
from sslseg.stages.forecast import feasible
from sslseg.testing import methods
from sslseg.tracking.registry import resolve
from tests.fixtures.tiny_runs import Tiny, get

pytestmark = pytest.mark.usefixtures("store")


def fault(name: str, channels: int, rows) -> str:
    wanted = plugins.load("methods", name).Method.wanted(methods.settings(name))
    return outside.unsuited(name, wanted, methods.slices(channels), rows)


def test_colourisation_wants_colours():
    assert not fault("colourisation", 3, range(8))
    assert fault("colourisation", 1, range(8)).startswith(
        "colourisation learns from images of 3 channels, these have 1: colours are what it learns to tell"
    )


def test_classification_wants_folders():
    assert not fault("classification", 1, range(8))
    assert "at least 2 groups, there are 1 among those to train on: classes" in fault(
        "classification", 1, range(4)
    )


def test_classification_wants_an_output_for_each_folder_of_the_data():
    store = methods.TinySlices([methods.slices(1).codes(row) for row in range(4)])
    store.index["group"] = ["a", "b", "b", "c"]  # one of which has no slice to train on
    few, enough = (
        plugins.load("methods", "classification").Method.wanted(methods.settings("classification", classes=n))
        for n in (2, 3)
    )
    assert not outside.unsuited("classification", enough, store, range(3))
    assert outside.unsuited("classification", few, store, range(3)).startswith(
        "classification tells 2 groups apart, the data have 3: classes are the folders that the images lie in"
    )


def test_the_others_learn_from_any():
    others = set(plugins.own("methods")) - {"colourisation", "classification"}
    assert not [name for name in others if fault(name, 1, range(4))]


def test_a_sweep_refuses_it_before_its_first_cell(tiny: Tiny):
    texts = tiny.texts(PRETRAIN) | {"encoder": "scratch"}
    own = flags.knobs(colourisation.Params)
    cell = Cell(
        "x",
        PRETRAIN,
        {k: v for k, v in texts.items() if k in own and k not in ("cache", "threads")},
        "colourisation",
    )
    with pytest.raises(
        ParamError, match="x: acdc: colourisation learns from images of 3 channels, these have 1"
    ):
        feasible.check([cell], {"cache": str(tiny.cache), "threads": 1, "device": "cpu"})


def colours(tiny: Tiny, **changed: object) -> str:
    """A pretraining by colourisation; its run ID."""
    texts = tiny.texts(PRETRAIN, steps=2, decoder=(8,) * 5, bin_side=40, **changed)
    own = flags.knobs(colourisation.Params)
    p = flags.from_mapping(colourisation.Params, {key: text for key, text in texts.items() if key in own})
    return execute.execute(PRETRAIN, flags.resolve(p), method="colourisation")


def test_grey_slices_end_a_pretraining_before_its_first_step(tiny: Tiny):
    with pytest.raises(DataError, match="acdc: colourisation learns from images of 3 channels, these have 1"):
        colours(tiny)


def test_an_encoder_that_learned_from_colours_is_fine_tuned_on_grey_slices(tiny: Tiny, tmp_path):
    rng = np.random.default_rng(0)
    for n in range(6):
        cv2.imwrite(
            str(tmp_path / f"{n}.png"), cv2.resize(rng.integers(0, 255, (9, 9, 3)).astype(np.uint8), (48, 48))
        )
    run_id = colours(tiny, dataset="colour_photos", data_root=tmp_path, fraction=1.0)
    found = resolve.resolve(run_id)
    assert encoders.read_state(found.path)[1]["model_args"]["in_chans"] == 1
    tuned = get(tiny.run(FINETUNE, encoder=run_id, steps=1, eval_every=1))
    assert tuned.data.tags[names.TAG_PIPELINE] == "colourisation@natural"
