"""The grid of a sweep, as a list: upstream first, each once, with the parameters of a stage by hand."""

from __future__ import annotations

import pytest

from sslseg.config import flags, names, params
from sslseg.config.names import ParamError
from sslseg.plans import cells, studies
from sslseg.plans.cells import Cell, overrides


def grid(**knobs) -> dict[str, Cell]:
    """The cells of a filled sweep, by name."""
    found = cells.cells(studies.fill(flags.resolve(params.Sweep(**knobs))))
    assert len({c.name for c in found}) == len(found)
    return {c.name: c for c in found}


def test_one_pipeline_one_budget_one_seed_is_the_smallest_sweep():
    found = grid(pipelines=("byol@target",), budgets=(3,), seeds=(7,), dataset="phantom", preset="cpu")
    assert list(found) == ["byol@phantom", "byol@phantom/n=3/seed=7"]
    pretrain, finetune = found.values()
    assert (pretrain.stage, pretrain.method, pretrain.upstream) == (names.PRETRAIN, "byol", "")
    assert (finetune.stage, finetune.upstream, finetune.pipeline) == (
        names.FINETUNE, "byol@phantom", "byol@phantom",
    )  # fmt: skip
    p = pretrain.params(cache="/c", threads=2)
    assert (p.encoder, p.dataset, p.seed, p.cache, p.threads) == ("scratch", "phantom", 0, "/c", 2)
    tuned = finetune.params("0" * 32)
    assert (tuned.encoder, tuned.budget, tuned.seed, tuned.steps) == ("0" * 32, 3, 7, 200)


def test_hierarchical_pipelines_share_their_upstream_stages():
    found = grid(
        pipelines=("supervised", "supervised+byol@target", "byol@natural+byol@target", "scratch"),
        budgets=(3, 0), seeds=(0, 1), natural="photos", dataset="acdc",
    )  # fmt: skip
    upstream = {name: (c.stage, c.upstream) for name, c in found.items() if not c.pipeline}
    assert upstream == {
        "supervised": (names.IMPORT, ""),
        "supervised+byol@acdc": (names.PRETRAIN, "supervised"),
        "byol@photos": (names.PRETRAIN, ""),
        "byol@photos+byol@acdc": (names.PRETRAIN, "byol@photos"),
    }
    assert len(found) == 4 + 4 * 2 * 2
    assert found["byol@photos"].texts["dataset"] == "photos"
    assert found["scratch/n=all/seed=1"].texts["encoder"] == "scratch"
    assert found["scratch/n=all/seed=1"].params().budget is None


def test_the_variants_are_of_the_fine_tunings_alone_and_win():
    found = grid(
        pipelines=("scratch", "scratch+strong", "byol@target+mean_teacher"), budgets=(3,), seeds=(0,), dataset="demo",
        finetune="steps=7,augment=none",
    )  # fmt: skip
    plain, strong = found["scratch/n=3/seed=0"].params(), found["scratch+strong/n=3/seed=0"].params()
    assert (plain.augment, plain.rotation, strong.augment, strong.rotation) == ("none", 0.0, "strong", 180.0)
    taught = found["byol@demo+mean_teacher/n=3/seed=0"]
    assert (taught.params("0" * 32).semi, taught.upstream, taught.row) == (
        "mean_teacher", "byol@demo", "byol@target+mean_teacher",
    )  # fmt: skip
    assert (found["byol@demo"].row, plain.steps, strong.steps) == ("byol@target", 7, 7)


def test_each_cell_comes_after_its_upstream():
    seen = set()
    for name, cell in grid(study="paper-cpu", encoder_epochs=(0, 1)).items():
        assert not cell.upstream or cell.upstream in seen
        seen.add(name)


def test_epochs_of_the_last_pretraining_stage():
    found = grid(
        pipelines=("byol@target", "supervised", "phantom"), budgets=(3,), seeds=(0,),
        encoder_epochs=(0, 1, 25),
    )  # fmt: skip
    assert found["byol@demo"].params().save_epochs == (0, 1, 25)
    assert found["byol@demo/n=3/seed=0/epoch=25"].params("1" * 32).encoder_epoch == 25
    assert {n for n in found if "/" in n and not n.startswith("byol")} == {
        "supervised/n=3/seed=0", "phantom/n=3/seed=0",
    }  # fmt: skip


def test_supervised_segmentation_of_the_phantom_is_a_pretraining():
    found = grid(pipelines=("phantom",), budgets=(3,), seeds=(0,), dataset="acdc", data_root="/a")
    upstream, tuned = found.values()
    assert (upstream.stage, upstream.texts["dataset"], upstream.texts["data_root"]) == (
        "finetune", "phantom", "",
    )  # fmt: skip
    assert upstream.params().budget is None
    assert (tuned.texts["dataset"], tuned.texts["data_root"]) == ("acdc", "/a")


def test_a_decoder_is_taken_over_from_the_same_upstream_stage():
    twice = "denoising@acdc+decoder+phantom"
    found = grid(pipelines=("phantom", "phantom+decoder", "denoising@target+decoder", twice), budgets=(3,), seeds=(0,),
                 dataset="acdc", data_root="/a")  # fmt: skip
    assert list(found) == ["phantom", "phantom/n=3/seed=0", "phantom+decoder/n=3/seed=0", "denoising@acdc",
                           "denoising@acdc+decoder/n=3/seed=0", twice, f"{twice}/n=3/seed=0"]  # fmt: skip
    ways = {name: c.params("0" * 32).decoder_from for name, c in found.items() if c.stage == "finetune"}
    assert ways == {"phantom": "fresh", "phantom/n=3/seed=0": "fresh", "phantom+decoder/n=3/seed=0": "upstream",
                    "denoising@acdc+decoder/n=3/seed=0": "upstream", twice: "upstream",
                    f"{twice}/n=3/seed=0": "fresh"}  # fmt: skip
    assert {cell.upstream for cell in found.values() if cell.pipeline} == {"phantom", "denoising@acdc", twice}


def test_a_byol_imagenet_encoder_stands_in_for_byol_on_natural_images():
    found = grid(
        pipelines=("byol@natural+byol@target",), budgets=(3,), seeds=(0,), byol_imagenet="file:w.pth"
    )
    p = found["byol@imagenet"].params()
    assert (p.source, p.trained_on) == ("file:w.pth", "imagenet")


def test_knobs_of_every_stage_of_a_kind():
    found = grid(
        pipelines=("byol@target", "phantom"), budgets=(3,), seeds=(0,),
        finetune="steps=2, decoder=8,8,8,8,8, lr=5e-1", pretrain="steps=4;save_epochs=0,1;projector_hidden=8",
    )  # fmt: skip
    tuned, pretrained = found["byol@demo/n=3/seed=0"].params("0" * 32), found["byol@demo"].params()
    assert (tuned.steps, tuned.decoder, tuned.lr) == (2, (8, 8, 8, 8, 8), 0.5)
    assert found["phantom"].params().steps == 2
    assert (pretrained.steps, pretrained.save_epochs, pretrained.projector_hidden) == (4, (0, 1), 8)


def test_a_fine_tuning_starts_from_the_pretraining_seed_of_its_number():
    found = grid(pipelines=("byol@photos+byol@demo", "supervised+byol@demo", "supervised", "scratch"),
                 budgets=(3,), seeds=(0, 1, 2, 3, 7), pretrain_seeds=(0, 5), natural="photos")  # fmt: skip
    for seed, pretraining in {0: 0, 1: 5, 2: 0, 3: 5, 7: 5}.items():
        tuned = found[f"byol@photos+byol@demo/n=3/seed={seed}"]
        upstream = found[tuned.upstream]
        first = found[upstream.upstream]
        assert [c.params().seed for c in (upstream, first)] == [pretraining] * 2
        assert tuned.params("0" * 32).seed == seed
        assert found[f"supervised/n=3/seed={seed}"].upstream == "supervised"
    names_of = {name for name, cell in found.items() if not cell.pipeline}
    assert names_of == {
        "supervised", "byol@photos", "byol@photos/pretraining=5", "byol@photos+byol@demo",
        "byol@photos+byol@demo/pretraining=5", "supervised+byol@demo", "supervised+byol@demo/pretraining=5",
    }  # fmt: skip
    few = grid(pipelines=("byol@demo",), budgets=(3,), seeds=(0, 4), pretrain_seeds=(0, 5))
    assert set(few) == {"byol@demo", "byol@demo/n=3/seed=0", "byol@demo/n=3/seed=4"}  # 5 is not wanted
    more = grid(pipelines=("byol@demo",), budgets=(3,), seeds=(3, 9), pretrain_seeds=(0, 5))
    alone = grid(pipelines=("byol@demo",), budgets=(3,), seeds=(9,), pretrain_seeds=(0, 5))
    assert more["byol@demo/n=3/seed=9"] == alone["byol@demo/n=3/seed=9"]


def test_a_cell_knows_the_pipeline_that_was_asked_for():
    found = grid(pipelines=("byol@natural+byol@target", "supervised"), budgets=(3,), seeds=(0,), natural="images",
                 dataset="acdc")  # fmt: skip
    assert {name: cell.row for name, cell in found.items()} == {
        "byol@images": "byol@natural",
        "byol@images+byol@acdc": "byol@natural+byol@target",
        "byol@images+byol@acdc/n=3/seed=0": "byol@natural+byol@target",
        "supervised": "supervised",
        "supervised/n=3/seed=0": "supervised",
    }
    with pytest.raises(ParamError, match="natural and dataset are both images"):
        grid(pipelines=("byol@natural",), natural="images", dataset="images")
    assert grid(
        pipelines=("supervised", "byol@target"), natural="images", dataset="images"
    )  # no natural images wanted


def test_a_division_of_the_patients_holds_for_every_stage_on_the_target_data():
    folds = ("fold:1/2", "fold:2/2")
    found = grid(pipelines=("byol@photos+byol@acdc", "scratch", "phantom", "byol@acdc+byol@photos"), budgets=(3,), seeds=(0,),
                 split=folds, natural="photos", natural_root="/photos", dataset="acdc")  # fmt: skip
    for fold in folds:
        tuned = found[f"byol@photos+byol@acdc/n=3/seed=0/split={fold}"]
        specialist = found[tuned.upstream]
        assert tuned.upstream == f"byol@photos+byol@acdc/split={fold}"
        assert specialist.upstream == "byol@photos"  # once for all: it knows no patient
        assert [c.params("0" * 32).split for c in (tuned, specialist)] == [fold] * 2
        assert found[f"scratch/n=3/seed=0/split={fold}"].params().split == fold
        assert found[f"phantom/n=3/seed=0/split={fold}"].upstream == "phantom"
        last = found[f"byol@acdc+byol@photos/split={fold}"]  # it knows them by its encoder
        assert (last.upstream, last.texts["data_root"]) == (f"byol@acdc/split={fold}", "/photos")
    assert found["byol@photos"].params().split == found["phantom"].params().split == "auto"
    assert [found[name].texts["data_root"] for name in ("byol@photos", "phantom")] == ["/photos", ""]
    assert len(found) == 1 + 1 + 2 + 3 * 2 + 2 * 3
    with pytest.raises(ParamError, match="split: must be one of auto, .*; not 'fold:3'"):
        grid(split=("fold:3",))
    with pytest.raises(ParamError, match="not 'fold:01/2'"):  # the cells of fold:1/2 under another name
        grid(split=("fold:1/2", "fold:01/2"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {}),
        ("steps=10", {"steps": "10"}),
        ("steps=10,batch_size=4", {"steps": "10", "batch_size": "4"}),
        ("steps=10;save_epochs=0,1", {"steps": "10", "save_epochs": "0,1"}),
        ("decoder=8,8,8, steps = 3 ", {"decoder": "8,8,8", "steps": "3"}),
        ("save_epochs=", {"save_epochs": ""}),
    ],
)
def test_overrides(text: str, wanted: dict):
    assert overrides(text, "finetune") == wanted


def test_what_no_stage_knows():
    with pytest.raises(ParamError, match="finetune: wanted name=value pairs, got '10,steps=3'"):
        overrides("10,steps=3", "finetune")
    with pytest.raises(ParamError, match="finetune: lr is given twice, in 'lr=1,lr=2'"):
        overrides("lr=1,lr=2", "finetune")
    with pytest.raises(ParamError, match="'byol-traget' is no way to learn; the nearest is byol@target"):
        grid(pipelines=("byol-traget",))
    with pytest.raises(ParamError, match="unknown parameter 'stepz'; did you mean 'steps'"):
        grid(pipelines=("scratch",), finetune="stepz=3")["scratch/n=30/seed=0"].params()
