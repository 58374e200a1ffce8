"""Progress where there is no terminal: a line each tenth that is not too soon, or after half a minute."""

from __future__ import annotations

import pytest

from sslseg.tracking import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "said"),  # of 200 updates
    [(60.0, [*range(20, 201, 20)]), (20.0, [20, 70, 120, 170, 200]), (3.0, [20, 200]), (0.0, [20, 200])],
)
def test_a_line_each_tenth_but_of_short_work_the_first_and_the_last(
    seconds: float, said: list[int], clock: list[float], capsys: pytest.CaptureFixture
):
    with progress.Lines(200, "cells") as lines:
        for k in range(1, 201):
            clock[0] = seconds * k / 200
            lines.update()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"cells: {n} of 200" for n in said]


def test_and_at_least_each_half_minute(clock: list[float], capsys: pytest.CaptureFixture):
    lines = progress.Lines(1000, "cells")
    for second in range(61):
        clock[0] = float(second)
        lines.update()
    assert capsys.readouterr().out.splitlines() == [
        "cells: 31 of 1000, 30 s",
        "cells: 61 of 1000, 60 s",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_worker_of_a_sweep_has_no_bar_even_in_a_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress.bar(3, "cells") as bar:
        bar.update(3)
    said = capsys.readouterr()
    assert said.out + said.err == ""
