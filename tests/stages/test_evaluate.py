"""Stage evaluate: perfect masks give the phantom's numbers, an emptied one the worst; a leak stops."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from sslseg import execute
from sslseg.config import names, plugins
from sslseg.config.names import DataError, EncoderError, LeakError, ParamError
from sslseg.config.params import Evaluate
from sslseg.data import exposure, splits
from sslseg.data.phantom import tree
from sslseg.data.slices import prepare
from sslseg.data.slices.sources import describe
from sslseg.scoring import volumes
from sslseg.stages import evaluate
from sslseg.stages.evaluate.heldout import Scored
from sslseg.tracking import session
from tests.fixtures import foreign_trees, trained_models, trees
from tests.fixtures.phantoms import manifest

CLASSES = ("background", "RV", "MYO", "LV")
SPACING = (10.0, 1.5, 1.5)
ASKED = (  # quantity, its key in the phantom's manifest, relative tolerance (half a voxel at every edge)
    ("LV EDV", "lv_edv_ml", 0.02),
    ("LV ESV", "lv_esv_ml", 0.03),
    ("RV EDV", "rv_edv_ml", 0.02),
    ("MYO ED mass", "lv_mass_g", 0.03),
)
WORSE_WHEN_LARGER = ("hd_mm", "hd95_mm", "assd_mm", "absolute_error_ml", "failure_rate")


def test_class_numbers_are_translated_by_name():
    number = evaluate.translation(("background", "LV", "MYO", "RV"), CLASSES)
    assert number.tolist() == [0, 3, 2, 1]
    with pytest.raises(EncoderError, match="RV, liver cannot be scored"):
        evaluate.translation(("background", "LV", "MYO", "liver"), CLASSES)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return tree.write(tmp_path_factory.mktemp("tree") / "t", patients=5, seed=3, size=96, slices=8)


def perfect(root: Path, out: Path) -> Path:
    """The ground truth under the images' names, as a tool would have written its masks."""
    for truth in root.rglob("*_gt.nii.gz"):
        place = out / truth.relative_to(root).with_name(truth.name.replace("_gt", ""))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(truth, place)
    return out


def settings(root: Path, **more) -> Evaluate:
    return Evaluate(dataset="acdc", data_root=str(root), part="all", threads=1, resamples=200, **more)


def metrics_of(run_id: str, store: str) -> dict[str, float]:
    """Under the names that analyses read."""
    stored = MlflowClient(store).get_run(run_id).data.metrics
    return {key.removeprefix(names.DETAIL): value for key, value in stored.items()}


def tables(run_id: str, store: str, *files: str) -> list[pd.DataFrame]:
    api = MlflowClient(store)
    return [pd.read_csv(api.download_artifacts(run_id, f"evaluate/{name}.csv")) for name in files]


def test_perfect_masks_give_the_phantoms_asked_for_numbers(phantom, tmp_path, tmp_cache, store):
    masks = perfect(phantom, tmp_path / "masks")
    run_id = execute.execute("evaluate", settings(phantom, predictions=str(masks)))
    found = metrics_of(run_id, store)
    for name in CLASSES[1:]:
        assert found[f"evaluate/dice/{name}"] == 1
        assert found[f"evaluate/hd_mm/{name}"] == found[f"evaluate/failure_rate/{name}"] == 0
    measured, agreement, acdc = tables(run_id, store, "clinical", "agreement", "acdc")
    assert (agreement[["bias", "mae", "mae_low", "mae_high"]] == 0).all(axis=None)
    assert len(acdc) == 10
    by = measured.set_index(["patient", "quantity"])["prediction"]
    for patient, asked in manifest(phantom).items():
        for quantity, key, room in ASKED:
            assert by[patient, quantity] == pytest.approx(asked[key], rel=room), (patient, quantity)
        assert by[patient, "LV EF"] == pytest.approx(asked["lv_ef_percent"], abs=1.0)
        assert by[patient, "RV EF"] == pytest.approx(asked["rv_ef_percent"], abs=1.5)

    image = next(masks.rglob("*frame01.nii.gz"))  # one mask emptied: all that is clinical gets worse
    empty = nib.load(image)
    nib.save(nib.Nifti1Image(np.zeros(empty.shape, np.uint8), None, empty.header), image)
    worse = execute.execute("evaluate", settings(phantom, predictions=str(masks)))
    got = metrics_of(worse, store)
    for key in ("LV_EDV", "LV_SV", "LV_EF", "RV_EDV", "RV_EF", "MYO_ED_mass"):
        assert got[f"evaluate/mae/{key}"] > found[f"evaluate/mae/{key}"]
        assert got[f"evaluate/worst_cases/{key}"] == 1
    assert got["evaluate/missed/LV"] == 1
    assert got["evaluate/dice"] == np.mean([got[f"evaluate/dice/{name}"] for name in CLASSES[1:]])
    spoiled = image.parent.name  # whose numbers stand alone in the store, in the order of patients
    number = sorted(manifest(phantom)).index(spoiled)
    history = MlflowClient(store).get_metric_history(worse, names.stored("evaluate_patients/failure_rate/LV"))
    assert [(m.step, m.value) for m in history] == [(i, 0.5 * (i == number)) for i in range(5)]
    errors = MlflowClient(store).get_metric_history(worse, names.stored("evaluate_patients/mae/LV_EF"))
    assert np.mean([m.value for m in errors]) == pytest.approx(got["evaluate/mae/LV_EF"])
    image.unlink()
    with pytest.raises(DataError, match="there is none"):
        execute.execute("evaluate", settings(phantom, predictions=str(masks), on_bad_file="skip"))


def test_a_registered_model_is_evaluated_with_its_lineage(phantom, tmp_path, tmp_cache, store):
    torch.set_num_threads(1)
    thin = {"spacing": {"z": {"min": 1.0, "max": 2.0}}}
    model = trained_models.register(tmp_path / "model", spacing=4.0, fingerprint=thin)
    run_id = execute.execute("evaluate", settings(phantom, model=(model,), out=str(tmp_path / "out")))
    run = MlflowClient(store).get_run(run_id)
    assert run.data.metrics["evaluate/outside_training"] == 10
    assert run.data.tags[names.TAG_APART] == "10 of 10 volumes lie outside the training data"
    assert run.info.status == "FINISHED"
    assert run.data.tags[names.TAG_UPSTREAM_RUN] == model
    found, counted = tables(run_id, store, "cases", "counts")
    assert len(found) == 5 * 2 * 3
    assert (counted[list(volumes.STATUS)].sum(axis=1) == 10).all()
    files = {a.path for a in MlflowClient(store).list_artifacts(run_id, "evaluate")}
    assert {"evaluate/agreement.png", "evaluate/slices.csv", "evaluate/summary.csv"} <= files
    page = (tmp_path / "out" / "page.md").read_text()
    assert f"run {model}" in page
    assert "5 patients, 10 volumes" in page
    beside = page.partition("## Beside published figures")[2]
    assert re.search(r"\| LV EF, % \| this run \| 5 patients \| .*\n\| LV EF, % \| Dong et al\. \|", beside)
    assert "Published: Morales et al." in beside
    assert not list((tmp_path / "out").glob("c[al]*.csv")), "no row of a single patient leaves the run"


def test_a_model_that_has_seen_the_patients_is_found_by_name_and_by_voxels(tmp_path):
    """Seen: patient "a", and the image of "b" under another name."""
    images = {name: np.random.default_rng(n).integers(0, 9, (1, 2, 4, 4)) for n, name in enumerate("abc")}
    trained_on = Scored("acdc")
    trained_on.note("a", images["c"] + 1)
    trained_on.note("z", images["b"])
    entry = exposure.of(as_store(trained_on), [0, 1], run_id="r", stage="finetune")
    scored = Scored("acdc")
    for name, image in images.items():
        scored.note(name, image)
    assert exposure.overlap([entry], scored.volumes()).patients == ("a", "b")


def test_scoring_test_patients_that_a_model_has_seen_stops(phantom, tmp_path, tmp_cache, store):
    torch.set_num_threads(1)
    seen = Scored("acdc")
    for patient in manifest(phantom):
        seen.note(patient, np.zeros((1, 1, 1, 1)))
    entry = exposure.of(as_store(seen), range(len(seen.rows)), run_id="r", stage="finetune")
    made = tmp_path / "model"
    made.mkdir()
    exposure.write(made, [entry])
    model = trained_models.register(made, spacing=4.0)
    common = {"dataset": "acdc", "data_root": str(phantom), "threads": 1, "resamples": 200}
    common |= {"model": (model,), "split": "stratified", "part": "test"}
    with pytest.raises(LeakError, match="patient.* were seen by finetune on acdc, run r"):
        execute.execute("evaluate", Evaluate(**common))
    marked = execute.execute("evaluate", Evaluate(**common, allow_transductive=True))
    assert MlflowClient(store).get_run(marked).data.tags[names.TAG_TRANSDUCTIVE] == "true"


def as_store(scored: Scored) -> SimpleNamespace:
    index = pd.DataFrame({"volume": np.arange(len(scored.rows))})
    return SimpleNamespace(
        dataset=scored.dataset, digest="d", index=index, volume_table=pd.DataFrame(scored.rows)
    )


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_patients_are_divided_as_for_training(phantom, tmp_path, part):
    store = prepare.prepare("acdc", phantom, tmp_path, spacing=8.0, progress=False)
    trained_on = splits.divide(store, "acdc", "stratified")[part]
    p = Evaluate(dataset="acdc", split="stratified", part=part)
    module = plugins.load("datasets", "acdc")
    chosen = evaluate.choose(module.find(phantom), describe(module, phantom), phantom, p)
    assert {s.patient for s in chosen} == set(store.index["patient"].iloc[trained_on])
    assert all(s.label for s in chosen)


def test_what_is_scored_has_to_be_said(phantom, tmp_path, tmp_cache, store):
    for wrong in ({}, {"model": ("0" * 32,), "predictions": str(tmp_path)}):
        with pytest.raises(ParamError, match="wanted one of the three"):
            execute.execute("evaluate", settings(phantom, **wrong))


def test_every_fine_tuning_of_a_sweep_is_scored_once(phantom, tmp_path, tmp_cache, store, capsys):
    torch.set_num_threads(1)
    api = MlflowClient(store)
    with session.open_run(names.SWEEP) as sweep:
        pass
    made = [trained_models.register(tmp_path / f"model{s}", "acdc", spacing=8.0, seed=s) for s in (1, 2)]
    for model in made:
        api.set_tag(model, names.TAG_SWEEP, sweep.id)
    for _ in range(2):
        parent = execute.execute("evaluate", settings(phantom, sweep=sweep.id))
        (table,) = tables(parent, store, "sweep")
        assert table["fine_tuning"].tolist() == made
        assert (
            f"-e analyse --env-manager local -P dataset=acdc -P sweep={sweep.id}" in capsys.readouterr().out
        )
    found = api.search_runs(
        ["0"], f"tags.`{names.TAG_UPSTREAM_RUN}` != '' and tags.`sslseg.stage` = 'evaluate'"
    )
    scored = [r.info.run_id for r in found if r.data.tags[names.TAG_UPSTREAM_RUN] in made]
    assert sorted(scored) == sorted(table["evaluation"])
    with pytest.raises(ParamError, match="no FINISHED fine-tuning on demo"):
        execute.execute("evaluate", Evaluate(sweep=sweep.id, threads=1))


def _of_pictures(root: Path, masks: Path) -> Evaluate:
    return Evaluate(dataset="images", data_root=str(root), part="all", predictions=str(masks), resamples=200,
                    threads=1)  # fmt: skip


def test_pictures_without_a_size_of_pixels_are_not_measured_in_millimetres_without_a_word(
    tmp_path, tmp_cache, store, capsys
):
    root, out = foreign_trees.images(tmp_path / "own", value=1), tmp_path / "out"
    out.mkdir()
    for mask in root.glob("*_mask.png"):
        shutil.copy(mask, out / mask.name.replace("_mask", ""))
    for said, spacing in ((True, None), (False, [0.5, 0.5])):
        (root / "sslseg.json").write_text(json.dumps({"spacing": spacing}))
        run_id = execute.execute("evaluate", _of_pictures(root, out))
        page = Path(MlflowClient(store).download_artifacts(run_id, "evaluate/page.md")).read_text()
        assert (evaluate.UNKNOWN in page, f"warning: {evaluate.UNKNOWN}" in capsys.readouterr().out) == (
            said,
            said,
        )


def test_frames_of_a_cine_that_nobody_has_annotated_are_not_scored(tmp_path, tmp_cache, store, capsys):
    """Two of four frames have a mask; what was predicted of the others does not matter."""
    root, out = tmp_path / "own", tmp_path / "out"
    for case in range(2):
        image, mask = foreign_trees.scene(case, classes=2)
        truth = np.stack([mask, 0 * mask, 0 * mask, mask], -1)
        trees.nifti(root / f"c{case}.nii.gz", np.stack([image] * 4, -1))
        trees.nifti(root / f"c{case}_mask.nii.gz", truth)
        trees.nifti(out / f"c{case}.nii.gz", np.stack([mask] * 3 + [1 - mask], -1))
    (root / "sslseg.json").write_text('{"frames": "time"}')
    run_id = execute.execute("evaluate", _of_pictures(root, out))
    assert "2 patients, 4 volumes" in capsys.readouterr().out
    assert metrics_of(run_id, store)["evaluate/dice/foreground"] == 0.5
