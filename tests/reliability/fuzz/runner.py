"""Calls on mutated input, each held to a time and a memory bound, and what came of them in numbers."""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.config.names import SslsegError

SECONDS = 10.0  # of CPU; a case that takes longer hangs, the usual one takes milliseconds
WAITING = 6  # times as long by the clock, for what hangs without computing
MEMORY = 512 << 20  # bytes beyond what the process has when the case begins
LONGEST = 2000  # characters of one clear error
SAID = 60  # characters by which outcomes are told apart
TIMERS = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}
Mutation = Callable[[np.random.Generator, Path], Callable[[], str]]


class Wrong(AssertionError):  # noqa: N818 says what the reader is
    """A reader gave a result, and it is not the right one."""


class Hang(BaseException):  # noqa: N818 not an Exception: readers must not catch it
    """A case ran into its time limit."""


@dataclass
class Report:
    """What came of the cases of one format.

    Attributes:
        outcomes: (class of mutation, outcome) -> how often. Outcomes begin with "read" or "refused".
        failures: a line for each case that ended otherwise, with what makes it again.
    """

    name: str
    outcomes: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return sum(self.outcomes.values())

    def row(self, seed: int) -> dict[str, Any]:
        """For docs/reference/reliability.json: class of mutation -> outcome -> how often."""
        kinds: dict[str, dict[str, int]] = {}
        for (kind, said), count in sorted(self.outcomes.items()):
            kinds.setdefault(kind, {})[said] = count
        return {"seed": seed, "kinds": kinds}


@contextlib.contextmanager
def bounded(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Hang after `seconds` of CPU, or WAITING times as many by the clock; MemoryError where an allocation would
    go beyond `memory` bytes more than now."""

    def stop(number: int, frame: object) -> None:
        raise Hang

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = {number: signal.signal(number, stop) for number in TIMERS.values()}
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, WAITING * seconds)
    try:
        yield
    finally:
        for timer in TIMERS:
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in before.items():
            signal.signal(number, handler)


def outcome(call: Callable[[], str]) -> tuple[str, bool]:
    """What came of one call, and whether that is as it should be."""
    try:
        with warnings.catch_warnings(), bounded():
            warnings.simplefilter("error")  # a stranger's warning is as little help as his error
            return f"read {call()}", True
    except SslsegError as error:
        text = str(error)
        clear = 10 < len(text) < LONGEST
        return ("refused " if clear else "UNCLEAR ") + template(text), clear
    except Hang:
        return "HANG", False
    except MemoryError:
        return "MEMORY", False
    except Wrong as error:
        return f"WRONG {template(str(error))}", False
    except BaseException as error:
        return f"FOREIGN {type(error).__name__}: {template(str(error))}", False


def template(text: str) -> str:
    """A sentence without the words that differ from case to case: paths, numbers, quoted text."""
    text = re.sub(r"/\S+", "…", text.split("\n")[0])
    text = re.sub(r"'[^']*'|\"[^\"]*\"|[\[({].*", "…", text)
    text = re.sub(r"-?\d[\d.,e+-]*", "#", text)
    return re.sub(r"(… ?)+", "… ", text).strip()[:SAID].strip(" ….,:;")


def run(name: str, mutations: dict[str, Mutation], cases: int, scratch: Path, seed: int = 0) -> Report:
    """`cases` inputs, in turn over the classes of mutation; the n-th is the same whatever ran before."""
    report, kinds = Report(name), list(mutations)
    for n in range(cases):
        kind = kinds[n % len(kinds)]
        folder = scratch / f"case{n}"
        folder.mkdir(parents=True)
        call = mutations[kind](np.random.default_rng((seed, n)), folder)
        said, good = outcome(call)
        report.outcomes[kind, said] += 1
        if not good:
            report.failures.append(f"{name} {kind}, case {n}, seed {seed}: {said}")
        shutil.rmtree(folder)
    return report
