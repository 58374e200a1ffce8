"""What a person sees of a sweep while it runs: one live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from sslseg.config import names
from sslseg.plans import timeline
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Outcome
from sslseg.tracking.history import sweeps
from sslseg.tracking.history.sweeps import Running
from sslseg.tracking.runs import Run

TABLE_SECONDS, LINE_SECONDS = 2.0, 30.0  # between two pictures in a terminal, and two lines elsewhere
MOST = 5000  # cells whose time left is worth a simulation each time
BACK, CLEAR = "\x1b[{}A", "\r\x1b[J"  # ANSI: so many lines up; clear all below


class Board:
    """Keeps count of a sweep's cells, shows it, and writes the time left where `sslseg status` reads it."""

    def __init__(self, run: Run, cells: list[Cell], workers: int):
        self.run, self.cells, self.workers = run, {cell.name: cell for cell in cells}, max(1, workers)
        self.ended: set[str] = set()
        self.failed = 0
        self._took: dict[tuple[str, str], list[float]] = {}
        self._live = sys.stderr.isatty()
        self._quiet = os.environ.get("TQDM_DISABLE") == "1"
        self._drawn, self._lock, self._over = 0, threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="board", daemon=True)

    def __enter__(self) -> Board:
        self._log()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(LINE_SECONDS)
        with self._lock:
            self._wipe()

    def note(self, outcome: Outcome, took: float | None) -> None:
        """Count a cell that has ended.

        Args:
            took: seconds; None for one that this sweep has not run.
        """
        cell = outcome.job.cell
        self.ended.add(cell.name)
        self.failed += outcome.failed
        if took is not None:
            self._took.setdefault((cell.stage, cell.method), []).append(took)
        self._log()

    def _log(self) -> None:
        self.run.log(
            {
                names.SWEEP_CELLS: len(self.cells),
                names.SWEEP_ENDED: len(self.ended),
                names.SWEEP_FAILED: self.failed,
            },
            len(self.ended),
        )
        self.run.flush()  # for whoever asks from elsewhere

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Print in the block without breaking the table."""
        with self._lock:
            self._wipe()
            yield

    # ------------------------------------------------------------ the picture
    def _follow(self) -> None:
        every = TABLE_SECONDS if self._live else LINE_SECONDS
        wait = every
        while not self._over.wait(wait):
            begun = time.monotonic()
            with suppress(Exception):  # the store is away or busy: the next picture tries again
                self._show()
            wait = max(every, 10 * (time.monotonic() - begun))  # a slow store is not asked all the time

    def _show(self) -> None:
        found = sweeps.read(self.run.id, self.run.uri)
        left = self.left(found.running)
        self.run.client.log_metric(self.run.id, names.SWEEP_LEFT, math.nan if left is None else left)
        found = replace(found, left=left)
        with self._lock:
            if self._over.is_set() or self._quiet:
                return
            if not self._live:
                print(sweeps.plain(found), flush=True)
                return
            size = shutil.get_terminal_size()
            self._wipe()
            rows = sweeps.lines(found, size.columns - 1)[: size.lines - 1]
            print("\n".join(rows), file=sys.stderr, flush=True)
            self._drawn = len(rows)

    def _wipe(self) -> None:
        if self._drawn:
            print(BACK.format(self._drawn) + CLEAR, end="", file=sys.stderr, flush=True)
            self._drawn = 0

    # ------------------------------------------------------------ the time left
    def left(self, running: tuple[Running, ...]) -> float | None:
        """Seconds until the end: medians of the cells that have ended, else the rates of those that run."""
        known = {kind: statistics.median(seconds) for kind, seconds in self._took.items()}
        at = {one.cell: one for one in running if one.cell in self.cells}
        for one in at.values():
            cell = self.cells[one.cell]
            if one.rate and one.steps:
                known.setdefault((cell.stage, cell.method), one.steps / one.rate)

        def seconds(cell: Cell) -> float | None:
            whole, now = known.get((cell.stage, cell.method)), at.get(cell.name)
            if whole is None or now is None or not now.steps:
                return whole
            if now.step >= now.steps:  # it is tested, and its models are written
                return max(0.0, whole - now.since)
            return whole * (1 - now.step / now.steps)

        if len(self.cells) > MOST:
            left = timeline.remaining(self.cells.values(), self.ended)
            rest = [found for cell in left if (found := seconds(cell)) is not None]
            return sum(rest) / self.workers if len(rest) == len(left) else None
        return timeline.seconds_left(list(self.cells.values()), set(self.ended), seconds, self.workers)
