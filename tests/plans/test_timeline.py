"""The scheduler on a counted clock, against schedules that can be worked out by hand."""

from __future__ import annotations

import pytest

from sslseg.config import params
from sslseg.plans import cells as grid
from sslseg.plans import studies, timeline
from sslseg.plans.cells import Cell


def graph(*pairs: tuple[str, str]) -> list[Cell]:
    return [Cell(name, "finetune", {}, upstream=up) for name, up in pairs]


CHAIN = graph(*((f"scratch{i}", "") for i in range(4)), ("import", ""), ("pre", "import"), ("fine", "pre"))


def test_the_chain_is_never_kept_waiting():
    """7 cells of one second on two workers: 4 s, the chain of three first; in the grid's order the chain begins last: 5 s."""
    spans = {span.name: span for span in timeline.simulate(CHAIN, lambda cell: 1.0, 2)}
    assert [spans[name].start for name in ("import", "pre")] == [0, 1]
    assert max(span.end for span in spans.values()) == 4
    listed = timeline.simulate(CHAIN, lambda cell: 1.0, 2, in_grid_order=True)
    assert max(span.end for span in listed) == 5


def test_no_worker_has_two_cells_at_once_and_none_idles_while_one_is_free():
    seconds = {cell.name: 1.0 + i % 3 for i, cell in enumerate(CHAIN)}
    spans = timeline.simulate(CHAIN, lambda cell: seconds[cell.name], 2)
    assert [span.end for span in spans] == sorted(span.end for span in spans)
    for worker in (0, 1):
        mine = sorted((s.start, s.end) for s in spans if s.worker == worker)
        assert all(end <= start for (_, end), (start, _) in zip(mine, mine[1:], strict=False))
    assert sum(s.end - s.start for s in spans) == sum(seconds.values())


def test_what_is_left_frees_cells_of_an_upstream_that_has_ended():
    rest = timeline.remaining(CHAIN, {"import", "scratch0"})
    above = {cell.name: cell.upstream for cell in rest}
    assert (above["pre"], above["fine"]) == ("", "pre")
    assert timeline.seconds_left(CHAIN, {"import", "scratch0"}, lambda cell: 1.0, 2) == 3.0
    assert timeline.seconds_left(CHAIN, {cell.name for cell in CHAIN}, lambda cell: None, 2) == 0.0
    assert timeline.seconds_left(CHAIN, set(), lambda cell: None if cell.name == "pre" else 1.0, 2) is None


@pytest.mark.parametrize("workers", [1, 8])
def test_the_study_of_the_paper_takes_no_less_than_its_work_and_its_longest_chain(workers: int):
    cells = grid.cells(studies.fill(params.Sweep(study="paper")))
    spans = timeline.simulate(cells, lambda cell: 100.0 if cell.method else 10.0, workers)
    assert len(spans) == len(cells)
    work, chain = sum(100.0 if cell.method else 10.0 for cell in cells), 100 + 100 + 10
    assert max(work / workers, chain) <= max(span.end for span in spans) <= work / workers + chain
