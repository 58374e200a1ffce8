"""Progress where there is no terminal: a line each tenth, or after half a minute."""

from __future__ import annotations

import pytest

from sslseg.tracking import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_each_tenth(clock: list[float], capsys: pytest.CaptureFixture):
    with progress.Lines(200, "cells") as lines:
        for _ in range(200):
            lines.update()
    said = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in said] == [f"cells: {n} of 200" for n in range(20, 201, 20)]


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
