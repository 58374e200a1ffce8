"""Progress of long work: a bar on a terminal; elsewhere (a log file, a queue) a plain line now and then."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

TENTHS = 10  # a line at every tenth of the work …
LEAST, MOST = 5.0, 30.0  # … this many seconds after the one before, and at least each half minute


class Lines:
    """The part of tqdm's interface that is used here, for an output that is no terminal."""

    def __init__(self, total: int | None, description: str):
        self.total, self.description, self.done = total or 0, description, 0
        self._tenth, self._start = 0, time.monotonic()
        self._said = self._start

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, n: int = 1) -> None:
        """Count `n` more; says a line if one is due."""
        self.done += n
        now, tenth = time.monotonic(), self.done * TENTHS // max(1, self.total)
        ends = self._tenth == 0 or tenth == TENTHS  # the first line and the last one
        wanted = LEAST * (not ends) if tenth > self._tenth else MOST
        if now - self._said >= wanted:
            self._tenth, self._said = tenth, now
            said = f"{self.description}: {self.done} of {self.total}, {now - self._start:.0f} s"
            print(said, flush=True)


def bar(total: int | None, description: str) -> tqdm[NoReturn] | Lines:
    """A bar to update by hand; silent in a worker, whose progress is its sweep's."""
    from tqdm import tqdm

    silent = os.environ.get("TQDM_DISABLE") == "1"
    if sys.stderr.isatty() or silent:
        return tqdm(total=total, desc=description, disable=silent or None)
    return Lines(total, description)
