"""Curves that were read before, one parquet file a store. Only runs whose mark is unchanged count.

A run's mark covers its end time and the latest value of every metric: a run that was resumed, or that got
another metric after its end, is read again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from sslseg.tracking.history.records import CURVE_COLUMNS, Record

FORMAT = 1
META = b"sslseg"
Load = Callable[[Sequence[str], Sequence[str]], pd.DataFrame]


@dataclass(frozen=True)
class Known:
    """Content of a cache file: points, and per run the mark and the keys that were read."""

    points: pd.DataFrame
    marks: dict[str, str]
    keys: dict[str, list[str]]

    def covers(self, run_id: str, mark: str, keys: Iterable[str]) -> bool:
        """Whether the run is here as it was at `mark`, with all of these metrics."""
        return self.marks.get(run_id) == mark and set(keys) <= set(self.keys[run_id])


def mark(record: Record) -> str:
    """What changes when a run's curves may have changed."""
    facts = [record.end, sorted((key, repr(value)) for key, value in record.metrics.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def place(folder: Path, uri: str) -> Path:
    """The cache file of a store."""
    return folder / f"curves-{hashlib.sha256(uri.encode()).hexdigest()[:16]}.parquet"


def through(
    path: Path, marks: Mapping[str, str], run_ids: Sequence[str], keys: Sequence[str], load: Load
) -> pd.DataFrame:
    """The curves of `run_ids`; what the file does not have, or has of an older state, comes from `load`.

    Args:
        marks: of FINISHED runs; a run without one is always loaded and never kept.
    """
    known = _read(path)
    stale = [i for i in run_ids if i not in marks or not known.covers(i, marks[i], keys)]
    fresh = load(stale, keys) if stale else known.points.iloc[:0]
    keep = [i for i in stale if i in marks]
    if keep:
        _add(path, fresh, {i: marks[i] for i in keep}, keys)
    old = known.points
    old = old[old["run_id"].isin(set(run_ids) - set(stale)) & old["key"].isin(keys)]
    return _joined(old, fresh).sort_values(["run_id", "key", "step"], kind="stable").reset_index(drop=True)


def _read(path: Path) -> Known:
    nothing = Known(pd.DataFrame(columns=CURVE_COLUMNS), {}, {})
    try:
        table = pq.read_table(path)
        meta = json.loads(table.schema.metadata[META])
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):  # absent, torn, or somebody else's
        return nothing
    if meta.get("format") != FORMAT:
        return nothing
    frame = table.to_pandas()[CURVE_COLUMNS].astype({"run_id": object, "key": object})
    return Known(frame, meta["marks"], meta["keys"])


def _joined(*parts: pd.DataFrame) -> pd.DataFrame:
    """Rows of all parts; empty ones are left out, for they have no types."""
    return pd.concat([part for part in parts if len(part)] or parts[:1])


def _add(path: Path, fresh: pd.DataFrame, marks: Mapping[str, str], keys: Sequence[str]) -> None:
    """Replace the points of `marks` in the file; a cache that cannot be written is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            known = _read(path)
            kept = known.points[~known.points["run_id"].isin(marks)]
            points = _joined(kept, fresh[fresh["run_id"].isin(marks)])
            meta = {
                "format": FORMAT,
                "marks": known.marks | dict(marks),
                "keys": known.keys | {i: sorted(keys) for i in marks},
            }
            table = pa.Table.from_pandas(points.astype({"run_id": str, "key": str}), preserve_index=False)
            table = table.replace_schema_metadata({META: json.dumps(meta).encode()})
            pq.write_table(table, f"{path}.part")
            os.replace(f"{path}.part", path)
    except OSError:
        return
