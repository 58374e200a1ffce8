"""How far a sweep is, from the tracking store alone: whoever can read it can ask, on whatever machine."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlflow.entities import Run as MlflowRun

from sslseg.config import names
from sslseg.config.texts import some
from sslseg.tracking import ownership, session, store

LOSS = "train/loss"  # logged each few steps by every stage that trains
STAGES = (names.SWEEP, names.DEMO, "tryout")  # that hand out cells
POINTS = 12  # the last of them, that a rate is taken over
SHOWN = 20  # running or failed cells that are listed


@dataclass(frozen=True)
class Running:
    """A cell that a worker is at."""

    cell: str
    step: int
    steps: int | None  # of the whole cell; None where it has none
    rate: float | None  # steps a second; None before there are two points
    host: str
    silent: float  # seconds since its last sign of life
    since: float = 0.0  # seconds since its start


@dataclass(frozen=True)
class Progress:
    """One sweep, or tuning, as the store tells it."""

    run_id: str
    name: str
    status: str
    driver: str  # alive, silent or dead: who hands out the cells
    cells: int | None
    ended: int
    failed: int
    seconds: float  # since its start
    left: float | None  # seconds until its end, as it was last estimated; None: nothing tells yet
    running: tuple[Running, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()  # cell, reason
    again: tuple[tuple[str, str], ...] = ()  # cell that waits to be tried again, reason
    lost: tuple[str, ...] = ()  # cells that say RUNNING, and whose process is gone


def open_ones(uri: str | None = None) -> list[str]:
    """Run IDs of the sweeps that say RUNNING, newest first."""
    asked = [session.search({names.TAG_STAGE: stage}, uri=uri, status="RUNNING") for stage in STAGES]
    found = [run for some in asked for run in some]
    return [run.info.run_id for run in sorted(found, key=lambda run: -run.info.start_time)]


def read(run_id: str, uri: str | None = None, now: float | None = None) -> Progress:
    """A sweep as it is now.

    Raises:
        UnknownRunError: there is none.
    """
    now = time.time() if now is None else now
    run = store.run(run_id, uri)
    metrics, begun = run.data.metrics, run.info.start_time / 1000
    over = run.info.status != "RUNNING"
    until = run.info.end_time / 1000 if over and run.info.end_time else now
    children = session.search({names.TAG_SWEEP: run_id}, run.info.experiment_id, uri)
    lost = [child for child in children if session.is_abandoned(child)]
    busy = [child for child in children if child.info.status == "RUNNING" and child not in lost]
    running = tuple(_running(child, uri, now) for child in busy)
    return Progress(
        run_id, run.info.run_name or "", run.info.status, "" if over else ownership.state_of(run).value,
        int(metrics[names.SWEEP_CELLS]) if names.SWEEP_CELLS in metrics else None,
        int(metrics.get(names.SWEEP_ENDED, 0)), int(metrics.get(names.SWEEP_FAILED, 0)), until - begun,
        None if over else _left(run_id, uri, now), running, tuple(_last_tries(children, "FAILED")),
        () if over else tuple(_last_tries(children, "KILLED")), tuple(map(_cell, lost)),
    )  # fmt: skip


def _last_tries(children: Sequence[MlflowRun], status: str) -> Iterator[tuple[str, str]]:
    """Cells whose last try ended so, and why."""
    seen: set[str] = set()
    for child in children:  # newest first
        cell = _cell(child)
        if cell not in seen and child.info.status == status:
            yield cell, child.data.tags.get(names.TAG_REASON, "no reason is on record")
        seen.add(cell)


def _cell(child: MlflowRun) -> str:
    return child.data.tags.get(names.TAG_CELL, child.info.run_name)


def _left(run_id: str, uri: str | None, now: float) -> float | None:
    points = store.client(uri).get_metric_history(run_id, names.SWEEP_LEFT)
    if not points:
        return None
    last = max(points, key=lambda point: point.timestamp)
    return max(0.0, last.value - (now - last.timestamp / 1000)) if last.value == last.value else None


def _running(child: MlflowRun, uri: str | None, now: float) -> Running:
    tags, steps = child.data.tags, child.data.params.get(f"{names.CFG}steps", "")
    points = store.client(uri).get_metric_history(child.info.run_id, LOSS)
    points = sorted(points, key=lambda point: (point.step, point.timestamp))
    resumed_at = int(tags.get(names.TAG_RESUMED_AT, 0))  # before that it was another process, some time ago
    own = {point.step: point.timestamp / 1000 for point in points if point.step > resumed_at}
    return Running(
        _cell(child),
        points[-1].step if points else 0,
        int(steps) if steps.isdigit() else None,
        rate(list(own.items())[-POINTS:]),
        tags.get(names.TAG_PROCESS, "").partition(":")[0],
        max(0.0, now - ownership.heartbeat(child)),
        max(0.0, now - child.info.start_time / 1000),
    )


def rate(points: Sequence[tuple[int, float]]) -> float | None:
    """Steps a second over (step, seconds) of the last points; None before there are two at different times."""
    if len(points) < 2 or points[-1][1] <= points[0][1]:
        return None
    return (points[-1][0] - points[0][0]) / (points[-1][1] - points[0][1])


# ---------------------------------------------------------------- for a person
def lines(found: Progress, width: int = 120) -> list[str]:
    """A table: what is done, what runs, what failed and why, and how long it may take."""
    total = "?" if found.cells is None else found.cells
    head = f"{found.name or 'sweep'}: {found.ended} of {total} cells done, {len(found.running)} running"
    head += f", {found.failed} failed" if found.failed else ""
    head += f", {clock(found.seconds)}" + ("" if found.status == "RUNNING" else f", {found.status}")
    if found.status == "RUNNING":
        head += f", time left: {'about ' + clock(found.left) if found.left is not None else 'unknown yet'}"
    table = [(one.cell, _step(one), _rate(one), one.host + _silence(one)) for one in found.running]
    sizes = [max((len(row[i]) for row in table[:SHOWN]), default=0) for i in range(4)]
    running = ("  ".join(t.ljust(s) for t, s in zip(row, sizes, strict=True)).rstrip() for row in table)
    faults = (f"failed: {cell}: {' '.join(why.split())}" for cell, why in found.faults)
    again = (f"to be tried again: {cell}: {' '.join(why.split())}" for cell, why in found.again)
    rows = ["  " + row for part in (running, faults, again) for row in some(part, SHOWN, "\n").splitlines()]
    if found.lost:
        rows.append(f"  lost with their process: {some(found.lost)}")
    if found.driver == ownership.State.DEAD.value:
        rows.append("  its driver is gone: the same command goes on with it")
    return [line if len(line) <= width else line[: width - 1] + "…" for line in [head, *rows]]


def plain(found: Progress) -> str:
    """The same on one line, for an output that is no terminal."""
    said = [f"{one.cell} {_step(one)} {_rate(one)}".strip() for one in found.running]
    return lines(found, 10_000)[0] + (f"; {some(said)}" if said else "")


def _step(one: Running) -> str:
    return f"step {one.step} of {one.steps}" if one.steps else "running"


def _rate(one: Running) -> str:
    if one.rate is None:
        return ""
    return f"{one.rate:.2g} steps/s" if one.rate < 10 else f"{one.rate:.0f} steps/s"


def _silence(one: Running) -> str:
    late = one.silent > ownership.FRESH_SECONDS
    return f" (no sign of life for {clock(one.silent)})" if late else ""


def clock(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def failed(experiment_id: str | None, uri: str | None = None) -> list[dict[str, str]]:
    """Cells of sweeps whose fine-tuning FAILED: cell, dataset, data_root, error; there may be a later run that has not.

    Args:
        experiment_id: None = of every experiment.
    """
    uri = store.existing(uri)
    wanted = f"tags.`{names.TAG_STAGE}` = '{names.FINETUNE}' and attributes.status = 'FAILED'"
    keys = {"cell": names.TAG_CELL, "dataset": names.TAG_DATASET, "error": names.TAG_REASON}
    rows = [
        {key: run.data.tags.get(tag, "") for key, tag in keys.items()}
        | {"data_root": run.data.params.get(f"{names.CFG}data_root", ""), "run_id": ""}
        for run in session.matching(wanted, experiment_id, uri)
    ]
    return [row for row in rows if row["cell"]]
