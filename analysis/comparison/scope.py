"""What varied between the runs of a pipeline, and so of what it is that something is said.

Seeds of a fine-tuning that start from one encoder vary the fine-tuning: what they say is about this encoder. Of a
pretraining is said what several pretrainings agree on; then the pretraining is the unit, and the fine-tunings
from one encoder are averaged.
"""

from collections.abc import Iterable, Mapping
from statistics import fmean

from analysis.comparison.cells import Study
from analysis.statistics.records import Score, grouped


def count(study: Study, label: str) -> int:
    """Different encoders of a pipeline; 0 where every run has weights of its own, or none are on record."""
    return len(set(study.encoders[label].values()))


def units(study: Study, *labels: str) -> dict[int, int]:
    """seed -> the unit that it counts in when these pipelines are looked at together.

    A seed is its own unit, unless one of them has several encoders: seeds that start from the same ones are one.
    """
    varied = [study.encoders[label] for label in labels if count(study, label) > 1]
    seeds = sorted({seed for label in labels for seed in study.of(label)["seed"]})
    first: dict[tuple[str, ...], int] = {}
    keys = {s: tuple(found.get(s, "") for found in varied) if varied else (str(s),) for s in seeds}
    return {int(s): first.setdefault(keys[s], int(s)) for s in seeds}


def pretrainings(study: Study, *labels: str) -> dict[int, int] | None:
    """`units` of pipelines of which one has several encoders; None of others, whose seeds count by themselves."""
    return units(study, *labels) if any(count(study, label) > 1 for label in labels) else None


def averaged(scores: Iterable[Score], counted: Mapping[int, int] | None) -> list[Score]:
    """One score a unit, pipeline and budget, the mean over its seeds; None: as they are."""
    if counted is None:
        return list(scores)
    found = grouped(((s.pipeline, s.budget, counted[s.seed]), s.value) for s in scores)
    return [Score(name, n, unit, str(unit), fmean(values)) for (name, n, unit), values in found.items()]


def about(study: Study, *labels: str) -> str:
    """Of what the difference of two pipelines, or the level of one, is: for every verdict on the page."""
    counts = {label: count(study, label) for label in labels}
    ones = [label for label, n in counts.items() if n == 1]
    several = [f"{n} encoders of {label}" for label, n in counts.items() if n > 1]
    if ones:
        alone = len(ones) == 1 and len(labels) == 1
        this = "about this encoder" + ("" if alone else f" of {' and this one of '.join(ones)}")
        return ", ".join([this, *several])
    return f"about {' and '.join(several)}" if several else ""
