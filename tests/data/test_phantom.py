"""The phantom: what is measured on the written masks is what was asked for."""

import hashlib

import nibabel as nib
import numpy as np
import pytest

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.data.phantom import population as phantom_law
from sslseg.data.phantom import tree
from sslseg.data.slices.account import UNKNOWN, account
from sslseg.data.streams import stream
from tests.fixtures.phantoms import manifest


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two patients per group at full size."""
    return tree.write(tmp_path_factory.mktemp("phantom") / "full", patients=10, seed=3, first=501)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom") / "tiny"
    return tree.write(root, patients=6, seed=0, size=64, slices=3, cine=1)


def load(path):
    image = nib.load(path)
    return np.asarray(image.dataobj), np.array(image.header.get_zooms(), float), image


def measured(root, name, entry):
    """{(label, phase): ml}, from the files alone."""
    found = {}
    for phase in ("ed", "es"):
        stem = f"{name}_frame{entry[phase + '_frame']:02d}_gt.nii.gz"
        mask, zooms, _ = load(root / name / stem)
        for label in (1, 2, 3):
            found[label, phase] = (mask == label).sum() * zooms.prod() / 1000
    return found


@pytest.mark.parametrize(("fixture", "volume", "points"), [("cohort", 0.002, 0.1), ("tiny", 0.02, 1.0)])
def test_volumes_and_ejection_fractions_are_those_asked_for(request, fixture, volume, points):
    root = request.getfixturevalue(fixture)
    for name, asked in manifest(root).items():
        ml = measured(root, name, asked)
        for label, key in ((3, "lv"), (1, "rv")):
            ed, es = ml[label, "ed"], ml[label, "es"]
            assert ed == pytest.approx(asked[f"{key}_edv_ml"], rel=volume)
            assert es == pytest.approx(asked[f"{key}_esv_ml"], rel=volume)
            assert 100 * (1 - es / ed) == pytest.approx(asked[f"{key}_ef_percent"], abs=points)
        assert ml[2, "ed"] * 1.05 == pytest.approx(asked["lv_mass_g"], rel=volume)
        assert 1.05 < ml[2, "es"] / ml[2, "ed"] < 1.18  # as ACDC's masks, drawn larger at ES


def test_groups_meet_the_challenge_criteria():
    for group in phantom_law.GROUPS:
        for i in range(40):
            c = phantom_law.draw_clinical(stream(9, "criteria", i), group)
            edv, rv = c["lv_edv_ml"] / c["bsa_m2"], c["rv_edv_ml"] / c["bsa_m2"]
            assert {
                "NOR": c["lv_ef_percent"] > 50 and edv < 80 and rv < 100 and c["rv_ef_percent"] > 40,
                "MINF": c["lv_ef_percent"] < 40,
                "DCM": c["lv_ef_percent"] < 40 and edv > 100,
                "HCM": c["lv_ef_percent"] > 55,
                "RV": rv > 110 or c["rv_ef_percent"] < 40,
            }[group]


def test_hypertrophy_is_regional_and_walls_of_others_are_not_thick(cohort):
    from scipy.ndimage import distance_transform_edt

    for name, asked in manifest(cohort).items():
        mask, zooms, _ = load(cohort / name / f"{name}_frame01_gt.nii.gz")
        labelled = np.flatnonzero((mask == 3).any((0, 1)))
        middle = mask[:, :, labelled[len(labelled) // 2]]
        depth = distance_transform_edt(middle != 3, sampling=zooms[:2])[middle == 2].max()
        assert depth > 15 if asked["group"] == "HCM" else depth < 12, (name, asked["group"], depth)


def test_every_slice_nests_cavity_in_muscle_and_the_rv_touches_it(cohort):
    from scipy.ndimage import binary_dilation, label

    for path in sorted(cohort.glob("*/*_gt.nii.gz")):
        mask = load(path)[0]
        assert set(np.unique(mask)) == {0, 1, 2, 3}
        for z in range(mask.shape[2]):
            lv, myo, rv = (mask[:, :, z] == k for k in (3, 2, 1))
            if not lv.any():
                assert not mask[:, :, z].any()
                continue
            assert label(lv)[1] == 1
            assert not (binary_dilation(lv) & ~lv & ~myo).any()
            assert not rv.any() or (binary_dilation(rv) & myo).any()


def test_headers_have_the_traps_of_the_real_files(tiny):
    for path in sorted(tiny.glob("*/*.nii.gz")):
        array, zooms, image = load(path)
        sform, code = image.get_sform(coded=True)
        np.testing.assert_array_equal(sform, np.diag([-1, -1, 1, 1]))
        assert (int(code), int(image.header["qform_code"])) == (2, 0)
        assert zooms[0] == zooms[1] > 4
        assert np.isnan(image.header["scl_slope"])
        assert array.dtype == (np.uint8 if "_gt" in path.name else image.get_data_dtype())
        assert array.min() >= 0
        assert array.max() > 100 or "_gt" in path.name
        np.testing.assert_array_equal(array, np.rint(array))


def test_cine_holds_the_labelled_frames(tiny):
    asked = manifest(tiny)["patient001"]
    movie, zooms, _ = load(tiny / "patient001" / "patient001_4d.nii.gz")
    assert movie.shape == (64, 64, 3, asked["frames"])
    assert zooms[3] == 1.0
    for frame in (asked["ed_frame"], asked["es_frame"]):
        still = load(tiny / "patient001" / f"patient001_frame{frame:02d}.nii.gz")[0]
        np.testing.assert_array_equal(movie[..., frame - 1], still)
    assert not list(tiny.glob("patient002/*4d*"))


def voxels(root):
    return {p.name: hashlib.sha256(load(p)[0].tobytes()).hexdigest() for p in sorted(root.glob("*/*.nii.gz"))}


def test_same_seed_same_voxels_and_a_patient_does_not_depend_on_the_others(tiny, tmp_path):
    again = tree.write(tmp_path / "again", patients=4, seed=0, size=64, slices=3, cine=1)
    first = voxels(tiny)
    assert voxels(again).items() <= first.items()
    other = tree.write(tmp_path / "other", patients=6, seed=1, size=64, slices=3)
    assert not set(voxels(other).values()) & set(first.values())


def test_built_in_cohorts_share_no_patient_and_no_voxel(tmp_path):
    sides = []
    for name in ("phantom", "demo"):
        module = plugins.load("datasets", name)
        assert module.CLASSES == ("background", "RV", "MYO", "LV")
        population = module.POPULATION | {"patients": 5}
        root = tree.write(tmp_path / name, size=48, slices=3, **population)
        sources = module.find(root)
        assert {s.phase for s in sources} == {"ED", "ES"}
        volume = module.read(sources[0])
        assert volume.image.shape[1:] == volume.label.shape == (3, 48, 48)
        first, count = module.POPULATION["first"], module.POPULATION["patients"]
        sides.append((set(range(first, first + count)), set(voxels(root).values())))
    assert not sides[0][0] & sides[1][0]
    assert not sides[0][1] & sides[1][1]


def test_a_cohort_is_written_once_and_never_over_something_else(tiny, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in tiny.rglob("*")}
    tree.write(tiny, patients=6, seed=0, size=64, slices=3, cine=1)
    states = {entry.file: entry.state for entry in account(tiny, [], [], {})}
    assert states["phantom.json"] != UNKNOWN == states["patient001/patient001_4d.nii.gz"]
    assert {p: p.stat().st_mtime_ns for p in tiny.rglob("*")} == before
    with pytest.raises(DataError, match="something else"):
        tree.write(tiny, patients=5, seed=0, size=64, slices=3)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="something else"):
        tree.write(tmp_path, patients=1, seed=0, size=64, slices=3)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
