"""Batches: order and views computed from (seed, step); one thread ahead."""

import dataclasses
import threading
from collections import Counter

import numpy as np
import pytest
import torch

from sslseg.config.names import DataError
from sslseg.config.wanted import Crops, Wanted
from sslseg.data.slices import intensity, prepare
from sslseg.data.slices.intensity import Intensity
from sslseg.data.streams import stream
from sslseg.data.views import batches, render_device
from sslseg.data.views.draw import ViewRanges, draw
from sslseg.data.views.render import render
from sslseg.testing.slices import TinySlices, scene
from tests.fixtures import trees

LAW = ViewRanges(32, (0.08, 1.0), 0.5, 0.2, 0.2, 0.8)
INTENSITY = Intensity("dataset", (0.4,), (0.25,))


@pytest.fixture(scope="module")
def slices():
    rng = stream(0, "scenes")
    images, labels = zip(*(scene(rng, 60 + i, 70) for i in range(7)), strict=True)
    return TinySlices(list(images), list(labels))


@pytest.mark.parametrize(("n", "batch_size"), [(7, 3), (7, 7), (3, 8), (1, 2)])
def test_every_slice_is_seen_once_an_epoch_across_batch_borders(n, batch_size):
    rows = np.arange(100, 100 + n)
    seen = np.concatenate([batches.order(rows, seed=3, step=s, batch_size=batch_size) for s in range(4 * n)])
    epochs = seen[: len(seen) // n * n].reshape(-1, n)
    assert all(sorted(e) == rows.tolist() for e in epochs)
    assert n < 3 or len({tuple(e) for e in epochs}) > 1
    other = np.concatenate([batches.order(rows, seed=4, step=s, batch_size=batch_size) for s in range(4 * n)])
    assert n < 3 or not np.array_equal(seen, other)


def test_no_slices_is_an_error():
    with pytest.raises(DataError, match="none"):
        batches.order([], seed=0, step=0, batch_size=2)


def test_pretrain_batches_are_views_of_their_rows_and_replay(slices):
    wanted = {"seed": 1, "step": 5, "batch_size": 4}
    batch = batches.pretrain_batch(slices, range(7), LAW, INTENSITY, **wanted)
    out = [np.empty((4, 1, 32, 32), np.float32) for _ in range(2)]
    again = batches.pretrain_batch(slices, range(7), LAW, INTENSITY, **wanted, out=out)
    assert batch.rows.tolist() == batches.order(range(7), **wanted).tolist()
    assert again.views[1] is out[1]
    drawn = batches.draw_views(slices, batch.rows, LAW, seed=1, step=5)
    for view, same, p in zip(batch.views, again.views, drawn, strict=True):
        assert np.array_equal(view, same)
        assert np.array_equal(view, render(slices, batch.rows, p, INTENSITY))
    assert not np.array_equal(*batch.views)
    later = batches.pretrain_batch(slices, range(7), LAW, INTENSITY, seed=1, step=6, batch_size=4)
    assert not np.array_equal(batch.views[0], later.views[0])


MANY = Wanted(
    (Crops(2, scale=(0.3, 1.0)), Crops(3, size=16, scale=(0.05, 0.3)), Crops(jitter=False, like=0),
     Crops(size=24, flip=False)),
    boxes=True, places=True,
)  # fmt: skip


def test_views_of_several_kinds_with_their_boxes_and_places(slices):
    rest = {"seed": 1, "step": 5, "batch_size": 4, "wanted": MANY, "steps": 20}
    batch = batches.pretrain_batch(slices, range(7), LAW, INTENSITY, known=batches.places(slices), **rest)
    assert [v.shape[-1] for v in batch.views] == MANY.sizes(32) == [32, 32, 16, 16, 16, 32, 24]
    assert batch.progress == 0.25
    out = batches.memory(4, 1, MANY.sizes(32))[0]
    again = batches.pretrain_batch(
        slices, range(7), LAW, INTENSITY, known=batches.places(slices), out=out, **rest
    )
    assert all(map(np.array_equal, batch.views, again.views))
    assert all(made is kept for made, kept in zip(again.views, out, strict=True))
    boxes = np.stack(batch.boxes)  # [view, slice, top left height width mirrored]
    assert boxes.dtype == np.float32
    assert np.array_equal(boxes[5], boxes[0])  # `like`
    assert not boxes[6, :, 4].any()
    area = boxes[..., 2] * boxes[..., 3]
    assert area[:2].min() > 0.28
    assert 0.04 < area[2:5].min() <= area[2:5].max() < 0.32  # whole pixels
    assert ((boxes[..., :2] >= 0) & (boxes[..., :2] + boxes[..., 2:4] <= 1 + 1e-6)).all()
    clean = render(
        slices,
        batch.rows,
        batches.draw_views(slices, batch.rows, LAW, seed=1, step=5, wanted=MANY)[5],
        INTENSITY,
    )
    assert np.array_equal(batch.views[5], clean)
    own = stream(1, "views", 5)  # the first views are what two views alone would be
    height, width = (slices.index[c].to_numpy()[batch.rows] for c in ("height", "width"))
    first = draw(dataclasses.replace(LAW, crop_scale=(0.3, 1.0)), height, width, own)
    assert np.array_equal(batch.views[0], render(slices, batch.rows, first, INTENSITY))
    plain = dataclasses.replace(first, brightness=np.ones(4), contrast=np.ones(4))
    assert np.array_equal(batch.views[5], render(slices, batch.rows, plain, INTENSITY))


def test_views_of_several_kinds_agree_between_the_back_ends(slices):
    rest = {"seed": 1, "step": 5, "batch_size": 4, "wanted": MANY, "known": batches.places(slices)}
    here, there = (
        batches.pretrain_batch(s, range(7), LAW, INTENSITY, **rest)
        for s in (slices, render_device.upload(slices, "cpu"))
    )
    for mine, theirs in zip(here.views, there.views, strict=True):
        assert np.allclose(mine, theirs.numpy(), atol=1e-4)
    memory = batches.memory(4, 1, [len(v[0, 0]) for v in here.views])[0]
    given = batches.pretrain_batch(
        render_device.upload(slices, "cpu"), range(7), LAW, INTENSITY, **rest, out=memory
    )
    assert all(map(torch.equal, given.views, there.views))  # memory of the CPU is of no use to a device
    assert all(map(np.array_equal, here.boxes, there.boxes))
    assert all(map(np.array_equal, here.places, there.places))


def test_places_are_patients_groups_and_heights_within_volumes():
    images = [np.ones((1, 8, 8), np.int16)] * 7
    known = batches.places(TinySlices(images, volume=[0, 0, 0, 1, 2, 2, 3]))
    assert known.volume.tolist() == [0, 0, 0, 1, 2, 2, 3]
    assert known.patient.tolist() == [0, 0, 0, 0, 1, 1, 1]  # two volumes a patient
    assert known.group.tolist() == [0, 0, 0, 1, 0, 0, 1]
    assert known.height.tolist() == [0.0, 0.5, 1.0, 0.5, 0.0, 1.0, 0.5]


def test_memory_holds_every_batch_that_lives_at_once(slices):
    """With the network, two that wait, one in the making: none is overwritten before the network is done."""
    memory = batches.memory(4, 1, [32, 32])

    def make(step, out=None):
        wanted = {"seed": 1, "step": step, "batch_size": 4}
        return batches.pretrain_batch(slices, range(7), LAW, INTENSITY, **wanted, out=out)

    made = []

    def ahead():
        for step in range(9):
            batch = make(step, memory[step % len(memory)])
            made.append(step)
            yield step, batch

    for step, batch in batches.prefetch(ahead()):
        while len(made) < min(step + len(memory), 9):  # the thread is as far ahead as it can get
            threading.Event().wait(0.001)
        assert all(map(np.array_equal, batch.views, make(step).views))
        assert batch.views[0] is memory[step % len(memory)][0]


def test_batches_from_a_device_are_those_of_the_cpu(slices):
    """Tensors where the voxels are; the same slices, choices and labels."""
    there, wanted = render_device.upload(slices, "cpu", labels=True), {"seed": 1, "step": 5, "batch_size": 4}
    for make in (batches.pretrain_batch, batches.finetune_batch):
        here, other = (make(s, range(7), LAW, INTENSITY, **wanted) for s in (slices, there))
        assert np.array_equal(here.rows, other.rows)
        images = (
            zip(here.views, other.views, strict=True)
            if make is batches.pretrain_batch
            else [here[:1] + other[:1]]
        )
        for mine, theirs in images:
            assert isinstance(theirs, torch.Tensor)
            assert np.abs(mine - theirs.numpy()).mean() < 0.01  # sd of the views is 1
    assert np.array_equal(here.labels, other.labels.numpy())


def test_voxels_are_copied_to_a_cuda_device_with_room(slices, monkeypatch):
    assert render_device.place(slices, torch.device("cpu")) is slices
    copied = []
    monkeypatch.setattr(render_device, "upload", lambda *given, labels: copied.append(labels) or "a copy")
    size = slices.codes_flat.nbytes + slices.labels_flat.nbytes
    for free, labels, want in (
        (render_device.ROOM * size + 1, True, "a copy"), (render_device.ROOM * size, True, slices),
        (render_device.ROOM * size, False, "a copy"),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 0))
        assert render_device.place(slices, torch.device("cuda"), labels=labels) is want
    assert copied == [True, False]


def test_one_slice_fills_a_batch_with_different_views(slices):
    images, labels, rows, *_ = batches.finetune_batch(
        slices, [4], LAW, INTENSITY, seed=0, step=0, batch_size=2
    )
    assert rows.tolist() == [4, 4]
    assert (images.shape, labels.shape, labels.dtype) == ((2, 1, 32, 32), (2, 32, 32), np.uint8)
    assert not np.array_equal(images[0], images[1])


def test_whole_batch_draws_nothing(slices):
    images = batches.whole_batch(slices, [2, 0], INTENSITY, 64)
    assert images.shape == (2, 1, 64, 64)
    assert np.array_equal(images, batches.whole_batch(slices, [2, 0], INTENSITY, 64))


def test_batches_of_a_store_on_disk_agree_between_the_back_ends(tmp_path):
    tree = trees.acdc(tmp_path / "acdc", patients=2)
    slices = prepare.prepare("acdc", tree, tmp_path / "cache", spacing=0.0, progress=False)
    rows = np.flatnonzero(slices.index["labelled"])
    law = intensity.fit(slices, rows)
    images, labels, chosen, *_ = batches.finetune_batch(slices, rows, LAW, law, seed=0, step=2, batch_size=9)
    (p,) = batches.draw_views(slices, chosen, LAW, seed=0, step=2, wanted=batches.ONE)
    device = render_device.upload(slices, "cpu", labels=True)
    assert np.allclose(render_device.render(device, chosen, p, law).numpy(), images, atol=1e-4)
    assert np.array_equal(render_device.render_labels(device, chosen, p).numpy(), labels)
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    unlabelled = np.flatnonzero(~slices.index["labelled"])
    with pytest.raises(DataError, match="label"):
        batches.finetune_batch(slices, unlabelled, LAW, law, seed=0, step=0, batch_size=2)
    with pytest.raises(DataError, match="label"):
        render_device.render_labels(device, unlabelled[[0] * 9], p)


def test_prefetch_keeps_order_values_and_exceptions():
    assert list(batches.prefetch(iter(range(50)), depth=3)) == list(range(50))

    def broken():
        yield 1
        raise ValueError("from the thread")

    items = batches.prefetch(broken())
    assert next(items) == 1
    with pytest.raises(ValueError, match="from the thread"):
        next(items)


def test_prefetch_runs_ahead_by_depth_at_most_and_ends_with_its_consumer():
    made, closed = Counter(), threading.Event()

    def endless():
        try:
            while True:
                made["items"] += 1
                yield made["items"]
        finally:
            closed.set()

    items = batches.prefetch(endless(), depth=2)
    assert [next(items) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert made["items"] <= 5 + 2 + 1  # taken, waiting, and the one in the thread's hand
    items.close()
    assert closed.is_set()
    assert not [t for t in threading.enumerate() if t.name.startswith("sslseg-prefetch")]
