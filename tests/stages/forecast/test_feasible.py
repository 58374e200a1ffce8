"""A grid whose cells cannot work is refused before the first step of any, with the cell and the cure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sslseg.config import names, params
from sslseg.config.names import ParamError
from sslseg.datasets.hearts import phantom
from sslseg.plans import cells as grid
from sslseg.plans import studies
from sslseg.stages.forecast import feasible
from sslseg.tracking import session
from tests.fixtures import foreign_trees
from tests.fixtures.tiny_runs import Tiny
from tests.fixtures.tiny_sweeps import FINE, PRE, spelled, swept


def checked(
    tiny: Tiny, pipelines: str, finetune: dict | None = None, pretrain: dict | None = None, **knobs
) -> list:
    """The cells of a grid on the tiny cohort, gone through."""
    given = {"dataset": "acdc", "data_root": str(tiny.root), "budgets": (3,), "seeds": (0,)} | knobs
    texts = {
        "finetune": spelled(FINE | (finetune or {})),
        "pretrain": spelled({k: v for k, v in (PRE | (pretrain or {})).items() if v}),
    }
    p = studies.fill(params.Sweep(pipelines=tuple(pipelines.split(",")), **texts, **given))
    context = {"cache": str(tiny.cache), "threads": 1, "device": "cpu"}
    found = feasible.fitted(grid.cells(p), context)
    feasible.check(found, context)
    return found


IMPORTED = {"architecture": "tf_efficientnet_lite0"}  # the one of the bundled ImageNet weights


@pytest.fixture(autouse=True)
def small_phantom(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other cohort in the place of the phantom's sixty patients, which are written in ten seconds."""
    monkeypatch.setattr(phantom, "default_root", lambda cache: tiny.other)


def test_grids_that_work_pass(tiny: Tiny):
    own = {"preset": "cpu", "pretrain_preset": "cpu"}
    assert len(checked(tiny, "scratch,byol@target", encoder_epochs=(0, 1))) == 1 + 1 + 2
    assert checked(tiny, "supervised+byol@target,phantom", IMPORTED, IMPORTED, **own)


@pytest.mark.parametrize(
    ("pipelines", "finetune", "pretrain", "knobs", "said"),
    [
        ("scratch", {"architecture": "resnet5"}, {}, {}, r"scratch/n=3/seed=0: architecture: .*no network 'resnet5'; did you"),
        ("scratch", {"architecture": "vit_tiny_patch16_224"}, {}, {}, "vit_tiny_patch16_224 cannot be the encoder of a U-Net"),
        ("byol@target", {}, {"architecture": "test_coatnet"}, {}, r"byol@acdc: test_coatnet cannot read an image of 32 x 32"),
        ("scratch", {"decoder": "8,8"}, {}, {}, "decoder: wanted 5 channel counts, got 2"),
        ("scratch", {"step": "4"}, {}, {}, "scratch/n=3/seed=0: unknown parameter 'step'"),
        ("scratch,byol@target", {}, {}, {"budgets": (3, 99)}, r"scratch/n=99/seed=0, byol@acdc/n=99/seed=0: budget: wanted 1 to"),
        ("byol@target", {}, {"save_epochs": "99"}, {}, "byol@acdc: save_epochs/save_steps: 99 lie beyond the end"),
        ("byol@target", {}, {"save_epochs": "1"}, {"encoder_epochs": (1, 77)}, "byol@acdc: .*: 77 lie beyond"),
        ("scratch", {}, {}, {"split": ("file",)}, r"scratch/n=3/seed=0/split=file: .*split"),
        ("scratch", {}, {}, {"data_root": "/no/such/folder"}, "scratch/n=3/seed=0: .*/no/such/folder"),
        ("supervised", {}, {}, {"imagenet": "file:/no/such.pth"}, "supervised: source: wanted the file of a checkpoint"),
        ("supervised+byol@target", IMPORTED, {}, {}, "encoder is a tf_efficientnet_lite0, architecture=test_resnet"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_by_name(
    tiny: Tiny, pipelines: str, finetune: dict, pretrain: dict, knobs: dict, said: str
):
    with pytest.raises(ParamError, match=r"\d of \d cells cannot work, so none was started:\n") as error:
        checked(tiny, pipelines, finetune, pretrain, **knobs)
    assert re.search(said, str(error.value)), error.value


def test_colours_for_a_grey_encoder_and_masks_that_are_not_there(tiny: Tiny, tmp_path: Path):
    images = {"natural": "images", "natural_root": str(foreign_trees.photographs(tmp_path / "photographs"))}
    assert checked(tiny, "byol@natural+byol@target", **images)
    with pytest.raises(ParamError, match=r"2 of 3 .*\n  phantom\+byol@images: its encoder reads 1 channels, the "
                                         "data has 3: an encoder of grey images cannot"):  # fmt: skip
        checked(tiny, "phantom+byol@natural", pretrain={"architecture": ""}, pretrain_preset="cpu", **images,
                finetune={"architecture": "tf_efficientnet_lite0"})  # fmt: skip
    root = foreign_trees.images(tmp_path / "unannotated")
    for mask in root.glob("*_mask.png"):
        mask.unlink()
    with pytest.raises(
        ParamError,
        match="it needs annotated slices of images .* 0 of 7 in train.*-e prepare lists every file",
    ):
        checked(tiny, "scratch", dataset="images", data_root=str(root))


def test_imported_colour_weights_stay_in_colour_for_colour_data(tiny: Tiny, tmp_path: Path):
    """Summed only where the data that they are for are grey."""
    grey, colour = (
        {"natural": name, "natural_root": root}
        for name, root in (
            ("photos", ""),
            ("images", str(foreign_trees.photographs(tmp_path / "photographs"))),
        )
    )
    for images, channels in ((grey, None), (colour, "3")):
        found = checked(tiny, "supervised+byol@natural", IMPORTED, IMPORTED, **images)
        assert found[0].texts.get("channels") == channels


@pytest.mark.usefixtures("here")
def test_a_sweep_that_is_refused_has_run_nothing(tiny: Tiny, store: str):
    with pytest.raises(ParamError, match="2 of 3 cells cannot work"):
        swept(tiny, pretrain={"save_epochs": "99"}, seeds=(5,))
    (failed,) = session.search({}, status="FAILED")
    assert failed.data.tags[names.TAG_STAGE] == names.SWEEP
    assert len(session.search({names.TAG_STAGE: names.FINETUNE})) == 0


@pytest.mark.parametrize(
    ("source", "architecture", "brought"),
    [
        ("timm:resnet50.a1_in1k", "", "resnet50"),
        ("bundled:efficientnet_lite0", "", "tf_efficientnet_lite0"),
        ("file:/w.pth", "", ""),  # the file tells
        ("file:/w.pth", "resnet18", "resnet18"),
    ],
)
def test_the_network_of_an_import_is_known_as_far_as_its_source_tells(source, architecture, brought):
    assert feasible.imported(params.ImportEncoder(source=source, architecture=architecture)) == brought
