"""The frame of the benchmarks: variants in turn, medians, the ratio and its spread, one row a peer."""

import gc
import importlib
import json
import os
import platform
import random
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

ROUNDS = 7
RESULTS = Path(__file__).with_name("results.json")
ALWAYS = ("torch", "numpy", "opencv-python-headless")


class PeerMissingError(Exception):
    """A peer is not installed: the question stays open."""


@dataclass(frozen=True)
class Answer:
    """What was measured.

    Attributes:
        ratio: how many times the work of the peer is done in the same time (or see `Question.at_most`).
        spread: lowest and highest ratio of any round.
        rounds: how often each variant was timed.
        seconds: variant -> median.
        extra: anything else worth a place in the row; numbers and short texts.
    """

    ratio: float
    spread: tuple[float, float]
    rounds: int
    seconds: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """The same work, by two.

    Attributes:
        id: "P1", "P1b" …; several peers may share one.
        work: what is done, in a line.
        peer: who else does it, and in which setting.
        measure: does it, raises PeerMissingError, or AssertionError when the work is not the same.
        reach, moonshot: the ratios that are aimed at.
        packages: distributions whose versions belong to the row.
        at_most: `ratio` is a number that should be small.
    """

    id: str
    work: str
    peer: str
    measure: Callable[[], Answer]
    reach: float
    moonshot: float
    packages: tuple[str, ...] = ()
    at_most: bool = False


def need(module: str) -> ModuleType:
    """Import a peer.

    Raises:
        PeerMissingError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PeerMissingError(f"{error}; pip install -e .[bench]") from None


def cpu() -> float:
    """CPU seconds of this process so far."""
    return time.process_time()


def cpu_of_children() -> float:
    """CPU seconds of this process and of all children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu() + children.ru_utime + children.ru_stime


@dataclass(frozen=True)
class Times:
    """Seconds per variant and round."""

    seconds: dict[str, list[float]]

    def median(self, variant: str) -> float:
        """The median of a variant's rounds."""
        return statistics.median(self.seconds[variant])

    def answer(self, *, per_second: float = 0, **extra: Any) -> Answer:
        """The answer of "peer" against "ours".

        Args:
            per_second: pieces of work in one call; adds how many are done in a second.
            extra: see `Answer`.
        """
        by_round = [p / o for o, p in zip(self.seconds["ours"], self.seconds["peer"], strict=True)]
        medians = {name: self.median(name) for name in self.seconds}
        if per_second:
            extra["per_second"] = {name: per_second / medians[name] for name in ("ours", "peer")}
        return Answer(
            medians["peer"] / medians["ours"], (min(by_round), max(by_round)), len(by_round), medians, extra
        )


def compare(
    variants: Mapping[str, Callable[[], object]],
    *,
    rounds: int = ROUNDS,
    warm: int = 1,
    clock: Callable[[], float] = cpu,
) -> Times:
    """Time every variant once a round, in an order that is drawn anew each round.

    Args:
        variants: name -> call; "ours" and "peer" are compared, others run along.
        warm: unmeasured calls of each before.
    """
    one_thread()
    order = list(variants)
    for name in order * warm:
        variants[name]()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    draw = random.Random(0)
    for _ in range(rounds):
        draw.shuffle(order)
        for name in order:
            gc.collect()
            start = clock()
            variants[name]()
            seconds[name].append(clock() - start)
    return Times(seconds)


def one_thread() -> None:
    """Torch and OpenCV do their work on the calling thread, from now on."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(0)


# ---------------------------------------------------------------- rows
def row(question: Question, answer: Answer) -> dict[str, Any]:
    """The row of results.json."""
    goals = (question.reach, question.moonshot)
    met = [answer.ratio <= g if question.at_most else answer.ratio >= g for g in goals]
    return {
        "id": question.id,
        "work": question.work,
        "peer": question.peer,
        "ratio": _short(answer.ratio),
        "spread": [_short(v) for v in answer.spread],
        "reach": question.reach,
        "moonshot": question.moonshot,
        "met": "moonshot" if met[1] else "reach" if met[0] else "no",
        "rounds": answer.rounds,
        "seconds": {name: _short(value) for name, value in answer.seconds.items()},
        **json.loads(json.dumps(answer.extra, default=str), parse_float=lambda text: _short(float(text))),
        "versions": versions((*ALWAYS, *question.packages)),
        "machine": machine(),
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Distribution -> version, Python first."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # an extra that makes this project faster
            found[name] = "not installed"
    return found


def machine() -> str:
    """The processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, 1 thread"


def read(path: Path = RESULTS) -> list[dict[str, Any]]:
    """All rows; none where nothing was measured yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def keep(new: dict[str, Any], path: Path = RESULTS) -> None:
    """Write a row; it takes the place of the one of the same id and peer."""
    rows = [r for r in read(path) if (r["id"], r["peer"]) != (new["id"], new["peer"])] + [new]
    aside = path.with_suffix(".new")
    aside.write_text(
        json.dumps(sorted(rows, key=lambda r: (r["id"], r["peer"])), indent=1) + "\n", encoding="utf-8"
    )
    os.replace(aside, path)
