"""Drawing views: torchvision's law, reproducible and storable."""

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision import transforms

from sslseg.config import flags, params
from sslseg.config.names import ParamError
from sslseg.data import training_set
from sslseg.data.streams import stream
from sslseg.data.views.draw import ViewRanges, draw

LAW = ViewRanges(size=96, crop_scale=(0.08, 1.0), flip=0.5, brightness=0.2, contrast=0.2, jitter=0.8)


def _drawn(law, height, width, n):
    return draw(law, np.full(n, height), np.full(n, width), stream(0, "views"))


@pytest.mark.parametrize(("height", "width"), [(216, 256), (100, 400)])
def test_crops_follow_torchvisions_law(height, width):
    n = 3000
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        image = torch.empty(1, height, width)
        law = (list(LAW.crop_scale), list(LAW.ratio))
        want = np.array([transforms.RandomResizedCrop.get_params(image, *law) for _ in range(n)])
    p = _drawn(LAW, height, width, n)
    got = np.stack([p.top, p.left, p.height, p.width], 1)
    for name, a, b in (
        *zip(("top", "left", "height", "width"), got.T, want.T, strict=True),
        ("area", got[:, 2] * got[:, 3], want[:, 2] * want[:, 3]),
        ("ratio", got[:, 3] / got[:, 2], want[:, 3] / want[:, 2]),
    ):
        assert stats.ks_2samp(a, b).pvalue > 1e-3, name


@pytest.mark.parametrize(
    ("height", "width", "area"),
    [(20, 400, 1.0), (400, 20, 1.0), (200, 200, 1.0), (2, 3, 0.01), (2, 3, 0.25 / 6)],
)
def test_a_crop_that_never_fits_is_torchvisions_centre(height, width, area):
    """Too wide, too high, or less than a pixel."""
    law = ViewRanges(96, (area, area), 0, 0, 0, 0, ratio=(1.2, 1.3))
    p = _drawn(law, height, width, 1)
    image = torch.empty(1, height, width)
    want = transforms.RandomResizedCrop.get_params(image, [area, area], [1.2, 1.3])
    assert (p.top[0], p.left[0], p.height[0], p.width[0]) == want


def test_every_crop_lies_in_its_own_slice():
    rng = stream(1, "sizes")
    heights, widths = rng.integers(5, 500, 2000), rng.integers(5, 500, 2000)
    p = draw(LAW, heights, widths, rng)
    assert (p.top >= 0).all()
    assert (p.left >= 0).all()
    assert (p.height > 0).all()
    assert (p.width > 0).all()
    assert (p.top + p.height <= heights).all()
    assert (p.left + p.width <= widths).all()


def test_flip_and_jitter_shares_and_ranges():
    n = 20000
    p = _drawn(LAW, 100, 100, n)
    assert stats.binomtest(int(p.flip.sum()), n, 0.5).pvalue > 1e-3
    changed = p.brightness != 1
    assert stats.binomtest(int(changed.sum()), n, 0.8).pvalue > 1e-3
    assert ((p.contrast != 1) == changed).all()
    for factor in (p.brightness[changed], p.contrast[changed]):
        assert stats.kstest(factor, "uniform", (0.8, 0.4)).pvalue > 1e-3
    raw = _drawn(ViewRanges(96, (0.08, 1), 0.5, 0.2, 0.2, 0.2, "uint16"), 100, 100, n).brightness
    assert stats.kstest(raw[raw != 0], "uniform", (-0.2, 0.4)).pvalue > 1e-3
    assert stats.binomtest(int((raw != 0).sum()), n, 0.2).pvalue > 1e-3


def test_equal_streams_draw_equal_views():
    p, again = _drawn(LAW, 216, 256, 50), _drawn(LAW, 216, 256, 50)
    for name, value in vars(p).items():
        other = getattr(again, name)
        assert np.array_equal(value, other), name
        assert np.asarray(value).dtype == np.asarray(other).dtype, name


def test_the_law_is_read_from_the_knobs_and_refuses_nonsense():
    p = flags.resolve(params.Finetune(preset="paper-code"))
    assert training_set.view_ranges(p) == ViewRanges(224, (0.08, 1.0), 0.5, 0.2, 0.2, 0.2, "uint16")
    with pytest.raises(ParamError, match="crop_scale"):
        ViewRanges(96, (1.0, 0.08), 0.5, 0.2, 0.2, 0.8)
    with pytest.raises(ParamError, match="jitter_mode"):
        ViewRanges(96, (0.08, 1.0), 0.5, 0.2, 0.2, 0.8, "other")
