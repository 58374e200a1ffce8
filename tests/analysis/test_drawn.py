"""What figures draw is what their tables hold: in the colour of each pipeline its own numbers, at their own places."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.comparison import cells
from analysis.figures import (
    fig1_pipelines,
    fig3b_area,
    fig4_scaling,
    fig4b_clinical,
    fig6_epochs,
    fig7_probe,
    labels,
    outputs,
)
from sslseg.config import names
from tests.analysis.test_clinical import evaluation
from tests.analysis.test_probe_figure import FIVE, TOLD, probe
from tests.fixtures.planted_study import curves_of, encoders, finetune, make, runs_of

TWO = ("scratch", "supervised")


def coloured(axis: Axes, colour: str) -> list[Line2D]:
    return [line for line in axis.lines if line.get_color() == colour]


def at(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xydata(), float)


def test_fig4b_has_runs_means_and_the_interval_of_a_run_alone() -> None:
    planted = make(TWO, (3, 30), 2)
    tuned = [run for run in planted if "/n=" in run.name and "n=30/seed=1" not in run.name]
    scored = [evaluation(run, 5.0 + i) for i, run in enumerate(tuned)]
    content = fig4b_clinical.data(cells.study(runs_of([*planted, *scored])))
    figure = fig4b_clinical.draw(content)
    shown, arms, _ = content.parts
    assert [axis.get_title().split("\n")[0] for axis in figure.axes[:3]] == [
        measure.what for measure in shown
    ]
    for axis, measure in zip(figure.axes, shown, strict=False):
        table = content.table[content.table["measure"] == measure.title]
        for side, arm in zip((-0.5, 0.5), arms, strict=True):
            rows, shift = table[table["arm"] == arm.label], 10 ** (side * fig4b_clinical.SPREAD)
            points, means, *bars = map(at, coloured(axis, arm.colour))
            assert points == pytest.approx(rows[["budget", "value"]].to_numpy() * [shift, 1])
            assert means == pytest.approx(
                rows.groupby("budget")["value"].mean().reset_index().to_numpy() * [shift, 1]
            )
            alone = rows[rows["budget"] == 30].iloc[0]
            wanted = [[30 * shift, alone["low"]], [30 * shift, alone["high"]]]
            assert [bar.tolist() for bar in bars] == (
                [pytest.approx(np.array(wanted))] if len(measure.keys) == 1 else []
            )


def test_fig4_has_every_run_at_its_size_and_a_box_of_three_seeds() -> None:
    runs = make(TWO, (3, 30), 3)
    content = fig4_scaling.data(cells.study(runs_of(runs)))
    axis = fig4_scaling.draw(content).axes[0]
    for law in content.parts[0]:
        own = content.table[content.table["arm"] == law.arm.label]
        points = [
            at(one)
            for one in coloured(axis, law.arm.colour)
            if one.get_marker() == law.arm.marker and len(at(one)) == 3
        ]
        found = {int(round(x[0, 0])): sorted(x[:, 1]) for x in points}
        assert {min((3, 30), key=lambda n: abs(n - size)): values for size, values in found.items()} == {
            n: pytest.approx(sorted(own.loc[own["budget"] == n, "value"])) for n in (3, 30)
        }
    assert len(axis.patches) == 4
    few = fig4_scaling.draw(fig4_scaling.data(cells.study(runs_of(make(TWO, (3, 30), 2))))).axes[0]
    assert len(few.patches) == 0


def test_fig3b_has_the_areas_of_a_pipeline_beside_its_name_the_best_median_first() -> None:
    runs = make(("scratch", "supervised", "byol@target"), (30,), 5)
    content = fig3b_area.data(cells.study(runs_of(runs)), curves_of(runs))
    axis = fig3b_area.draw(content).axes[0]
    medians = content.table.groupby("arm")["area"].median().sort_values(ascending=False)
    assert [arm.label for arm in content.parts] == list(medians.index) == content.facts["order"]
    shown = [label.get_text().split("\n") for label in axis.get_yticklabels()]
    assert shown == [[label, "n = 5"] for label in medians.index]
    for place, arm in enumerate(content.parts):
        points, middle = map(at, coloured(axis, arm.colour))
        areas = content.table.loc[content.table["arm"] == arm.label, "area"]
        assert (points[:, 0].tolist(), set(points[:, 1])) == (areas.tolist(), {-place})
        assert middle[:, 0] == pytest.approx(medians[arm.label])
    assert len(axis.collections) == 3  # a density of five seeds and more
    fewer = [run for run in runs if not run.name.endswith("seed=4")]
    few = fig3b_area.draw(fig3b_area.data(cells.study(runs_of(fewer)), curves_of(fewer)))
    assert len(few.axes[0].collections) == 0


def test_fig6_has_a_mean_of_every_epoch_at_the_size_with_the_most_runs() -> None:
    row = "byol@target"
    runs = [finetune(row, 3, s, 0.6 - e / 20 + s / 100, epoch=e) for e in (0, 2, 4) for s in (0, 1)]
    runs += [finetune(row, 30, 0, 0.1, epoch=e) for e in (0, 4)]
    content = fig6_epochs.data(cells.study(runs_of([*encoders(row), *runs])), curves_of(runs))
    assert content.facts["budget"] == 3
    assert content.title.endswith(", at 3 slices")
    ((run_id, told),) = content.facts["pretraining"].items()
    assert (run_id, told["steps"]) == (encoders(row)[0].run_id, 1000)
    (arm,), table = content.parts, content.table
    left, right = fig6_epochs.draw(content).axes[:2]
    thick = [at(line) for line in left.lines if line.get_linewidth() == 1.5]
    curves = table[table["kind"] == "seed"].groupby(["epoch", "step"])["value"].mean()
    for epoch, line in zip((0, 2, 4), thick, strict=True):
        assert line == pytest.approx(curves[epoch].reset_index().to_numpy())
    assert len(left.lines) == 3 + 6
    points, means = map(at, coloured(right, arm.colour))
    areas = table[table["kind"] == "run"]
    assert points == pytest.approx(areas[["epoch", "area"]].to_numpy())
    assert means == pytest.approx(areas.groupby("epoch")["area"].mean().reset_index().to_numpy())
    assert right.get_title() == "seeds: 2"
    assert fig6_epochs.data(cells.study(runs_of(make(TWO, (3,), 2))), curves_of(runs)).table.empty


def test_fig7_has_a_panel_a_number_of_the_probe_and_more_slices_are_darker() -> None:
    tuned = [
        finetune(p, n, s, 0.9 - i / 10 - n / 999) for i, p in enumerate(FIVE) for n in (3, 30) for s in (0, 1)
    ]
    probes = [probe(p, **{k: v[i] for k, v in TOLD.items()}) for i, p in enumerate(FIVE)]
    planted = [*(e for p in FIVE for e in encoders(p)), *tuned, *probes]
    content = fig7_probe.data(cells.study(runs_of(planted)), curves_of(planted))
    assert content.notes[-1] == "darker: more slices"
    axes = fig7_probe.draw(content).axes
    assert [axis.get_xlabel() for axis in axes] == [fig7_probe.WORDS[name] for name in TOLD]
    for axis, name in zip(axes, TOLD, strict=True):
        for arm, drawn in zip(content.parts, axis.collections, strict=True):
            rows = content.table[(content.table["arm"] == arm.label) & (content.table["probe"] == name)]
            assert rows["budget"].tolist() == [3, 30]
            assert np.asarray(drawn.get_offsets()) == pytest.approx(rows[["value", "iou"]].to_numpy())
            assert drawn.get_facecolors() == pytest.approx(
                np.array([to_rgba(arm.colour, a) for a in (0.35, 1.0)]), abs=1e-6
            )


def test_fig1_has_the_stages_of_each_pipeline_with_runs_and_steps() -> None:
    runs = make(("scratch", "byol@natural+byol@target"), (3, 30), 2)
    content = fig1_pipelines.data(cells.study(runs_of(runs)))
    rows = content.table[["arm", "hop", "stage", "name", "steps", "runs"]]
    tuned, both = int(content.runs[f"{names.CFG}steps"].iloc[0]), "byol@photos+byol@acdc"
    wanted = [("scratch", 0, "finetune", "acdc", tuned, 4), (both, 0, "pretrain", "byol@photos", 1000, 1),
              (both, 1, "pretrain", "byol@acdc", 1000, 1), (both, 2, "finetune", "acdc", tuned, 4)]  # fmt: skip
    assert list(rows.itertuples(index=False, name=None)) == wanted
    texts = [text.get_text().split("\n") for text in fig1_pipelines.draw(content).axes[0].texts]
    ids = [run.run_id[:8] for run in encoders("byol@natural+byol@target")]
    assert [one for one in texts if len(one) == 2] == [
        ["fine-tuned on acdc", f"4 runs, {tuned} steps"],
        ["byol@photos", f"run {ids[0]}, 1,000 steps"],
        ["byol@acdc", f"run {ids[1]}, 1,000 steps"],
        ["fine-tuned on acdc", f"4 runs, {tuned} steps"],
    ]


def test_grey_lines_are_the_means_of_the_others() -> None:
    table = pd.DataFrame({"arm": ["a", "b", "b"], "x": [1, 1, 2], "y": [5.0, 1.0, 3.0]})
    (arm,) = cells.study(runs_of(make(("scratch",), (3,), 1))).arms
    axis = Figure().subplots()
    labels.behind(axis, table.replace("a", arm.label), (arm,), "x", "y")
    assert [at(line).tolist() for line in axis.lines] == [[[1.0, 1.0], [2.0, 3.0]]]


def test_numbers_for_a_reader() -> None:
    shown = [outputs.number(value) for value in (0.12345, 3, np.float64(2.5), float("nan"), None)]
    assert shown == ["0.123", "3", "2.5", "–", "–"]
    assert outputs.number(1234.5, 2) == "1.2e+03"


def test_a_caption_begins_each_sentence_with_a_capital_and_escapes_what_latex_reads() -> None:
    content = outputs.Content("fig9", "test IoU", pd.DataFrame(), pd.DataFrame(), ("5 % of a_b", "the rest"))
    assert "\\caption{Test IoU. 5 \\% of a\\_b. The rest.}" in outputs.latex(content)
