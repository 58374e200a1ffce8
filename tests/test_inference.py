"""The mask of a volume: the slice store's input law, the grid of the input, ensembles, components."""

import numpy as np
import pytest
import trained_models
from trained_models import ByBrightness, disc

from sslseg.data.intensity import Intensity
from sslseg.models import inference
from sslseg.models.inference import Model
from sslseg.names import EncoderError
from sslseg.stages import predict


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
    from trees import acdc

    from sslseg.data import slices
    from sslseg.data.render import whole

    root = acdc(tmp_path / "tree", patients=1, cine=())
    store = slices.prepare("acdc", root, tmp_path / "cache", spacing=2.0, progress=False)
    law = Intensity("dataset", (0.4,), (0.2,))
    model = Model(ByBrightness(), trained_models.CLASSES, 1, law, 2.0, {})
    array, spacing = predict.read_volume(root / "patient001" / "patient001_frame01.nii.gz")
    seen = inference._network_input(model, array[None], spacing)
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
    strange = Model(one.net, ("background", "liver"), 1, one.law, 0.0, {})
    with pytest.raises(EncoderError, match="same classes"):
        inference.segment([one, strange], image, spacing)


def test_largest_component_of_each_class_in_3d():
    mask = np.zeros((3, 20, 20), np.uint8)
    mask[:, 2:8, 2:8], mask[1, 15:17, 15:17], mask[0, 12, 12] = 1, 1, 2
    kept = inference.largest_components(mask, 3)
    assert (kept == 1).sum() == 3 * 36
    assert kept[0, 12, 12] == 2
