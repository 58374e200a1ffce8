"""`-e tune` on a tiny cohort: trials, resumption, pruning, the winner's command; and test stays unread."""

from __future__ import annotations

import dataclasses
import json
import shlex

import numpy as np
import optuna
import psutil
import pytest
from optuna.trial import TrialState

from sslseg import execute
from sslseg.config import caches, flags, names, params
from sslseg.config.names import FINETUNE, ParamError, SslsegError
from sslseg.data import training_set
from sslseg.scoring import segmentation
from sslseg.stages import finetune, tune
from sslseg.stages.tune import trials
from tests.fixtures.tiny_runs import ARCHITECTURE, Tiny, client, get, numbers

SMALL = (f"architecture={ARCHITECTURE};image_size=32;batch_size=2;spacing=0;decoder=8,8,8,8,8;steps=4;"
         "eval_every=2;val_slices=4")  # fmt: skip
SPACE = ";".join(
    f"{name}=fixed" for name in ("warmup", "clip", "schedule", "crop_scale", "brightness", "contrast")
)
pytestmark = pytest.mark.usefixtures("store")


def settings(tiny: Tiny, **changed: object) -> params.Tune:
    """Two knobs, two trials."""
    texts = {"encoder": "scratch", "dataset": "acdc", "data_root": str(tiny.root), "cache": str(tiny.cache),
             "finetune": SMALL, "budget": "3", "trials": "2", "startup": "1", "threads": "1", "space": SPACE,
             "pruner": "none"}  # fmt: skip
    texts |= {name: flags.to_text(value) for name, value in changed.items()}
    return flags.resolve(flags.from_mapping(params.Tune, texts))


def children(run_id: str, stage: str = names.TRIAL) -> list:
    where = f"tags.`mlflow.parentRunId` = '{run_id}' and tags.`{names.TAG_STAGE}` = '{stage}'"
    return sorted(
        client().search_runs(["0"], where), key=lambda run: int(run.data.tags.get(names.TAG_TRIAL, 0))
    )


def artifact(run_id: str, path: str, tmp_path) -> str:
    return (tmp_path / client().download_artifacts(run_id, path, str(tmp_path))).read_text()


def study_of(p: params.Tune) -> optuna.Study:
    p = tune.fill(p)
    (plan,) = tune.plans(p)
    return trials.open_search(p, plan)


@pytest.fixture(scope="module")
def tuned(tiny: Tiny, store: str) -> str:
    return execute.execute(names.TUNE, settings(tiny))


def test_a_search_that_is_not_asked_keeps_no_connection(tiny: Tiny, tuned: str):
    assert study_of(settings(tiny)).get_trials(deepcopy=False)
    assert not [file.path for file in psutil.Process().open_files() if "tune.db" in file.path]


def test_trials_are_child_runs_with_their_number(tuned: str):
    found = children(tuned)
    assert [run.data.tags[names.TAG_TRIAL] for run in found] == ["0", "1"]
    assert [run.data.metrics["trial/number"] for run in found] == [0, 1]
    assert {run.info.status for run in found} == {"FINISHED"}
    assert {run.data.tags[names.TAG_PIPELINE] for run in found} == {"scratch"}
    assert len({run.data.params["cfg.lr"] for run in found}) == 2
    assert {run.data.tags[names.TAG_DEVICE] for run in found} == {"cpu"}
    assert not {key for run in found for key in run.data.metrics if key.startswith("test")}
    assert not [
        m
        for run in found
        for m in client().search_logged_models(["0"], f"source_run_id = '{run.info.run_id}'")
    ]


def test_the_first_trial_has_the_preset_s_settings(tuned: str, tiny: Tiny):
    usual = trials.settings(settings(tiny), FINETUNE, "scratch")
    first = children(tuned)[0].data.params
    assert (float(first["cfg.lr"]), float(first["cfg.jitter"])) == (usual.lr, usual.jitter)


def test_plots_and_tables_are_artifacts(tuned: str, tmp_path):
    files = {f.path.rpartition("/")[2] for f in client().list_artifacts(tuned, "search/scratch")}
    assert files == {"trials.csv", "history.png", "importance.png", "parallel.png"}
    assert get(tuned).data.metrics["tune/scratch/best"] == max(
        run.data.metrics["trial/value"] for run in children(tuned)
    )
    shares = [v for k, v in get(tuned).data.metrics.items() if k.startswith("importance/")]
    assert sum(shares) == pytest.approx(1)


def test_the_winner_s_command_gives_the_winner_s_curve(tuned: str, tiny: Tiny, tmp_path):
    winner = json.loads(artifact(tuned, tune.WINNERS, tmp_path))["scratch"]
    assert winner["command"] in artifact(tuned, tune.COMMANDS, tmp_path)
    words = shlex.split(winner["command"])
    assert words[:6] == ["mlflow", "run", ".", "-e", "finetune", "--env-manager"]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    p = flags.resolve(flags.from_mapping(params.Finetune, given | {"cache": str(tiny.cache), "threads": "1"}))
    again = numbers(execute.execute(FINETUNE, p))
    curve = {k: v for k, v in numbers(winner["run_id"]).items() if k[0].startswith(("val/", "train/"))}
    assert len(curve) > 4
    assert all(again[key] == pytest.approx(value, abs=0, nan_ok=True) for key, value in curve.items())
    assert again["best/val_iou", 4] == winner["value"]


def test_the_same_command_adds_only_the_trials_that_are_missing(tuned: str, tiny: Tiny):
    more = execute.execute(names.TUNE, settings(tiny, trials=3))
    assert [run.data.tags[names.TAG_TRIAL] for run in children(more)] == ["2"]
    assert get(more).data.tags[names.TAG_SEARCH] == get(tuned).data.tags[names.TAG_SEARCH]
    assert not children(execute.execute(names.TUNE, settings(tiny, trials=3)))
    assert len(study_of(settings(tiny)).trials) == 3


def test_test_is_never_read(tuned: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch):
    """Other pixels and masks in every test slice change no bit; asking for its rows or scores fails."""
    whole = training_set.load

    class Guarded(dict):
        def __getitem__(self, key: str):
            assert key != "test", "the test rows were asked for"
            return super().__getitem__(key)

    def spoilt(p, normalisation=None):
        data = whole(p, normalisation)
        codes, labels = np.array(data.store.codes_flat), np.array(data.store.labels_flat)
        assert len(data.rows["test"])
        tested.update(data.rows["test"].tolist())
        for row in data.store.index.iloc[data.rows["test"]].itertuples():
            area = row.height * row.width
            codes[row.offset : row.offset + area] = 12345
            if row.label_offset >= 0:
                labels[row.label_offset : row.label_offset + area] = 1
        store = dataclasses.replace(data.store, codes_flat=codes, labels_flat=labels)
        return dataclasses.replace(data, store=store, labelled=Guarded(data.labelled))

    def forbidden(*_, **__):
        raise AssertionError("a test was made")

    def without_test(slices, rows, *given, **how):
        return forbidden() if tested & set(np.asarray(rows).tolist()) else lazily(slices, rows, *given, **how)

    tested, lazily = set[int](), segmentation.lazily
    p = settings(tiny, storage=f"sqlite:///{tiny.cache}/spoilt.db")
    monkeypatch.setattr(training_set, "load", spoilt)
    monkeypatch.setattr(segmentation, "lazily", without_test)
    monkeypatch.setattr(finetune, "_finish", forbidden)
    found = children(execute.execute(names.TUNE, p))
    values = [[run.data.metrics["trial/value"] for run in runs] for runs in (found, children(tuned))]
    assert values[0] == values[1]
    with pytest.raises(AssertionError, match="a test was made"):  # the guards do guard
        execute.execute(FINETUNE, trials.settings(p, FINETUNE, "scratch", {"seed": "1"}))


def test_an_interrupted_trial_is_gone_on_with(tiny: Tiny, monkeypatch: pytest.MonkeyPatch):
    p = settings(tiny, seed=5, trials=1, finetune=SMALL + ";checkpoint_every=1")
    real, steps = trials._reporter, []

    def interrupted(*given):
        report = real(*given)

        def once(step: int, iou: float) -> None:
            report(step, iou)
            steps.append(step)
            if steps == [0, 2]:
                raise KeyboardInterrupt

        return once

    monkeypatch.setattr(trials, "_reporter", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute.execute(names.TUNE, p)
    (trial,) = study_of(p).trials
    assert trial.state == TrialState.RUNNING
    run_id = execute.execute(names.TUNE, p)
    (run,) = children(run_id)
    (trial,) = study_of(p).trials
    assert (trial.state, trial.user_attrs[trials.RUN]) == (TrialState.COMPLETE, run.info.run_id)
    assert set(trial.intermediate_values) == {2, 4}
    assert run.data.tags["sslseg.resumed_at_step"] == "1"
    assert steps == [0, 2, 2, 4]


def test_a_bad_trial_is_pruned_and_a_diverged_one_avoided(tiny: Tiny, monkeypatch: pytest.MonkeyPatch):
    """The third trial is always told to be worse than the two before it."""
    real = finetune.train

    def scripted(start, report):
        number = int(get(start.run.id).data.tags[names.TAG_TRIAL])
        if number == 3:
            raise names.NonFiniteLoss("the loss is nan")
        return real(start, lambda step, iou: report(step, 0.5 if number < 2 else 0.1))

    monkeypatch.setattr(finetune, "train", scripted)
    p = settings(tiny, seed=6, trials=4, startup=2, pruner="median")
    found = children(execute.execute(names.TUNE, p))
    assert [run.data.tags["sslseg.trial_state"] for run in found] == ["complete"] * 2 + ["pruned", "diverged"]
    assert [t.state.name for t in study_of(p).trials] == ["COMPLETE"] * 2 + ["PRUNED"] * 2
    assert not any(caches.checkpoint_folder(tiny.cache, run.info.run_id).exists() for run in found)


def test_each_pipeline_gets_as_many_trials(tiny: Tiny, tmp_path):
    donor = tiny.run(names.PRETRAIN)
    p = settings(tiny, encoder=("scratch", "byol@target"), per_pipeline=True, trials=1)
    assert tune.fill(p).encoder == ("scratch", donor)  # the newest that came that way
    run_id = execute.execute(names.TUNE, p)
    found = {run.data.tags[names.TAG_PIPELINE] for run in children(run_id)}
    assert found == {"scratch", "byol@target"}
    winners = json.loads(artifact(run_id, tune.WINNERS, tmp_path))
    assert set(winners) == {"scratch", "byol@acdc"}
    assert f"encoder={donor}" in winners["byol@acdc"]["command"]


def test_knobs_of_pretraining_are_judged_by_a_fine_tuning(tiny: Tiny, tmp_path):
    pretraining = (f"architecture={ARCHITECTURE};image_size=32;batch_size=2;spacing=0;fraction=0.17;steps=2;"
                   "projector_hidden=16;projection_size=8;predictor_hidden=16")  # fmt: skip
    p = settings(tiny, stage="pretrain", pretrain=pretraining, trials=2,
                 finetune=SMALL.partition(";")[2],
                 space="warmup=fixed;trust=fixed;crop_scale=fixed;jitter=fixed;brightness=fixed;contrast=fixed",
                 )  # fmt: skip
    before = len(client().search_model_versions())
    run_id = execute.execute(names.TUNE, p)
    found = children(run_id)
    assert {run.data.tags[names.TAG_PIPELINE] for run in found} == {"byol@target"}
    assert len({run.data.tags[names.TAG_UPSTREAM_SHA] for run in found}) == 2
    for run in found:
        (own,) = children(run.info.run_id, names.PRETRAIN)
        assert own.info.run_id == run.data.tags[names.TAG_UPSTREAM_RUN]
        assert (own.data.tags[names.TAG_DEVICE], own.data.tags[names.TAG_METHOD]) == ("cpu", "byol")
    assert len(client().search_model_versions()) == before
    winner = json.loads(artifact(run_id, tune.WINNERS, tmp_path))["byol@acdc"]
    assert winner["command"].startswith("mlflow run . -e pretrain ")
    assert set(winner["params"]) == {"lr", "weight_decay"}


@pytest.mark.slow
def test_two_workers_share_a_study(tiny: Tiny):
    p = settings(tiny, seed=7, workers=2, trials=3)
    found = children(execute.execute(names.TUNE, p))
    assert [run.data.tags[names.TAG_TRIAL] for run in found] == ["0", "1", "2"]
    assert {t.state for t in study_of(p).trials} == {TrialState.COMPLETE}


def test_what_cannot_be_tuned_is_refused_before_any_trial(tiny: Tiny):
    for changed, message in [
        ({"space": "steps=int:1:9"}, "not to be searched"),
        ({"encoder": ()}, "none was given"),
    ]:
        with pytest.raises(ParamError, match=message):
            execute.execute(names.TUNE, settings(tiny, **changed))


def test_a_failed_trial_fails_the_tuning_and_is_replaced_by_the_next(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
):
    p = settings(tiny, seed=8, trials=1)
    with monkeypatch.context() as patch:
        patch.setattr(finetune, "train", lambda *_: 1 / 0)
        with pytest.raises(SslsegError, match="trial place 0: ZeroDivisionError"):
            execute.execute(names.TUNE, p)
    assert [run.data.tags[names.TAG_TRIAL] for run in children(execute.execute(names.TUNE, p))] == ["0", "1"]
    assert [t.state.name for t in study_of(p).trials] == ["FAIL", "COMPLETE"]


def test_one_study_over_several_encoders_under_hyperband(tiny: Tiny, tmp_path):
    """Without per_pipeline the encoder is one more thing to choose; each starts once from the preset."""
    donor = tiny.run(names.PRETRAIN)
    p = settings(tiny, encoder=("scratch", donor), seed=9, trials=3, pruner="hyperband")
    run_id = execute.execute(names.TUNE, p)
    (plan,) = tune.plans(p)
    assert plan.label == "scratch+or+byol@acdc"
    first, second, _ = children(run_id)
    assert (first.data.params["cfg.encoder"], second.data.params["cfg.encoder"]) == ("scratch", donor)
    assert {t.state for t in study_of(p).trials} <= set(trials.OVER)
    winner = json.loads(artifact(run_id, tune.WINNERS, tmp_path))[plan.label]
    assert f"-P encoder={winner['params']['encoder']}" in winner["command"]
    assert winner["command"].count("-P encoder=") == 1
