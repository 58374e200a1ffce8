"""Jobs, and the order they may run in. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Any

from sslseg.config.names import LeakError
from sslseg.config.texts import sentence
from sslseg.plans.cells import Cell

Context = dict[str, Any]  # what a worker has to know beside its cell
LEAK = "leak"  # before the sentence of a leak, wherever a worker runs
LATE = "left out: "  # before the sentence of a job that was not begun, for it would have ended too late


@dataclass(frozen=True)
class Job:
    """A cell with all that a worker process needs to run it."""

    cell: Cell
    upstream_run_id: str = ""
    context: Context = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The cell's name."""
        return self.cell.name

    def params(self) -> Any:
        """The stage's resolved parameters; of the context `cache`, `threads` and `device`."""
        own = self.context
        return self.cell.params(self.upstream_run_id or None, own["cache"], own["threads"], own["device"])


@dataclass(frozen=True)
class Outcome:
    """How a job ended: what it returned (a cell's run ID), or the reason why there is nothing."""

    job: Job
    value: Any = None
    error: str = ""

    @property
    def leaked(self) -> bool:
        """Whether the job stopped because its encoder has seen what it was to be tested on."""
        return self.error.startswith(f"{LEAK}: ")

    @property
    def failed(self) -> bool:
        """Whether it has no result for another reason than want of time."""
        return bool(self.error) and not self.error.startswith(LATE)


def failures(outcomes: Iterable[Outcome]) -> str:
    """A line for each that failed."""
    return "\n".join(f"  {one.job.name}: {one.error}" for one in outcomes if one.error)


def reason(error: BaseException) -> str:
    """What an Outcome says of an error."""
    return f"{LEAK}: {error}" if isinstance(error, LeakError) else sentence(error)


def attempt(work: Callable[[Job], object], job: Job) -> tuple[object, str]:
    """What a job returned and '', or None and why there is nothing."""
    try:
        return work(job), ""
    except Exception as error:
        return None, reason(error)


def _chains(cells: list[Cell]) -> dict[str, int]:
    """Stages of the longest path that begins with each cell, itself included."""
    upstream = {c.name: c.upstream for c in cells}
    chains = dict.fromkeys(upstream, 1)
    for name in upstream:
        length = 1
        while above := upstream.get(name):
            length, name = length + 1, above
            chains[name] = max(chains.get(name, 1), length)
    return chains


class Graph:
    """Which jobs are waiting, running and ended."""

    def __init__(self, cells: list[Cell], context: Context):
        self.context = context
        self.waiting = {c.name: Job(c, context=context) for c in cells}
        self.running: dict[str, Job] = {}
        self.ended: dict[str, Outcome] = {}
        # of workers: job -> reason -> times
        self.deaths: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._order = TopologicalSorter({c.name: filter(None, [c.upstream]) for c in cells})
        self._order.prepare()
        self._free: set[str] = set()  # names of jobs whose upstream has ended, well or not
        self._chains = _chains(cells)

    def urgency(self, job: Job) -> int:
        """A key to sort free jobs by: the longest chain of stages that waits for its end comes first."""
        return -self._chains[job.name]

    def done(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self.waiting and not self.running

    def _next(self, *, failed: bool) -> list[Job]:
        """Waiting jobs whose upstream has ended with an error, or without one."""
        self._free.update(self._order.get_ready())
        free = [job for name, job in self.waiting.items() if name in self._free]
        return [j for j in free if failed == bool(j.cell.upstream and self.ended[j.cell.upstream].error)]

    def ready(self) -> list[Job]:
        """Jobs whose upstream is there; they count as running from now on."""
        jobs = self._next(failed=False)
        given = {j.name: self.ended[j.cell.upstream].value if j.cell.upstream else "" for j in jobs}
        started = {n: replace(self.waiting.pop(n), upstream_run_id=run_id) for n, run_id in given.items()}
        self.running |= started
        return list(started.values())

    def unreachable(self) -> list[Outcome]:
        """Outcomes of the jobs that wait for an upstream that failed."""
        jobs = self._next(failed=True)
        return [Outcome(j, error=f"its upstream {j.cell.upstream} failed") for j in jobs]

    def close(self, outcome: Outcome) -> Outcome:
        """Note the end of a job."""
        self.waiting.pop(outcome.job.name, None)
        self.running.pop(outcome.job.name, None)
        self.ended[outcome.job.name] = outcome
        self._order.done(outcome.job.name)
        return outcome

    def died(self, job: Job, most: int, why: str = "its worker process died {} times") -> Iterator[Outcome]:
        """A job whose worker is gone waits again; more than `most` times for one reason, and it is given up."""
        self.deaths[job.name][why] += 1
        if (times := self.deaths[job.name][why]) > most:
            yield self.close(Outcome(job, error=why.format(times)))
        else:
            self.waiting[job.name] = self.running.pop(job.name)
