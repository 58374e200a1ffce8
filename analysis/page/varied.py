"""What varied, in words, and the test scores for other seeds and other patients, as the page shows them."""

from __future__ import annotations

import math

from analysis.comparison import scope
from analysis.comparison.cells import Study
from analysis.comparison.decisions import Decisions
from analysis.comparison.measures import PRIMARY
from analysis.comparison.patients import Difference, Measured
from analysis.page import scores
from analysis.statistics.patients import Crossed

GROUP = "test/"


def sentence(study: Study, found: Decisions, measured: Measured) -> str:
    """What varied between these runs, and so what they are about."""
    counts = {arm.label: scope.count(study, arm.label) for arm in study.arms}
    one = [label for label, n in counts.items() if n == 1]
    several = [f"{n} of {label}" for label, n in counts.items() if n > 1]
    said = []
    if one:
        said.append(
            f"There is one encoder of {', '.join(one)}: what is said of it is about this encoder, since the seeds vary "
            "the fine-tuning alone"
        )
    if several:
        said.append(f"There are several encoders, {', '.join(several)}, and they are what is counted")
    on = f"these {found.tested} test patients" if found.tested else "these test patients"
    others = "; for other patients see the scores" if measured.levels else ", and about no others"
    said.append(f"Intervals over seeds are about {on}{others}")
    return ". ".join(said) + "."


def levels(study: Study, measured: Measured) -> scores.BySize:
    """Test scores for other seeds and other patients."""
    found = {(GROUP + one.metric, one.arm, one.budget): one.crossed for one in measured.levels}
    return scores.by_size(study, lambda *key: _text(found.get(key)), {metric for metric, _, _ in found})


def _text(found: Crossed | None, sign: str = "") -> str:
    """`0.512, 0.44 to 0.58`."""
    if found is None:
        return "–"
    e = found.estimate
    middle = f"{e.value:{sign}.3f}"
    return middle if math.isnan(e.low) else f"{middle}, {e.low:{sign}.3f} to {e.high:{sign}.3f}"


def differences(found: Decisions, measured: Measured) -> list[tuple[Difference, str]]:
    """Those of the primary score at the run budget nearest to the reader's, with their text."""
    primary = [one for one in measured.differences if one.metric == PRIMARY.key.removeprefix("test_")]
    nearest = min((one.budget for one in primary), key=lambda n: abs(math.log(n / found.budget)), default=0)
    return [(one, _text(one.crossed, "+")) for one in primary if one.budget == nearest]
