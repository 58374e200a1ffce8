"""Fig. 7 on planted probes: encoders as units, the known rank correlation, what is left out."""

from __future__ import annotations

import importlib
import shlex
from dataclasses import replace

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import stats

from analysis.comparison import cells
from analysis.figures import fig7_probe
from analysis.statistics.records import Refusal
from sslseg.config import names
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import DATA, curves_of, encoders, finetune, make, runs_of

FIVE = ("supervised", "byol@natural", "byol@target", "supervised+byol@target", "byol@natural+byol@target")
TOLD = {"linear_iou": (0.1, 0.3, 0.2, 0.4, 0.5), "position_error": (0.5, 0.4, 0.3, 0.2, 0.1)}
LOSSES = (0.9, 0.8, 0.7, 0.6, 0.5)


def probe(pipeline: str, **found: float) -> Planted:
    sha = encoders(pipeline)[-1].run_id
    tags = {names.TAG_STAGE: names.PROBE, names.TAG_DATASET: "acdc", names.TAG_DATA_DIGEST: DATA,
            names.TAG_UPSTREAM_RUN: sha, names.TAG_UPSTREAM_SHA: sha}  # fmt: skip
    return Planted(
        f"probe {pipeline} {found}", tags, {}, {names.FEATURES + k: [(0, v)] for k, v in found.items()}
    )


@pytest.fixture(scope="module")
def planted() -> list[Planted]:
    """Two seeds of each of five encoders, whose mean is 1 - LOSSES; random weights, and a variant, beside them."""
    tuned = [finetune(p, 3, s, v + (-1) ** s / 50) for p, v in zip(FIVE, LOSSES, strict=True) for s in (0, 1)]
    strong = finetune("supervised", 3, 0, 0.1)
    variant = {"augment": "strong", "rotation": "180.0"}
    strong = replace(strong, name="strong", cfg={**strong.cfg, **variant},
                     tags=strong.tags | {names.TAG_PIPELINE: "supervised+strong"})  # fmt: skip
    probes = [probe(p, **{k: v[i] for k, v in TOLD.items()}) for i, p in enumerate(FIVE)]
    upstream = [e for p in FIVE for e in encoders(p)]
    return [*upstream, *tuned, strong, finetune("scratch", 3, 0, 0.95), *probes]


def test_the_rank_correlation_over_encoders_is_the_planted_one(planted):
    content = fig7_probe.data(cells.study(runs_of(planted)), curves_of(planted))
    assert len(content.table) == 2 * 5
    assert content.table["runs"].tolist() == [2] * 10
    found = {name: (n, one) for name, _, n, one in fig7_probe.correlations(content.table)}
    iou = [1 - loss for loss in LOSSES]
    assert found["linear_iou"][0] == 5
    assert found["linear_iou"][1].value == pytest.approx(stats.spearmanr(TOLD["linear_iou"], iou).statistic)
    assert found["position_error"][1].value == pytest.approx(1)  # less error, more IoU
    assert any(
        "val IoU of the linear probe at 3 slices: rank correlation 0.90 [" in note
        and "over 5 encoders" in note
        for note in content.notes
    )
    FigureCanvasAgg(fig7_probe.draw(content)).draw()


def test_a_later_probe_counts_and_few_encoders_have_no_interval(planted):
    again = replace(probe("supervised", linear_iou=0.9), start=2_000_000_000_000)
    study = cells.study(runs_of([*planted, again]))
    table = fig7_probe.data(study, curves_of(planted)).table
    assert table.loc[table["arm"] == "supervised", "value"].tolist() == [0.9]
    few = [run for run in planted if "byol@natural" not in run.name]
    study = cells.study(runs_of(few))
    (*_, one) = next(iter(fig7_probe.correlations(fig7_probe.data(study, curves_of(few)).table)))
    assert isinstance(one, Refusal)


def test_without_a_probe_the_page_says_how_to_make_one():
    planted = make(("scratch", "supervised"), (3, 30), 1)
    study = cells.study(runs_of(planted))
    assert fig7_probe.data(study, curves_of(planted)).table.empty
    why, again = fig7_probe.wanted(study)
    assert "no encoder of these fine-tunings was probed" in why
    assert again == f"sslseg probe --dataset acdc --encoder {encoders('supervised')[-1].run_id}"


@pytest.mark.parametrize("figure", ["fig4b_clinical", "fig6_epochs", "fig7_probe"])
def test_the_command_for_a_figure_that_is_left_out_reads_the_folder_of_its_runs(figure):
    module = importlib.import_module(f"analysis.figures.{figure}")
    study = cells.study(runs_of(make(("scratch", "supervised"), (3, 30), 1)))
    mine = replace(study, runs=study.runs.assign(**{"cfg.data_root": "/mine", "parent": "5weep"}))
    told = shlex.split(module.wanted(mine)[1])
    assert told[told.index("--data_root") + 1] == "/mine"
    assert "--sweep" not in told or told[told.index("--sweep") + 1] == "5weep"
    hidden = replace(study, runs=study.runs.assign(**{"cfg.data_root": "…/acdc"}))
    assert "--data_root DATA_ROOT" in module.wanted(hidden)[1]


def test_no_probe_is_proposed_where_every_fine_tuning_starts_from_random_weights() -> None:
    study = cells.study(runs_of(make(("scratch",), (3, 30), 1)))
    assert fig7_probe.wanted(study) == (
        "every fine-tuning starts from random weights, and a probe needs an encoder",
        "",
    )
