"""Scores against torchmetrics and smp; whole slices of mixed sizes; volumes from summed counts."""

import types
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import segmentation_models_pytorch as smp
import torch
import torchmetrics.classification as tm
from torch import nn

from sslseg.config.names import DataError
from sslseg.data.slices.intensity import Intensity
from sslseg.scoring import pixels, segmentation
from sslseg.training import losses

CLASSES = ("background", "RV", "MYO", "LV")
ORDER = [3, 0, 2, 4, 1]  # slice 2 is of another padded size, and scored before the others
SIZES = [(40, 33), (64, 64), (30, 60), (40, 40), (64, 33)]


def truth_and_prediction(shape=(6, 20, 21)):
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 4, shape), rng.integers(0, 4, shape)
    truth[rng.random(shape) < 0.1] = 255
    truth[0], prediction[0] = 0, 0  # empty and seen as empty
    truth[1] = 0  # empty, not seen as empty
    return torch.from_numpy(truth), torch.from_numpy(prediction)


class Store:
    """The part of a slice store that is read here: slices of several sizes in three volumes."""

    classes, channels = CLASSES, 1

    def __init__(self, sizes=SIZES, volume=(0, 0, 1, 2, 2)):
        rng = np.random.default_rng(1)
        self.images = [rng.integers(0, 900, (1, *size)).astype(np.int16) for size in sizes]
        self.labels = [rng.integers(0, 4, size).astype(np.uint8) for size in sizes]
        self.labels[0][:] = 0
        self.labels[1][:5] = 255
        self.index = pd.DataFrame(
            {"volume": volume, "patient": [f"p{v // 2}" for v in volume], "frame": 1, "z": range(len(sizes)),
             "phase": ["ES" if v % 2 else "ED" for v in volume], "height": [s[0] for s in sizes],
             "width": [s[1] for s in sizes]}
        )  # fmt: skip
        ones = np.ones((3, 1))
        self.volumes = {"scale": ones, "intercept": 0 * ones, "p1": 10 * ones, "p99": 800 * ones}

    def codes(self, i):
        return self.images[i]

    def label(self, i):
        return self.labels[i]


LAW = Intensity("dataset", (0.5,), (0.25,))


class Threshold(nn.Module):
    """Class by brightness of the pixel: what it says does not depend on padding or neighbours."""

    def __init__(self):
        super().__init__()
        self.levels = nn.Parameter(torch.tensor([-1.5, -0.5, 0.5, 1.5]))

    def forward(self, images):
        assert not self.training
        return -(images - self.levels.view(1, -1, 1, 1)).square()


@pytest.mark.parametrize(
    ("ours", "theirs"), [(pixels.iou, tm.MulticlassJaccardIndex), (pixels.dice, tm.MulticlassF1Score)]
)
def test_scores_are_torchmetrics(ours, theirs):
    truth, prediction = truth_and_prediction((70, 6, 7))  # 255 is the number of a cell of a slice far behind
    metric = theirs(4, average="none", ignore_index=255)
    total = pixels.confusion(truth, prediction, 4).sum(0).numpy()
    np.testing.assert_allclose(ours(total), metric(prediction, truth).numpy(), rtol=1e-6)
    counts = pixels.confusion(truth.to(torch.uint8), prediction.to(torch.uint8), 4)
    for i in range(2, 6):
        np.testing.assert_allclose(
            ours(counts[i].numpy()), metric(prediction[i], truth[i]).numpy(), rtol=1e-6
        )


def test_counts_are_smps():
    truth, prediction = truth_and_prediction()
    tp, fp, fn, _ = smp.metrics.get_stats(
        prediction, truth, mode="multiclass", num_classes=4, ignore_index=255
    )
    counts = pixels.confusion(truth, prediction, 4)
    hit = counts.diagonal(dim1=1, dim2=2)
    assert torch.equal(hit, tp)
    assert torch.equal(counts.sum(1) - hit, fp)
    assert torch.equal(counts.sum(2) - hit, fn)
    assert counts.dtype == torch.int64


def test_absent_policy():
    truth, prediction = truth_and_prediction()
    counts = pixels.confusion(truth, prediction, 4).numpy()
    assert np.isnan(pixels.iou(counts)[0, 1:]).all()
    assert (pixels.iou(counts, "one")[0] == 1).all()
    for absent in ("exclude", "one"):  # in one of the two only: 0 under either
        assert (pixels.iou(counts, absent)[1, 1:] == 0).all()
    assert pixels.mean([np.nan, 1.0, 0.0]) == 0.5
    assert np.isnan(pixels.mean([np.nan]))
    with pytest.raises(ValueError, match="zero"):
        pixels.iou(counts, "zero")


@pytest.mark.parametrize("absent", ["exclude", "one"])
def test_evaluate_is_a_loop_over_slices(absent):
    store, net = Store(), Threshold().train()
    found = segmentation.evaluate(
        net, segmentation.lazily(store, ORDER, LAW, batch_size=2), CLASSES, absent=absent
    )
    assert net.training
    assert net.levels.grad is None
    one_by_one = {"iou": [], "dice": [], "loss": []}
    for row in ORDER:
        x = (np.clip(store.images[row].astype(np.float32), 10, 800) - 10) / 790
        logits = -(torch.from_numpy((x - 0.5) / 0.25)[None] - net.levels.detach().view(1, -1, 1, 1)).square()
        truth = torch.from_numpy(store.labels[row])[None].long()
        counts = pixels.confusion(truth, logits.argmax(1), 4)[0].numpy()
        one_by_one["iou"].append(pixels.iou(counts, absent))
        one_by_one["dice"].append(pixels.dice(counts, absent))
        one_by_one["loss"].append(float(losses.jaccard(logits, truth)))
        predicted = segmentation.predict_whole(net.eval(), store, row, LAW)
        np.testing.assert_array_equal(predicted, logits.argmax(1)[0].numpy())
        net.train()
    assert found.per_slice["row"].tolist() == ORDER
    assert found.per_slice["z"].tolist() == ORDER
    for k, name in enumerate(CLASSES):
        for score in ("iou", "dice"):
            wanted = np.array(one_by_one[score])[:, k]
            np.testing.assert_allclose(found.per_slice[f"{score}/{name}"], wanted)
            if k:
                assert found.summary[f"{score}/{name}"] == pytest.approx(np.nanmean(wanted))
    assert found.summary["iou"] == pytest.approx(np.mean([found.summary[f"iou/{c}"] for c in CLASSES[1:]]))
    assert found.summary["jaccard_loss"] == pytest.approx(np.mean(one_by_one["loss"]), rel=1e-5)
    assert not any("background" in key for key in found.summary)


def test_prepared_batches_have_one_size_and_equal_the_lazy_way():
    store, net, rows = Store(), Threshold(), range(5)
    held = segmentation.prepare(store, rows, LAW, batch_size=2)
    assert sorted(np.concatenate([b.place for b in held.batches])) == list(rows)
    assert all(side % 32 == 0 for b in held.batches for side in b.images.shape[2:])
    assert sum(len(b.place) for b in held.batches) > len(
        held.batches
    )  # slices of one padded size go together
    lazy = segmentation.evaluate(net, segmentation.lazily(store, rows, LAW, batch_size=2), CLASSES)
    for _ in range(2):  # a prepared set can be used again
        again = segmentation.evaluate(net, held, CLASSES)
        assert again.summary == lazy.summary
        assert np.array_equal(again.counts, lazy.counts)


@pytest.mark.parametrize("seed", range(5))
def test_two_sizes_hold_every_annotated_slice_in_the_fewest_pixels(seed):
    rng = np.random.default_rng(seed)
    sides = rng.integers(1, 400, (12, 2))
    index = pd.DataFrame({"height": sides[:, 0], "width": sides[:, 1], "labelled": True})
    index.loc[12] = {"height": 9999, "width": 9999, "labelled": False}  # is never scored
    found = segmentation.sizes_of(types.SimpleNamespace(index=index))
    padded = -(-sides // 32) * 32

    def pixels_of(sizes):
        each = [[h * w for h, w in sizes if y <= h and x <= w] for y, x in padded]
        return sum(map(min, each)) if all(each) else np.inf

    grid = [(h, w) for h in range(32, 417, 32) for w in range(32, 417, 32)]
    assert len(found) <= 2
    assert pixels_of(found) == min(pixels_of((one, tuple(padded.max(0)))) for one in grid)


def test_scores_do_not_depend_on_how_many_sizes_there_are():
    store, net, rows = Store(), Threshold(), range(5)
    store.index["labelled"] = True
    own = segmentation.evaluate(net, segmentation.lazily(store, rows, LAW), CLASSES)
    table = segmentation.lazily(store, rows, LAW, batch_size=2, device="cpu").table
    sizes = segmentation.sizes_of(store)
    held = segmentation.Whole(tuple(segmentation._batches(store, np.arange(5), LAW, 2, "cpu", sizes)), table)
    assert {batch.images.shape[2:] for batch in held.batches} == set(sizes)
    few = segmentation.evaluate(net, held, CLASSES)
    assert np.array_equal(few.counts, own.counts)
    assert few.summary == pytest.approx(own.summary, abs=1e-6)


def test_masks_that_are_asked_for_are_the_predictions():
    store, net = Store(), Threshold()
    found = segmentation.evaluate(
        net, segmentation.lazily(store, [3, 0, 4, 1], LAW, batch_size=2), CLASSES, keep={0, 4}
    )
    assert set(found.masks) == {0, 4}
    for row, mask in found.masks.items():
        height, width = store.labels[row].shape
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask[:height, :width], segmentation.predict_whole(net, store, row, LAW))


def test_batch_norm_in_eval_mode_makes_batches_irrelevant():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = smp.Unet("tu-test_resnet", encoder_weights=None, in_channels=1, classes=4)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    several = segmentation.evaluate(net, segmentation.lazily(Store(), range(5), LAW, batch_size=4), CLASSES)
    single = segmentation.evaluate(net, segmentation.lazily(Store(), range(5), LAW, batch_size=1), CLASSES)
    np.testing.assert_allclose(several.per_slice["jaccard_loss"], single.per_slice["jaccard_loss"], rtol=1e-4)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_volumes_are_scored_on_summed_counts():
    truth, prediction = truth_and_prediction()
    counts = pixels.confusion(truth, prediction, 4).numpy()
    table = {"volume": np.array([7, 3, 7, 3, 3, 9]), "patient": np.array(list("ABABBC")),
             "frame": np.array([1, 2, 1, 2, 2, 3]), "phase": np.array(["ED"] * 6)}  # fmt: skip
    found = pixels.per_volume(table, counts, CLASSES)
    assert not any("background" in column for column in found)
    assert found["volume"].tolist() == [3, 7, 9]
    assert found["patient"].tolist() == ["B", "A", "C"]
    assert found["slices"].tolist() == [3, 2, 1]
    for at, rows in enumerate([[1, 3, 4], [0, 2], [5]]):
        wanted = tm.MulticlassJaccardIndex(4, average="none", ignore_index=255)(prediction[rows], truth[rows])
        for k, name in enumerate(CLASSES[1:], 1):
            assert found[f"iou/{name}"][at] == pytest.approx(float(wanted[k]))


def test_a_structure_missed_in_a_volume_is_0_and_one_that_is_not_there_is_left_out():
    counts = np.zeros((2, 4, 4), np.int64)
    counts[:, 0, 0] = 50
    counts[0, 1, 0] = 5  # RV missed; MYO and LV nowhere in volume 0
    counts[1, 3, 3] = 5
    table = {c: np.array([0, 1]) for c in ("volume", "patient", "frame", "phase")}
    found = pixels.per_volume(table, counts, CLASSES)
    assert found["dice/RV"][0] == 0
    assert np.isnan(found["dice/LV"][0])
    assert found["dice/LV"][1] == 1
    assert np.isnan(found["dice/MYO"]).all()


def test_classes_that_are_nowhere_have_no_entry():
    store = SimpleNamespace(**vars(Store()), classes=CLASSES, codes=Store().codes, label=Store().label)
    store.labels[0][:] = 0
    dark = Threshold()
    dark.levels.data = torch.tensor([0.0, 50, 60, 70])  # everything is background
    found = segmentation.evaluate(dark, segmentation.lazily(store, [0], LAW), CLASSES)
    assert np.isnan(found.summary["iou"])
    assert set(found.summary) == {"iou", "jaccard_loss"}


def test_bad_rows_and_labels_are_named():
    store = Store()
    with pytest.raises(DataError, match="none"):
        segmentation.prepare(store, [], LAW)
    store.labels[2][3, 3] = 9
    with pytest.raises(DataError, match="slice 2: wanted labels 0..3 or 255, got 9"):
        segmentation.prepare(store, [2], LAW)
