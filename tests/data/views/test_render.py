"""Rendering: both back-ends against torchvision, and the labels' geometry."""

from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from sslseg.data.slices.intensity import PAPER_MEAN, PAPER_SD, Intensity
from sslseg.data.streams import stream
from sslseg.data.views import compiled, render, render_device, resample
from sslseg.data.views.draw import ViewParams, ViewRanges, draw
from sslseg.testing.slices import TinySlices, scene

LEVELS = Intensity("encoder", (0.0,), (1 / 255,))  # shows the [0, 1]-mapped image as 0..255
EXACT = 5e-3  # grey levels of 255, maximum: float32 rounding


@pytest.fixture(scope="module")
def slices():
    rng = stream(0, "scenes")
    shapes = [(216, 256), (180, 150), (256, 216), (240, 240)] * 6
    images, labels = zip(*(scene(rng, h, w) for h, w in shapes), strict=True)
    return TinySlices(list(images), list(labels), scale=0.5, intercept=10.0)


def _params(slices, size, *, seed=0, **changes):
    law = {"flip": 0.5, "brightness": 0.2, "contrast": 0.2, "jitter": 0.8} | changes
    height, width = slices.index["height"].to_numpy(), slices.index["width"].to_numpy()
    return draw(ViewRanges(size, (0.08, 1.0), **law), height, width, stream(seed, "views"))


def _torchvision(slices, p):
    """Crop, antialiased bilinear resize, flip, brightness, contrast of the 0..255 image; no clamps."""
    rows = np.arange(len(p))
    low, high, _, _ = LEVELS.affine(slices, rows)
    out = []
    for i in rows:
        image = torch.from_numpy(np.clip(slices.codes(i), low[i, :, None, None], high[i, :, None, None]))
        image = (image - low[i, 0]) / (high[i, 0] - low[i, 0]) * 255
        box = (int(v[i]) for v in (p.top, p.left, p.height, p.width))
        view = tv.resize(tv.crop(image, *box), [p.size, p.size], antialias=True)
        view = (tv.hflip(view) if p.flip[i] else view) * p.brightness[i]
        out.append(p.contrast[i] * view + (1 - p.contrast[i]) * view.mean())
    return torch.stack(out).numpy()


@pytest.mark.parametrize("size", [31, 48, 96, 224])
def test_both_back_ends_against_torchvision(slices, size):
    p, rows = _params(slices, size), np.arange(len(slices.index))
    want = _torchvision(slices, p)
    cpu = render.render(slices, rows, p, LEVELS)
    device = render_device.render(render_device.upload(slices, "cpu"), rows, p, LEVELS).numpy()
    assert cpu.dtype == device.dtype == np.float32
    for got in (cpu, device):
        assert np.abs(got - want).max() < EXACT


@pytest.mark.parametrize(
    ("length", "size"), [(1, 5), (7, 32), (32, 32), (33, 32), (50, 32), (64, 32), (201, 32)]
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_taps_are_torchs_antialiased_interpolation(length, size, mirrored):
    """What it makes of one bright pixel after the other is its matrix of weights."""
    one_bright = torch.eye(length)[:, None]  # [L, 1, L]
    want = torch.nn.functional.interpolate(
        one_bright[:, :, None], (1, size), mode="bilinear", antialias=True
    )[:, 0, 0].numpy()  # [L, S]
    first, weights = np.empty(size, np.uint64), np.empty((2 * -(-length // size) + 1, size), np.float32)
    count = resample.taps(length, size, mirrored, first, weights)
    got = np.zeros((length + len(weights), size))
    for t in range(count):
        got[first.astype(int) + t, np.arange(size)] += weights[t]
    assert not got[length:].any()
    assert np.allclose(got[:length, ::-1] if mirrored else got[:length], want, atol=1e-5)


def test_views_are_compiled_where_nothing_can_be_written_too(monkeypatch):
    njit = numba.njit

    def nowhere_to_write(cache=False, **how):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**how)

    monkeypatch.setattr(numba, "njit", nowhere_to_write)
    assert compiled.compiled(lambda x: x + 1)(2) == 3


def test_a_picture_many_times_too_large_keeps_its_means():
    """Halves of 10 and 250 levels, 20 and 13 times too large."""
    picture = np.full((1, 640, 416), 10, np.int16)
    picture[:, 320:] = 250
    slices = TinySlices([picture])
    zero, one = np.zeros(1, np.int64), np.ones(1)
    full = ViewParams(zero, zero, zero + 640, zero + 416, zero > 0, one, one, 32)
    view = render.render(slices, [0], full, LEVELS)[0, 0]
    assert np.allclose(view[:15], 0, atol=1e-3)
    assert np.allclose(view[17:], 255, atol=1e-3)
    assert view.mean() == pytest.approx(127.5, abs=0.01)


def test_jitter_is_colorjitters_where_nothing_clamps(slices):
    rows = np.arange(len(slices.index))
    plain, jittered = _params(slices, 64, jitter=0.0), _params(slices, 64, jitter=1.0)
    assert np.array_equal(plain.top, jittered.top)
    image = torch.from_numpy(render.render(slices, rows, plain, LEVELS)) / 255 * 0.5 + 0.1  # far from 0 and 1
    law = Intensity("encoder", (-0.2,), (2.0,))  # the same map: (m + 0.2) / 2 = 0.5 m + 0.1
    for i in rows:
        shifted = tv.adjust_brightness(image[i : i + 1], jittered.brightness[i])
        want = tv.adjust_contrast(shifted, jittered.contrast[i])
        m = (render.render(slices, rows, jittered, law)[i] - 0.1) * 2  # jittered on [0, 1]
        b, c = jittered.brightness[i], jittered.contrast[i]
        # b and c act on 0.5 m + 0.1 in torchvision, on m here: the offset is carried over by hand.
        assert np.allclose(0.5 * m + 0.1 * b, want[0].numpy(), atol=2e-5), (b, c)


def test_three_channels_turn_around_their_luminance():
    rng = stream(0, "rgb")
    slices = TinySlices([np.concatenate([scene(rng, 90, 90)[0] for _ in range(3)]) for _ in range(4)])
    rows, law = np.arange(4), Intensity("encoder", (0.0,) * 3, (0.5, 1.0, 2.0))
    zero, side = np.zeros(4, np.int64), np.full(4, 90)
    full = ViewParams(zero, zero, side, side, zero > 0, np.full(4, 0.9), np.full(4, 0.85), 90)
    std = np.array(law.std)[:, None, None]
    low, high, _, _ = (a[:, :, None, None] for a in law.affine(slices, rows))
    m = np.stack([(np.clip(slices.codes(i), low[i], high[i]) - low[i]) / (high[i] - low[i]) for i in rows])
    want = tv.adjust_contrast(torch.from_numpy(m * 0.9).float(), 0.85).numpy()
    assert np.allclose(render.render(slices, rows, full, law) * std, want, atol=1e-5)
    device = render_device.render(render_device.upload(slices, "cpu"), rows, full, law).numpy()
    assert np.allclose(device * std, want, atol=1e-5)


def test_replay_gives_identical_pixels(slices):
    rows, p = np.arange(len(slices.index)), _params(slices, 96)
    first = render.render(slices, rows, p, LEVELS)
    out = np.full_like(first, np.nan)
    again = render.render(slices, rows, replace(p), LEVELS, out)
    assert again is out
    assert np.array_equal(first, again)
    alone = [
        ViewParams(*(getattr(p, n)[i : i + 1] for n in list(vars(p))[:7]), p.size) for i in range(len(rows))
    ]
    assert np.array_equal(first, np.concatenate([render.render(slices, rows[i : i + 1], q, LEVELS)
                                                 for i, q in enumerate(alone)]))  # fmt: skip


@pytest.mark.parametrize("size", [48, 96, 224])
def test_labels_are_nearest_and_lie_on_the_image(slices, size):
    """An image that shows its own label (0, 1, 2 -> 0, 100, 200) can be compared with the labels."""
    coded = TinySlices(
        [slices.label(i)[None] * np.int16(100) for i in range(24)], [slices.label(i) for i in range(24)]
    )
    rows, p = np.arange(24), _params(coded, size, jitter=0.0)
    labels = render.render_labels(coded, rows, p)
    device = render_device.upload(coded, "cpu", labels=True)
    assert np.array_equal(render_device.render_labels(device, rows, p).numpy(), labels)
    assert set(np.unique(labels)) <= {0, 1, 2}
    whole = render.render(coded, rows, p, Intensity("encoder", (0.0,), (0.5,)))[:, 0]
    flat = np.abs(whole - np.rint(whole)) < 1e-4  # away from borders nothing is mixed
    agree = np.rint(whole) == labels
    assert agree[flat].mean() > 0.999
    assert np.abs(whole - labels).mean() < 0.06
    mirrored = render.render_labels(coded, rows, ViewParams(**(vars(p) | {"flip": ~p.flip})))
    assert np.array_equal(mirrored[:, :, ::-1], labels)


def test_uint16_law_is_albumentations_brightness_by_max(slices):
    """Flaw F2: v * alpha + beta * 65,535, clipped to uint16, then the (paper-code) normalisation, flaw F1."""
    rows, law = np.arange(len(slices.index)), Intensity("paper-code")
    p = _params(slices, 64, jitter=1.0, jitter_mode="uint16", brightness=1.5)
    plain = ViewParams(**(vars(p) | {"brightness": p.brightness * 0, "contrast": p.contrast * 0 + 1}))
    physical = render.render(slices, rows, plain, law).astype(np.float64) * PAPER_SD * 255 + PAPER_MEAN * 255
    b, c = p.brightness[:, None, None, None], p.contrast[:, None, None, None]
    want = np.clip(physical * c + b * 65535, 0, 65535)
    device = render_device.render(render_device.upload(slices, "cpu"), rows, p, law).numpy()
    cpu = render.render(slices, rows, p, law)
    assert np.allclose(cpu, (want - PAPER_MEAN * 255) / (PAPER_SD * 255), atol=2e-6)
    assert (want.max((1, 2, 3)) == 0).any()
    assert (want.max((1, 2, 3)) == 65535).any()
    assert np.abs(device - cpu).mean() < 1e-3


def test_without_limits_brightness_and_contrast_are_those_of_0_to_255(slices):
    """The paper's code with the jitter as a factor: ToTensor maps 255 to 1, and 0 to 0 whatever the codes' own zero is."""
    rows, law, p = np.arange(len(slices.index)), Intensity("paper-code"), _params(slices, 64, jitter=1.0)
    plain = replace(p, brightness=np.ones(len(rows)), contrast=np.ones(len(rows)))
    m = render.render(slices, rows, plain, law).astype(np.float64) * PAPER_SD + PAPER_MEAN
    b, c = p.brightness[:, None, None, None], p.contrast[:, None, None, None]
    found = render.render(slices, rows, p, law).astype(np.float64) * PAPER_SD + PAPER_MEAN
    assert np.allclose(found, c * b * m + (1 - c) * b * m.mean((1, 2, 3), keepdims=True), atol=1e-4)


def test_two_channels_turn_around_the_mean_of_both():
    rng = stream(0, "two")
    slices = TinySlices([np.concatenate([scene(rng, 60, 60)[0], 2 * scene(rng, 60, 60)[0]])])
    law, zero, side = Intensity("encoder", (0.0,) * 2, (1.0,) * 2), np.zeros(1, np.int64), np.full(1, 60)
    full = ViewParams(zero, zero, side, side, zero > 0, np.ones(1), np.full(1, 0.7), 60)
    m = render.render(slices, [0], replace(full, contrast=np.ones(1)), law)
    assert np.allclose(render.render(slices, [0], full, law), 0.7 * m + 0.3 * m.mean(), atol=1e-5)


def test_whole_slices_are_padded_with_the_normalised_zero(slices):
    law = Intensity("dataset", (0.3,), (0.2,))
    image, size = render.whole(slices, 1, law)
    assert (image.shape, image.dtype, size) == ((1, 192, 160), np.float32, (180, 150))
    low, high, scale, offset = (a[0, 0] for a in law.affine(slices, np.array([1])))
    assert np.allclose(image[0, :180, :150], np.clip(slices.codes(1)[0], low, high) * scale + offset)
    assert not image[:, 180:].any()
    assert not image[:, :, 150:].any()


def test_a_constant_volume_stays_finite():
    slices = TinySlices([np.full((1, 40, 40), 7)])
    p = _params(slices, 32, jitter=1.0)
    for law in (Intensity("dataset", (0.3,), (0.2,)), Intensity("paper-code")):
        assert np.isfinite(render.render(slices, [0], p, law)).all()
        assert torch.isfinite(render_device.render(render_device.upload(slices, "cpu"), [0], p, law)).all()
