"""Which runs are compared: refusals, what is missing, what replaces what."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from analysis.comparison import arms, cells
from analysis.comparison.missing import holes
from analysis.figures import outputs
from sslseg.config import names
from sslseg.config.names import SslsegError
from sslseg.tracking.runs import PARENT
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import encoders, finetune, make, runs_of

TWO = ("scratch", "byol@natural+byol@target")


@pytest.fixture(scope="module")
def planted() -> list[Planted]:
    return make(TWO, (3, 30), 3)


def test_arms_keep_order_names_and_colours_of_the_rows(planted) -> None:
    found = cells.study(runs_of(planted[::-1]))
    assert [arm.label for arm in found.arms] == ["scratch", "byol@photos+byol@acdc"]
    assert [arm.colour for arm in found.arms] == ["#000000", "#E69F00"]
    assert (found.budgets, found.seeds, found.dataset) == ((3, 30), (0, 1, 2), "acdc")
    assert (found.missing, found.mixed, found.superseded) == ((), (), 0)
    assert len(found.others) == 2  # photos, and ACDC on top


def test_labels_that_share_a_row_share_its_colour_but_not_its_dashes() -> None:
    first, second, own = arms.arms(
        [("byol@natural", "byol@photos"), ("byol@natural", "byol@imagenet"), ("simclr@mnms", "simclr@mnms")]
    )
    assert (first.colour, first.marker) == (second.colour, second.marker)
    assert first.dashes != second.dashes
    assert own.kind == "own"


def test_missing_and_failed_cells_are_named(planted) -> None:
    left = [run for run in planted if run.name != "scratch/n=30/seed=1"]
    failed = [
        {"cell": "scratch/n=all/seed=1", "error": "out of memory"},
        {"cell": "byol@acdc", "error": ""},
    ]
    found = cells.study(runs_of(left), failed=failed)
    assert [str(m) for m in found.missing] == ["byol@acdc", "scratch/n=30/seed=1: out of memory"]
    assert [str(m) for m in cells.study(runs_of(left)).missing] == ["scratch/n=30/seed=1"]


def test_a_failed_fine_tuning_is_a_hole_whether_or_not_its_sweep_was_named(planted) -> None:
    """By its status alone: of these data and pipelines, and not run again since; what nobody tried is no hole."""
    left = [r for r in planted if r.name not in ("scratch/n=30/seed=1", "scratch/n=3/seed=2")]
    row = {"dataset": "acdc", "error": "the loss is no number", "run_id": ""}
    named = ("scratch/n=30/seed=7", "scratch/n=3/seed=0", "byol@other/n=30/seed=1", "scratch/n=99/seed=1")
    failed = [
        *({"cell": cell, **row} for cell in named),
        {"cell": "scratch/n=30/seed=8", **row, "dataset": "x"},
    ]
    found = cells.study(runs_of(left), failed=failed)
    assert [str(m) for m in found.missing] == [
        "scratch/n=3/seed=2", "scratch/n=30/seed=1", "scratch/n=30/seed=7: the loss is no number"
    ]  # fmt: skip
    assert holes(found.missing) == {"scratch": {(3, 2), (30, 1), (30, 7)}}
    alone = [r for r in planted if not (r.name.endswith("n=3/seed=2"))]
    assert len(cells.study(runs_of(alone)).missing) == 2
    assert holes(cells.study(runs_of(alone)).missing) == {}


def test_further_seeds_of_one_pipeline_are_no_hole_in_the_others_and_are_said(planted) -> None:
    left = [
        r for r in planted if not (r.name.startswith("byol@natural+byol@target/") and r.name.endswith("=2"))
    ]
    assert len(left) == len(planted) - 2
    study = cells.study(runs_of(left))
    assert study.missing == ()
    said = "3 seeds of scratch; 2 seeds of byol@photos+byol@acdc"
    assert outputs.face(study, study.runs) == ("10 fine-tunings on acdc, 3 seeds", said)
    assert outputs.face(cells.study(runs_of(planted)), study.runs[study.runs["seed"] < 2])[1:] == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cfg": {"steps": "4000"}}, r"steps: \d+ in 12 runs, 4000 in 1 run"),
        ({"cfg": {"flip": "0.0"}}, "flip"),
        ({"cfg": {"crop_scale": "0.5,1.0"}}, "crop_scale"),
        (
            {"tags": {names.TAG_DATA_DIGEST: "other"}, "cfg": {"data_root": "/b"}},
            r"data: .* in 12 runs, other \(/b\) in 1",
        ),
    ],
)
def test_runs_of_another_law_are_refused_unless_told(planted, change, words) -> None:
    odd = finetune("scratch", 3, 7, 0.5)
    odd = replace(odd, cfg={**odd.cfg, **change.get("cfg", {})}, tags={**odd.tags, **change.get("tags", {})})
    with pytest.raises(SslsegError, match=f"cannot be compared.*{words}.*allow_mixed"):
        cells.study(runs_of([*planted, odd]))
    assert len(cells.study(runs_of([*planted, odd]), allow_mixed=True).mixed) == 1


def test_runs_older_than_a_knob_are_as_its_default_says(planted) -> None:
    older = [
        replace(r, cfg={k: v for k, v in r.cfg.items() if k != "flip"}) if r.name.endswith("=2") else r
        for r in planted
    ]
    assert cells.study(runs_of(older)).mixed == ()
    other = [replace(r, cfg={**r.cfg, "flip": "0.25"}) if "flip" in r.cfg else r for r in older]
    with pytest.raises(SslsegError, match="they differ in flip: 0.25 in 8 runs, 0.* in 4 runs"):
        cells.study(runs_of(other))


def test_of_runs_on_several_folders_those_on_one_are_compared(planted) -> None:
    others = [
        replace(
            r,
            name=f"{r.name}, b",
            tags=r.tags | {names.TAG_DATA_DIGEST: "b"},
            cfg=r.cfg | {"data_root": "/b"},
        )
        for r in planted
        if r.name.startswith("scratch/")
    ]
    runs = runs_of([*planted, *others])
    with pytest.raises(SslsegError, match="differ in data: .*data_root=<folder>"):
        cells.study(runs)
    study = cells.study(runs, data_root="/b/")
    assert sorted(study.runs["run_id"]) == sorted(r.run_id for r in others)
    assert study.mixed == ()
    with pytest.raises(SslsegError, match="data_root: no FINISHED fine-tuning on '/c'; there is .*/b"):
        cells.study(runs, data_root="/c")


def test_a_decoder_that_is_handed_over_is_an_arm_beside_those_without(planted) -> None:
    def handed(seed: int, decoder: str) -> Planted:
        run = finetune("scratch", 3, seed, 0.6)
        tags = run.tags | {names.TAG_PIPELINE: "supervised@phantom+decoder"}
        return replace(run, name=f"{run.name}+decoder", cfg={**run.cfg, "decoder_from": decoder}, tags=tags)

    assert cells.study(runs_of([*planted, handed(0, "upstream"), handed(1, "upstream")])).mixed == ()
    with pytest.raises(SslsegError, match="those with decoder differ in decoder_from"):
        cells.study(runs_of([*planted, handed(0, "upstream"), handed(1, "fresh")]))


def test_other_variants_are_an_arm_of_their_own_and_within_it_nothing_may_differ(planted) -> None:
    """`scratch` with a mean teacher, or strong augmentation, is never joined with plain `scratch`."""

    def taught(seed: int, **cfg: str) -> Planted:
        run = finetune("scratch", 3, seed, 0.6)
        tags = run.tags | {names.TAG_PIPELINE: "scratch+strong+mean_teacher"}
        cfg = {"semi": "mean_teacher", "augment": "strong", "rotation": "180.0"} | cfg
        return replace(run, name=f"{run.name}+{cfg}", cfg={**run.cfg, **cfg}, tags=tags)

    found = cells.study(runs_of([*planted, taught(0), taught(1)]))  # older runs have no such knobs at all
    assert [arm.label for arm in found.arms] == [
        "scratch",
        "scratch+strong+mean_teacher",
        "byol@photos+byol@acdc",
    ]
    assert len(found.of(found.arms[0])) == 6
    assert found.mixed == ()
    with pytest.raises(
        SslsegError, match=r"those with strong\+mean_teacher differ in rotation: 15.0 in 1 run"
    ):
        cells.study(runs_of([*planted, taught(0), taught(1, rotation="15.0")]))
    plain = finetune("scratch", 3, 7, 0.5)
    with pytest.raises(SslsegError, match="they differ in rotation: 0.0 in 12 runs, 30.0 in 1 run"):
        cells.study(runs_of([*planted, replace(plain, cfg={**plain.cfg, "rotation": "30.0"})]))


def test_other_subsets_in_one_cell_are_refused(planted) -> None:
    odd = [
        replace(r, tags={**r.tags, names.TAG_SUBSET: "x"}) if r.name == "scratch/n=3/seed=0" else r
        for r in planted
    ]
    with pytest.raises(SslsegError, match="different subsets in 1 cell, the first is n=3 seed=0"):
        cells.study(runs_of(odd))


@pytest.mark.parametrize(("steps", "refused"), [(1040, False), (1060, True)])
def test_specialist_stages_may_differ_by_five_percent(planted, steps: int, refused: bool) -> None:
    other = [replace(e, cfg={**e.cfg, "steps": str(steps)}) for e in encoders("byol@target")]
    runs = runs_of([*planted, *other, finetune("byol@target", 3, 0, 0.5)])
    if not refused:
        assert cells.study(runs).mixed == ()
        return
    with pytest.raises(SslsegError, match=r"differ in steps: 1000 .*, 1060"):
        cells.study(runs)


def test_the_newest_run_of_a_cell_counts(planted) -> None:
    old = replace(finetune("scratch", 3, 0, 0.9), name="older", start=1_650_000_000_000)
    found = cells.study(runs_of([*planted, old]))
    assert found.superseded == 1
    assert "older" not in set(found.runs["name"])


def test_only_the_last_kept_encoder_is_compared_but_all_are_there_for_fig6(planted) -> None:
    by_epoch = [finetune("byol@target", 3, 0, 0.5 - e / 100, epoch=e) for e in (0, 2, 4)]
    found = cells.study(runs_of([*planted, *encoders("byol@target"), *by_epoch]))
    assert found.runs.loc[found.runs["arm"] == "byol@acdc", "encoder_epoch"].tolist() == [4]
    assert found.by_epoch["encoder_epoch"].tolist() == [0, 2, 4]


def test_a_fine_tuning_that_an_encoder_comes_from_is_not_compared(planted) -> None:
    donor = finetune("scratch", 3, 0, 0.1)
    donor = replace(donor, name="donor", tags={**donor.tags, names.TAG_DATASET: "phantom"})
    taker = finetune("scratch", 3, 5, 0.2)
    taker = replace(taker, tags={**taker.tags, names.TAG_UPSTREAM_RUN: donor.run_id,
                                 names.TAG_PIPELINE: "phantom",
                                 names.TAG_LINEAGE: "phantom > supervised@acdc"})  # fmt: skip
    found = cells.study(runs_of([*planted, donor, taker]))
    assert found.dataset == "acdc"
    assert [arm.label for arm in found.arms][-1] == "phantom"


def test_a_donor_whose_pipeline_has_not_run_is_no_second_dataset(planted) -> None:
    donor = finetune("scratch", 3, 0, 0.1)
    donor = replace(donor, name="donor", tags={**donor.tags, names.TAG_DATASET: "phantom"})
    assert cells.study(runs_of([*planted, donor])).dataset == "acdc"
    assert cells.study(runs_of([*planted, donor]), "phantom").dataset == "phantom"
    assert cells.study(runs_of([donor])).dataset == "phantom"


def test_nothing_and_several_datasets_are_refused(planted) -> None:
    with pytest.raises(SslsegError, match="nothing to compare"):
        cells.study(runs_of(encoders("byol@target")))
    with pytest.raises(SslsegError, match="there is acdc"):
        cells.study(runs_of(planted), "demo")
    tags = {**planted[-1].tags, names.TAG_DATASET: "demo"}
    with pytest.raises(SslsegError, match="acdc, demo"):
        cells.study(runs_of([*planted, replace(planted[-1], name="demo", tags=tags)]))


@pytest.mark.parametrize(
    ("whose", "changed", "words"),
    [
        ("scratch/", {"architecture": "resnet50"}, "runs of scratch differ in architecture: resnet50 in 1 run"),
        ("byol@acdc", {"lr": "0.9"}, r"the pretrainings of byol@acdc differ in lr: 0.1 in 1 run, 0.9 in 1 run"),
        ("byol@acdc", {"tau": "0.5"}, "the pretrainings of byol@acdc differ in tau"),
        ("byol@acdc", {"seed": "7", "save_epochs": "1,2", "threads": "4"}, ""),
        ("byol@acdc", {"lr": "…"}, ""),  # an archive for others does not tell
        ("supervised", {"source": "timm:other"},
         r"runs of supervised differ in the weights that were imported: .*timm:other \(\w+\) in 1 run"),
    ],
)  # fmt: skip
def test_repetitions_of_one_pipeline_have_one_network_and_one_way_of_pretraining(
    whose, changed, words
) -> None:
    """Encoders that were pretrained otherwise are no repetitions: they were averaged as several pretrainings."""
    study = make(("scratch", "supervised", "byol@target"), (3,), 4)
    asked = {"lr": "0.1", "tau": "0.99", "source": "bundled:efficientnet_lite0"}
    study = [r if "/" in r.name else replace(r, cfg={**r.cfg, **asked}) for r in study]
    others = [replace(r, name=f"{r.name}, again", cfg={**r.cfg, **changed}) for r in study if r.name == whose]
    for other in others:
        start = {names.TAG_UPSTREAM_RUN: other.run_id, names.TAG_UPSTREAM_SHA: other.run_id}
        row = whose.replace("@acdc", "@target")
        study = [replace(r, tags={**r.tags, **start}) if r.name == f"{row}/n=3/seed=3" else r for r in study]
    if not others:
        study = [replace(r, cfg={**r.cfg, **changed}) if r.name == "scratch/n=3/seed=3" else r for r in study]
    runs = runs_of([*study, *others])
    if not words:
        assert cells.study(runs).mixed == ()
        return
    with pytest.raises(SslsegError, match=f"cannot be compared: {words}"):
        cells.study(runs)
    assert len(cells.study(runs, allow_mixed=True).mixed) == 1


def test_a_refusal_names_the_sweeps_that_can_be_chosen(planted) -> None:
    """And whole numbers are said as they were given, though pandas holds those of a store with sweeps as floats."""
    sweeps = [Planted(stage, {names.TAG_STAGE: stage}) for stage in ("sweep", "tryout")]
    children = [
        replace(
            r, name=f"{s.name} {r.name}", cfg={**r.cfg, "steps": steps}, tags={**r.tags, PARENT: s.run_id}
        )
        for s, steps in zip(sweeps, ("400", "600"), strict=True)
        for r in planted
        if r.name.startswith("scratch/")
    ]
    words = "steps: 400 in 6 runs, 600 in 6 runs.*`sweep=<run ID>`: .*"
    with pytest.raises(SslsegError, match=words) as caught:
        cells.study(runs_of([*sweeps, *children]))
    assert all(f"{s.run_id} has 6 of them" in str(caught.value) for s in sweeps)


def test_an_infinite_score_is_none(planted) -> None:
    infinite = {"test/iou": [(200, -math.inf)], "test/jaccard_loss": [(200, math.inf)]}
    study = cells.study(
        runs_of(
            replace(r, metrics={**r.metrics, **infinite}) if r.name == "scratch/n=30/seed=1" else r
            for r in planted
        )
    )
    assert study.runs["test/iou"].isna().sum() == study.runs["test/jaccard_loss"].isna().sum() == 1
