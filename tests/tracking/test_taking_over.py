"""Who goes on with a run, where two identical commands or a later process want it."""

from __future__ import annotations

import contextlib
import time

import pytest
from mlflow import MlflowClient

from sslseg.config import names
from sslseg.tracking import ownership, resuming, session
from tests.fixtures.owners import PID, owner_of, planted


def _doing(api: MlflowClient, identity: str, process: str, age: float = 0.0) -> str:
    return planted(api, process, age, **{names.TAG_IDENTITY: identity, names.TAG_STAGE: "pretrain"})


@pytest.mark.parametrize("end", ["FINISHED", "KILLED with a checkpoint", "FAILED without one"])
def test_the_second_of_two_waits_for_the_first(api: MlflowClient, neighbour: str, capsys, end: str):
    status, checkpoint = end.split()[0], end.endswith("with a checkpoint")
    first = _doing(api, end, neighbour)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        assert names.TAG_IDENTITY not in api.get_run(opened).data.tags  # nobody waits for one that waits
        waited.append(seconds)
        if len(waited) == 3:
            api.set_terminated(first, status)

    shared = pytest.raises(ownership.Shared)
    with shared if status == "FINISHED" else contextlib.nullcontext(), session.open_run("pretrain") as run:
        opened = run.id
        resuming.resume(run, end, lambda _: checkpoint, wait)
        assert run.id == (first if checkpoint else opened)
    assert len(waited) == 3
    said = capsys.readouterr().out
    assert (
        said.count(
            f"run {first} of {ownership.named({names.TAG_PROCESS: neighbour})} does the same at this moment"
        )
        == 1
    )
    pointer = api.get_run(opened).data.tags.get(names.TAG_RESUMED_AS)
    assert pointer == (None if status == "FAILED" else first)
    assert api.get_run(opened).info.status == "FINISHED"
    if status == "FINISHED":
        assert f"run {first} has done the same: run {opened} points to it" in said
        assert session.find(end) == first


def test_what_was_done_before_a_command_was_given_is_done_again(api: MlflowClient):
    with session.open_run("pretrain", tags={names.TAG_IDENTITY: "again"}):
        pass
    with session.open_run("pretrain") as run:
        api.set_tag(run.id, "x", "y")
        assert resuming.resume(run, "again", lambda _: True) is None


def test_under_another_host_name_it_starts_anew_and_says_why(api: MlflowClient, capsys):
    """The old process may live: it is not to be seen from here."""
    far = owner_of(host="elsewhere", boot="x")
    old = _doing(api, "moved", far, age=600)
    with session.open_run("pretrain") as run:
        assert resuming.resume(run, "moved", lambda _: True) is None
    assert run.id != old
    said = capsys.readouterr().out
    assert (
        f"run {old} of process {PID} on elsewhere was to do the same and has been silent for 10 minutes"
        in said
    )
    assert (
        "this command starts anew. After 30 minutes (SSLSEG_DEAD_AFTER) it would go on with that run" in said
    )
    api.set_tag(old, names.TAG_HEARTBEAT, f"{time.time() - 1801:.3f}")
    with session.open_run("pretrain") as run:
        resuming.resume(run, "moved", lambda _: True)
        assert run.id == old


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED", "deleted"])
def test_a_run_that_has_ended_is_never_adopted(
    api: MlflowClient, monkeypatch: pytest.MonkeyPatch, status: str
):
    run_id = api.create_run("0").info.run_id
    if status == "deleted":  # while it ran
        api.delete_run(run_id)
    else:
        api.set_terminated(run_id, status)
    before = api.get_run(run_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    with (
        pytest.raises(names.SslsegError, match=rf"run {run_id} has ended \({status}\), .* is not taken up"),
        session.open_run("prepare"),
    ):
        pytest.fail("the stage began")
    after = api.get_run(run_id)
    assert (after.info.status, after.info.end_time, after.data.tags) == (
        before.info.status, before.info.end_time, before.data.tags,
    )  # fmt: skip


def test_a_run_that_another_process_works_on_is_not_adopted(api: MlflowClient, neighbour: str):
    run_id = planted(api, neighbour, 600)
    for process in (neighbour, owner_of(host="elsewhere", boot="x")):  # of the latter nothing is known
        api.set_tag(run_id, names.TAG_PROCESS, process)
        with (
            pytest.raises(names.SslsegError, match="belongs to process "),
            session.open_run("x", adopt_run_id=run_id),
        ):
            pytest.fail("the stage began")
    assert api.get_run(run_id).info.status == "RUNNING"
    api.set_tag(run_id, names.TAG_PROCESS, owner_of(pid=str(2**22 + 1)))  # it is dead now
    with session.open_run("x", adopt_run_id=run_id):
        pass
    assert api.get_run(run_id).info.status == "FINISHED"
