"""Augmentation of fine-tunings: what is drawn, geometry by known displacements, grey levels against references."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from sslseg.config import flags
from sslseg.config.names import ParamError
from sslseg.config.params import Finetune
from sslseg.config.wanted import Crops, Wanted
from sslseg.data import training_set
from sslseg.data.slices.intensity import Intensity
from sslseg.data.streams import stream
from sslseg.data.views import augment, batches, render, render_device, texture, warp
from sslseg.data.views.augment import Augmentation, Changes
from sslseg.data.views.draw import ViewParams, ViewRanges, draw
from sslseg.testing.slices import TinySlices, scene

PLAIN = Intensity("encoder", (0.0,), (1.0,))
SIDE = 64
STRONG = Augmentation(rotation=180, rotation_p=0.5, scale=(0.7, 1.4), scale_p=0.5, elastic=0.05, elastic_p=0.5,
                      noise=0.1, noise_p=0.5, blur=(0.5, 1.0), blur_p=0.5, gamma=(0.7, 1.5), gamma_p=0.5)  # fmt: skip


def _changes(count=1, **given):
    zero = np.zeros(count)
    still = Changes(zero, zero + 1, np.zeros((count, 2, 3, 3)), zero, zero.astype(int), zero, zero + 1)
    return replace(
        still, **{name: np.broadcast_to(value, getattr(still, name).shape) for name, value in given.items()}
    )


def _whole(slices, size, changes=None, flip=False):
    """The whole of every slice, as a view."""
    H, W = (slices.index[name].to_numpy() for name in ("height", "width"))
    zero, one = np.zeros(len(H), np.int64), np.ones(len(H))
    return ViewParams(zero, zero, H, W, zero > -1 if flip else zero > 0, one, one, size, changes=changes)


def _both(slices, p, intensity=PLAIN):
    """Images and labels of both back-ends, which have to agree."""
    rows, there = np.arange(len(p)), render_device.upload(slices, "cpu", labels=True)
    image, label = render.render(slices, rows, p, intensity), render.render_labels(slices, rows, p)
    assert np.allclose(render_device.render(there, rows, p, intensity).numpy(), image, atol=5e-5)
    assert np.array_equal(render_device.render_labels(there, rows, p).numpy(), label)
    assert label.dtype == np.uint8
    return image, label


def _squares(top, left, height, width, side=SIDE):
    """A bright rectangle of label 2 on black."""
    image = np.zeros((side, side), np.int16)
    image[top : top + height, left : left + width] = 100
    return TinySlices([image[None]], [(image // 50).astype(np.uint8)])


def test_columns_that_are_read_only_are_sent():
    """Those of pandas 3 are; torch warns of such an array, which it would share."""
    column = np.array([3.0, 5.0])
    column.flags.writeable = False
    sent = render_device._send(column, torch.zeros(1), "float32")
    sent += 1
    assert (column.tolist(), sent.tolist(), sent.dtype) == ([3, 5], [4, 6], torch.float32)


def test_a_quarter_turn_turns_image_and_mask_alike_and_exactly():
    slices = _squares(8, 16, 10, 24)
    image, label = _both(slices, _whole(slices, SIDE))
    turned, turned_label = _both(slices, _whole(slices, SIDE, _changes(angle=np.pi / 2)))
    want = np.rot90(image[0, 0], -1)
    assert np.allclose(turned[0, 0], want, atol=1e-6)
    assert np.array_equal(turned_label[0], np.rot90(label[0], -1))
    mirrored, mirrored_label = _both(slices, _whole(slices, SIDE, _changes(angle=np.pi / 2), flip=True))
    assert np.allclose(mirrored[0, 0], want[:, ::-1], atol=1e-6)
    assert np.array_equal(mirrored_label[0], turned_label[0][:, ::-1])


@pytest.mark.parametrize("angle", [0.3, -1.1, 2.5])
def test_a_rotated_square_lies_where_the_rotation_puts_it(angle):
    """Its centre, 16 down and 12 right of the middle, turns around the middle; its area stays; image covers mask."""
    slices = _squares(SIDE // 2 + 8, SIDE // 2 + 4, 16, 16)
    image, label = _both(slices, _whole(slices, SIDE, _changes(angle=angle)))
    y, x = np.array([16.0, 12.0])
    want = np.array([np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y]) + SIDE / 2
    for seen in (label[0] == 2, image[0, 0] - image.min()):
        assert np.allclose(np.array(ndimage.center_of_mass(seen)) + 0.5, want, atol=0.1)
    assert (label[0] == 2).sum() == pytest.approx(256, abs=8)
    inner = ndimage.binary_erosion(label[0] == 2, iterations=2)
    assert np.allclose(image[0, 0][inner], image.max(), atol=1e-6)
    assert set(np.unique(label)) == {0, 2}


def test_half_the_scale_shows_a_square_twice_as_large_and_twice_the_scale_a_border():
    slices = _squares(24, 24, 16, 16)
    near, near_label = _both(slices, _whole(slices, SIDE, _changes(zoom=0.5)))
    assert np.array_equal(near_label[0] == 2, np.pad(np.ones((32, 32), bool), 16))
    far, far_label = _both(
        slices, _whole(slices, SIDE, _changes(zoom=2.0)), Intensity("encoder", (0.3,), (1.0,))
    )
    assert np.array_equal(far_label[0] == 2, np.pad(np.ones((8, 8), bool), 28))
    outside = np.pad(np.zeros((32, 32), bool), 16, constant_values=True)
    assert not far[0, 0][outside].any()
    assert np.allclose(far[0, 0][24:27, 24:27], -0.3)
    assert near[0, 0].mean() == pytest.approx(near_label.mean() / 2, abs=0.02)


def test_a_view_that_has_left_its_slice_is_empty():
    p = replace(_whole(_squares(24, 24, 16, 16), SIDE, _changes(nodes=2.0)), contrast=np.full(1, 0.8))
    image, label = _both(_squares(24, 24, 16, 16), p)
    assert not image.any()
    assert not label.any()


def test_equal_nodes_shift_a_view_by_their_displacement():
    slices = _squares(24, 20, 16, 16)
    nodes = np.zeros((1, 2, 3, 3))
    nodes[:, 0], nodes[:, 1] = 8 / SIDE, -4 / SIDE
    image, label = _both(slices, _whole(slices, SIDE, _changes(nodes=nodes)))
    plain, plain_label = _both(slices, _whole(slices, SIDE))
    assert np.array_equal(label[0, :-8, 4:], plain_label[0, 8:, :-4])
    assert np.allclose(image[0, 0, :-8, 4:], plain[0, 0, 8:, :-4], atol=1e-6)


@pytest.mark.parametrize("size", [31, 64, 200])
def test_a_turn_of_nothing_is_the_antialiased_crop(size):
    """Upright and turned views are one filter: at an angle of nearly 0 they are equal, where no border cuts it."""
    rng = stream(0, "scenes")
    image, label = scene(rng, 150, 130)
    slices = TinySlices([image], [label])
    plain, _ = _both(slices, _whole(slices, size))
    turned, _ = _both(slices, _whole(slices, size, _changes(angle=1e-9)))
    assert np.abs(turned - plain).max() < 1e-5
    _both(slices, _whole(slices, size, _changes(angle=np.pi / 4)))


def test_back_ends_agree_on_everything_at_once_and_views_that_are_not_chosen_keep_their_bits():
    rng = stream(1, "scenes")
    images, labels = zip(*(scene(rng, h, w) for h, w in [(90, 70), (60, 100)] * 8), strict=True)
    slices = TinySlices(list(images), list(labels), scale=0.5, intercept=10.0)
    H, W = (slices.index[name].to_numpy() for name in ("height", "width"))
    law = ViewRanges(32, (0.3, 1.0), 0.5, 0.2, 0.2, 0.8)
    some = replace(STRONG, **{f.name: 0.25 for f in fields(STRONG) if f.name.endswith("_p")})
    plain, changed = (
        draw(replace(law, augmentation=a), H, W, stream(0, "views")) for a in (Augmentation(), some)
    )
    assert plain.changes is None
    for name in ("top", "left", "height", "width", "flip", "brightness", "contrast"):
        assert np.array_equal(getattr(plain, name), getattr(changed, name)), name
    before, before_labels = _both(slices, plain)
    after, after_labels = _both(slices, changed)
    same = (
        ~changed.moved
        & (changed.changes.noise == 0)
        & (changed.changes.blur == 0)
        & (changed.changes.gamma == 1)
    )
    assert 0 < same.sum() < len(same)
    assert np.array_equal(before[same], after[same])
    assert np.array_equal(before_labels[~changed.moved], after_labels[~changed.moved])
    raw, damaged = (
        replace(changed, jitter_mode="uint16", brightness=changed.brightness * 0),
        Intensity("paper-code"),
    )
    _both(slices, raw, damaged)


def test_pairs_of_one_place_share_the_geometry_and_not_the_grey_levels():
    """What a teacher sees lies pixel on pixel on what its student sees."""
    rng = stream(2, "scenes")
    images, labels = zip(*(scene(rng, 80, 80) for _ in range(12)), strict=True)
    slices = TinySlices(list(images), list(labels))
    law = ViewRanges(32, (0.3, 1.0), 0.5, 0.2, 0.2, 0.8, augmentation=STRONG)
    twin = Wanted((Crops(1), Crops(1, like=0)))
    one, other = batches.draw_views(slices, np.arange(12), law, seed=0, step=3, wanted=twin)
    for p in (one, other):
        assert p.moved.any()
    assert np.array_equal(
        render.render_labels(slices, range(12), one), render.render_labels(slices, range(12), other)
    )
    assert not np.array_equal(one.brightness, other.brightness)
    assert not np.array_equal(one.changes.noise, other.changes.noise)


def test_shares_and_ranges_of_what_is_drawn():
    n, changes = 20_000, augment.draw(STRONG, 20_000, stream(0, "augmentation"))
    chosen = {"angle": changes.angle != 0, "zoom": changes.zoom != 1, "noise": changes.noise > 0,
              "blur": changes.blur > 0, "gamma": changes.gamma != 1}  # fmt: skip
    for name, seen in chosen.items():
        assert stats.binomtest(int(seen.sum()), n, 0.5).pvalue > 1e-3, name
    spread = {"angle": (-np.pi, 2 * np.pi), "noise": (0, 0.1), "blur": (0.5, 0.5)}
    for name, ends in spread.items():
        assert stats.kstest(getattr(changes, name)[chosen[name]], "uniform", ends).pvalue > 1e-3, name
    for name, low, high in (("zoom", 0.7, 1.4), ("gamma", 0.7, 1.5)):
        found = getattr(changes, name)[chosen[name]]
        assert stats.binomtest(int((found < 1).sum()), len(found), 0.5).pvalue > 1e-3
        assert stats.kstest(found[found < 1], "uniform", (low, 1 - low)).pvalue > 1e-3
        assert stats.kstest(found[found > 1], "uniform", (1, high - 1)).pvalue > 1e-3
    bent = changes.nodes[changes.nodes.any((1, 2, 3))]
    assert stats.kstest(bent.ravel() / 0.05, "norm").pvalue > 1e-3
    for ends in ((0.6, 1.0), (1.0, 1.4)):  # there is no other half
        one_sided = augment.draw(Augmentation(gamma=ends, gamma_p=1.0), n, stream(0, "augmentation")).gamma
        assert stats.kstest(one_sided, "uniform", (ends[0], 0.4)).pvalue > 1e-3
    fewer = augment.draw(replace(STRONG, noise_p=0.0), n, stream(0, "augmentation"))
    assert np.array_equal(fewer.gamma, changes.gamma)


def test_displacements_go_through_their_nodes():
    nodes = stream(0, "nodes").standard_normal((1, 2, 3, 3))
    slices = _squares(0, 0, 1, 1)
    y, x = warp.centres(_whole(slices, 513, _changes(nodes=nodes)))
    still_y, still_x = warp.centres(_whole(slices, 513, _changes()))
    grid = np.ix_([0, 256, 512], [0, 256, 512])  # within half a pixel of the nodes
    assert np.allclose((y - still_y)[0][grid] / SIDE, nodes[0, 0], atol=0.02)
    assert np.allclose((x - still_x)[0][grid] / SIDE, nodes[0, 1], atol=0.02)
    # a natural cubic spline through three values, half way to the second: the mean less 3/32 of the second difference
    one, two, three = nodes[0, 0, 0]
    wanted = (one + two) / 2 - 3 / 32 * (one - 2 * two + three)
    assert (y - still_y)[0, 0, 128] / SIDE == pytest.approx(wanted, abs=0.02)


def test_blur_is_scipys_and_gamma_nnunets():
    view = torch.from_numpy(stream(0, "view").standard_normal((2, 40, 40), np.float32))
    want = ndimage.gaussian_filter(view.numpy(), (0, 0.8, 0.8), mode="mirror")
    assert np.allclose(texture.blurred(view, 0.8), want, atol=1e-5)
    got = texture.curved(view, 1.4)
    for channel, found in zip(view, got, strict=True):  # batchgeneratorsv2, GammaTransform._apply_to_image
        low, span = channel.min(), channel.max() - channel.min()
        curved = ((channel - low) / span) ** 1.4 * span + low
        wanted = (curved - curved.mean()) / curved.std() * channel.std() + channel.mean()
        assert np.allclose(found, wanted, atol=1e-5)
    constant = torch.full((1, 8, 8), 3.0)
    assert torch.equal(texture.curved(constant, 1.4), constant)
    assert torch.allclose(
        texture.blurred(constant[:, :4, :4], 3.0), constant[:, :4, :4]
    )  # a kernel wider than it


def test_noise_has_its_own_spread_in_every_view():
    changes = _changes(2, noise=[0.1, 0.02], noise_seed=[4, 5])
    found = texture.apply(torch.zeros(2, 1, 200, 200), changes)
    assert found.std((1, 2, 3)).tolist() == pytest.approx([0.1, 0.02], rel=0.02)
    assert abs(float(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1])) < 0.02


def test_the_knobs_are_off_and_strong_is_nnunets():
    """nnUNetTrainer.get_training_transforms (nnU-Net v2), 2D; an explicit amount wins over it."""

    def law(**given):
        p = flags.resolve(flags.from_mapping(Finetune, {"encoder": "scratch"} | given))
        return training_set.view_ranges(p).augmentation

    for preset in flags.knobs(Finetune)["preset"][1].choices:
        assert law(preset=preset) == Augmentation()
    want = Augmentation(rotation=180, rotation_p=0.2, scale=(0.7, 1.4), scale_p=0.2, elastic=0, elastic_p=0.2,
                        noise=0.1, noise_p=0.1, blur=(0.5, 1.0), blur_p=0.1, gamma=(0.7, 1.5), gamma_p=0.3)  # fmt: skip
    assert law(augment="strong") == want
    assert law(augment="strong", rotation="15") == replace(want, rotation=15)
    assert law(elastic="0.02").elastic == 0.02
    assert Augmentation(rotation=15.0).off
    assert not Augmentation(rotation=15.0, rotation_p=0.1).off
    with pytest.raises(ParamError, match="scale: must be two numbers"):
        law(scale="1.4,0.7")
    assert {f.name for f in fields(Augmentation)} == set(vars(want))
