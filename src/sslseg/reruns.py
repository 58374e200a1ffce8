"""Floor 1a: a run and the same stage run again: which metrics are equal to the last digit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sslseg import history, names, store

TAG_RERUN_OF = "sslseg.rerun_of"
OF_THE_MACHINE = ("cost/", "system/")  # seconds: never equal, never compared


@dataclass(frozen=True)
class Row:
    """One metric of both runs, over all its steps."""

    key: str
    steps: int
    equal: bool
    largest: float  # largest absolute difference over common steps; NaN where one has none
    missing: int  # steps that only one of them has

    @property
    def verdict(self) -> str:
        """For a table."""
        if self.equal:
            return "equal"
        lost = f", {self.missing} steps in one run only" if self.missing else ""
        return f"DIFFERENT: by up to {self.largest:.6g}{lost}"


def compare(one: str, other: str, uri: str | None = None) -> list[Row]:
    """Every metric of two runs, step by step and bit by bit; what the machine alone decides is left out."""
    api = store.client(uri)
    keys = {key for i in (one, other) for key in store.retry(lambda i=i: api.get_run(i)).data.metrics}
    wanted = sorted(key for key in keys if not key.startswith(OF_THE_MACHINE))
    points = history.curves([one, other], wanted, uri)
    return [_row(key, *(_curve(points, i, key) for i in (one, other))) for key in wanted]


def _curve(points: pd.DataFrame, run_id: str, key: str) -> pd.Series:
    mine = points[(points["run_id"] == run_id) & (points["key"] == key)]
    return mine.set_index("step")["value"]


def _row(key: str, one: pd.Series, other: pd.Series) -> Row:
    common = one.index.intersection(other.index)
    missing = len(one.index.symmetric_difference(other.index))
    a, b = one.loc[common].to_numpy(float), other.loc[common].to_numpy(float)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    largest = float(apart.max()) if len(apart) else float("nan")
    return Row(key, len(one), not missing and bool(same.all()), largest, missing)


def forget_identity(run_id: str, uri: str | None = None) -> None:
    """Take the identity off a run, so that no sweep uses it for a result of its own."""
    api = store.client(uri)
    if names.TAG_IDENTITY in store.retry(lambda: api.get_run(run_id)).data.tags:
        store.retry(lambda: api.delete_tag(run_id, names.TAG_IDENTITY))
