"""UniMatch by its formulas, and views that differ in grey levels alone."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from sslseg.data.slices.intensity import Intensity
from sslseg.data.views import batches
from sslseg.data.views.augment import Augmentation
from sslseg.data.views.draw import ViewRanges
from sslseg.testing.slices import TinySlices, hearts
from sslseg.training import loop, losses, unimatch
from tests.training.test_loop import pretrain_batch, unet
from tests.training.test_mean_teacher import batch_at, params

CPU = torch.device("cpu")


def by_the_definition(p: np.ndarray, label: np.ndarray, sure: np.ndarray) -> float:
    """UniMatch's DiceLoss, util/utils.py: class by class over the pixels that are not ignored."""
    parts = []
    for k in range(p.shape[1]):
        s, t = p[:, k][sure], (label == k)[sure].astype(float)
        parts.append(1 - (2 * (s * t).sum() + 1e-5) / ((s * s).sum() + (t * t).sum() + 1e-5))
    return float(np.mean(parts))


def test_dice_of_sure_pixels_is_the_authors():
    g = torch.Generator().manual_seed(0)
    logits, label = torch.randn(2, 4, 5, 6, generator=g), torch.randint(4, (2, 5, 6), generator=g)
    for share in (0.4, 1.1):
        sure = torch.rand(2, 5, 6, generator=g) < share
        wanted = by_the_definition(logits.double().softmax(1).numpy(), label.numpy(), sure.numpy())
        assert losses.sure_dice(logits, label, sure).item() == pytest.approx(wanted, rel=1e-5)
    assert losses.sure_dice(logits, label, torch.zeros_like(sure)).item() == 0


def test_the_loss_is_the_published_sum():
    """(L_x + 0.25 L_s1 + 0.25 L_s2 + 0.5 L_fp) / 2, its parts made again from the same random numbers."""
    p = params(semi="unimatch", confidence=0.3)
    pupil = unimatch.UniMatch(unet().train(), p)
    views = (*pretrain_batch(51).views, pretrain_batch(52).views[0])
    batch = loop.on(batch_at(1)._replace(unlabelled=views), CPU)
    net = copy.deepcopy(pupil.unet)
    with loop.seeded(5, CPU):
        value, metrics = pupil.loss(batch)
    plain, *strong = batch.unlabelled
    with loop.seeded(5, CPU):
        supervised = losses.jaccard(net(batch.images), batch.labels)
        maps = [torch.cat([m, torch.nn.Dropout2d(0.5)(m)]) for m in net.encoder(plain)]
        told, dropped = net.segmentation_head(net.decoder(maps)).chunk(2)
        where = [unimatch.boxes(len(plain), plain.shape[-1]) for _ in strong]
    sureness, label = torch.softmax(told, 1).max(1)
    sure, before = sureness >= 0.3, [len(plain) - 1, *range(len(plain) - 1)]
    mixed, wanted = [], []
    for view, box in zip(strong, where, strict=True):
        image, answer, known = view.clone(), label.clone(), sure.clone()
        for b, source in enumerate(before):
            image[b][:, box[b]] = view[source][:, box[b]]
            answer[b][box[b]], known[b][box[b]] = label[source][box[b]], sure[source][box[b]]
        mixed.append(image)
        wanted.append((answer, known))
    found = net(torch.cat(mixed)).softmax(1).detach().double().numpy()
    parts = [
        by_the_definition(found[k * len(plain) : (k + 1) * len(plain)], a.numpy(), s.numpy())
        for k, (a, s) in enumerate(wanted)
    ]
    poorer = by_the_definition(dropped.softmax(1).detach().double().numpy(), label.numpy(), sure.numpy())
    formula = (supervised.item() + 0.25 * parts[0] + 0.25 * parts[1] + 0.5 * poorer) / 2
    assert value.item() == pytest.approx(formula, rel=1e-5)
    assert 0 < float(metrics["sure"]) < 1
    assert any(box.any() for box in where)
    value.backward()
    assert all(q.grad is not None for q in pupil.unet.parameters())


def test_boxes_are_rectangles_of_the_published_sizes_in_half_of_the_views():
    with loop.seeded(0, CPU):
        found = unimatch.boxes(400, 64)
    some = [box for box in found if box.any()]
    assert 0.42 < len(some) / 400 < 0.58
    assert (
        np.mean([box.any(1).sum() > box.any(0).sum() for box in some]) > 0.6
    )  # sides are as 0.3 to 3.3, evenly
    for box in some:
        height, width = int(box.any(1).sum()), int(box.any(0).sum())
        assert height * width == int(box.sum())
        assert 0.015 < height * width / 64**2 <= 0.4
        assert 0.25 < height / width < 4
    areas, ratios = zip(*((int(b.sum()) / 64**2, b.any(1).sum() / b.any(0).sum()) for b in some), strict=True)
    assert min(areas) < 0.03 < 0.37 < max(areas)
    assert min(ratios) < 0.4 < 3 < max(ratios)


def test_strong_views_are_drawn_with_the_authors_amounts():
    """acdc.py: ColorJitter(0.5, 0.5) with probability 0.8, blur of 0.1 to 2.0 with 0.5, whatever the knobs say."""
    law = ViewRanges(32, (0.3, 1.0), 0.5, 0.1, 0.1, 0.2, "uint16")
    for strong in unimatch.shades(law)[1:]:
        wanted = Augmentation(blur=(0.1, 2.0), blur_p=0.5)
        assert strong == ViewRanges(32, (0.3, 1.0), 0.5, 0.5, 0.5, 0.8, "factor", augmentation=wanted)


def test_unlabelled_slices_and_their_views_have_streams_of_their_own(monkeypatch: pytest.MonkeyPatch):
    store, law = TinySlices(hearts(3, 4, 48)), ViewRanges(32, (0.3, 1.0), 0.5, 0.2, 0.2, 0.8)
    asked, plain = [], batches.stream
    monkeypatch.setattr(batches, "stream", lambda *key: (asked.append(key), plain(*key))[1])
    given = {"seed": 0, "step": 0, "batch_size": 12}
    batches.draw_views(store, batches.order(range(12), **given), law, seed=0, step=0)
    own, asked[:] = set(asked), []
    batches.unlabelled_views(store, range(12), (law, law), Intensity("dataset", (0.4,), (0.25,)), **given)
    assert len(own) == len(set(asked)) == 2
    assert not own & set(asked)


def test_strong_views_show_the_place_of_the_plain_one():
    store = TinySlices(hearts(3, 4, 48))
    ranges = ViewRanges(
        32, (0.3, 1.0), 0.5, 0.2, 0.2, 0.8, augmentation=Augmentation(rotation=90.0, rotation_p=1.0)
    )
    for law in (ranges, dataclasses.replace(ranges, augmentation=Augmentation())):
        plain, strong, _ = unimatch.shades(law)
        as_plain = dataclasses.replace(
            strong, jitter=0.0, augmentation=dataclasses.replace(strong.augmentation, blur_p=0.0)
        )

        def views(*shades, law=law):
            return batches.unlabelled_views(
                store, range(12), shades, Intensity("dataset", (0.4,), (0.25,)), seed=0, step=0, batch_size=12
            )

        one, other = views(plain, as_plain)
        assert np.array_equal(one, other)
        one, other, third = views(plain, strong, strong)
        assert not np.array_equal(one, other)
        assert not np.array_equal(other, third)
        grey = {
            "noise": 0.1,
            "noise_p": 1.0,
            "gamma": (0.5, 2.0),
            "gamma_p": 1.0,
            "blur": (1.0, 2.0),
            "blur_p": 1.0,
        }
        loud = dataclasses.replace(law, augmentation=dataclasses.replace(law.augmentation, **grey))
        assert np.array_equal(views(unimatch.shades(loud)[0])[0], views(plain)[0])  # whose grey levels stay
