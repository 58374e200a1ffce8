"""The mask of a volume: the slice store's input law, the grid of the input, ensembles, components."""

import numpy as np
import pytest
import torch

from sslseg.config.names import EncoderError
from sslseg.data.readers.nifti import read_volume
from sslseg.data.slices.intensity import Intensity
from sslseg.models import inference
from sslseg.models.inference import Model
from tests.fixtures import trained_models
from tests.fixtures.trained_models import ByBrightness, disc


def by_brightness(spacing: float) -> Model:
    return Model(ByBrightness(), ("background", "LV"), 1, Intensity("dataset", (0.5,), (0.25,)), spacing, {})


@pytest.mark.parametrize("spacing", [0.0, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_mask_is_on_the_grid_of_the_input_whatever_the_networks_spacing(spacing, mirror):
    image = disc().T[None]
    mask = inference.segment([by_brightness(spacing)], image, (8.0, 1.5, 1.2), mirror=mirror, batch_size=3)
    assert mask.shape == image.shape[1:]
    assert mask.dtype == np.uint8
    wrong = mask != (image[0] > 500)
    assert wrong.mean() < (0.0 if spacing in (0.0, 0.7) else 0.02) + 1e-9
    found, true = (np.argwhere(m).mean(axis=0) for m in (mask, image[0] > 500))
    assert np.abs(found - true).max() < 0.1  # not shifted by half a voxel


def test_input_is_what_the_slice_store_would_give(tmp_path):
    """The network sees the same numbers as in training: codes, law and padding of `render.whole`."""
    from sslseg.data.slices import prepare
    from sslseg.data.views.render import whole
    from tests.fixtures.trees import acdc

    root = acdc(tmp_path / "tree", patients=1, cine=())
    store = prepare.prepare("acdc", root, tmp_path / "cache", spacing=2.0, progress=False)
    law = Intensity("dataset", (0.4,), (0.2,))
    model = Model(ByBrightness(), trained_models.CLASSES, 1, law, 2.0, {})
    array, spacing = read_volume(root / "patient001" / "patient001_frame01.nii.gz")
    seen = inference.network_input(model, array[None], spacing)
    for z in range(3):
        expected, (height, width) = whole(store, z, law)
        np.testing.assert_array_equal(seen[z], expected[:, :height, :width])


def test_ensemble_averages_logits_and_wants_one_set_of_classes_and_channels():
    image, spacing = disc().T[None], (8.0, 1.5, 1.5)
    one, other = by_brightness(0.0), by_brightness(3.0)
    ones = inference.segment([one, one], image, spacing)
    np.testing.assert_array_equal(ones, inference.segment([one], image, spacing))
    assert inference.segment([one, other], image, spacing).any()
    with pytest.raises(EncoderError, match=r"reads 1 channel\(s\), the input has 2"):
        inference.segment([one], np.repeat(image, 2, axis=0), spacing)
    strange = Model(one.net, ("background", "liver"), 1, one.normalisation, 0.0, {})
    with pytest.raises(EncoderError, match="same classes"):
        inference.segment([one, strange], image, spacing)


def test_largest_component_of_each_class_in_3d():
    mask = np.zeros((3, 20, 20), np.uint8)
    mask[:, 2:8, 2:8], mask[1, 15:17, 15:17], mask[0, 12, 12] = 1, 1, 2
    kept = inference.largest_components(mask, 3)
    assert (kept == 1).sum() == 3 * 36
    assert kept[0, 12, 12] == 2
    corners = np.zeros((2, 9, 9), np.uint8)
    corners[0, 2, 2] = corners[1, 3, 3] = corners[0, 8, 8] = (
        1  # two that touch at a corner, one that lies alone
    )
    assert np.argwhere(inference.largest_components(corners, 2)).tolist() == [[0, 2, 2], [1, 3, 3]]


class Sided(ByBrightness):
    """Its second class is what lies on the left of an image; notes how large its images are."""

    largest = 0

    def forward(self, x):
        self.largest = max(self.largest, *x.shape[2:])
        left = torch.linspace(1, -0.5, x.shape[3]).expand(x.shape[0], 1, *x.shape[2:])
        return torch.cat([torch.zeros_like(left), left], 1)


def test_mirrored_left_to_right_is_averaged_over_both_and_tiles_are_as_large_as_asked_for():
    net, image = Sided(), disc(shape=(64, 96, 2), centre=(30, 40)).T[None]  # [2, 96, 64]
    model = Model(net, ("background", "LV"), 1, Intensity("dataset", (0.5,), (0.25,)), 0.0, {})
    alone, both = (inference.segment([model], image, (8.0, 1.5, 1.5), mirror=m) for m in (False, True))
    assert alone[..., :40].all()
    assert not alone[..., 44:].any()
    assert both.all()  # 1 and -0.5 on either side
    assert net.largest == 96
    net.largest = 0
    inference.segment([model], image, (8.0, 1.5, 1.5), tile=64)
    assert net.largest == 64


@pytest.mark.parametrize("grid", [(16, 64), (64, 16), (16, 16)])
def test_logits_that_shrink_are_averaged_not_picked(grid):
    """Every fourth line of a network's answer is 1, on a grid four times coarser: a quarter everywhere."""
    stripes, shrunk = torch.zeros(1, 2, 64, 64), [side < 64 for side in grid]
    stripes[:, :, ::4] += shrunk[0]
    stripes[..., ::4] += shrunk[1]
    found = inference._logits(lambda x: stripes, torch.zeros(1, 1, 64, 64), grid, mirror=False, tile=0)
    assert found.shape[2:] == grid
    inner = found[..., 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, sum(shrunk) / 4))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sliced", [0, 1, 2])
def test_volumes_are_sliced_along_the_axis_of_training(axis, sliced):
    """Whatever axis `image` was sliced along, the network sees the plane it knows and the mask fits `image`."""
    seen = []

    class Watching(ByBrightness):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return super().forward(x)

    facts = {"reading": {"axis": axis}}
    model = Model(Watching(), ("background", "LV"), 1, Intensity("dataset", (0.5,), (0.25,)), 0.0, facts)
    image, spacing = disc(shape=(41, 70, 4), centre=(22, 40)).T, (8.0, 1.5, 1.2)  # [4, 70, 41]
    given = np.moveaxis(image, sliced, 0)
    order = [sliced, *(a for a in range(3) if a != sliced)]
    mask = inference.segment(
        [model], given[None], tuple(spacing[a] for a in order), sliced=sliced, batch_size=99
    )
    np.testing.assert_array_equal(mask, given > 500)
    planes = [n for a, n in enumerate(image.shape) if a != axis]
    assert seen == [(image.shape[axis], 1, *(-(-n // 32) * 32 for n in planes))]


def test_models_of_other_axes_make_no_ensemble():
    other = Model(
        ByBrightness(), ("background", "LV"), 1, Intensity("dataset"), 0.0, {"reading": {"axis": 2}}
    )
    with pytest.raises(EncoderError, match="slices along one axis: 0, 2"):
        inference.segment([by_brightness(0.0), other], disc().T[None], (8.0, 1.5, 1.5))


def test_tiles_of_a_network_without_reach_give_the_same_mask():
    image = disc(shape=(150, 200, 2), centre=(80, 90), radius=40).T[None]
    whole, tiled = (
        inference.segment([by_brightness(1.0)], image, (8.0, 1.5, 1.5), tile=tile) for tile in (0, 64)
    )
    np.testing.assert_array_equal(tiled, whole)
