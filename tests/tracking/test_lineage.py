"""A lineage is read from run IDs, to the root, and its digests can be checked again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sslseg import __main__
from sslseg.config import names
from sslseg.config.names import EncoderError
from sslseg.plans import pipelines
from sslseg.tracking import lineage, session
from sslseg.tracking.registry import logged, resolve, sentences, stored
from sslseg.tracking.upkeep import doctor

Stage = Callable[..., session.Run]


@pytest.fixture
def stage(store: str, model_folder: Callable[..., Path]) -> Stage:
    """Run one stage that reads the run `upstream` at `epoch` and keeps an encoder at each epoch of `kept`."""
    value = 0.0

    def run_one(name: str, method: str, dataset: str, domain: str, upstream=None, epoch=None, kept=(None,)):
        nonlocal value
        with session.open_run(name) as run:
            if upstream:
                source = resolve.resolve(upstream.id, epoch=epoch)
                run.tags({names.TAG_UPSTREAM_RUN: source.run_id, names.TAG_UPSTREAM_MODEL: source.model_id,
                          names.TAG_UPSTREAM_SHA: source.sha256})  # fmt: skip
            else:
                run.tag(names.TAG_UPSTREAM_RUN, names.SCRATCH)
            run.tags({names.TAG_METHOD: method, names.TAG_DATASET: dataset})
            run.tag(names.TAG_LINEAGE, lineage.text(lineage.walk(run.id)))
            for step, at in enumerate(kept):
                value += 1
                facts = {"name": "encoder-resnet18", "role": "target", "method": method, "dataset": dataset}
                text = lineage.text(lineage.walk(run.id, epoch=at))
                folder = model_folder(value, domain=domain)
                resolve.log_encoder(run, folder, epoch=at, step=step, lineage=text, **facts)
        return run

    return run_one


def test_hierarchical_pipeline_from_its_run_ids(stage: Stage, store: str):
    imagenet = stage("import_encoder", "supervised", "imagenet", "")
    byol = stage("pretrain", "byol", "acdc", "cardiac-mri", imagenet, kept=(0, 5, 25))
    tuned = stage("finetune", "", "acdc", "cardiac-mri", byol, epoch=5)
    hops = lineage.walk(tuned.id)
    assert [hop.run_id for hop in hops] == [imagenet.id, byol.id, tuned.id]
    assert lineage.text(hops) == "supervised > byol@acdc:5 > supervised@acdc"
    assert lineage.label(lineage.before(hops, "acdc")) == "supervised+byol@acdc"
    assert lineage.pipeline(hops, "acdc") == lineage.pipeline(hops[:-1], "acdc") == "supervised+byol@target"
    assert hops[1].sha == resolve.resolve(byol.id, epoch=5).sha256
    aliased = MlflowClient(store).get_model_version_by_alias("encoder-resnet18", "supervised--byol-acdc")
    assert aliased.run_id == byol.id


def test_a_folder_that_a_sweep_was_told_to_be_natural_is(stage: Stage):
    """natural=images: the folder says "medical", as any folder does; one that says what it shows is believed."""
    for domain, wanted in (("medical", "byol@natural"), ("", "byol@natural"), ("cardiac-mri", "byol@images")):
        encoder = stage("pretrain", "byol", "images", domain)
        by_hand = stage("finetune", "", "acdc", "cardiac-mri", encoder)
        assert lineage.pipeline(lineage.walk(by_hand.id), "acdc") == "byol@images"
        encoder.tag(names.TAG_ROW, "byol@natural")
        assert lineage.pipeline(lineage.walk(by_hand.id), "acdc") == wanted
        assert lineage.label(lineage.before(lineage.walk(by_hand.id), "acdc")) == "byol@images"
        above = stage("pretrain", "byol", "acdc", "cardiac-mri", encoder)
        above.tag(names.TAG_ROW, "byol@natural+byol@target")
        assert lineage.pipeline(lineage.walk(above.id), "acdc") == f"{wanted}+byol@target"


@pytest.mark.parametrize(
    ("chain", "row"),
    [
        ([], "scratch"),
        ([("pretrain", "byol", "photos", "natural")], "byol@natural"),
        ([("pretrain", "byol", "acdc", "cardiac-mri")], "byol@target"),
        ([("finetune", "", "phantom", "cardiac-mri")], "phantom"),
        (
            [("pretrain", "byol", "photos", "natural"), ("pretrain", "byol", "acdc", "x")],
            "byol@natural+byol@target",
        ),
        ([("pretrain", "simclr", "acdc", "cardiac-mri")], "simclr@target"),
        ([("pretrain", "byol", "other", "cardiac-mri")], "byol@other"),
    ],
)
def test_rows_are_read_from_what_ran(stage: Stage, chain, row: str):
    last = None
    for hop in chain:
        last = stage(*hop, last)
    tuned = stage("finetune", "", "acdc", "cardiac-mri", last)
    assert lineage.pipeline(lineage.walk(tuned.id), "acdc") == row


def test_a_sentence_means_the_newest_encoder_that_came_that_way(stage: Stage):
    old = stage("pretrain", "byol", "photos", "natural")
    both = stage("pretrain", "byol", "acdc", "cardiac-mri", old)
    donor = stage("finetune", "", "phantom", "cardiac-mri")
    new = stage("pretrain", "byol", "photos", "natural")
    wanted = {"byol@natural": new, "byol@photos": new, "byol-natural": new, "byol@natural+byol@target": both,
              "byol@photos+byol@acdc": both, "phantom": donor}  # fmt: skip
    for sentence, run in wanted.items():
        assert sentences.newest(sentence, "acdc") == run.id, sentence
    assert sentences.newest("scratch", "acdc") == "scratch"
    for absent in ("simclr@demo", "byol@demo", "byol@natural+byol@demo"):
        with pytest.raises(
            EncoderError, match=f"no encoder in the store has come that way.*pipelines={re.escape(absent)}"
        ):
            sentences.newest(absent, "acdc")


def test_changed_weights_are_found_hop_by_hop(stage: Stage, capsys: pytest.CaptureFixture):
    first = stage("pretrain", "byol", "photos", "natural")
    second = stage("pretrain", "byol", "acdc", "cardiac-mri", first)
    hops = lineage.of_model(second.id)
    assert [check.ok for check in stored.verify(hops)] == [True, True]
    assert __main__.main(["lineage", second.id]) == 0
    assert "byol@photos > byol@acdc\n" in capsys.readouterr().out
    weights = resolve.resolve(first.id).path / names.WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert [check.ok for check in stored.verify(hops)] == [False, True]
    assert __main__.main(["lineage", second.id]) == 1
    printed = capsys.readouterr()
    assert f"run {first.id}: expected {hops[0].sha}" in printed.err
    assert "CHANGED" in printed.out


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (names.TAG_METHOD, "simclr"),
        (names.TAG_DATASET, "phantom"),
        (names.TAG_LINEAGE, "byol@acdc"),
        (names.TAG_UPSTREAM_RUN, names.SCRATCH),
    ],
)
def test_a_tag_that_was_changed_by_hand_is_no_lineage(stage: Stage, store: str, tag: str, value: str):
    first = stage("pretrain", "byol", "photos", "natural")
    second = stage("pretrain", "byol", "acdc", "cardiac-mri", first)
    tuned, api = stage("finetune", "", "acdc", "cardiac-mri", second), MlflowClient(store)
    assert not list(doctor.contradictions(store, logged.every(store)))
    before = api.get_run(second.id).data.tags[tag]
    api.set_tag(second.id, tag, value)
    for run in (second, tuned):
        with pytest.raises(EncoderError, match="One of them was changed by hand"):
            lineage.of_model(run.id)
    assert any(
        f"run {second.id}: " in found.fault for found in doctor.contradictions(store, logged.every(store))
    )
    api.set_tag(second.id, tag, before)
    assert lineage.text(lineage.of_model(tuned.id)) == "byol@photos > byol@acdc > supervised@acdc"


def test_a_model_whose_lineage_was_changed_by_hand_is_shown_as_such(stage: Stage, store: str, capsys):
    run, api = stage("pretrain", "byol", "photos", "natural"), MlflowClient(store)
    model = resolve.resolve(run.id).model_id
    api.set_logged_model_tags(model, {names.MODEL_LINEAGE: "moco@acdc"})
    assert __main__.main(["lineage", run.id]) == 1
    assert f"run {run.id}: its lineage is written as 'moco@acdc'" in capsys.readouterr().err
    assert __main__.main(["encoders"]) == 0
    assert "moco@acdc, or byol@photos: changed by hand" in capsys.readouterr().out
    (found,) = doctor.contradictions(store, logged.every(store))
    assert model in found.subject
    api.set_logged_model_tags(model, {names.MODEL_LINEAGE: "byol@photos"})


def test_what_a_person_declares_is_one_hop_whatever_its_signs(store: str):
    declared = {names.TAG_METHOD: "SimCLR + MoCo", names.MODEL_ORIGIN: "ours: CT + MR > 2020"}
    with session.open_run("import_encoder", tags=declared) as run:
        hops = lineage.walk(run.id)
        text = "SimCLR MoCo@ours CT MR 2020"
        assert lineage.text(hops) == lineage.label(hops) == lineage.pipeline(hops, "acdc") == text
        assert len(pipelines.read(text)) == len(pipelines.split(text).hops) == 1
        run.tag(names.TAG_LINEAGE, "SimCLR + MoCo@ours: CT + MR > 2020")  # as an earlier version wrote it
        assert lineage.text(lineage.walk(run.id)) == text


def test_unknown_upstream_and_rings_end(stage: Stage, store: str):
    run = stage("pretrain", "byol", "acdc", "cardiac-mri")
    MlflowClient(store).set_tag(run.id, names.TAG_UPSTREAM_RUN, "0" * 32)
    with pytest.raises(EncoderError, match=f"run {'0' * 32}: unknown, but run {run.id} names it"):
        lineage.walk(run.id)
    MlflowClient(store).set_tag(run.id, names.TAG_UPSTREAM_RUN, run.id)
    with pytest.raises(EncoderError, match="ring"):
        lineage.walk(run.id)


def test_looking_up_leaves_no_run(stage: Stage, store: str, capsys: pytest.CaptureFixture):
    run = stage("import_encoder", "", "", "")
    before = len(MlflowClient(store).search_runs(["0"]))
    assert __main__.main(["encoders"]) == 0
    assert __main__.main(["encoders", "--kind", "segmenter"]) == 0
    assert __main__.main(["lineage", "/no/such"]) == 1
    printed = capsys.readouterr()
    assert run.id in printed.out
    assert "unknown-unknown" in printed.out
    assert "no segmenter is registered yet" in printed.out
    assert "not a reference to a model" in printed.err
    assert len(MlflowClient(store).search_runs(["0"])) == before


def test_folders_of_one_format_are_told_apart_where_asked(store: str):
    """The dataset is a format of any images, which does not say what they show; ACDC is one data set wherever it lies."""
    found = {}
    for dataset, root in (
        ("images", "/data/hearts"),
        ("images", "/data/lungs/"),
        ("acdc", "/data/acdc/training"),
    ):
        with session.open_run("pretrain") as run:
            run.tags(
                {names.TAG_UPSTREAM_RUN: names.SCRATCH, names.TAG_METHOD: "byol", names.TAG_DATASET: dataset}
            )
            run.params({"data_root": root})
        hops = lineage.walk(run.id, epoch=25)
        found[root] = lineage.text(hops), lineage.text(hops, folders=True)
    assert list(found.values()) == [
        ("byol@images:25", "byol@images-hearts:25"),
        ("byol@images:25", "byol@images-lungs:25"),
        ("byol@acdc:25", "byol@acdc:25"),
    ]
    assert resolve.alias_of(found["/data/hearts"][1]) == "byol-images-hearts"
