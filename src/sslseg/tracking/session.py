"""Open and find runs. The run itself is `runs.Run`; `resuming` goes on with one."""

import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlflow.entities import LifecycleStage
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from sslseg.config import names
from sslseg.config.texts import sentence
from sslseg.tracking import client, ownership, processes, store
from sslseg.tracking.ownership import Heart, LostError, Shared, State, claim, close
from sslseg.tracking.processes import Terminated
from sslseg.tracking.runs import NOTE, PARENT, RUN_NAME, Run
from sslseg.tracking.upkeep import claims

ENDED_EARLY = ("FAILED", "KILLED")


def create(stage: str, name: str | None, experiment_id: str | None, tags: dict, uri: str) -> Run:
    """A new run. Its owner is written in the same call: should this process die in it, `doctor` knows."""
    place = experiment_id or store.current_experiment(uri)
    tags = {"mlflow.source.name": f"sslseg {stage}"} | ownership.tags() | tags
    try:
        run = store.client(uri).create_run(place, tags=tags, run_name=name or stage)
    except MlflowException as error:
        if gone := store.deleted_experiment(place, uri):
            raise names.SslsegError(gone) from error
        raise
    claims.mark(run.info.artifact_uri, uri)
    return Run(run.info.run_id, run.info.experiment_id, stage, uri, tags[names.TAG_OWNER])


def _found(run_id: str, stage: str, uri: str, statuses: tuple[str, ...]) -> Run:
    """The run that somebody else has opened; nothing is written to it yet."""
    try:
        run = store.run(run_id, uri)
    except store.UnknownRunError:
        raise names.SslsegError(
            f"run {run_id}: MLFLOW_RUN_ID names it, but {store.shown(uri)} does not have it"
        ) from None
    again = "without MLFLOW_RUN_ID a new run is started"
    if run.info.status not in statuses or run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        how = run.info.status if run.info.lifecycle_stage == LifecycleStage.ACTIVE else "deleted"
        raise names.SslsegError(
            f"run {run_id} has ended ({how}), and a run that has ended is not taken up; {again}"
        )
    process = run.data.tags.get(names.TAG_PROCESS, "")
    if process not in ("", ownership.owner()) and ownership.state_of(run) != State.DEAD:
        raise names.SslsegError(
            f"run {run_id} belongs to {ownership.named(run.data.tags)}, which works on it; {again}"
        )
    return Run(run.info.run_id, run.info.experiment_id, stage, uri)


def _adopt(run: Run, name: str | None, tags: dict[str, str]) -> None:
    """Take a run over; `name` does not replace one that a person has given."""
    info = run.client.get_run(run.id).info
    claims.mark(info.artifact_uri, run.uri)
    run.opened_as = name if name and client.is_drawn(info.run_name or "") else ""
    run.tags(tags | ({RUN_NAME: run.opened_as} if run.opened_as else {}))
    run.hold(run.id, claim(run.id, run.uri))


@contextmanager
def open_run(
    stage: str,
    *,
    name: str | None = None,
    experiment_id: str | None = None,
    parent_run_id: str | None = None,
    adopt_run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    uri: str | None = None,
) -> Iterator[Run]:
    """Hold a run; it ends with the block, whatever happens in it, and is never left RUNNING.

    Without `adopt_run_id` and `parent_run_id` the run that `mlflow run` opened is adopted:
    MLFLOW_RUN_ID is taken out of the environment, before anything can start a child that would too.

    End of the block: FINISHED; KILLED on SIGTERM, SIGHUP (`processes.raise_on_signals`) and Ctrl-C; else
    FAILED, with the sentence in a tag and, for unforeseen errors too, the traceback in error.txt. A run that
    another process has taken is left to it; one whose work is `Shared` ends as a pointer.

    Raises:
        SslsegError: the run to adopt is not in the store, has ended, or is worked on by another process. The part
            of a tuning alone (`parent_run_id`) is taken up after it was FAILED or KILLED.
    """
    if adopt_run_id is None and parent_run_id is None:
        adopt_run_id = os.environ.pop("MLFLOW_RUN_ID", None) or None
    given = {names.TAG_STAGE: stage} | dict(tags or {}) | ({PARENT: parent_run_id} if parent_run_id else {})
    uri = store.ensure_store(uri)
    run: Run | None = None
    try:
        with processes.held():  # a signal waits until the run is known here
            if adopt_run_id:
                statuses = ("RUNNING", "SCHEDULED", *(ENDED_EARLY if parent_run_id else ()))
                run = _found(adopt_run_id, stage, uri, statuses)
            else:
                run = create(stage, name, experiment_id, given, uri)
            run.parent = parent_run_id or ""
        if adopt_run_id:
            _adopt(run, name, given)
        else:
            run.opened_as = name or stage
        run.heart = Heart(run.heartbeat)
        yield run
        run.flush(last=True)  # here, so that a run whose numbers are lost fails like any other
    except BaseException as error:
        with processes.held():
            if run is not None:
                _broken(run, error)
        raise
    else:
        with processes.held():
            run.finish()
    finally:
        if run is not None and run.heart:
            run.heart.stop()


def _broken(run: Run, error: BaseException) -> None:
    """End a run as what was raised in its block says."""
    if isinstance(error, LostError):
        return
    if isinstance(error, Shared):
        close_as_pointer(run.id, error.run_id, run.uri)
    elif isinstance(error, Terminated | KeyboardInterrupt | GeneratorExit):
        _end(run, "KILLED", "Ctrl-C" if isinstance(error, KeyboardInterrupt) else str(error))
    elif isinstance(error, SystemExit):
        clean = error.code in (None, 0)
        _end(run, "FINISHED" if clean else "FAILED", "" if clean else f"exit code {error.code}")
    else:
        _fail(run, error)


def _fail(run: Run, error: BaseException) -> None:
    reason = sentence(error)
    try:
        run.check()
        run.text("".join(traceback.format_exception(error)), "error.txt")
    except Exception as second:  # the disk is full or read-only: the reason has to be told all the same
        reason += f" (error.txt could not be written: {second})"
    _end(run, "FAILED", reason)


def _end(run: Run, status: str, reason: str) -> None:
    """End a run that an exception ends; a store that cannot be written does not hide that exception."""
    try:
        run.finish(status, reason)
    except LostError as lost:
        print(f"sslseg: {lost}", file=sys.stderr)
    except Exception as second:
        print(
            f"sslseg: the end of run {run.id} cannot be written ({type(second).__name__}: {second}); "
            "`sslseg doctor --fix` closes it",
            file=sys.stderr,
        )


def search(
    tags: Mapping[str, str], experiment_id: str | None = None, uri: str | None = None, status: str = ""
) -> list[MlflowRun]:
    """Active MLflow runs that carry all `tags`, of one experiment or of all, newest first, pointers left out."""
    clauses = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    clauses += [f"attributes.status = '{status}'"] if status else []
    return matching(" and ".join(clauses), experiment_id, uri)


def matching(
    where: str, experiment_id: str | None = None, uri: str | None = None, *, pointers: bool = False
) -> list[MlflowRun]:
    """Active runs that a filter in MLflow's language chooses, newest first, pointers left out unless they are wanted."""
    places = [experiment_id] if experiment_id else store.experiments(uri)
    found = store.client(uri).search_runs(places, where, order_by=["attributes.start_time DESC"])
    return [run for run in found if pointers or names.TAG_RESUMED_AS not in run.data.tags]


def forget_identity(run_id: str) -> None:
    """Take the identity off a run, so that no sweep uses it for a result of its own."""
    api = store.client()
    if names.TAG_IDENTITY in api.get_run(run_id).data.tags:
        api.delete_tag(run_id, names.TAG_IDENTITY)


def find(identity: str, experiment_id: str | None = None, uri: str | None = None) -> str | None:
    """ID of the newest FINISHED run of that identity, in any experiment unless one is named."""
    found = search({names.TAG_IDENTITY: identity}, experiment_id, uri, "FINISHED")
    return found[0].info.run_id if found else None


def is_unfinished(run: MlflowRun) -> bool:
    """Whether a run ended early or its process is gone: its work can be gone on with."""
    return run.info.status in ENDED_EARLY or is_abandoned(run)


def is_abandoned(run: MlflowRun) -> bool:
    """Whether a run says RUNNING although its process is gone or long silent."""
    return run.info.status == "RUNNING" and ownership.state_of(run) == State.DEAD


def close_as_pointer(run_id: str, resumed_run_id: str, uri: str | None = None, note: str = "") -> None:
    """End `run_id`, FINISHED, as a pointer to the run that its work went on in."""
    api = store.client(uri)
    api.set_tag(run_id, names.TAG_RESUMED_AS, resumed_run_id)
    api.set_tag(run_id, NOTE, note or f"Goes on in run {resumed_run_id}.")
    close(run_id, "FINISHED", uri=uri)


def close_abandoned(run_id: str, why: str, uri: str | None = None) -> None:
    """End a run as KILLED, if its process is still gone."""
    if is_abandoned(store.client(uri).get_run(run_id)):
        close(run_id, "KILLED", why, uri)


def close_all(owner: str, status: str, why: str, uri: str) -> None:
    """End what a process that is gone has left RUNNING: its work can be gone on with at once."""
    if owner and uri:
        for run in search({names.TAG_PROCESS: owner}, uri=uri, status="RUNNING"):
            close(run.info.run_id, status, why, uri)


def follow(run_id: str, uri: str | None = None) -> MlflowRun:
    """The MLflow run of that ID, or the one that its pointer leads to.

    Raises:
        UnknownRunError: there is none.
    """
    for _ in range(20):  # pointers never form a ring, unless written by hand
        run = store.run(run_id, uri)
        if names.TAG_RESUMED_AS not in run.data.tags:
            return run
        run_id = run.data.tags[names.TAG_RESUMED_AS]
    raise names.SslsegError(f"run {run_id}: its {names.TAG_RESUMED_AS} tags lead in a ring")
