"""Jobs, and the order they may run in. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sslseg.config.names import SslsegError
from sslseg.plans.cells import Cell


@dataclass(frozen=True)
class Job:
    """A cell with all that a worker process needs to run it."""

    cell: Cell
    upstream_run_id: str = ""
    context: dict = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        return self.cell.name


@dataclass(frozen=True)
class Outcome:
    """How a job ended: a run ID, or the reason why there is none."""

    job: Job
    run_id: str = ""
    error: str = ""


def reason(error: BaseException) -> str:
    """What an Outcome says of an error; the project's own are whole sentences."""
    kind = "" if isinstance(error, SslsegError) else type(error).__name__
    return ": ".join(filter(None, [kind, str(error)]))


class Graph:
    """Which jobs are waiting, running and ended."""

    def __init__(self, cells: list[Cell], context: dict):
        self.waiting = {c.name: Job(c, context=context) for c in cells}
        self.running: dict[str, Job] = {}
        self.ended: dict[str, Outcome] = {}

    def done(self) -> bool:
        return not self.waiting and not self.running

    def ready(self) -> list[Job]:
        """Jobs whose upstream is there; they count as running from now on."""
        jobs = []
        for name, job in list(self.waiting.items()):
            upstream = job.cell.upstream
            if not upstream or (upstream in self.ended and self.ended[upstream].run_id):
                run_id = self.ended[upstream].run_id if upstream else ""
                self.running[name] = replace(self.waiting.pop(name), upstream_run_id=run_id)
                jobs.append(self.running[name])
        return jobs

    def unreachable(self) -> list[Outcome]:
        """Outcomes of the jobs that wait for an upstream that failed."""
        failed = [j for j in self.waiting.values() if j.cell.upstream in self.ended]
        return [Outcome(j, error=f"its upstream {j.cell.upstream} failed") for j in failed
                if not self.ended[j.cell.upstream].run_id]  # fmt: skip

    def close(self, outcome: Outcome) -> Outcome:
        """Note the end of a job."""
        self.waiting.pop(outcome.job.name, None)
        self.running.pop(outcome.job.name, None)
        self.ended[outcome.job.name] = outcome
        return outcome

    def reopen(self) -> list[Job]:
        """Put the running jobs back to wait, after their workers died; returns them."""
        jobs = list(self.running.values())
        self.waiting |= {j.name: j for j in jobs}
        self.running.clear()
        return jobs
