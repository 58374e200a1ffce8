"""Masked modelling: what is hidden reaches nothing, and the loss is its papers' formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sslseg.config import plugins
from sslseg.config.names import ParamError
from sslseg.methods.restoration import _sparse
from sslseg.models import encoder
from sslseg.testing import methods, small
from sslseg.training import losses


@pytest.fixture(
    params=["test_resnet", "test_efficientnet", "resnet18", "tf_efficientnet_lite0", "test_convnext"]
)
def masked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """With biases and scales as after a training: fresh ones are 0 and 1, and hide what leaks."""
    monkeypatch.setattr(small, "ARCHITECTURE", request.param)
    method, generator = methods.create("masked"), torch.Generator().manual_seed(0)
    assert method.unet.net.encoder.name == request.param
    with torch.no_grad():
        for p in method.modules["online"].parameters():
            if p.ndim == 1:
                p.uniform_(0.5, 1.5, generator=generator)
    return method


def real(maps: list[torch.Tensor]) -> list[torch.Tensor]:
    """The encoder's own maps: without the image, and without the empty one where ConvNeXt has none."""
    return [m for m in maps[1:] if m.shape[1]]


def halves(batch: int = 4, size: int = 32) -> torch.Tensor:
    """The left half is visible."""
    mask = torch.zeros(batch, 1, size, size)
    mask[..., : size // 2] = 1.0
    return mask


@pytest.mark.parametrize("training", [True, False])
def test_visible_features_do_not_move_when_masked_pixels_do(masked, training: bool):
    """At every level, in training too, where batch norms would carry the hidden pixels' statistics over."""
    generator, mask = torch.Generator().manual_seed(0), halves()
    view = torch.randn(4, 1, 32, 32, generator=generator)
    other = view + 100 * torch.randn(view.shape, generator=generator) * (1 - mask)
    masked.modules["online"].train(training)
    with torch.no_grad():
        one, two = masked.maps(view, mask), masked.maps(other, mask)
        for a, b in zip(real(one), real(two), strict=True):
            assert torch.equal(a, b)
            assert not (
                a * (1 - _sparse.at(mask, a))
            ).any()  # and nothing has leaked to where nothing is seen
            assert a.abs().sum() > 0


def test_visible_features_do_not_depend_on_how_much_is_hidden_far_away(masked):
    """In evaluation, a place whose whole surroundings are visible is as in the whole image: the finest map shows it."""
    view = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    masked.modules["online"].eval()
    with torch.no_grad():
        whole = real(masked.maps(view, torch.ones(2, 1, 64, 64)))[0]
        plain = real(masked.unet.maps(view))[0]
        torch.testing.assert_close(whole, plain, rtol=1e-4, atol=1e-5)  # nothing hidden: the ordinary encoder
        half = real(masked.maps(view, halves(2, 64)))[0]
    far = whole.shape[-1] // 4
    torch.testing.assert_close(half[..., :far], whole[..., :far], rtol=1e-4, atol=1e-5)


def test_batch_norm_counts_visible_places_alone():
    norm, mask = nn.BatchNorm2d(3), halves(4, 8)
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 + 1
    seen = x[..., :4]
    expected = nn.BatchNorm2d(3)
    wanted = expected(seen)
    with _sparse.visible_only(nn.Sequential(norm), mask):
        found = norm(x)
    torch.testing.assert_close(found[..., :4], wanted)
    assert not found[..., 4:].any()
    torch.testing.assert_close(norm.running_mean, expected.running_mean)
    torch.testing.assert_close(norm.running_var, expected.running_var)
    assert norm.num_batches_tracked == expected.num_batches_tracked
    assert norm(x).abs().sum() > 0
    assert "forward" not in vars(norm)  # as it was


def test_the_encoder_is_left_as_it_was_whatever_happens():
    net = encoder.build("test_resnet", 1, 0)
    with pytest.raises(ZeroDivisionError), _sparse.visible_only(net, halves()):
        raise ZeroDivisionError
    assert not any(part._forward_hooks or "forward" in vars(part) for part in net.modules())


def test_the_loss_is_that_of_each_hidden_patch_standardised():
    """MAE 4.1, patch by patch in double precision; what is visible costs nothing."""
    generator = torch.Generator().manual_seed(0)
    image, found = (torch.randn(2, 2, 8, 8, generator=generator) for _ in range(2))
    mask = torch.ones(2, 1, 8, 8)
    hidden = [(0, 0, 4), (0, 4, 4), (1, 4, 0)]
    total = 0.0
    for b, y, x in hidden:
        mask[b, :, y : y + 4, x : x + 4] = 0
        target, got = (t[b, :, y : y + 4, x : x + 4].double() for t in (image, found))
        total += float(((got - (target - target.mean()) / (target.var() + 1e-6).sqrt()) ** 2).mean())
    assert losses.hidden_patches(found, image, mask, 4).item() == pytest.approx(total / 3, rel=1e-5)
    assert losses.hidden_patches(found, torch.ones_like(image), mask, 4).isfinite()  # without a spread
    other = torch.where(mask.bool(), found + 5, found)
    assert torch.equal(
        losses.hidden_patches(other, image, mask, 4), losses.hidden_patches(found, image, mask, 4)
    )


def test_tokens_stand_where_nothing_is_seen_and_only_there():
    """SparK 3.3: a learned vector of each map's width, s.d. 0.02 at first, in every hidden place."""
    method, given = methods.create("masked"), methods.batch("masked")
    tokens = list(method.modules["tokens"])
    assert torch.cat([t.flatten() for t in tokens]).std().item() == pytest.approx(0.02, rel=0.5)
    with torch.random.fork_rng(), torch.no_grad():
        for token in tokens:
            token.add_(1.0)
        torch.manual_seed(1)
        value, _ = method.loss(given)
        torch.manual_seed(1)
        mask = method.mask(given.views[0])
        maps = method.maps(given.views[0], mask)
        for m, token in zip(maps[1:], tokens, strict=True):
            shown = torch.nn.functional.interpolate(mask, m.shape[-2:], mode="area") > 0
            m.copy_(torch.where(shown, m, token))
        found = method.unet.net.segmentation_head(method.unet.net.decoder(maps))
    wanted = losses.hidden_patches(found, given.views[0], mask, method.patch)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["masked", "colourisation"])
def test_what_is_restored_is_shown_as_it_is(name: str):
    module = plugins.load("methods", name)
    assert not any(kind.jitter for kind in module.Method.wanted(methods.settings(name)).views)


def test_as_many_patches_are_hidden_in_each_view_and_not_the_same():
    method = methods.create("masked", hidden=0.6)
    mask = method.mask(torch.zeros(16, 1, 32, 32))
    tiles = mask.view(16, 4, 8, 4, 8)
    assert torch.equal(tiles.amax((2, 4)), tiles.amin((2, 4)))  # whole patches
    assert (tiles[:, :, 0, :, 0] == 0).sum((1, 2)).tolist() == [10] * 16
    assert len({tuple(m.flatten().tolist()) for m in mask}) > 10


@pytest.mark.parametrize("wrong", [{"patch": 7}, {"patch": 16, "hidden": 0.05}, {"patch": 32}])
def test_patches_that_cannot_be_are_refused(wrong: dict):
    with pytest.raises(
        ParamError, match="patch: wanted patches that tile 32 pixels, some hidden and some visible"
    ):
        methods.create("masked", **wrong)
