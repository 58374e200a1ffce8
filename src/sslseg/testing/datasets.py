"""What every dataset promises. The fixture `name` says which one is asked, `root` is a folder of small data.

Both are of scope "module"; see `sslseg.testing`.
"""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from sslseg.config import plugins
from sslseg.data import splits
from sslseg.data.slices import contact_sheet, prepare
from sslseg.data.slices import sources as inputs
from sslseg.data.slices.intensity import fit
from sslseg.data.slices.slice_store import Slices
from sslseg.data.source import IGNORE, Source

Asked = tuple[str, ModuleType, Path]
MOST = 10  # patients that are read
SPACING = 2.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for stores."""
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def dataset(name: str, root: Path) -> Asked:
    """name, module, root of small data."""
    return name, plugins.load("datasets", name), root


@pytest.fixture(scope="module")
def sources(dataset: Asked) -> list[Source]:
    _, module, root = dataset
    found = module.find(root)
    kept = set(itertools.islice(dict.fromkeys(s.patient for s in found), MOST))
    return [s for s in found if s.patient in kept]


@pytest.fixture(scope="module")
def store(dataset: Asked, sources: list[Source], cache: Path) -> Slices:
    """The store of the first few patients."""
    name, module, root = dataset
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "find", lambda root: sources)
        return prepare.prepare(name, root, cache / "stores", spacing=SPACING, progress=False)


def test_constants(name: str) -> None:
    module = plugins.load("datasets", name)
    assert module.__doc__
    assert module.DOMAIN
    assert module.LICENCE
    assert module.SPLIT in splits.KINDS
    if not hasattr(module, "describe"):  # then the folder says it
        assert module.CLASSES[0] == "background"
        assert len(set(module.CLASSES)) == len(module.CLASSES)
        assert len(getattr(module, "COLOURS", module.CLASSES)) == len(module.CLASSES)


def test_a_folder_is_described(dataset: Asked) -> None:
    _, module, root = dataset
    about = inputs.describe(module, root)
    assert about.classes[0] == "background"
    assert len(about.colours) in (0, len(about.classes))
    assert about.split in ("", *splits.KINDS)
    recipe = inputs.recipe(module, about, SPACING)
    assert json.loads(json.dumps(recipe)) == recipe
    assert ("about" in recipe) == hasattr(module, "describe")  # built-in sets keep the digests they had


def test_importable_without_torch_and_mlflow(name: str) -> None:
    code = "import sys; sys.modules['torch'] = sys.modules['mlflow'] = None\n"
    code += f"from sslseg.config import plugins; plugins.load('datasets', {name!r})"
    where = os.pathsep.join([str(plugins.PACKAGE.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": where}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_find_names_files_below_the_root_and_each_volume_once(dataset: Asked, sources: list[Source]) -> None:
    root = dataset[2]
    assert all(s.image.is_relative_to(root) and s.image.is_file() for s in sources)
    assert all(s.label is None or s.label.is_file() for s in sources)
    keys = [(s.patient, s.frame, s.phase) for s in sources]
    assert len(set(keys)) == len(keys)
    assert len({(s.patient, s.group) for s in sources}) == len({s.patient for s in sources})


def test_volumes_have_the_promised_form(dataset: Asked, sources: list[Source]) -> None:
    _, module, _ = dataset
    for source in sources[:4]:
        volume = module.read(source)
        assert volume.image.ndim == 4
        assert volume.image.dtype.kind in "iu" or volume.image.dtype == np.float32
        assert len(volume.spacing) == 3
        assert min(volume.spacing) > 0
        assert (volume.label is None) == (source.label is None)
        if volume.label is not None:
            assert volume.label.dtype == np.uint8
            assert volume.label.shape == volume.image.shape[1:]


def test_labels_lie_on_the_image_grid_and_within_the_classes(store: Slices) -> None:
    allowed = {*range(len(store.classes)), IGNORE}
    for i in store.index.index[store.index["labelled"]]:
        label = store.label(i)
        assert label.shape == store.codes(i).shape[1:]
        assert set(np.unique(label)) <= allowed
        row = store.index.iloc[i]
        assert row["foreground"] == ((label > 0) & (label != IGNORE)).sum()
        present = [k for k in range(len(store.classes)) if row["classes"] >> k & 1]
        assert present == [k for k in np.unique(label) if k != IGNORE]


def test_spacing_is_isotropic_in_plane(dataset: Asked, store: Slices) -> None:
    index = store.index
    wanted = SPACING if inputs.describe(*dataset[1:]).physical else 1.0
    for axis, size in (("y", "height"), ("x", "width")):  # a whole number of pixels: off by half of one
        assert (np.abs(index[f"spacing_{axis}"] / wanted - 1) <= 0.5 / index[size] + 1e-9).all()


def test_no_patient_is_in_two_splits(dataset: Asked, store: Slices) -> None:
    _, module, _ = dataset
    own = store.sides.get if store.sides else getattr(module, "official", lambda patient: None)
    patients = store.index.assign(official=[own(p) for p in store.index["patient"]])
    for kind in {module.SPLIT, "stratified"}:
        assigned = store.index["patient"].map(splits.assign(patients, kind, 0))
        assert assigned.isin(splits.NAMES).all()
        assert store.index.groupby(assigned)["patient"].unique().explode().is_unique


def test_slices_can_be_normalised(store: Slices) -> None:
    rows = store.index.index.to_numpy()
    normalisation = fit(store, rows)
    assert all(0 <= m <= 1 for m in normalisation.mean)
    low, high, scale, offset = (a[:, :, None, None] for a in normalisation.affine(store, rows))
    for i in rows[:8]:
        seen = np.clip(store.codes(i), low[i], high[i]) * scale[i] + offset[i]
        assert np.isfinite(seen).all()
        assert np.abs(seen).max() < 100


def test_slices_of_a_volume_are_contiguous_and_in_order(store: Slices) -> None:
    index = store.index
    assert (index.groupby("volume")["z"].diff().dropna() == 1).all()
    assert (index["volume"].diff().dropna().isin([0, 1])).all()
    assert index["offset"].is_monotonic_increasing
    assert sum(store.codes(i).size for i in index.index) == store.codes_flat.size


def test_every_format_is_shown_before_anything_is_trained(store: Slices) -> None:
    """Fingerprint and contact sheet: every channel has a tile, every class its own colour."""
    shown = store.fingerprint
    assert shown["slices"] == len(store)
    assert shown["labelled_slices"] == int(store.index["labelled"].sum())
    assert set(shown["class_voxels"]) == set(store.classes)
    wanted = {f"p{p}_{c}" for p in (1, 99) for c in range(store.channels)} | {"minimum", "maximum", "mean"}
    assert wanted <= set(shown["intensity"])
    assert set(shown["spacing"]) == {"z", "y", "x"}
    assert shown["slices_per_patient"]["min"] >= 1
    sheet = cv2.imread(str(store.path / prepare.SHEET))
    assert sheet is not None
    rows, columns = sheet.shape[0] // contact_sheet.TILE, sheet.shape[1] // contact_sheet.TILE
    tiles = sheet.reshape(rows, contact_sheet.TILE, columns, contact_sheet.TILE, 3).swapaxes(1, 2)
    filled = (tiles > 0).any(axis=(2, 3, 4)).sum()
    assert filled >= store.channels
    assert filled % store.channels == 0
    colours = {tuple(c) for c in np.unique(sheet.reshape(-1, 3), axis=0).tolist()}
    for k in range(1, len(store.classes)):
        if shown["class_voxels"][store.classes[k]]:
            assert contact_sheet.bgr_of(store.colours, k) in colours


__all__ = [*[name for name in dir() if name.startswith("test_")], "cache", "dataset", "sources", "store"]
