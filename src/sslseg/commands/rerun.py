"""Start the stage of a run again from its manifest, and compare every metric."""

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sslseg.config import names
from sslseg.tracking import session, store
from sslseg.tracking.history import frames

EXPERIMENT = "reruns"  # apart, so that no figure counts a run twice


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("run", help="run ID")
    parser.add_argument("--cache", help="folder of prepared data and checkpoints; default: the run's")
    parser.add_argument(
        "--yes", action="store_true", help="run what came out of an archive, after its command was read"
    )
    parser.add_argument("--data_root", help="folder of the data, where it has moved; default: the run's")


def run(options: argparse.Namespace) -> None:
    """Print one line per metric, equal or different, and why it may differ.

    Raises:
        SslsegError: there is no store, the run has no manifest, or a metric differs.
    """
    from sslseg import execute
    from sslseg.tracking import manifest

    store.existing()
    written = manifest.read(options.run)
    stage, method = written["stage"], written["method"] or None
    params = manifest.params(written, cache=options.cache, data_root=options.data_root)
    if alias := manifest.moving(written):
        print(
            f"{alias} was {params.encoder} when run {options.run} started; it starts from that again, whatever it is now"
        )
    if written["archive"] and not options.yes:
        raise names.SslsegError(
            f"run {options.run} came out of an archive; this is what it asks for, without the archive's folders:\n"
            f"  {manifest.command(written, params)}\n--yes runs it; --data_root and --cache name folders of yours"
        )
    place = store.ensure_experiment(EXPERIMENT)
    tags = {names.TAG_RERUN_OF: written["run_id"]}
    again = execute.execute(
        stage, params, method=method, name=f"rerun of {written['run_id'][:8]}", experiment_id=place, tags=tags
    )
    session.forget_identity(again)
    rows = compare(written["run_id"], again)
    for row in rows:
        print(f"{row.key:32} {row.steps:6} values  {row.verdict}")
    for line in manifest.differences(written, manifest.read(again)):
        print(f"  {line}")
    different = [row.key for row in rows if not row.equal]
    print(
        f"run {again}: {len(rows) - len(different)} of {len(rows)} metrics equal to run {written['run_id']}"
    )
    if different or not rows:
        raise names.SslsegError(
            f"{len(different)} of {len(rows)} metrics differ: {', '.join(different) or 'none was logged'}"
        )


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
    keys = {key.removeprefix(names.DETAIL) for i in (one, other) for key in api.get_run(i).data.metrics}
    wanted = sorted(key for key in keys if not key.startswith(OF_THE_MACHINE))
    points = frames.curves([one, other], wanted, uri)
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
