"""The input probe: it passes sound input and names each of the flaws F1 to F3."""

import numpy as np
import pytest

from sslseg.data.slices import intensity, prepare
from sslseg.data.slices.intensity import Intensity
from sslseg.data.streams import stream
from sslseg.data.views import batches, probe
from sslseg.data.views.draw import ViewRanges
from sslseg.testing.slices import TinySlices, scene
from tests.fixtures import trees

SOUND = Intensity("dataset", (0.4,), (0.25,))
PAPER_CODE = Intensity("paper-code")


def _law(**changes):
    wanted = {"flip": 0.5, "brightness": 0.2, "contrast": 0.2, "jitter": 0.8} | changes
    return ViewRanges(48, (0.08, 1.0), **wanted)


@pytest.fixture(scope="module")
def scenes():
    rng = stream(0, "scenes")
    return [scene(rng, 90, 110) for _ in range(20)]


@pytest.fixture(scope="module")
def slices(scenes):
    return TinySlices([i for i, _ in scenes], [v for _, v in scenes], volume=np.arange(20) // 5)


def _examined(slices, law, intensity, **changes):
    return probe.examine(slices, range(20), law, intensity, **({"seed": 0, "labelled": True} | changes))


def test_the_default_law_passes_without_a_dead_crop_in_2000(slices):
    metrics = _examined(slices, _law(), SOUND, crops=2000)
    assert metrics["probe/dead_share"] == metrics["probe/offset_share"] == 0
    assert 0.015 < metrics["probe/clipped_share"] < 0.025
    assert metrics["probe/wrapped_share"] == 0
    assert 0 < metrics["probe/masks_lost_share"] < 0.6
    assert probe.verdict(metrics) == []


def test_double_scaling_is_flaw_f1(slices):
    metrics = _examined(slices, _law(), PAPER_CODE)
    assert metrics["probe/std"] < 0.02
    assert any("flaw F1" in fault and "0.1" in fault for fault in probe.verdict(metrics))


def test_acdc_like_values_give_the_paper_codes_0_004():
    rng = np.random.default_rng(0)
    images = [np.clip(rng.normal(67, 85, (1, 90, 90)), 0, None).astype(np.int16) for _ in range(4)]
    batch = batches.whole_batch(TinySlices(images), range(4), PAPER_CODE, 90)
    assert 0.002 < batch.std() < 0.006


@pytest.mark.parametrize(("law", "least"), [(SOUND, 0.16), (PAPER_CODE, 0.08)])
def test_brightness_in_units_of_65535_is_flaw_f2(slices, law, least):
    """p 0.2, half of it darker than black: 9.4 % in the original. A clipping law blanks both halves."""
    metrics = _examined(slices, _law(jitter=0.2, jitter_mode="uint16"), law, crops=2000)
    assert metrics["probe/dead_share"] >= least
    assert any("blank" in fault and "flaw F2" in fault for fault in probe.verdict(metrics))
    if law is PAPER_CODE:
        assert metrics["probe/offset_share"] > 0.05
        assert any("flaw F1" in fault for fault in probe.verdict(metrics))  # not hidden by the offsets


def test_a_wrapped_16_bit_cast_is_flaw_f3(scenes):
    wrapped = [(i.astype(np.int64) * 80).astype(np.uint16).view(np.int16) for i, _ in scenes]
    metrics = _examined(TinySlices(wrapped), _law(), SOUND, labelled=False)
    assert any("flaw F3" in fault for fault in probe.verdict(metrics))
    sound = [np.clip(i.astype(np.int64) * 80 - 32768, -32768, 32767).astype(np.int16) for i, _ in scenes]
    metrics = _examined(TinySlices(sound, intercept=32768), _law(), SOUND, labelled=False)
    assert probe.verdict(metrics) == []


def test_uint8_wraps_are_counted_but_no_fault(scenes, slices):
    metrics = _examined(slices, _law(), SOUND)
    share = np.mean([(i > 255).mean() for i, _ in scenes])
    assert metrics["probe/uint8_wrap_share"] == pytest.approx(share)


def test_percentiles_of_other_voxels_and_lost_masks_are_faults(scenes, slices, monkeypatch):
    shifted = TinySlices([i for i, _ in scenes])
    shifted.volumes["p99"] = shifted.volumes["p99"] / 2
    assert any("clipped" in f for f in probe.verdict(_examined(shifted, _law(), SOUND, labelled=False)))
    monkeypatch.setattr(
        probe, "render_labels", lambda slices, rows, params: np.zeros((len(rows), 1, 1), np.uint8)
    )
    assert any("foreground" in fault for fault in probe.verdict(_examined(slices, _law(), SOUND)))


def test_not_a_number_is_a_fault(slices, monkeypatch):
    monkeypatch.setattr(probe, "render", lambda slices, rows, *more: np.full((len(rows), 1, 8, 8), np.nan))
    assert len(probe.verdict(_examined(slices, _law(), SOUND))) >= 2


@pytest.mark.skipif(not trees.REAL_ACDC.is_dir(), reason="the ACDC training set is not beside the checkout")
def test_on_acdc_the_default_passes_and_the_papers_code_fails_as_measured(tmp_path):
    for n in (1, 21, 41, 61, 81):
        name = f"patient{n:03d}"
        (tmp_path / "acdc").mkdir(exist_ok=True)
        (tmp_path / "acdc" / name).symlink_to((trees.REAL_ACDC / name).resolve())
    slices = prepare.prepare("acdc", tmp_path / "acdc", tmp_path / "cache", spacing=0.0, progress=False)
    rows = np.flatnonzero(slices.index["labelled"])
    law = intensity.fit(slices, rows)
    metrics = probe.examine(slices, rows, _law(), law, seed=0, crops=2000, labelled=True)
    assert metrics["probe/dead_share"] == 0
    assert probe.verdict(metrics) == []
    paper = probe.examine(
        slices, rows, _law(jitter=0.2, jitter_mode="uint16"), PAPER_CODE, seed=0, crops=2000
    )
    assert 0.08 < paper["probe/dead_share"] < 0.115  # the original, measured: 9.4 %
    assert 0.07 < paper["probe/offset_share"] < 0.115  # 8.9 %
    assert 0.002 < paper["probe/crop_std"] < 0.008


LIMITS = {"dead_share": 0.02, "offset_share": 0.02, "clipped_share": 0.05, "wrapped_share": 0.005,
          "masks_lost_share": 0.9, "mean": 5.0, "std": 10.0}  # fmt: skip


@pytest.mark.parametrize("name", [*LIMITS, "crop_std"])
def test_every_limit_is_passed_at_it_and_refused_beyond(name):
    sound = {f"probe/{key}": 0.0 for key in LIMITS} | {"probe/crop_std": 1.0}
    at = LIMITS.get(name, 0.1)
    assert probe.verdict(sound | {f"probe/{name}": at}) == []
    beyond = sound | {f"probe/{name}": at * (0.999 if name == "crop_std" else 1.001)}
    assert len(probe.verdict(beyond)) == 1


def test_crops_are_dead_or_away_by_their_typical_spread():
    crops = np.array(
        [[0, 1, 1], [0, 2, 1], [0, 3, 0], [0, 0.0021, 1], [0, 0.0019, 1], [39, 2, 1], [41, 2, 0]]
    )
    found = probe._metrics(crops, np.ones(7, bool))  # the typical one has a s.d. of 2
    assert found["probe/crop_std"] == 2
    assert found["probe/dead_share"] == pytest.approx(1 / 7)
    assert found["probe/offset_share"] == pytest.approx(1 / 7)
    assert found["probe/masks_lost_share"] == pytest.approx(2 / 7)


def test_ignored_pixels_are_no_foreground():
    labels = np.array([[[255, 0]], [[255, 1]]], np.uint8)
    assert probe._crops(np.zeros((2, 1, 1, 2)), labels)[:, 2].tolist() == [0, 1]


@pytest.mark.parametrize(("scale", "share"), [(1.0, 1.0), (1.5, 0.0)])
def test_a_jump_of_half_of_16_bits_is_a_wrap_unless_the_file_holds_more(scale, share):
    image = np.tile(np.array([-20_000, 20_000], np.int16), (1, 8, 4))
    found = probe._raw(TinySlices([image], scale=scale), np.array([0]), Intensity("dataset", (0.4,), (0.2,)))
    assert found["probe/wrapped_share"] == pytest.approx(share * 7 / 8)
