"""Which jobs may run, in every order of ends."""

from __future__ import annotations

import random

import pytest

from sslseg.config.names import LeakError, SslsegError
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Graph, Outcome, reason


def chain(*pairs: tuple[str, str]) -> Graph:
    """name, upstream -> Graph."""
    return Graph([Cell(name, "finetune", {}, upstream=upstream) for name, upstream in pairs], {"k": 1})


PAIRS = (("a", ""), ("b", "a"), ("c", "b"), ("d", "a"), ("e", ""))


def test_what_needs_nothing_is_ready_once():
    graph = chain(*PAIRS)
    assert [j.name for j in graph.ready()] == ["a", "e"]
    assert graph.ready() == []
    assert not graph.done()


@pytest.mark.parametrize("seed", range(5))
def test_every_job_runs_once_and_after_its_upstream(seed: int):
    rng, graph, order = random.Random(seed), chain(*PAIRS), []
    running = []
    while not graph.done():
        running += graph.ready()
        job = running.pop(rng.randrange(len(running)))
        assert job.upstream_run_id == (f"run-{job.cell.upstream}" if job.cell.upstream else "")
        assert job.context == {"k": 1}
        graph.close(Outcome(job, f"run-{job.name}"))
        order.append(job.name)
    assert sorted(order) == ["a", "b", "c", "d", "e"]
    assert all(order.index(up) < order.index(name) for name, up in PAIRS if up)


@pytest.mark.parametrize(
    ("error", "leaked"),
    [(LeakError("seen"), True), (SslsegError("leak of gas"), False), (OSError("x"), False)],
)
def test_a_leak_is_known_by_its_reason_wherever_the_worker_was(error: Exception, leaked: bool):
    job = Graph([Cell("a", "finetune", {})], {}).ready()[0]
    assert Outcome(job, error=reason(error)).leaked == leaked


def test_what_waits_for_a_failure_is_not_run():
    graph = chain(*PAIRS)
    a, e = graph.ready()
    graph.close(Outcome(a, error="lost"))
    graph.close(Outcome(e, "r"))
    assert graph.ready() == []
    first = graph.unreachable()
    assert [(o.job.name, o.error) for o in first] == [
        ("b", "its upstream a failed"), ("d", "its upstream a failed"),
    ]  # fmt: skip
    for outcome in first:
        graph.close(outcome)
    for outcome in graph.unreachable():
        graph.close(outcome)
    assert graph.done()
    assert graph.ended["c"].error == "its upstream b failed"


def test_the_longest_chain_that_waits_is_started_first():
    """Eight fine-tunings that nothing waits for, listed before a chain of three: the chain goes first.

    Also where its first stage is the whole pretraining of a fine-tuning that is listed later.
    """
    graph = chain(
        *((f"scratch{i}", "") for i in range(8)),
        ("import", ""),
        ("pre", "import"),
        ("fine", "pre"),
        ("short", "import"),
    )
    order = sorted(graph.ready(), key=graph.urgency)
    assert [job.name for job in order] == ["import", *(f"scratch{i}" for i in range(8))]
    graph.close(Outcome(order[0], "run"))
    waiting = sorted([*order[1:], *graph.ready()], key=graph.urgency)
    assert waiting[0].name == "pre"
    assert graph.urgency(order[0]) == -3


def test_a_job_whose_worker_died_waits_again_and_is_given_up_in_the_end():
    graph = chain(("a", ""), ("b", "a"))
    for _ in range(2):
        (job,) = graph.ready()
        assert list(graph.died(job, 2)) == []
    (job,) = graph.ready()
    assert list(graph.died(job, 2, "another reason, {} times")) == []
    (job,) = graph.ready()
    (outcome,) = graph.died(job, 2)
    assert outcome.error == "its worker process died 3 times"
    (skipped,) = graph.unreachable()
    graph.close(skipped)
    assert graph.done()
