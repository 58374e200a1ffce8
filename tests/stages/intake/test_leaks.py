"""The leak gate: a patient that an encoder or an ancestor saw is known again, whatever its file is called."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from sslseg.config import names
from sslseg.config.files import known_sha256
from sslseg.data import exposure, splits
from sslseg.data.slices import contents, encode, prepare, slice_store
from sslseg.data.training_set import Inputs
from sslseg.datasets.hearts import acdc
from sslseg.stages.intake import leaks
from sslseg.tracking.registry.resolve import Resolved
from tests.fixtures import trees


def _inputs(root: Path, cache: Path, dataset: str = "acdc") -> Inputs:
    store = prepare.prepare(dataset, root, cache, spacing=0, progress=False)
    rows = splits.divide(store, dataset, "kalapos2022")
    return Inputs(store, rows, rows, None, "kalapos2022")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("leaks")


@pytest.fixture(scope="module")
def data(place: Path) -> Inputs:
    return _inputs(trees.acdc(place / "acdc"), place / "cache")


class FakeRun(SimpleNamespace):
    """Holds what a stage writes on its run."""

    def __init__(self, number: int = 1, stage: str = names.PRETRAIN):
        super().__init__(id=f"{number:032x}", stage=stage, parent="", noted={}, metrics={})

    def tags(self, tags: dict) -> None:
        self.noted |= tags

    def log(self, metrics: dict, step: int = 0) -> None:
        self.metrics |= metrics


def _trained(folder: Path, data: Inputs, split: str, upstream: Resolved | None = None, number: int = 1):
    """A logged encoder that was trained on a split of `data`."""
    folder.mkdir()
    leaks.write(folder, FakeRun(number), upstream, data, data.rows[split])
    sha = known_sha256(folder / names.EXPOSURE_FILE)
    tags = {names.MODEL_EXPOSURE: sha, names.MODEL_KIND: "encoder"}
    return Resolved("m", f"{number:032x}", folder, tags, "x")


def test_training_on_train_alone_passes(data: Inputs, tmp_path: Path):
    run = FakeRun(2)
    leaks.gate(run, None, data, allow=False)
    leaks.gate(run, _trained(tmp_path / "a", data, "train"), data, allow=False)
    assert run.noted == run.metrics == {}


def test_a_patient_of_test_stops_with_3_and_the_count(data: Inputs, tmp_path: Path):
    seen = _trained(tmp_path / "a", data, "test")
    with pytest.raises(
        names.LeakError, match=r"1 of the 2 val and test patients of acdc \(patient001; 4 "
    ) as e:
        leaks.gate(FakeRun(2), seen, data, allow=False)
    assert e.value.exit_code == names.EXIT_LEAK == 3


def test_allowed_it_goes_on_and_marks_the_run(data: Inputs, tmp_path: Path):
    run = FakeRun(2)
    leaks.gate(run, _trained(tmp_path / "a", data, "val"), data, allow=True)
    assert run.noted[names.TAG_TRANSDUCTIVE] == "true"
    assert run.metrics == {"leak/patients": 1, "leak/images": 2}


def _renumbered(root: Path, target: Path, change) -> Path:
    """The tree with patient n called patient n + 1, so that other patients are held out; files changed."""
    for n in range(1, 11):
        old, new = f"patient{n:03d}", f"patient{n % 10 + 1:03d}"
        shutil.copytree(root / old, target / new)
        for file in list((target / new).iterdir()):
            moved = file.rename(file.with_name(file.name.replace(old, new)))
            if "frame" in moved.name and "_gt" not in moved.name:
                change(moved)
    return target


def _again(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=7))


def _other_type(path: Path) -> None:
    image = nib.load(path)
    array = np.asarray(image.dataobj).astype(np.float32)
    trees.nifti(path, array, image.header.get_zooms()[:3])


@pytest.mark.parametrize("change", [lambda path: None, _again, _other_type], ids=["renamed", "gzip", "float"])
def test_a_renamed_or_recompressed_copy_two_hops_up_is_found(data, place, tmp_path, change):
    copy = _inputs(_renumbered(place / "acdc", tmp_path / "copy", change), place / "cache")
    assert copy.store.digest != data.store.digest
    first = _trained(tmp_path / "a", copy, "train", number=1)  # patient002 trains here as 003
    second = _trained(tmp_path / "b", data, "train", first, number=2)
    held = set(data.store.index["patient"].to_numpy()[np.concatenate([data.rows["val"], data.rows["test"]])])
    assert held == {"patient001", "patient002"}
    seen = leaks.ancestry(second)
    assert [entry.run_id[-1] for entry in seen] == ["1", "2"]
    with pytest.raises(names.LeakError, match=r"patient002; .* pretrain on acdc, run 0+1\. allow"):
        leaks.gate(FakeRun(3), second, data, allow=False)


def _of_an_earlier_version(data: Inputs) -> Inputs:
    """The same, prepared when voxels were known by their sha256."""
    folder = data.store.path
    table = pd.read_parquet(folder / slice_store.VOLUMES)
    images = {
        (s.image.name, -1 if s.index is None else s.index): acdc.read(s).image
        for s in acdc.find(data.store.root)
    }
    keys = zip(table["image"].map(lambda name: Path(name).name), table["position"], strict=True)
    table["xxh3"] = [encode.voxel_digest(images[key], "sha256") for key in keys]
    table.rename(columns={"xxh3": "sha256"}).to_parquet(folder / slice_store.VOLUMES)
    meta = json.loads((folder / slice_store.META).read_text())
    meta["parts"][slice_store.VOLUMES] = known_sha256(folder / slice_store.VOLUMES)
    (folder / slice_store.META).write_text(json.dumps(meta | {"seal": slice_store.seal(meta)}))
    return _inputs(data.store.root, folder.parents[1])


def test_copies_are_found_between_stores_of_this_and_an_earlier_version(data, place, tmp_path):
    """Whichever of the two was trained on; the files of the other are read again, and no others will do."""
    root = _renumbered(place / "acdc", tmp_path / "copy", _other_type)
    earlier = _of_an_earlier_version(_inputs(root, tmp_path / "cache"))
    assert "xxh3" not in earlier.store.volume_table
    old, new = (_trained(tmp_path / name, one, "train") for name, one in (("a", earlier), ("b", data)))
    assert [exposure.read(x.path)[0].voxels for x in (old, new)] == ["sha256", "xxh3"]
    for seen, held in ((old, data), (new, earlier)):
        with pytest.raises(
            names.LeakError, match=r"1 of the 2 .* \(patient00\d; [24] images equal by content\)"
        ):
            leaks.gate(FakeRun(3), seen, held)
    contents._known.clear()
    image = next((root / "patient001").glob("*frame01.nii.gz"))
    trees.nifti(image, np.ones((20, 24, 3), np.int16))
    with pytest.raises(names.DataError, match="does not hold the voxels that .* verify=true"):
        leaks.gate(FakeRun(3), new, earlier)


def test_names_and_digests_are_not_in_the_file(data: Inputs, tmp_path: Path):
    a, b = (_trained(tmp_path / x, data, "train", number=n) for n, x in enumerate("ab"))
    text = (a.path / names.EXPOSURE_FILE).read_text()
    assert "patient0" not in text
    assert not any(sha[:16] in text for sha in data.store.volume_table["xxh3"])
    one, two = (set(exposure.read(x.path)[0].images) for x in (a, b))
    assert not one & two  # salted: the lists of two encoders cannot be joined


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2, "seen": []}', '{"format": 1, "seen": [{"run_id": "x"}]}']
)
def test_a_list_that_is_not_one_is_refused(tmp_path: Path, text: str):
    (tmp_path / names.EXPOSURE_FILE).write_text(text)
    with pytest.raises(names.EncoderError, match="wanted the list of what"):
        exposure.read(tmp_path)


def test_a_changed_or_lost_list_stops_even_when_leaks_are_allowed(data: Inputs, tmp_path: Path):
    seen = _trained(tmp_path / "a", data, "test")
    path = seen.path / names.EXPOSURE_FILE
    content = json.loads(path.read_text()) | {"seen": []}
    path.write_text(json.dumps(content))
    with pytest.raises(names.EncoderError, match="was changed after it was logged"):
        leaks.gate(FakeRun(2), seen, data, allow=True)
    path.unlink()
    with pytest.raises(names.EncoderError, match=r"actual \(no file\)"):
        leaks.gate(FakeRun(2), seen, data, allow=True)


def test_an_encoder_without_a_list_is_a_leak_until_allowed(data: Inputs, tmp_path: Path):
    silent = Resolved("m", "1" * 32, tmp_path, {names.MODEL_KIND: "encoder"}, "x")
    with pytest.raises(names.LeakError, match="nobody knows what its encoder has seen"):
        leaks.gate(FakeRun(2), silent, data, allow=False)
    run = FakeRun(2)
    leaks.gate(run, silent, data, allow=True)
    assert run.noted[names.TAG_TRANSDUCTIVE] == "true"
    leaks.write(tmp_path, run, silent, data, data.rows["train"])
    assert not (tmp_path / names.EXPOSURE_FILE).exists()  # unknown stays unknown


def test_imported_weights_declare_their_origin_and_pass(data: Inputs, tmp_path: Path):
    exposure.write(tmp_path, [], origin="timm, ImageNet-1k")
    assert json.loads((tmp_path / names.EXPOSURE_FILE).read_text())["origin"] == "timm, ImageNet-1k"
    tags = {names.MODEL_EXPOSURE: known_sha256(tmp_path / names.EXPOSURE_FILE)}
    leaks.gate(FakeRun(2), Resolved("m", "1" * 32, tmp_path, tags, "x"), data, allow=False)


@pytest.mark.parametrize(
    ("words", "dataset", "hit"),
    [
        ("acdc", "acdc", True),
        ("ACDC", "acdc", True),
        ("ACDC2017", "acdc", True),
        ("imagenet+acdc", "acdc", True),
        ("the ACDC training set, 100 patients", "acdc", True),
        ("M&Ms", "mnms", True),
        ("M&Ms-2", "mnms", True),
        ("", "acdc", False),
        ("imagenet", "acdc", False),
        ("acdcx", "acdc", False),
        ("images", "images", True),
        ("natural images", "images", False),
        ("an nnunet model of livers", "nnunet", False),
    ],
)
def test_words_that_name_a_dataset(words: str, dataset: str, hit: bool):
    assert exposure.covers(words, dataset) == hit


def test_declared_data_cover_every_patient_and_another_s_none(data: Inputs, tmp_path: Path):
    for words, stops in (("acdc", True), ("imagenet", False), ("", False)):
        folder = tmp_path / (words or "unknown")
        folder.mkdir()
        exposure.write(folder, [exposure.declared("1" * 32, names.IMPORT, words)], origin="somebody")
        (entry,) = exposure.read(folder)
        assert entry.declared
        tags = {names.MODEL_EXPOSURE: known_sha256(folder / names.EXPOSURE_FILE)}
        resolved, run = Resolved("m", "1" * 32, folder, tags, "x"), FakeRun(2)
        if stops:
            with pytest.raises(names.LeakError, match="2 of the 2 val and test patients of acdc"):
                leaks.gate(run, resolved, data, allow=False)
            with pytest.raises(names.LeakError, match="import_encoder of weights from acdc"):
                leaks.check(resolved, data)
        else:
            leaks.gate(run, resolved, data, allow=False)
            leaks.check(resolved, data)
        met = exposure.overlap([entry, entry], exposure.volumes(data.store, data.rows["test"]))
        assert (bool(met.patients), met.images, len(met.by)) == (
            stops,
            0,
            2 * stops,
        )  # no image is known again
        wanted = exposure.standing([entry, entry])
        assert wanted == (f"declared: {words}" if words else "unknown")
        assert run.noted == {names.TAG_EXPOSURE: wanted}


# ---------------------------------------------------------------- one scan under several names
def _copied(root: Path, old: int, new: int) -> Path:
    """The tree with the scan of one patient in the place of another's, written anew in another number type."""
    for image in sorted((root / f"patient{old:03d}").glob("*_frame??.nii.gz")):
        target = root / f"patient{new:03d}" / image.name.replace(f"patient{old:03d}", f"patient{new:03d}")
        target.write_bytes(image.read_bytes())
        _other_type(target)
    return root


def test_one_scan_on_both_sides_stops_with_3(place: Path, tmp_path: Path, capsys):
    data = _inputs(_copied(trees.acdc(tmp_path / "acdc"), 1, 3), tmp_path / "cache")
    for across in (False, True):
        with pytest.raises(names.LeakError, match=r"acdc: 2 scans are there .* 2 of them on both sides") as e:
            leaks.copies(FakeRun(), data, across=across)
    assert e.value.exit_code == 3
    assert (
        "patient001 and patient003 (patient001/patient001_frame01.nii.gz = patient003/patient003_frame01.nii.gz, "
        "test and train)"
    ) in str(e.value)
    run = FakeRun()
    leaks.copies(run, data, allow=True)
    assert run.noted[names.TAG_TRANSDUCTIVE] == "true"
    assert "on both sides" in run.noted[names.TAG_TRANSDUCTIVE_REASON]
    assert "warning: 2 scans" in capsys.readouterr().out


def test_one_scan_twice_on_one_side_stops_too_but_for_pretraining(tmp_path: Path, capsys, monkeypatch):
    data = _inputs(_copied(trees.acdc(tmp_path / "acdc"), 4, 6), tmp_path / "cache")
    with pytest.raises(names.LeakError, match="patient004 and patient006") as e:
        leaks.copies(FakeRun(), data)
    assert "both sides" not in str(e.value)
    run = FakeRun()
    for how in ({"across": True}, {"allow": True}):
        leaks.copies(run, data, **how)
        assert "patient004 and patient006" in capsys.readouterr().out
    monkeypatch.setattr(acdc, "TWICE", (("patient004", "patient006"),))  # as 74 and 76 of the real set
    leaks.copies(run, data)
    assert run.noted == {}


def test_blank_volumes_and_frames_of_one_patient_are_no_copies(data: Inputs, tmp_path: Path):
    run = FakeRun()
    leaks.copies(run, data)
    root = trees.acdc(tmp_path / "acdc", cine=())
    for n in (1, 3):
        for image in sorted((root / f"patient{n:03d}").glob("*_frame??.nii.gz")):
            trees.nifti(image, np.zeros((20, 24, 3), np.int16))
    first = root / "patient005" / "patient005_frame01.nii.gz"
    first.with_name("patient005_frame03.nii.gz").write_bytes(first.read_bytes())
    leaks.copies(run, _inputs(root, tmp_path / "cache"))
    assert run.noted == {}


@pytest.mark.parametrize(
    ("words", "trained", "said"),
    [
        ("imagenet", (), ["imagenet"]),
        ("", (), [""]),  # nobody knows
        ("", ("acdc", "acdc"), ["acdc"]),  # as a whole, for its lineage is lost
        ("imagenet", ("acdc", "mnms"), ["imagenet", "acdc", "mnms"]),
    ],
)
def test_imported_weights_have_seen_what_is_declared_and_what_they_were_trained_on_here(
    words: str, trained: tuple[str, ...], said: list[str], monkeypatch: pytest.MonkeyPatch
):
    before = [exposure.Seen("a", names.PRETRAIN, dataset, "salt", ("p1",), ()) for dataset in trained]
    before += [exposure.declared("b", names.IMPORT, "photos")] if trained else []
    monkeypatch.setattr(leaks, "ancestry", lambda own: before)
    found = leaks.imported(FakeRun(stage=names.IMPORT), words, None)
    assert found[: len(before)] == before
    assert [entry.dataset for entry in found[len(before) :]] == said
    assert all(entry.declared for entry in found[len(before) :])
    monkeypatch.setattr(leaks, "ancestry", lambda own: None)  # the model of this store has no list
    assert [entry.dataset for entry in leaks.imported(FakeRun(), words, None)] == [words]


def test_weights_of_which_nobody_knows_what_they_have_seen_are_warned_of_once_a_sweep(capsys):
    for seen, parent, warned in ((None, "", True), (None, "sweep", False), ([], "", False)):
        run = FakeRun()
        run.parent = parent
        leaks.note(run, seen)
        assert run.noted.get(names.TAG_EXPOSURE) == ("unknown" if seen is None else None)
        assert ("nobody knows what the imported weights have seen" in capsys.readouterr().out) == warned
