"""Benchmark B1 does the same work on both sides; how fast is not asked here."""

from __future__ import annotations

import pytest

from benchmarks import __main__, b1_reading


def test_both_read_the_same_frame() -> None:
    answer = b1_reading.measure(runs=4, client_runs=2, rounds=1)
    assert answer.rounds == 1
    assert set(answer.seconds) == {"ours, all", "client, 2 runs"}
    assert answer.ratio > 0


def test_other_values_are_noticed() -> None:
    rows = b1_reading.by_client([], [], "")
    with pytest.raises(AssertionError):
        b1_reading.check(rows, rows.assign(extra=1))


def test_the_command_knows_it() -> None:
    assert "B1" in __main__.questions()
