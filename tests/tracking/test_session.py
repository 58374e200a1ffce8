"""A run ends, whatever happens; what was logged is there; a lost one is gone on with."""

from __future__ import annotations

import contextlib
import math
import os

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.utils import name_utils

from sslseg.config import names
from sslseg.tracking import client, ownership, resuming, runs, session
from sslseg.tracking.processes import Terminated

# of this machine, with a pid above the largest that there can be
DEAD = ownership.owner().replace(f":{os.getpid()}:", f":{2**22 + 1}:", 1)


def _ended(stage: str, error: BaseException | None = None, **tags: str) -> str:
    caught = pytest.raises(type(error)) if error else contextlib.nullcontext()
    with caught, session.open_run(stage, tags=tags) as run:
        if error:
            raise error
    return run.id


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (None, "FINISHED", None),
        (SystemExit(0), "FINISHED", None),
        (SystemExit(3), "FAILED", "exit code 3"),
        (names.DataError("a.nii: truncated"), "FAILED", "a.nii: truncated"),
        (ZeroDivisionError("x"), "FAILED", "ZeroDivisionError: x"),
        (KeyboardInterrupt(), "KILLED", "Ctrl-C"),
        (Terminated(), "KILLED", "SIGTERM"),
    ],
)
def test_how_a_run_ends(api: MlflowClient, error, status: str, reason: str | None):
    run = api.get_run(_ended("prepare", error))
    assert run.info.status == status
    assert run.data.tags.get(names.TAG_REASON) == reason
    files = [f.path for f in api.list_artifacts(run.info.run_id)]
    assert files == (["error.txt"] if isinstance(error, Exception) else [])


def unfinished(identity: str) -> list[str]:
    found = session.search({names.TAG_IDENTITY: identity})
    return [run.info.run_id for run in found if session.is_unfinished(run)]


def _full(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("broken", ["the last numbers", "error.txt", "everything"])
def test_a_full_disk_at_the_end(api: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys, broken: str):
    """Never FINISHED without its numbers; the first error is the one that is told."""
    fails = {"the last numbers": ["log_batch"], "error.txt": ["log_text"]}
    seen = []

    def stage() -> None:
        with session.open_run("pretrain") as run:
            seen.append(run.id)
            run.log({"a": 1.0})
            for call in fails.get(broken, ["log_batch", "log_text", "set_terminated"]):
                patch.setattr(MlflowClient, call, _full)
            if broken != "the last numbers":
                raise ZeroDivisionError("by hand")

    wanted = OSError if broken == "the last numbers" else ZeroDivisionError
    with monkeypatch.context() as patch, pytest.raises(wanted):
        stage()
    found = api.get_run(seen[0])
    if broken == "everything":
        assert found.info.status == "RUNNING"
        assert f"the end of run {seen[0]} cannot be written (OSError" in capsys.readouterr().err
        return
    assert found.info.status == "FAILED"
    reason = found.data.tags[names.TAG_REASON]
    assert "No space left on device" in reason
    assert reason.startswith("ZeroDivisionError: by hand") == (broken == "error.txt")


@pytest.mark.parametrize("call", ["log_batch", "update_run"])
def test_a_failure_while_a_run_is_taken_over_ends_it(api: MlflowClient, monkeypatch, call: str):
    """Neither the run of `mlflow run`, nor one that is gone on with, is left RUNNING by what comes first."""
    given = api.create_run("0").info.run_id
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, _full)
        with pytest.raises(OSError, match="No space"), session.open_run("sweep", adopt_run_id=given):
            pytest.fail("the stage began")
    assert api.get_run(given).info.status == "FAILED"

    old = _ended("pretrain", Terminated(), **{names.TAG_IDENTITY: call})
    opened = []

    def stage() -> None:
        with session.open_run("pretrain") as run:
            opened.append(run.id)
            real = MlflowClient.log_batch
            patch.setattr(MlflowClient, call, lambda *a, **k: _full() if a[1] == old else real(*a, **k))
            resuming.resume(run, call, lambda _: True)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        stage()
    assert api.get_run(old).info.status == "FAILED"
    assert api.get_run(opened[0]).data.tags[names.TAG_RESUMED_AS] == old
    assert api.get_run(opened[0]).info.status == "FINISHED"  # a pointer
    assert unfinished(call) == [old]


def test_a_new_run_has_its_owner_from_the_first_moment(api: MlflowClient, monkeypatch: pytest.MonkeyPatch):
    real, made = MlflowClient.create_run, []

    def last_call(*given, **rest):
        made.append(real(*given, **rest).info.run_id)
        raise SystemExit(9)  # as SIGKILL: the answer never arrives

    monkeypatch.setattr(MlflowClient, "create_run", last_call)
    with pytest.raises(SystemExit), session.open_run("pretrain"):
        pass
    run = api.get_run(made[0])
    assert run.data.tags[names.TAG_PROCESS] == ownership.owner()
    assert not session.is_abandoned(run)
    api.set_tag(made[0], names.TAG_PROCESS, DEAD)
    assert session.is_abandoned(api.get_run(made[0]))


def test_what_could_not_be_written_is_written_later(api: MlflowClient, monkeypatch: pytest.MonkeyPatch):
    with session.open_run("pretrain") as run:
        for step in range(2300):
            run._rows.append(Metric("a", step, 0, step))
        real, calls = MlflowClient.log_batch, []

        def second_fails(self, *given, **rest):
            calls.append(1)
            return _full() if len(calls) == 2 else real(self, *given, **rest)

        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_batch", second_fails)
            with pytest.raises(OSError, match="No space"):
                run.flush()
    assert [m.value for m in api.get_metric_history(run.id, "a")] == list(range(2300))


def test_values_arrive_and_are_written_in_batches(api: MlflowClient, monkeypatch: pytest.MonkeyPatch):
    sizes = []
    real = MlflowClient.log_batch

    def count(self, run_id, metrics=(), **rest):
        sizes.append(len(metrics))
        return real(self, run_id, metrics=metrics, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", count)
    with session.open_run("pretrain", name="p") as run:
        for step in range(1500):
            run.log({"train/loss": 1 / (step + 1), "val/iou/LV+RV": step}, step)
        run.log({"odd": math.nan, "top": math.inf}, 1)
    assert max(sizes) <= 1000
    assert sum(sizes) == 3002
    assert len([s for s in sizes if s]) == 4
    history = api.get_metric_history(run.id, "train/loss")
    assert [m.step for m in history] == list(range(1500))
    assert [m.value for m in history] == [1 / (s + 1) for s in range(1500)]
    data = api.get_run(run.id).data
    assert data.metrics[names.stored("val/iou/LV_RV")] == 1499
    assert math.isnan(data.metrics["odd"])


def test_an_old_buffer_is_flushed_with_a_heartbeat(api: MlflowClient, store: str):
    now = [1000.0]
    with session.open_run("pretrain") as opened:
        run = runs.Run(opened.id, "0", "pretrain", store, clock=lambda: now[0])
        run.log({"a": 1.0})
        assert api.get_metric_history(run.id, "a") == []
        now[0] += runs.SECONDS
        assert list(run.progress(range(2), "x")) == [0, 1]
        assert len(api.get_metric_history(run.id, "a")) == 1
        assert api.get_run(run.id).data.tags[names.TAG_HEARTBEAT] == "1010.000"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [("val/iou/LV", "val/iou/LV"), ("a+b>c", "a_b_c"), ("/a//../b/", "a/b"), ("", "_"), ("x: y.z", "x: y.z")],
)
def test_metric_names(raw: str, clean: str):
    assert runs.metric_name(raw) == clean


def test_parameters_are_logged_under_a_prefix_and_do_not_change(api: MlflowClient):
    mlflow_run = api.create_run("0").info.run_id
    api.log_param(mlflow_run, "lr", "'0.10'")  # as `mlflow run` does, in a spelling of its own
    with session.open_run("pretrain", adopt_run_id=mlflow_run) as run:
        run.params({"lr": 0.1, "budget": None, "decoder": (256, 128), "threads": 1})
        run.params({"lr": 0.1, "threads": 2}, may_differ=["threads"])
        with pytest.raises(names.ParamError, match=r"cfg\.lr was '0\.1', now '0\.2'"):
            run.params({"lr": 0.2})
    logged = api.get_run(mlflow_run).data.params
    expected = {"cfg.lr": "0.1", "cfg.budget": "", "cfg.decoder": "256,128", "cfg.threads": "1"}
    assert logged == {"lr": "'0.10'", **expected}


def test_the_run_of_mlflow_run_is_adopted_once(api: MlflowClient, monkeypatch: pytest.MonkeyPatch):
    given = api.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    with session.open_run("sweep", name="mine") as run:
        assert run.id == given
        assert "MLFLOW_RUN_ID" not in os.environ
        monkeypatch.setenv("MLFLOW_RUN_ID", given)  # of a worker that was started by hand
        with session.open_run("finetune", parent_run_id=run.id) as child:
            assert child.id != given
    assert api.get_run(given).info.run_name == "mine"
    assert api.get_run(child.id).data.tags["mlflow.parentRunId"] == given
    with (
        pytest.raises(names.SslsegError, match="MLFLOW_RUN_ID"),
        session.open_run("x", adopt_run_id="0" * 32),
    ):
        pass


def test_find_is_by_identity_and_finished_only(api: MlflowClient):
    _ended("finetune", None, **{names.TAG_IDENTITY: "one"})
    newest = _ended("finetune", None, **{names.TAG_IDENTITY: "one"})
    _ended("finetune", ValueError("x"), **{names.TAG_IDENTITY: "one"})
    assert session.find("one") == newest
    assert session.find("two") is None


def test_the_same_command_again_goes_on_inside_the_unfinished_run(api: MlflowClient):
    identity = "resumable"
    _ended("pretrain", None, **{names.TAG_IDENTITY: identity})
    old = _ended("pretrain", Terminated(), **{names.TAG_IDENTITY: identity})
    without_checkpoint = _ended("pretrain", ValueError("x"), **{names.TAG_IDENTITY: identity})
    with session.open_run("pretrain", tags={names.TAG_SWEEP: "s"}) as run:
        opened = run.id
        run.log({"before": 1.0})
        assert resuming.resume(run, identity, lambda r: r != without_checkpoint) == opened
        assert run.id == old
        run.log({"after": 1.0}, 7)
    resumed, pointer = api.get_run(old), api.get_run(opened)
    assert resumed.info.status == "FINISHED"
    assert names.TAG_REASON not in resumed.data.tags
    assert resumed.data.tags[names.TAG_SWEEP] == "s"
    assert resumed.data.metrics == {"after": 1.0}
    assert pointer.info.status == "FINISHED"
    assert pointer.data.tags[names.TAG_RESUMED_AS] == old
    assert session.find(identity) == old
    assert session.follow(opened).info.run_id == old


def test_a_living_run_is_not_hijacked(api: MlflowClient):
    with session.open_run("pretrain", tags={names.TAG_IDENTITY: "busy"}) as first:
        with session.open_run("pretrain") as second:
            assert resuming.resume(second, "busy", lambda _: True) is None
        api.set_tag(second.id, names.TAG_IDENTITY, "other")
        assert unfinished("busy") == []
        api.set_tag(first.id, names.TAG_PROCESS, DEAD)  # as if it had been killed by -9
        assert unfinished("busy") == [first.id]


def test_a_name_that_a_person_gave_stays(api: MlflowClient) -> None:
    for given, wanted in (
        ("upbeat-hare-342", "sweep acdc"),
        ("byol@acdc-3", "byol@acdc-3"),
        ("my run", "my run"),
    ):
        run_id = api.create_run("0", run_name=given).info.run_id
        with session.open_run("sweep", name="sweep acdc", adopt_run_id=run_id):
            pass
        assert api.get_run(run_id).info.run_name == wanted
    drawn = {name_utils._generate_random_name() for _ in range(200)}
    assert all(client.is_drawn(name) for name in drawn)


def test_links_to_data_and_model(api: MlflowClient):
    with session.open_run("finetune") as run:
        run.input_dataset("acdc", "a" * 64, "/data", "finetune")
        run.text("x", "deep/x.txt")
        run.rename("n")
        run.note("# m")
    found = api.get_run(run.id)
    assert found.inputs.dataset_inputs[0].dataset.digest == "a" * 36
    assert found.inputs.dataset_inputs[0].tags[0].value == "finetune"
    assert found.data.tags["mlflow.note.content"] == "# m"
    assert found.info.run_name == "n"
