"""Curves that were read before, one parquet file a FINISHED run.

A file's name covers the run's end time and the latest value of every metric: a run that was resumed, or that got
another metric after its end, is read again.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sslseg.config import names
from sslseg.config.files import aside
from sslseg.tracking.history.records import Record

SCHEMA = pa.schema({"run_id": pa.string(), "key": pa.string(), "step": pa.int64(), "value": pa.float64()})
Load = Callable[[Sequence[str], Sequence[str]], pd.DataFrame]


def place(folder: Path, record: Record) -> Path:
    """The file of a run as it is now."""
    facts = [record.run_id, record.end, sorted((key, repr(value)) for key, value in record.metrics.items())]
    return folder / f"curves-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]}.parquet"


def through(
    folder: Path, records: Iterable[Record], run_ids: Sequence[str], keys: Sequence[str], load: Load
) -> pd.DataFrame:
    """The curves of `run_ids`; what no file has, or one of an older state, comes from `load`.

    Args:
        records: of those that are FINISHED; the others are always loaded and never kept.
    """
    logged = {r.run_id: {key.removeprefix(names.DETAIL) for key in r.metrics} for r in records}
    files = {r.run_id: place(folder, r) for r in records}
    known = _read([file for file in files.values() if file.is_file()])
    there = known.groupby("run_id")["key"].agg(set)
    have = {i for i, file in files.items() if file.is_file() and logged[i] & set(keys) <= there.get(i, set())}
    stale = [i for i in run_ids if i not in have]
    fresh = load(stale, keys) if stale else known.iloc[:0]
    old = known[~(known["run_id"].isin(stale) & known["key"].isin(keys))]
    found = pd.concat([part for part in (old, fresh) if len(part)] or [old])  # an empty one has no types
    parts = dict(list(found.groupby("run_id"))) if stale else {}
    for run_id in files.keys() & set(stale):
        _write(files[run_id], parts.get(run_id, found.iloc[:0]))
    found = found[found["key"].isin(keys)]
    return found.sort_values(["run_id", "key", "step"], kind="stable").reset_index(drop=True)


def _read(files: list[Path]) -> pd.DataFrame:
    """Rows of all; none where one of them is torn, or is somebody else's."""
    table = SCHEMA.empty_table()
    with contextlib.suppress(OSError, pa.ArrowException):
        table = pq.ParquetDataset(files, schema=SCHEMA).read() if files else table
    return table.to_pandas().astype({"run_id": str, "key": str})  # of pandas 2 objects, of pandas 3 its own


def _write(file: Path, points: pd.DataFrame) -> None:
    """A cache that cannot be written is none."""
    with contextlib.suppress(OSError), aside(file) as part:
        pq.write_table(pa.Table.from_pandas(points, SCHEMA, preserve_index=False), part)
