"""What P5, P6 and P9 compute and compare; nothing is timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import p5_sweep, p6_tracking, p9_growth
from sslseg.config import names
from sslseg.tracking.store import ensure_store
from tests.fixtures.planted import Planted, plant


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law(power: float):
    sizes = (3, 10, 30)
    assert p9_growth.exponent(sizes, [0.7 * n**power for n in sizes]) == pytest.approx(power)


def test_both_ways_of_logging_leave_the_same_however_often_one_flushes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    variants, runs = p6_tracking.writers(40)
    p6_tracking.check(variants, runs)
    variants["ours"](20)
    p6_tracking.check(variants | {"ours": lambda: None}, runs)


def test_a_call_within_a_call_counts_once(monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(100))
    monkeypatch.setattr(p6_tracking.compare, "cpu", lambda: float(next(clock)))
    meter = p6_tracking.Meter()
    inner = meter.wrap("inner", lambda: None)
    meter.wrap("outer", lambda: inner())()
    assert meter.seconds == {"outer": 1.0}


def left(place: Path, seeds: range, last: float, seconds: float = 0.0) -> Path:
    """A store with a fine-tuning a seed."""
    place.mkdir()
    plant(
        ensure_store(f"sqlite:///{place}/mlflow.db"),
        (
            Planted(
                f"run{seed}", {names.TAG_STAGE: names.FINETUNE}, {"seed": str(seed)},
                {"val/iou": [(0, 0.1), (5, last)], "cost/seconds": [(5, seconds)]},
            )
            for seed in seeds
        ),
    )  # fmt: skip
    return place


def test_p5_sees_a_number_that_differs(tmp_path: Path):
    whole = left(tmp_path / "whole", range(3), 0.5, seconds=9)
    assert p5_sweep.check(whole, left(tmp_path / "some", range(1, 3), 0.5), 3, 2) == 4
    with pytest.raises(AssertionError, match="the metrics differ"):
        p5_sweep.check(whole, left(tmp_path / "other", range(2), 0.5000001), 3, 2)
    with pytest.raises(AssertionError, match="cells are missing"):
        p5_sweep.check(whole, whole, 4, 3)
    with pytest.raises(AssertionError, match="cold runs are missing"):
        p5_sweep.check(whole, left(tmp_path / "one", range(1), 0.5), 3, 2)
