"""Every figure: drawn from any number of runs, the same whatever their order, with its four files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from analysis import figures
from analysis.comparison import cells
from analysis.figures import outputs, style
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import curves_of, encoders, finetune, make, runs_of

FIGURES = figures.load()
BY_EPOCH = [
    finetune("byol@target", 30, s, 0.5 - e / 50 - s / 100, epoch=e) for e in (0, 1, 3) for s in (0, 1)
]
STUDIES = {
    "several seeds": make(("scratch", "byol@natural+byol@target"), (3, 15, 30, 100), 5),
    "one seed": make(("scratch", "supervised"), (3, 30), 1),
    "one run": make(("scratch",), (3,), 1),
    "a pipeline without a run at the largest budget": [
        *make(("scratch",), (3, 30), 3),
        *[run for run in make(("byol@target",), (3, 30), 3) if "n=30" not in run.name],
    ],
    "no curves and no test": [Planted(r.name, r.tags, r.cfg) for r in make(("scratch",), (3,), 2)],
    "encoders kept by epoch": [*make(("scratch",), (30,), 2), *encoders("byol@target"), *BY_EPOCH],
}


def drawn_of(name: str, planted: list[Planted]) -> tuple[outputs.Content, cells.Study]:
    study = cells.study(runs_of(planted))
    return FIGURES[name].data(study, curves_of(planted)), study


@pytest.mark.parametrize("name", FIGURES)
def test_it_says_what_it_is(name: str) -> None:
    module = FIGURES[name]
    assert module.TITLE
    assert module.__doc__.startswith(f"Fig. {name.removeprefix('fig')}")
    assert isinstance(module.KEYS, tuple)
    why, more = module.wanted(cells.study(runs_of(STUDIES["one run"])))
    assert why
    assert more.startswith("sslseg ") or not more


@pytest.mark.parametrize("look", style.STYLES)
@pytest.mark.parametrize("name", FIGURES)
def test_letters_are_large_enough_for_a_paper_and_stay_in_its_width(name: str, look: str) -> None:
    content, _ = drawn_of(name, STUDIES["several seeds"] + STUDIES["encoders kept by epoch"][-6:])
    with style.using(look), style.look():
        figure = FIGURES[name].draw(content)
        FigureCanvasAgg(figure).draw()
        box = figure.get_tightbbox()
    written = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    assert min(t.get_fontsize() for t in written) >= 9
    assert figure.get_figwidth() <= 7.16
    assert box.x0 >= 0
    assert box.x1 <= 7.16
    assert any("fine-tunings on acdc" in t.get_text() for t in written) == (
        look == "page"
    )  # a paper has it in the caption


def test_a_paper_s_figure_comes_with_its_caption(tmp_path: Path) -> None:
    content, study = drawn_of("fig4", STUDIES["several seeds"])
    odd = replace(content, notes=("50 % of a_b & c",))
    with style.using("paper"):
        paths = outputs.write(odd, FIGURES["fig4"].draw(odd), study, tmp_path)
    assert paths[-1].name == "fig4.tex"
    assert r"\caption{Test IoU against annotated data. 50 \% of a\_b \& c.}" in paths[-1].read_text()


@pytest.mark.parametrize("which", STUDIES)
@pytest.mark.parametrize("name", FIGURES)
def test_draws_from_any_study(name: str, which: str, tmp_path: Path) -> None:
    content, study = drawn_of(name, STUDIES[which])
    paths = outputs.write(content, FIGURES[name].draw(content), study, tmp_path)
    assert [p.name for p in paths] == [f"{name}.{e}" for e in ("pdf", "png", "csv", "json")]
    assert all(p.stat().st_size for p in paths)
    facts = json.loads(paths[3].read_text())
    assert facts["n"] == len(facts["run_ids"]) == len(content.runs)
    assert facts["missing"] == [str(m) for m in study.missing]
    assert {"seeds", "subset_sha256", "encoder_run_ids", "query", "mixed", "data_digest"} <= set(facts)
    assert list(pd.read_csv(paths[2]).columns) == list(content.table.columns)


@pytest.mark.parametrize("name", FIGURES)
def test_the_order_of_runs_changes_no_byte(name: str, tmp_path: Path) -> None:
    planted = STUDIES["several seeds"] + STUDIES["encoders kept by epoch"][-6:]
    for folder, rows in (("a", planted), ("b", planted[::-1])):
        content, study = drawn_of(name, rows)
        outputs.write(content, FIGURES[name].draw(content), study, tmp_path / folder)
    for ending in ("json", "csv", "png", "pdf"):
        first, second = (tmp_path / f / f"{name}.{ending}" for f in "ab")
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_mixed_or_missing_is_said_on_its_face(name: str) -> None:
    planted = make(("scratch", "supervised"), (3, 30), 2)[:-1]
    odd = Planted(
        "odd", planted[-1].tags, {**planted[-1].cfg, "seed": "9", "steps": "7"}, planted[-1].metrics
    )
    study = cells.study(runs_of([*planted, odd]), allow_mixed=True)
    content = FIGURES[name].data(study, curves_of([*planted, odd]))
    face = "\n".join(content.notes)
    assert "MIXED: they differ in steps" in face
    assert "missing runs: " in face
    text = "\n".join(t.get_text() for t in FIGURES[name].draw(content).texts)
    assert "MIXED" in text
