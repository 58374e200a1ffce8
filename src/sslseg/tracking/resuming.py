"""The one way to go on: the same command again.

It finds the newest unfinished run of its identity that has a checkpoint and goes on inside it. The run that had been
opened for the command ends as a pointer (`resumed_as`), which readers skip. While another process does the same, the
command waits for it.
"""

import time
from collections.abc import Callable

from mlflow.entities import Run as MlflowRun

from sslseg.config import names
from sslseg.config.files import sha256_of
from sslseg.tracking import ownership, processes, session, store
from sslseg.tracking.ownership import Shared, State, claim
from sslseg.tracking.runs import PARENT, Run

POLL_SECONDS = 5.0  # between two looks at the run of another process that does the same


def resume(
    run: Run, identity: str, has_checkpoint: Callable[[str], bool], wait: Callable[[float], None] = time.sleep
) -> str | None:
    """Go on inside the newest unfinished run of `identity` (same experiment), if one has a checkpoint.

    `run` then is that run: its ID changes in place, the opened one is closed as a pointer. Otherwise the
    identity is written on `run`. Two commands at once never take the same run: claimed under a lock. While
    another process does the same, this one waits for its end.

    Returns:
        ID of the run that was opened and now points on, or None when nothing was resumed.

    Raises:
        Shared: another process has done it since `run` was opened.
    """
    opened_at, waits_for = run.client.get_run(run.id).info.start_time, ""
    while True:
        with store.lock(run.uri, "resume"):
            others = session.search({names.TAG_IDENTITY: identity}, run.experiment_id, run.uri)
            others = [other for other in others if other.info.run_id != run.id]
            for other in others:
                if other.info.status == "FINISHED" and other.info.end_time > opened_at:
                    print(f"run {other.info.run_id} has done the same: run {run.id} points to it", flush=True)
                    raise Shared(other.info.run_id)
            busy = next((other for other in others if _works_elsewhere(other)), None)
            if busy is None:
                for found in (other.info.run_id for other in others if session.is_unfinished(other)):
                    if has_checkpoint(found):
                        return _switch(run, found)
                run.tag(names.TAG_IDENTITY, identity)
                for other in others:
                    _tell_silent(other)
                return None
        if waits_for != busy.info.run_id:
            waits_for = busy.info.run_id
            process = ownership.named(busy.data.tags)
            print(f"run {waits_for} of {process} does the same at this moment: waiting for it", flush=True)
        wait(POLL_SECONDS)


def _works_elsewhere(run: MlflowRun) -> bool:
    own = run.data.tags.get(names.TAG_PROCESS) == ownership.owner()  # who waits for himself waits long
    return run.info.status == "RUNNING" and not own and ownership.state_of(run) == State.ALIVE


def be_alone(run: Run, facts: dict[str, str]) -> None:
    """Refuse to do what another process does at this moment: both would write the same files.

    Args:
        facts: what makes two commands the same.

    Raises:
        SslsegError: another process does it.
    """
    mark = sha256_of([run.stage, facts])
    with store.lock(run.uri, "resume"):
        run.tag(names.TAG_COMMAND, mark)
        others = session.search({names.TAG_COMMAND: mark}, run.experiment_id, run.uri, "RUNNING")
    for other in others:
        if _works_elsewhere(other):
            process = ownership.named(other.data.tags)
            raise names.SslsegError(
                f"run {other.info.run_id} of {process} does the same {run.stage} at this moment, and this "
                "command is refused: wait for its end, or name another folder to write to"
            )


def _tell_silent(run: MlflowRun) -> None:
    """Say of a run that could be a dead one why it was not gone on with."""
    if run.info.status == "RUNNING" and ownership.state_of(run) == State.SILENT:
        silent, after = (time.time() - ownership.heartbeat(run)) / 60, ownership.dead_after() / 60
        print(
            f"run {run.info.run_id} of {ownership.named(run.data.tags)} was to do the same and has been "
            f"silent for {silent:.0f} minutes. That process is not to be seen from here and may live: this command starts "
            f"anew. After {after:.0f} minutes ({ownership.DEAD_AFTER}) it would go on with that run",
            flush=True,
        )


def _switch(run: Run, found: str) -> str:
    """Go on as `found`: from its claim on it is the run that the end of the block ends."""
    run.flush(last=True)
    tags = run.client.get_run(run.id).data.tags
    kept = {key: tags[key] for key in (PARENT, names.TAG_SWEEP) if key in tags}
    opened = run.id
    run.hold(found, "")
    try:
        run.hold(found, claim(found, run.uri))
        if kept:  # a resumed sweep's cells belong to the sweep that now runs
            run.tags(kept)
    finally:
        session.close_as_pointer(opened, found, run.uri)
    return opened


def elsewhere(run_id: str, experiment_id: str, uri: str | None = None) -> str:
    """Name of the experiment of a run, where that is another one; '' = this."""
    api = store.client(uri)
    place = api.get_run(run_id).info.experiment_id
    return "" if place == experiment_id else api.get_experiment(place).name


def borrow(
    found: str, stage: str, name: str, tags: dict[str, str], parent: str, experiment_id: str, uri: str
) -> None:
    """Link a finished run of another experiment into a sweep: a pointer, which readers of the experiment follow.

    Args:
        name, tags: of the cell.
        parent: the sweep that takes the run for its own.
    """
    origin = elsewhere(found, experiment_id, uri)
    if not origin:
        return
    mine = f"tags.`{PARENT}` = '{parent}' and tags.`{names.TAG_RESUMED_AS}` = '{found}'"
    if session.matching(mine, experiment_id, uri, pointers=True):
        return  # the sweep was interrupted and given again
    known = {names.TAG_STAGE: stage, PARENT: parent, names.TAG_SWEEP: parent, names.TAG_BORROWED: origin}
    note = f"Run {found} of experiment {origin} had done this before."
    with processes.held():
        made = session.create(stage, name, experiment_id, known | tags, uri)
        session.close_as_pointer(made.id, found, uri, note)
