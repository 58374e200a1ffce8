"""What figures draw, as numbers: the band of Fig. 3a covers, Fig. 4 is of the structures' IoU, names do not collide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.comparison import arms, cells
from analysis.comparison.arms import Arm
from analysis.figures import fig3a_convergence, fig4_scaling, labels, style
from analysis.statistics.laws.interpolate import Joined
from analysis.statistics.laws.scaling import Scaling
from analysis.statistics.records import Refusal, generator
from tests.fixtures.planted_study import curves_of, make, runs_of


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_band_covers_what_its_label_says(seeds: int) -> None:
    """2,000 steps of independent noise around one curve: 95 % of them, at every number of seeds."""
    truth = np.linspace(0.2, 0.8, 2000)
    low, high = fig3a_convergence.band(truth + generator(0, f"band {seeds}").normal(0, 0.05, (seeds, 2000)))
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.95, abs=0.02)
    assert np.isnan(fig3a_convergence.band(np.ones((2, 4)))).all()


def test_the_band_is_labelled_on_the_figure() -> None:
    runs = make(("scratch", "supervised"), (30,), 3)
    drawn = fig3a_convergence.data(cells.study(runs_of(runs)), curves_of(runs))
    assert any(
        "95 % interval of the mean over seeds at each step (Student's t)" in note for note in drawn.notes
    )
    assert drawn.facts["band"] == fig3a_convergence.BAND


def test_a_missing_cell_is_named_on_the_figures_of_its_size_alone() -> None:
    """A fine-tuning with 3 slices says nothing about curves with 30; a pretraining that is gone may be wanted anywhere."""
    runs = [run for run in make(("scratch", "supervised"), (3, 30), 3) if run.name != "scratch/n=3/seed=1"]
    for failed, told in (
        ([], set()),
        ([{"cell": "byol@acdc", "error": "failed"}], {"missing runs: byol@acdc"}),
    ):
        study = cells.study(runs_of(runs), failed=failed)
        curves = fig3a_convergence.data(study, curves_of(runs)).notes
        assert {note for note in curves if "missing" in note} == told
        assert "scratch/n=3/seed=1" in "".join(fig4_scaling.data(study, curves_of(runs)).notes)


def test_fig4_draws_the_iou_and_joins_means_where_there_is_no_law() -> None:
    for budgets, kind in (((3, 15, 75, 300), Joined), ((3, 15, 75, 300, 1498), Scaling)):
        runs = make(("scratch",), budgets, 5)
        study = cells.study(runs_of(runs))
        drawn = fig4_scaling.data(study)
        assert np.allclose(np.sort(drawn.table["value"]), np.sort(study.runs["test/iou"]))
        (law,) = drawn.parts[0]
        assert isinstance(law.fit or law.means, kind)
        if isinstance(law.fit, Refusal):
            assert any("needs 5 sizes" in note for note in drawn.notes)
        axis = fig4_scaling.draw(drawn).axes[0]
        assert axis.get_ylabel() == "test IoU, mean of the structures"
        assert any(len(line.get_xdata()) == 200 for line in axis.lines)
        means = study.runs.groupby("budget")["test/iou"].mean()
        (line,) = [line for line in axis.lines if len(line.get_xdata()) == 200]
        if kind is Joined:  # the line goes through the means that the text speaks of
            found = np.interp(np.log(means.index), np.log(line.get_xdata()), line.get_ydata())
            assert np.allclose(found, means, atol=2e-3)


@pytest.mark.parametrize("ends", [[0.5], [0.1, 0.11, 0.12, 0.9], [0.97, 0.98, 0.99], [0.0, 0.0, 0.01]])
def test_names_at_the_ends_of_lines_are_apart_and_as_near_as_can_be(ends: list[float]) -> None:
    places = labels.apart(ends, 0.06)
    assert (np.diff(places) >= 0.06 - 1e-12).all()
    assert ((places >= -1e-12) & (places <= 1 + 1e-12)).all()
    if len(ends) == 4:
        assert places == pytest.approx([0.05, 0.11, 0.17, 0.9])


def test_the_thick_line_of_fig3a_is_the_median_of_the_seeds() -> None:
    runs = make(("scratch",), (30,), 5)
    drawn = fig3a_convergence.data(cells.study(runs_of(runs)), curves_of(runs))
    seeds = drawn.table[drawn.table["kind"] == "seed"].pivot_table(
        index="step", columns="seed", values="value"
    )
    thick = max(fig3a_convergence.draw(drawn).axes[0].lines, key=lambda line: line.get_linewidth())
    assert np.allclose(thick.get_ydata(), seeds.median(axis=1))


def test_axes_keep_their_height_however_many_lines_stand_around_them() -> None:
    """Eighteen pipelines, and a page of small print."""
    heights = []
    for count in (2, 18):
        with style.look():
            figure = Figure(figsize=(style.WIDTH, 4.4))
            axis = figure.subplots()
            labels.legend(
                figure, [(Arm(f"a{k}", f"a{k}", "own", "#000000", "o", "-"), "x" * 60) for k in range(count)]
            )
            style.footnote(figure, ["a note"] * (count // 2))
            FigureCanvasAgg(figure).draw()
            heights.append(axis.get_window_extent().height / figure.dpi)
    assert min(heights) > 2.2


def test_of_many_pipelines_the_references_and_the_best_have_colour_in_every_figure() -> None:
    """The 28 of study=methods: eight lines in colour and twenty in grey, and the note says which."""
    path = Path(__file__).parents[2] / "docs/results/methods-acdc/runs.csv"
    runs = pd.read_csv(path).rename(columns={"value": "test/iou"})
    many = arms.arms(zip(runs["pipeline"], runs["arm"], strict=True))
    study = cells.Study(runs, "acdc", "slice", many)
    front = labels.front(study)
    best = runs[runs["budget"] == 75].groupby("arm")["test/iou"].mean().sort_values().index[::-1]
    assert {arm.label for arm in front} == {"scratch", "supervised", *best[:7]}
    assert "supervised" in best[:7]
    assert labels.others(study, "grey") == (
        "named: scratch, supervised, the 6 best others at 75 slices; the remaining 20 are grey",
    )
    axis = Figure().subplots()
    labels.behind(axis, runs, front, "budget", "test/iou")
    assert len(axis.lines) == 20
    few = cells.Study(runs, "acdc", "slice", many[:10])
    assert labels.front(few) == many[:10]
    assert labels.others(few, "grey") == ()


def test_a_name_of_any_length_has_room_in_a_figure() -> None:
    short, long = "byol@photos+byol@acdc", "+".join(["byol@a_data_set_with_a_name"] * 4)
    first, second = arms.arms([(short, short), (long, long)])
    assert {first.name, second.name} > {short}
    (shown,) = {first.name, second.name} - {short}
    begin, end = shown.split("…")
    assert (len(shown), long.startswith(begin), long.endswith(end)) == (arms.MOST + 1, True, True)
