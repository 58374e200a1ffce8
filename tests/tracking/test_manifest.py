"""What a run's manifest holds, what of two manifests differs, and a stage started again from one."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from mlflow import MlflowClient

from sslseg import execute
from sslseg.commands import doctor, rerun
from sslseg.config import flags, names, params, plugins
from sslseg.config.files import sha256
from sslseg.config.names import SslsegError
from sslseg.tracking import manifest, session
from sslseg.tracking.history import frames

PARAMS = flags.resolve(params.Prepare(spacing=2.0, device="cpu"))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stage `prepare` that logs what `says` holds."""
    says = SimpleNamespace(loss=[3.0, float("nan"), 1.0], tags={names.TAG_DATA_DIGEST: "ab"})
    module = ModuleType("sslseg.stages.prepare")

    def run(p: params.Prepare, run: session.Run) -> None:
        for step, value in enumerate(says.loss):
            run.log({"train/loss": value * p.spacing, "cost/seconds": step}, step)
        run.tags(says.tags)

    module.run, module.identify = run, lambda p: "1d"
    monkeypatch.setitem(sys.modules, "sslseg.stages.prepare", module)
    return says


@pytest.mark.usefixtures("store", "tmp_cache")
def test_a_run_says_what_it_was_made_of(stage: SimpleNamespace):
    found = manifest.read(execute.execute("prepare", PARAMS))
    assert found["stage"] == "prepare"
    assert found["params"] == flags.texts(PARAMS)
    assert found["packages"]["mlflow"] == __import__("mlflow").__version__
    assert found["machine"]["device"] == "cpu"
    assert found["digests"] == {"data_digest": "ab", "identity": "1d"}
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
    assert found["code"]["commit"] == head.strip()


@pytest.mark.usefixtures("store", "tmp_cache")
def test_a_failed_run_has_one_too(stage: SimpleNamespace, store: str):
    stage.loss = ["no number"]
    with pytest.raises(TypeError):
        execute.execute("prepare", PARAMS, name="broken")
    failed = MlflowClient(store).search_runs(["0"], "attributes.run_name = 'broken'")[0]
    assert manifest.read(failed.info.run_id)["digests"] == {}


@pytest.mark.usefixtures("store", "tmp_cache")
def test_the_diff_of_changed_code_is_kept_up_to_a_size(
    stage: SimpleNamespace, store: str, monkeypatch: pytest.MonkeyPatch
):
    diff = "+ü" * manifest.DIFF_LIMIT
    answers = {"diff": diff, "rev-parse": "c0ffee", "ls-files": "__init__.py"}
    monkeypatch.setattr(manifest, "_git", lambda *words: answers[words[0]])
    monkeypatch.setattr(manifest, "code", manifest.code.__wrapped__)  # what this process knows is another's
    run_id = execute.execute("prepare", PARAMS)
    kept = {f.path: f.file_size for f in MlflowClient(store).list_artifacts(run_id)}
    assert kept[manifest.DIFF_FILE] == manifest.DIFF_LIMIT
    found = manifest.read(run_id)["code"]
    assert found["diff"]["bytes"] == len(diff.encode()) > manifest.DIFF_LIMIT
    assert found["commit"] == "c0ffee"
    assert found["untracked"] == {"__init__.py": sha256(plugins.PACKAGE / "__init__.py")}


@pytest.mark.usefixtures("store", "tmp_cache")
def test_a_rerun_is_equal_and_stands_apart(stage: SimpleNamespace, capsys: pytest.CaptureFixture):
    first = execute.execute("prepare", PARAMS)
    rerun.run(Namespace(run=first, cache=None, data_root=None, yes=False))
    out = capsys.readouterr().out
    assert "equal" in out
    assert "1 of 1 metrics equal" in out  # seconds are not compared
    again = frames.runs(rerun.EXPERIMENT).iloc[-1]
    assert again["cfg.spacing"] == 2.0
    assert again["run_id"] not in set(frames.runs("0")["run_id"])
    assert session.find("1d") == first  # no later sweep takes the copy


@pytest.mark.usefixtures("store", "tmp_cache")
def test_a_rerun_that_differs_fails_metric_by_metric(stage: SimpleNamespace, capsys: pytest.CaptureFixture):
    first = execute.execute("prepare", PARAMS)
    stage.loss = [3.0, float("nan"), 1.0 + 2**-50, 1.0]
    stage.tags = {names.TAG_DATA_DIGEST: "cd"}
    with pytest.raises(names.SslsegError, match=r"1 of 1 metrics differ: train/loss") as error:
        rerun.run(Namespace(run=first, cache=None, data_root=None, yes=False))
    assert error.value.exit_code != 0
    out = capsys.readouterr().out
    assert "DIFFERENT: by up to 1.77636e-15, 1 steps in one run only" in out
    assert "digests data_digest: ab / cd" in out


@pytest.mark.usefixtures("store")
def test_a_run_without_a_manifest_is_named():
    with session.open_run("prepare") as run:
        pass
    with pytest.raises(names.SslsegError, match=f"run {run.id}: no manifest.json can be read"):
        manifest.read(run.id)
    for text, fault in {
        "[]": "its manifest.json is none",
        "{}": "manifest.json has format None, wanted 1",
        '{"format": 1, "run_id": "", "stage": "", "method": ""}': "is damaged in params, code, machine",
    }.items():
        MlflowClient().log_text(run.id, text, manifest.FILE)
        with pytest.raises(names.SslsegError, match=f"run {run.id}: .*{fault}"):
            manifest.read(run.id)
    with pytest.raises(names.SslsegError, match="no manifest.json can be read"):
        manifest.read("0" * 32)


def test_differences_are_named_part_by_part():
    one = {"code": {"commit": "a"}, "machine": {"cpu": "x"}, "packages": {"torch": "2.9"}}
    one |= {"params": {}, "digests": {}, "models": {"encoder-target": "1"}}
    other = one | {"packages": {"torch": "2.10", "timm": "1"}, "models": {}}
    assert manifest.differences(one, one) == []
    assert manifest.differences(one, other) == [
        "packages timm: None / 1", "packages torch: 2.9 / 2.10", "models encoder-target: 1 / None",
    ]  # fmt: skip
    assert rerun.Row("a", 2, True, 0.0, 0).verdict == "equal"


@pytest.mark.usefixtures("store", "tmp_cache")
def test_what_came_out_of_an_archive_is_run_on_a_yes_alone_and_without_its_places(
    stage: SimpleNamespace, store: str, tmp_path: Path, capsys: pytest.CaptureFixture
):
    root = tmp_path / "somebody" / "else"
    root.mkdir(parents=True)
    theirs = flags.resolve(
        params.Prepare(spacing=2.0, device="cpu", data_root=str(root), cache=str(tmp_path))
    )
    run_id = execute.execute("prepare", theirs)
    MlflowClient(store).set_tag(run_id, names.TAG_ARCHIVE, "ab")
    with pytest.raises(SslsegError, match="--yes runs it") as error:
        rerun.run(Namespace(run=run_id, cache=None, data_root=None, yes=False))
    assert "sslseg prepare" in str(error.value)
    assert "somebody" not in str(error.value)
    rerun.run(Namespace(run=run_id, cache=None, data_root=None, yes=True))
    again = manifest.read(frames.runs(rerun.EXPERIMENT).iloc[-1]["run_id"])["params"]
    assert again["data_root"] == again["cache"] == flags.texts(PARAMS)["cache"]
    assert not doctor._resume(run_id, fix=True)
    assert "is not gone on with" in capsys.readouterr().out


@pytest.mark.usefixtures("store", "tmp_cache")
def test_a_manifest_of_another_stage_than_the_tag_says_is_refused(stage: SimpleNamespace, store: str):
    run_id = execute.execute("prepare", PARAMS)
    MlflowClient(store).set_tag(run_id, names.TAG_STAGE, "sweep")
    with pytest.raises(SslsegError, match="its tag says stage sweep, its manifest.json says prepare"):
        manifest.read(run_id)


@pytest.mark.parametrize("place", ["/srv/x", "x/y", "x\\y", "~", "C:x", "..", "http://host/x"])
def test_a_place_that_an_archive_names_is_not_opened(place: str):
    written = {
        "stage": "prepare",
        "method": "",
        "params": {"dataset": "demo", "data_root": place},
        "archive": "ab",
    }
    assert manifest.params(written).data_root == ""
    assert manifest.params(written | {"archive": ""}).data_root == place


def test_a_model_that_an_archive_names_is_no_place():
    written = {"stage": "finetune", "method": "", "params": {"encoder": "models:/e/1"}, "archive": "ab"}
    assert manifest.params(written).encoder == "models:/e/1"


def test_an_alias_that_has_moved_since_means_what_it_meant():
    model = "m-" + "a" * 32
    written = {
        "stage": "finetune",
        "method": "",
        "params": {"encoder": "models:/encoder-x@best"},
        "upstream": model,
    }
    assert manifest.params(written).encoder == f"models:/{model}"
    assert manifest.moving(written) == "models:/encoder-x@best"
    for fixed in ("models:/encoder-x/3", "scratch", "0" * 32):
        assert manifest.params(written | {"params": {"encoder": fixed}}).encoder == fixed
    assert manifest.params(written | {"upstream": ""}).encoder == "models:/encoder-x@best"
