"""Named grids: the paper's 600 cells, and what an explicit knob changes."""

from __future__ import annotations

from collections import Counter

import pytest

from sslseg.config import flags, names, params
from sslseg.config.names import ParamError
from sslseg.plans import cells, pipelines, studies


def filled(**knobs) -> params.Sweep:
    return studies.fill(flags.resolve(params.Sweep(**knobs)))


def test_the_paper_is_600_cells_and_their_upstream():
    found = cells.cells(filled(study="paper"))
    tuned = [c for c in found if c.pipeline]
    # ImageNet once, and four kinds of BYOL encoder by three pretraining seeds
    assert len({c.name for c in found}) == len(found) == 600 + 1 + 4 * 3
    named = [
        "scratch",
        "supervised",
        "byol@photos",
        "byol@acdc",
        "supervised+byol@acdc",
        "byol@photos+byol@acdc",
    ]
    assert Counter(c.pipeline for c in tuned) == dict.fromkeys(named, 100)
    seen: set[str] = set()
    for cell in found:
        assert not cell.upstream or cell.upstream in seen
        seen.add(cell.name)
    assert {c.texts["budget"] for c in tuned} == {str(n) for n in studies.PAPER_BUDGETS}
    assert len({c.texts["seed"] for c in tuned}) == 10
    assert {c.stage for c in found if not c.pipeline} == {names.IMPORT, names.PRETRAIN}


@pytest.mark.parametrize("study", list(studies.STUDIES))
def test_every_cell_of_every_study_resolves(study: str):
    for cell in cells.cells(filled(study=study, seeds=(0,))):
        cell.params("0" * 32 if cell.upstream else None)


def test_studies_name_pipelines_that_there_are():
    for name, row in studies.STUDIES.items():
        assert [str(pipelines.parse(text)) for text in row["pipelines"]] == list(row["pipelines"]), name
    budgets = studies.STUDIES["paper-cpu"]["budgets"]
    assert 0 in budgets  # the full set
    assert len(budgets) >= 4
    assert len(studies.STUDIES["paper-cpu"]["seeds"]) >= 3


def test_an_explicit_knob_beats_the_study_and_the_study_the_defaults():
    p = filled(study="paper-cpu", seeds=(5,), data_root="/d", preset="demo")
    assert (p.seeds, p.preset, p.dataset, p.data_root) == ((5,), "demo", "acdc", "/d")
    assert filled().dataset == "demo"
    assert filled(dataset="phantom").dataset == "phantom"
    assert filled(study="paper").imagenet.startswith("timm:")


def test_a_study_that_there_is_not():
    with pytest.raises(
        ParamError, match="study: must be one of paper, paper-cpu, methods, demo; not 'papers'"
    ):
        filled(study="papers")


@pytest.mark.parametrize("study", ["", *studies.STUDIES])
def test_a_sweep_is_typed_again_without_what_its_study_says(study: str):
    own = {"study": study, "data_root": "/d", "seeds": (0, 1, 2, 3), "preset": "paper-code"}
    full = filled(**own)
    assert studies.asked(full) == params.Sweep(**own)
    assert studies.fill(studies.asked(full)) == full
