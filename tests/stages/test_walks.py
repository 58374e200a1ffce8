"""The walks of the design, end to end, on a tiny cohort: slice to gradient, encoder to U-Net and on."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from sslseg.config import names
from sslseg.config.names import FINETUNE, PRETRAIN, EncoderError
from sslseg.data import training_set
from sslseg.data.views import batches, draw, render, render_device
from sslseg.models import canary, unet
from sslseg.models import encoder as encoders
from sslseg.tracking import lineage, session
from sslseg.tracking.history import frames, records
from sslseg.tracking.registry import resolve, stored
from sslseg.training import contract, loop, vitals
from tests.fixtures.tiny_runs import (
    ARCHITECTURE,
    ROOT,
    Tiny,
    die_at,
    equal_states,
    get,
    models,
    newest,
    numbers,
    python,
)


@pytest.fixture(scope="module")
def donor(tiny: Tiny, store: str) -> str:
    """A pretraining that kept epochs 0, 1 and 2 (its last step)."""
    return tiny.run(PRETRAIN, save_epochs=(0, 1, 2))


@pytest.mark.parametrize("stage", [PRETRAIN, FINETUNE])
def test_both_trainings_run_with_views_made_where_a_card_makes_them(
    tiny: Tiny, store: str, stage: str, monkeypatch
):
    """The store's copy lies in the CPU's memory here; views are tensors, as those of a card."""
    given = []

    def copied(slices, device, *, labels=False):
        given.append(render_device.upload(slices, device, labels=labels))
        return given[-1]

    monkeypatch.setattr(render_device, "place", copied)
    run = tiny.run(stage, steps=3, seed=7)
    assert given
    assert ("train/loss", 3) in numbers(run)


# ---------------------------------------------------------------- 1: a slice, from NIfTI to gradient
def test_a_voxel_lands_at_its_pixel_and_moves_the_first_layer(tmp_path: Path, tiny: Tiny):
    """One bright voxel block, marked in the file; found again in the store, in a view, in the gradient."""
    root = shutil.copytree(tiny.root, tmp_path / "acdc")
    file = root / "patient003" / "patient003_frame01.nii.gz"
    image = nib.load(file)
    array = np.asanyarray(image.dataobj).copy()  # [X, Y, Z]
    array[40:44, 20:24, 1] = array.max() * 2
    nib.save(nib.Nifti1Image(array, None, image.header), file)

    p = tiny.params(FINETUNE, data_root=root, cache=tmp_path / "cache", budget=None)
    data = training_set.load(p)
    index = data.store.index
    (row,) = index.index[(index.patient == "patient003") & (index.frame == 1) & (index.z == 1)]
    assert row in data.rows["train"]
    codes = data.store.codes(row)[0]
    assert codes.shape == (64, 64)
    assert np.array_equal(codes, array[:, :, 1].T)  # rows are y, columns x
    assert np.argwhere(codes == codes.max()).min(0).tolist() == [20, 40]
    assert index.spacing_x[row] == pytest.approx(image.header["pixdim"][1])  # never the affine's 1 mm

    rows, none = np.array([row]), np.zeros(1, np.int64)
    drawn = draw.ViewParams(none + 16, none + 32, none + 16, none + 32, none > 0, none + 1.0, none + 1.0, 32)
    crop = render.render(data.store, rows, drawn, data.intensity)
    assert crop.shape == (1, 1, 32, 32)
    y, x = np.argwhere(crop[0, 0] >= np.quantile(crop, 0.99)).mean(0)
    # from (21.5, 41.5) in the slice to (5.5 * 32/16, 9.5) in a crop of rows 16-31 and columns 32-63
    assert (y, x) == (pytest.approx(11.5, abs=1.0), pytest.approx(9.5, abs=1.0))

    net, _ = unet.scratch(ARCHITECTURE, 1, len(data.store.classes), p.decoder, seed=0)
    batch = batches.finetune_batch(
        data.store,
        data.labelled["train"],
        training_set.view_ranges(p),
        data.intensity,
        seed=0,
        step=0,
        batch_size=2,
    )
    training = loop.finetuning(net, p)
    seen = []
    training.optimizer.step = lambda: seen.append(net.encoder.model.conv1[0].weight.grad.clone())
    training.step(0, batch)
    assert torch.isfinite(seen[0]).all()
    assert seen[0].abs().max() > 0


# ---------------------------------------------------------------- 2: an encoder, from BYOL to U-Net
def test_each_kept_epoch_is_there(donor: str):
    kept = {(m.tags[names.MODEL_ROLE], m.tags[names.MODEL_EPOCH]) for m in models(donor)}
    assert kept == {(role, epoch) for role in ("target", "online") for epoch in "012"}
    assert get(donor).data.tags[names.TAG_LINEAGE] == "byol@acdc"
    first = resolve.resolve(donor, epoch=0)
    state, _ = encoders.read_state(first.path)
    assert equal_states(state, encoders.build(ARCHITECTURE, 1, 0).state_dict())  # before the first step
    shas = {resolve.resolve(donor, epoch=e).sha256 for e in (0, 1, 2)}
    assert len(shas) == 3
    assert resolve.resolve(donor).epoch == 2


def test_fine_tuning_starts_from_that_encoder_to_the_bit(
    donor: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
):
    begun = []
    real = loop.finetuning

    def watched(net, p, **rest):
        begun.append({k: v.clone() for k, v in net.state_dict().items()})
        return real(net, p, **rest)

    monkeypatch.setattr(loop, "finetuning", watched)
    run_id = tiny.run(FINETUNE, encoder=donor, encoder_epoch=1)
    resolved = resolve.resolve(donor, epoch=1)
    state, config = encoders.read_state(resolved.path)
    net, _ = unet.build(state, config, classes=4, decoder_channels=(8,) * 5, seed=0)
    for inner, outer in unet.trunk_names(net).items():
        assert torch.equal(begun[0][f"encoder.model.{inner}"], state[outer]), inner
    assert equal_states(begun[0], net.state_dict())

    tags = get(run_id).data.tags
    assert tags[names.TAG_LINEAGE] == "byol@acdc:1 > supervised@acdc"
    assert tags[names.TAG_PIPELINE] == "byol@target"
    assert tags[names.TAG_UPSTREAM_RUN] == donor
    assert tags[names.TAG_UPSTREAM_SHA] == resolved.sha256
    hops = lineage.walk(run_id)
    assert [(hop.run_id, hop.epoch) for hop in hops] == [(donor, 1), (run_id, None)]
    assert all(check.ok for check in stored.verify(hops))
    kinds = {(m.tags[names.MODEL_KIND], m.tags[names.MODEL_ROLE]) for m in models(run_id)}
    assert kinds == {("segmenter", "fine-tuned"), ("encoder", "fine-tuned")}


def test_pretraining_goes_on_from_an_upstream_to_the_bit(
    donor: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
):
    begun = []
    real = loop.pretraining

    def watched(method, p, **rest):
        begun.append({k: v.clone() for k, v in contract.exports(method)["online"].state_dict().items()})
        return real(method, p, **rest)

    monkeypatch.setattr(loop, "pretraining", watched)
    run_id = tiny.run(PRETRAIN, encoder=donor, encoder_role="online", steps=1, save_steps=(0,))
    wanted = encoders.read_state(resolve.resolve(donor, role="online").path)[0]
    assert equal_states(begun[0], wanted)
    assert get(run_id).data.tags[names.TAG_LINEAGE] == "byol@acdc:2 > byol@acdc"


def test_a_method_that_begins_elsewhere_than_its_upstream_stops(
    donor: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
):
    real = contract.exports

    def astray(method):
        nets = real(method)
        with torch.no_grad():
            next(nets["target"].parameters()).mul_(1.01)
        return nets

    monkeypatch.setattr(contract, "exports", astray)
    with pytest.raises(
        EncoderError, match=f"run {donor}, target of byol: features of a fixed batch differ by"
    ):
        tiny.run(PRETRAIN, encoder=donor, steps=1)


@pytest.mark.parametrize("stage", [FINETUNE, PRETRAIN])
def test_weights_that_changed_two_runs_before_stop_a_stage(donor: str, tiny: Tiny, stage: str):
    second = tiny.run(PRETRAIN, encoder=donor, steps=1, batch_size=4)
    weights = resolve.resolve(donor).path / names.WEIGHTS_FILE
    before, wanted = weights.read_bytes(), resolve.resolve(donor).sha256
    try:
        weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(
            EncoderError, match=f"run {donor}: .*expected sha256 {wanted}, actual [0-9a-f]{{64}}"
        ):
            tiny.run(stage, encoder=second, seed=5)
    finally:
        weights.write_bytes(before)
    assert get(newest(stage)).info.status == "FAILED"


def test_what_cannot_be_an_upstream_is_a_sentence_that_names_the_run(
    donor: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refused(sentence: str, **changed: object) -> None:
        with pytest.raises(EncoderError, match=sentence):
            tiny.run(FINETUNE, **changed)

    refused("encoder: none was given.*encoder=scratch", encoder="")
    refused(f"run {'0' * 32}: unknown", encoder="0" * 32)
    refused(f"run {donor}: wanted encoder of role target, epoch 9; there is none", encoder=donor,
            encoder_epoch=9)  # fmt: skip
    refused(f"run {donor}: its encoder is a test_resnet, architecture=resnet18 was asked for",
            encoder=donor, architecture="resnet18")  # fmt: skip
    refused("is not a reference to a model", encoder=str(tmp_path))

    with session.open_run(PRETRAIN) as run:  # says it is another network than its tensors make
        folder = tmp_path / "wrong"
        shutil.copytree(resolve.resolve(donor).path, folder)
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(config.replace(ARCHITECTURE, "test_efficientnet"))
        resolve.log_encoder(run, folder, name="wrong", role="target", method="byol", dataset="acdc",
                             lineage="byol@acdc", step=1)  # fmt: skip
    refused(f"run {run.id}: .*wanted all [0-9]+ tensors", encoder=run.id)

    monkeypatch.setattr(loop.Training, "step", die_at(0, ZeroDivisionError("by hand")))
    with pytest.raises(ZeroDivisionError):
        tiny.run(PRETRAIN, seed=3)
    failed = newest(PRETRAIN)
    refused(rf"run {failed} \(pretrain\) is FAILED: ZeroDivisionError: by hand", encoder=failed)
    last = get(newest(FINETUNE))
    assert last.info.status == "FAILED"
    assert failed in last.data.tags[names.TAG_REASON]


def test_supervised_segmentation_is_a_pretraining(tiny: Tiny, store: str):
    """The phantom's free labels, and their encoder taken to another set: no patient is shared."""
    first = tiny.run(FINETUNE, dataset="phantom", data_root=tiny.other, steps=2)
    second = tiny.run(FINETUNE, encoder=first, steps=1, eval_every=1)
    tags = get(second).data.tags
    assert tags[names.TAG_LINEAGE] == "phantom > supervised@acdc"
    assert tags[names.TAG_PIPELINE] == "phantom"
    assert tags[names.TAG_UPSTREAM_RUN] == first
    assert resolve.resolve(first).role == "fine-tuned"
    assert records.contradicted(frames.runs(upstream=True)) == []
    with pytest.raises(names.LeakError, match=f"run {first}"):
        tiny.run(
            FINETUNE, dataset="phantom", data_root=tiny.other, encoder=first
        )  # its val has chosen that encoder


# ---------------------------------------------------------------- 3: the same again
@pytest.mark.slow
def test_same_seed_same_numbers_warm_and_cold(donor: str, tiny: Tiny):
    again = tiny.run(PRETRAIN, save_epochs=(0, 1, 2))
    assert numbers(again) == numbers(donor)
    assert get(again).data.tags[names.TAG_IDENTITY] == get(donor).data.tags[names.TAG_IDENTITY]
    warm = [tiny.run(FINETUNE, encoder=donor) for _ in range(2)]
    assert numbers(warm[0]) == numbers(warm[1])
    other = tiny.run(FINETUNE, encoder=donor, seed=1)
    assert numbers(other) != numbers(warm[0])
    done = python(*tiny.argv(FINETUNE, encoder=donor))
    assert done.returncode == 0, done.stderr
    cold = newest(FINETUNE)
    assert cold not in (*warm, other)
    assert numbers(cold) == numbers(warm[0])


# ---------------------------------------------------------------- by run ID, from elsewhere
@pytest.mark.slow
def test_store_and_artifacts_are_enough(
    tiny: Tiny, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Donor's features, computed before its weights touched a disk, and again in a clone elsewhere."""
    exported = []
    real = vitals.of_encoder

    def watched(encoder, *rest):
        exported.append(canary.canary(copy.deepcopy(encoder), 1).numpy())
        return real(encoder, *rest)

    monkeypatch.setattr(vitals, "of_encoder", watched)
    given = tiny.run(PRETRAIN, seed=9, cache=tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")

    clone = tmp_path / "elsewhere"
    for part in ("src", "entrypoints"):
        shutil.copytree(ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
    argv = tiny.argv(FINETUNE, encoder=given, cache=clone / "cache", steps=1, eval_every=1)
    code = f"""
import runpy, sys, numpy
from sslseg.models import canary, encoder
from sslseg.tracking.registry import resolve as registry
assert registry.__file__.startswith({str(clone)!r}), registry.__file__
for role in ("target", "online"):
    net = encoder.load(registry.resolve({given!r}, role=role).path)
    numpy.save(role, canary.canary(net, 1).numpy())
sys.argv = {argv!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    done = python("-c", code, cwd=clone)
    assert done.returncode == 0, done.stderr
    for role, wanted in zip(("target", "online"), exported, strict=True):  # in the order of Method.exports
        found = np.load(clone / f"{role}.npy")
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()  # sums of many such cancel
    tuned = get(newest(FINETUNE))
    assert tuned.info.status == "FINISHED"
    assert tuned.data.tags[names.TAG_UPSTREAM_RUN] == given
