"""What a claim is, what it is judged from, and what comes out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.comparison import scope
from analysis.comparison.cells import Study
from analysis.comparison.decisions import Curves
from analysis.comparison.measures import Measures
from analysis.statistics.records import Estimate, Refusal, Score

REPRODUCED, CONTRADICTED, INCONCLUSIVE, UNTESTED = "reproduced", "contradicted", "inconclusive", "untested"


@dataclass(frozen=True)
class Context:
    """Everything that claims are judged from; `labels` has a pipeline's name on the data of the study."""

    study: Study
    measures: Measures
    curves: Curves
    labels: Mapping[str, str]  # byol@target -> label of the arm that stands for it
    architectures: Mapping[str, str]  # label -> timm name; '' = unknown

    @property
    def full(self) -> int:
        """The largest budget: the claims on convergence are about all of the data."""
        return self.study.budgets[-1]

    def scores(self, key: str, rows: Sequence[str], budgets: Sequence[int] = ()) -> list[Score]:
        """Scores of one metric, of the arms of `rows`; at the largest budget unless others are given."""
        found = self.measures.of(key, [self.labels[row] for row in rows])
        return [s for s in found if s.budget in (budgets or (self.full,))]

    def units(self, rows: Sequence[str]) -> dict[int, int]:
        """seed -> the unit that it counts in: seeds that start from one of several pretrainings are one."""
        return scope.units(self.study, *(self.labels[row] for row in rows))

    def averaged(self, key: str, rows: Sequence[str], budgets: Sequence[int] = ()) -> list[Score]:
        """`scores`, one a pretraining where one of the arms has several."""
        return scope.averaged(self.scores(key, rows, budgets), self.pretrainings(rows))

    def pretrainings(self, rows: Sequence[str]) -> dict[int, int] | None:
        """`units`, where one of the arms has several pretrainings; else None."""
        return scope.pretrainings(self.study, *(self.labels[row] for row in rows))

    def runs(self, rows: Sequence[str], budgets: Sequence[int]) -> tuple[str, ...]:
        """IDs of the runs of the arms of `rows` at some budgets."""
        frame, labels = self.study.runs, [self.labels[row] for row in rows]
        return tuple(sorted(frame["run_id"][frame["arm"].isin(labels) & frame["budget"].isin(budgets)]))


@dataclass(frozen=True)
class Outcome:
    """What the runs say about a claim, whether or not they meet its preconditions."""

    call: str
    text: str
    effect: Estimate | None = None
    run_ids: tuple[str, ...] = ()  # () = those of the claim's pipelines at its sizes


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, in our words, as a test. A rule that refuses leaves it inconclusive."""

    id: str
    text: str
    where: str
    rows: tuple[str, ...]  # pipelines without which it cannot be judged
    rule: Callable[[Context], Outcome | Refusal]
    criterion: str  # what makes it reproduced
    sizes: Callable[[Context], Sequence[int]] = lambda context: (context.full,)  # that it is about
    substitutes: Callable[[Context], list[str]] = lambda context: []  # besides the usual ones


@dataclass(frozen=True)
class Judged:
    """A claim's line on the page. `analogue` is the call of runs that do not meet its preconditions."""

    id: str
    text: str
    where: str
    criterion: str
    call: str
    analogue: str
    why: str
    outcome: str
    effect: Estimate | None
    run_ids: tuple[str, ...]
